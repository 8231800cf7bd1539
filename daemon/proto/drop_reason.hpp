// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mpt::proto {

// Why a datagram of the data port, or a packet from the tunnel interface, is not taken. The values count up from 0, to
// index counters.
enum class DropReason : std::uint8_t {
    kTruncated,       // ends inside the GRE header
    kUnknownFlags,    // a GRE flag other than S: checksum, key, routing, reserved bits
    kUnknownVersion,  // GRE version not 0
    kUnknownProtocol, // GRE protocol type neither IPv4 nor IPv6
    kTooShort,        // fewer than 8 octets behind the GRE header
    kInnerVersion,    // the inner packet is not of the IP version that the protocol type says
    kInnerHeader,     // no room for the inner IP header, or an impossible header length
    kInnerLength,     // the inner packet's length field does not say what is there
    kUnknownCommand,  // a control message that does not belong on the data port
    kBadKeepalive,    // length, ip_ver, addresses or path of a keepalive that no peer sends
    kWeakKeepalive,   // a keepalive without MAC on a connection of authentication type 3
    kWrongMac,        // a keepalive made with another key, or changed on its way
    kNotFresh,        // a keepalive that has come before, or is of another session
};

inline constexpr std::size_t kDropReasonCount = 13;

// A few words for people, such as "unknown GRE flags".
std::string_view to_string(DropReason reason) noexcept;

} // namespace mpt::proto
