// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"

#include <cstdint>

// The Internet checksum (RFC 1071). All sums and checksums are of 16-bit words as the machine loads them, which RFC
// 1071 section 2 (B) allows: a finished checksum is stored as it is, and the value of a header field is added as
// base::network_order(value).
namespace mpt::proto {

// A one's complement sum that is not folded to 16 bits yet. Sums of octets, header fields (up to 32 bits each) and
// other sums may simply be added to each other, up to 2^30 of them.
using PartialSum = std::uint64_t;

// The sum over the octets, below 2^34; an odd last octet counts as the first of a word whose second is zero.
PartialSum sum_octets(base::ConstOctets octets) noexcept;

// Folds to 16 bits. Zero only if everything that was added was zero.
constexpr std::uint16_t fold(PartialSum sum) noexcept
{
    sum = (sum >> 32) + (sum & 0xffffffffU);
    sum = (sum >> 32) + (sum & 0xffffffffU);
    sum = (sum >> 16) + (sum & 0xffffU);
    sum = (sum >> 16) + (sum & 0xffffU);
    return static_cast<std::uint16_t>(sum);
}

// The sum of a piece that begins at an odd offset of the whole (RFC 1071 section 2 (B)).
constexpr PartialSum at_odd_offset(PartialSum sum) noexcept
{
    return base::byte_swap(fold(sum));
}

// What goes into the checksum field when everything else is summed with the field as zero.
constexpr std::uint16_t finish_checksum(PartialSum sum) noexcept
{
    return static_cast<std::uint16_t>(~fold(sum));
}

// The same for UDP, where zero would mean that there is no checksum (RFC 768).
constexpr std::uint16_t finish_udp_checksum(PartialSum sum) noexcept
{
    const std::uint16_t checksum = finish_checksum(sum);
    return checksum == 0 ? 0xffff : checksum;
}

// The checksum after a 16-bit field of what it covers has changed (RFC 1624, equation 3). All three as loaded.
constexpr std::uint16_t update_checksum(std::uint16_t checksum, std::uint16_t before, std::uint16_t after) noexcept
{
    return finish_checksum(PartialSum{static_cast<std::uint16_t>(~checksum)} + static_cast<std::uint16_t>(~before) +
                           after);
}

// The pseudo-header (RFC 9293 section 3.1, RFC 768, RFC 8200 section 8.1). `addresses` are source and destination as
// they stand together in the IP header (8 or 32 octets), `length` counts transport header and payload.
inline PartialSum pseudo_header_sum(base::ConstOctets addresses, std::uint8_t protocol, std::uint32_t length) noexcept
{
    return sum_octets(addresses) + base::network_order(std::uint16_t{protocol}) + base::network_order(length);
}

// True if the checksum in a TCP segment or UDP datagram (transport header and payload) is right. A UDP datagram without
// a checksum is the caller's to recognise.
inline bool transport_checksum_valid(base::ConstOctets addresses, std::uint8_t protocol,
                                     base::ConstOctets transport) noexcept
{
    const auto length = static_cast<std::uint32_t>(transport.size());
    return fold(pseudo_header_sum(addresses, protocol, length) + sum_octets(transport)) == 0xffff;
}

} // namespace mpt::proto
