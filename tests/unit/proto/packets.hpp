// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"
#include "daemon/proto/offload.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

// Packets for the tests, and a second, plain implementation of the checksums, written from the RFCs' words.
namespace mpt::proto::testing {

using Bytes = std::vector<std::byte>;

Bytes from_hex(std::string_view hex);

// RFC 1071 section 1: adjacent octets are paired to 16-bit integers (an odd last one with a zero octet), of which the
// one's complement sum, with an end-around carry, is formed.
std::uint16_t plain_sum(base::ConstOctets octets, std::uint16_t sum = 0);

// Octet-wise access in network order.
std::uint16_t get16(base::ConstOctets octets, std::size_t at);
std::uint32_t get32(base::ConstOctets octets, std::size_t at);
void put16(Bytes &octets, std::size_t at, unsigned value);
void put32(Bytes &octets, std::size_t at, std::uint32_t value);

// Flags of TCP (RFC 9293 section 3.1).
inline constexpr unsigned kFin = 0x01;
inline constexpr unsigned kPsh = 0x08;
inline constexpr unsigned kAck = 0x10;
inline constexpr unsigned kEce = 0x40;
inline constexpr unsigned kCwr = 0x80;

// What a packet says, whole or as a super-packet.
struct Description {
    unsigned ip_version = 4;
    bool is_tcp = true;
    std::uint8_t traffic_class = 0;
    std::uint8_t hop_limit = 64;
    std::uint16_t identification = 1;
    std::uint16_t fragment = 0x4000; // DF
    std::uint32_t flow_label = 0;
    std::uint8_t last_address_octet = 2;
    std::uint16_t source_port = 40000;
    std::uint16_t destination_port = 5201;
    std::uint32_t sequence = 1000;
    std::uint32_t acknowledgment = 5000;
    std::uint8_t flags = kAck;
    std::uint16_t window = 501;
    std::uint16_t urgent = 0;
    Bytes tcp_options;               // a multiple of 4 octets
    Bytes extension;                 // of IPv6: extension headers, or of IPv4: options
    std::uint8_t extension_type = 0; // IPv6: next header value of the first extension header
    Bytes payload;

    std::size_t ip_header_size() const { return (ip_version == 4 ? 20 : 40) + extension.size(); }
    std::size_t header_size() const { return ip_header_size() + (is_tcp ? 20 + tcp_options.size() : 8); }
    std::size_t checksum_at() const { return ip_header_size() + (is_tcp ? 16 : 6); }
};

// The whole packet with all checksums right.
Bytes build(const Description &description);

// The packet as a tun hands it out: the checksum field holds the sum of the pseudo-header alone.
Bytes build_partial(const Description &description);

// The offload header that belongs to build_partial(); gso_size 0 makes an ordinary packet.
OffloadHeader offload_for(const Description &description, std::uint16_t gso_size);

// The checksum field of build() is made right again after a change.
void fix_checksums(Bytes &packet);

// Nothing wrong, or what: lengths, IPv4 header checksum, TCP or UDP checksum, UDP length.
std::string_view fault(base::ConstOctets packet);

// `size` octets that look random; the same for the same seed.
Bytes noise(std::size_t size, unsigned seed);

} // namespace mpt::proto::testing
