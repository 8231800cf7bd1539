// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/name_resolver.hpp"

#include "daemon/sys/capabilities.hpp"
#include "daemon/sys/socket_address.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <netdb.h>

namespace mpt {

namespace {

service::ResolvedName resolve_one(const std::string &name)
{
    service::ResolvedName resolved{name, {}, "it has neither an IPv4 nor an IPv6 address"};
    addrinfo hints{};
    hints.ai_socktype = SOCK_DGRAM;
    addrinfo *all = nullptr;
    if (const int error = getaddrinfo(name.c_str(), nullptr, &hints, &all); error != 0) {
        resolved.failure = error == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(error);
        return resolved;
    }
    for (const addrinfo *one = all; one != nullptr; one = one->ai_next) {
        if (one->ai_family != AF_INET && one->ai_family != AF_INET6)
            continue;
        sys::SocketAddress address;
        std::memcpy(&address.v6, one->ai_addr, std::min<std::size_t>(one->ai_addrlen, sizeof address.v6));
        resolved.addresses.push_back(sys::endpoint_of(address).address);
    }
    freeaddrinfo(all);
    std::sort(resolved.addresses.begin(), resolved.addresses.end());
    return resolved;
}

} // namespace

base::Result<void> NameResolver::resolve(const std::vector<std::string> &names)
{
    return lookup_.start(
        [names] {
            sys::drop_capabilities();
            std::vector<service::ResolvedName> all;
            all.reserve(names.size());
            for (const std::string &name : names)
                all.push_back(resolve_one(name));
            return all;
        },
        "looks up names");
}

} // namespace mpt
