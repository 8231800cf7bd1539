// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/octets.hpp"
#include "daemon/proto/drop_reason.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <tl/expected.hpp>

// The payload of a UDP datagram on the data port: GRE in UDP (RFC 2784, RFC 2890, RFC 8086).
namespace mpt::proto {

inline constexpr std::size_t kGreSize = 4;          // header without sequence number
inline constexpr std::size_t kGreSequencedSize = 8; // header with sequence number

// A payload whose first octet is this or more is a control message of the protocol, not an inner packet.
inline constexpr std::byte kFirstControlCommand{0xa0};

struct GrePacket {
    base::ConstOctets payload;  // what stands behind the GRE header: at least 8 octets
    std::uint32_t sequence = 0; // if has_sequence
    bool has_sequence = false;  // the S bit
    bool is_control = false;    // the payload is a control message; else one whole IP packet of `version`
    base::IpVersion version = base::IpVersion::kV4; // what the protocol type says
};

// The header for a payload of `version`, without sequence number.
void encode_gre(base::IpVersion version, std::span<std::byte, kGreSize> to) noexcept;

// The header for an inner packet of `version` that has been given the number `sequence`.
void encode_gre(base::IpVersion version, std::uint32_t sequence, std::span<std::byte, kGreSequencedSize> to) noexcept;

// Reads a datagram of the data port; the payload refers to it. An inner packet is checked as check_inner() does and
// against the protocol type; a control message is not looked into.
// A set reserved bit drops the packet. RFC 2784 section 2.3 lets a receiver ignore the last seven of them, but whatever
// they may mean one day, no peer of this protocol sends them.
tl::expected<GrePacket, DropReason> decode_gre(base::ConstOctets datagram) noexcept;

} // namespace mpt::proto
