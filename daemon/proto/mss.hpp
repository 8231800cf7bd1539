// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/octets.hpp"
#include "daemon/proto/headers.hpp"
#include "daemon/proto/inner.hpp"
#include "daemon/proto/native.hpp"

#include <cstddef>

namespace mpt::proto {

// Lowers the maximum segment size (RFC 9293 section 3.7.1) that a TCP SYN announces to what fits unfragmented into
// packets of `mtu` octets, and corrects its checksum; every other packet stays as it is. The packet is one that
// check_inner() takes, with a complete checksum. Fragments and a SYN behind extension headers that cannot be skipped
// are left alone; of options that are malformed those before the fault count, as for who receives them.
void clamp_mss(base::IpVersion version, base::Octets packet, std::size_t mtu) noexcept;

// False of almost all packets that clamp_mss() would leave as they are, and of none that it changes: so the many pay
// for no more than a look at their flags.
inline bool may_announce_mss(base::IpVersion version, base::ConstOctets packet) noexcept
{
    const bool v4 = version == base::IpVersion::kV4;
    const std::uint8_t protocol = octet(packet, v4 ? ipv4::kProtocol : ipv6::kNextHeader);
    if (protocol != kProtocolTcp)
        return !v4 && ipv6::is_skippable(protocol);
    const std::size_t flags = (v4 ? ipv4_header_size(packet) : ipv6::kHeaderSize) + tcp::kFlags;
    return flags < packet.size() && (octet(packet, flags) & tcp::kSyn) != 0;
}

} // namespace mpt::proto
