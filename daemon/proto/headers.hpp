// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>

// Offsets, in octets from the start of each header, and values of the fields that are read or written here.
namespace mpt::proto {

inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;

// RFC 791 section 3.1
namespace ipv4 {
inline constexpr std::size_t kTypeOfService = 1;
inline constexpr std::size_t kTotalLength = 2;
inline constexpr std::size_t kIdentification = 4;
inline constexpr std::size_t kFragment = 6; // flags and fragment offset
inline constexpr std::size_t kTimeToLive = 8;
inline constexpr std::size_t kProtocol = 9;
inline constexpr std::size_t kChecksum = 10;
inline constexpr std::size_t kAddresses = 12;
inline constexpr std::size_t kAddressSize = 4;
inline constexpr std::size_t kHeaderSize = 20; // without options
inline constexpr std::uint16_t kDontFragment = 0x4000;
} // namespace ipv4

// RFC 8200 section 3
namespace ipv6 {
inline constexpr std::size_t kPayloadLength = 4;
inline constexpr std::size_t kNextHeader = 6;
inline constexpr std::size_t kAddresses = 8;
inline constexpr std::size_t kAddressSize = 16;
inline constexpr std::size_t kHeaderSize = 40; // without extension headers
inline constexpr std::uint32_t kMinMtu = 1280; // section 5

// Whether a next header value is that of an extension header which may stand before the transport header of a whole
// packet and has its length in its second octet: hop-by-hop options, routing, destination options.
constexpr bool is_skippable(std::uint8_t next_header) noexcept
{
    return next_header == 0 || next_header == 43 || next_header == 60;
}
} // namespace ipv6

// RFC 9293 section 3.1, RFC 3168 section 6.1
namespace tcp {
inline constexpr std::size_t kSequence = 4;
inline constexpr std::size_t kAcknowledgment = 8;
inline constexpr std::size_t kDataOffset = 12; // in the upper half, in units of 4 octets
inline constexpr std::size_t kFlags = 13;
inline constexpr std::size_t kWindow = 14;
inline constexpr std::size_t kChecksum = 16;
inline constexpr std::size_t kUrgentPointer = 18;
inline constexpr std::size_t kHeaderSize = 20; // without options
inline constexpr std::uint8_t kFin = 0x01;
inline constexpr std::uint8_t kSyn = 0x02;
inline constexpr std::uint8_t kPsh = 0x08;
inline constexpr std::uint8_t kAck = 0x10;
inline constexpr std::uint8_t kEce = 0x40;
inline constexpr std::uint8_t kCwr = 0x80;
} // namespace tcp

// RFC 768
namespace udp {
inline constexpr std::size_t kLength = 4;
inline constexpr std::size_t kChecksum = 6;
inline constexpr std::size_t kHeaderSize = 8;
} // namespace udp

} // namespace mpt::proto
