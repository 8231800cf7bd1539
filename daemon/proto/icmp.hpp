// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/octets.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace mpt::proto {

// The most octets of an ICMP error here: what an IPv6 host must take without fragments (RFC 4443 section 3.1).
inline constexpr std::size_t kMaxIcmpError = 1280;

// Writes the ICMP "destination unreachable" that answers a packet which cannot be forwarded: host unreachable (RFC 792)
// or address unreachable (RFC 4443 section 3.1). `from` is its source, of the packet's IP version; the packet has
// passed check_inner(). Returns the octets written, or nothing where no error may be sent: about another ICMP error, a
// fragment but the first, or a packet from or to a multicast, broadcast or unspecified address (RFC 1122 section 3.2.2,
// RFC 4443 section 2.4).
base::ConstOctets write_unreachable(base::ConstOctets packet, const base::Address &from,
                                    std::span<std::byte, kMaxIcmpError> to) noexcept;

// Likewise the "packet too big" of a packet that fits no link of `mtu` octets: fragmentation needed (RFC 1191 section
// 4) or packet too big (RFC 4443 section 3.2). The first octets of the packet are enough. Nothing also for an IPv4
// packet that may be fragmented, and where IPv6 lets nobody ask for such small packets.
base::ConstOctets write_too_big(base::ConstOctets packet, const base::Address &from, std::uint32_t mtu,
                                std::span<std::byte, kMaxIcmpError> to) noexcept;

} // namespace mpt::proto
