// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/octets.hpp"

#include <cstdint>

// Explicit congestion notification across the tunnel (RFC 6040, normal mode, as RFC 8086 section 3.3 asks for), and the
// differentiated services field beside it. A traffic class has the DSCP in its upper six bits (RFC 2474) and the ECN
// field in the other two (RFC 3168).
namespace mpt::proto {

inline constexpr std::uint8_t kEcnMask = 3;
inline constexpr std::uint8_t kEcnNone = 0; // not ECN-capable
inline constexpr std::uint8_t kEct1 = 1;
inline constexpr std::uint8_t kEct0 = 2;
inline constexpr std::uint8_t kEcnCongested = 3; // CE: a router on the way was about to drop the packet

// Of an inner packet that check_inner() takes.
std::uint8_t traffic_class(base::IpVersion version, base::ConstOctets packet) noexcept;

// Gives an inner packet, as above, the ECN field that the outer header's calls for (RFC 6040 figure 4). False if it
// must be dropped: there was congestion, and its sender would not understand.
bool take_ecn(std::uint8_t outer_traffic_class, base::IpVersion version, base::Octets packet) noexcept;

} // namespace mpt::proto
