// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/socket_address.hpp"

#include <cstring>

namespace mpt::sys {

SocketAddress::SocketAddress(const base::Endpoint &endpoint, unsigned scope) noexcept : v6{}
{
    const base::ConstOctets octets = endpoint.address.octets();
    if (endpoint.address.is_v4()) {
        v4 = sockaddr_in{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(endpoint.port);
        std::memcpy(&v4.sin_addr, octets.data(), sizeof v4.sin_addr);
        length = sizeof v4;
    } else {
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(endpoint.port);
        std::memcpy(&v6.sin6_addr, octets.data(), sizeof v6.sin6_addr);
        v6.sin6_scope_id = endpoint.address.is_link_local() ? scope : 0;
        length = sizeof v6;
    }
}

base::Endpoint endpoint_of(const SocketAddress &address) noexcept
{
    base::Endpoint endpoint;
    if (address.any.sa_family == AF_INET) {
        endpoint.address = base::Address::from_octets(
            std::span<const std::byte, 4>(reinterpret_cast<const std::byte *>(&address.v4.sin_addr), 4));
        endpoint.port = ntohs(address.v4.sin_port);
    } else if (address.any.sa_family == AF_INET6) {
        endpoint.address = base::Address::from_octets(
            std::span<const std::byte, 16>(reinterpret_cast<const std::byte *>(&address.v6.sin6_addr), 16));
        endpoint.port = ntohs(address.v6.sin6_port);
    }
    return endpoint;
}

} // namespace mpt::sys
