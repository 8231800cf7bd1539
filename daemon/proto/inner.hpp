// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/octets.hpp"
#include "daemon/proto/drop_reason.hpp"
#include "daemon/proto/headers.hpp"

#include <cstdint>
#include <tl/expected.hpp>

// The IP packets that the tunnel carries.
namespace mpt::proto {

// The upper half of a packet's first octet: 4 or 6 in an IP packet. The packet must not be empty.
inline unsigned version_nibble(base::ConstOctets packet) noexcept
{
    return std::to_integer<unsigned>(packet[0]) >> 4U;
}

// Octets of the header of an IPv4 packet as its IHL field says. The packet must not be empty.
inline std::size_t ipv4_header_size(base::ConstOctets packet) noexcept
{
    return (std::to_integer<std::size_t>(packet[0]) & 0x0fU) * 4;
}

// Checks that `packet` is one whole IPv4 or IPv6 packet: version, room for its header, and a length field that says
// exactly what is there. Fails with kTooShort (if empty), kInnerVersion, kInnerHeader or kInnerLength.
inline tl::expected<base::IpVersion, DropReason> check_inner(base::ConstOctets packet) noexcept
{
    if (packet.empty())
        return tl::unexpected(DropReason::kTooShort);
    switch (version_nibble(packet)) {
    case 4: {
        const std::size_t header_size = ipv4_header_size(packet);
        if (header_size < ipv4::kHeaderSize || header_size > packet.size())
            return tl::unexpected(DropReason::kInnerHeader);
        if (base::load_be<std::uint16_t>(packet.data() + ipv4::kTotalLength) != packet.size())
            return tl::unexpected(DropReason::kInnerLength);
        return base::IpVersion::kV4;
    }
    case 6:
        if (packet.size() < ipv6::kHeaderSize)
            return tl::unexpected(DropReason::kInnerHeader);
        if (ipv6::kHeaderSize + base::load_be<std::uint16_t>(packet.data() + ipv6::kPayloadLength) != packet.size())
            return tl::unexpected(DropReason::kInnerLength);
        return base::IpVersion::kV6;
    default:
        return tl::unexpected(DropReason::kInnerVersion);
    }
}

struct InnerAddresses {
    base::Address source;
    base::Address destination;
};

// The addresses of a packet that check_inner() or decode_gre() has passed as one of `version`.
inline InnerAddresses inner_addresses(base::IpVersion version, base::ConstOctets packet) noexcept
{
    if (version == base::IpVersion::kV4) {
        const auto addresses = packet.subspan<ipv4::kAddresses, 2 * ipv4::kAddressSize>();
        return {base::Address::from_octets(addresses.first<ipv4::kAddressSize>()),
                base::Address::from_octets(addresses.last<ipv4::kAddressSize>())};
    }
    const auto addresses = packet.subspan<ipv6::kAddresses, 2 * ipv6::kAddressSize>();
    return {base::Address::from_octets(addresses.first<ipv6::kAddressSize>()),
            base::Address::from_octets(addresses.last<ipv6::kAddressSize>())};
}

} // namespace mpt::proto
