// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/proto/packets.hpp"

#include <random>

namespace mpt::proto::testing {

namespace {

struct Layout {
    std::size_t addresses;
    std::size_t addresses_size;
    std::size_t transport;
    std::uint8_t protocol;
};

// Where things are in a packet of ours: IPv6 with hop-by-hop, routing or destination options headers at the most.
Layout layout(base::ConstOctets packet)
{
    if (std::to_integer<unsigned>(packet[0]) / 16 == 4)
        return {12, 8, (std::to_integer<std::size_t>(packet[0]) % 16) * 4, std::to_integer<std::uint8_t>(packet[9])};
    auto next = std::to_integer<std::uint8_t>(packet[6]);
    std::size_t at = 40;
    while (next == 0 || next == 43 || next == 60) {
        next = std::to_integer<std::uint8_t>(packet[at]);
        at += 8 * (std::to_integer<std::size_t>(packet[at + 1]) + 1);
    }
    return {8, 32, at, next};
}

std::uint16_t pseudo_header(base::ConstOctets packet)
{
    const Layout where = layout(packet);
    const std::size_t length = packet.size() - where.transport;
    Bytes pseudo(packet.begin() + static_cast<std::ptrdiff_t>(where.addresses),
                 packet.begin() + static_cast<std::ptrdiff_t>(where.addresses + where.addresses_size));
    pseudo.resize(pseudo.size() + 8);
    put32(pseudo, pseudo.size() - 8, static_cast<std::uint32_t>(length));
    put32(pseudo, pseudo.size() - 4, where.protocol);
    return plain_sum(pseudo);
}

} // namespace

Bytes from_hex(std::string_view hex)
{
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    Bytes octets;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        octets.push_back(static_cast<std::byte>(digit(hex[i]) * 16 + digit(hex[i + 1])));
    return octets;
}

std::uint16_t plain_sum(base::ConstOctets octets, std::uint16_t sum)
{
    std::uint32_t total = sum;
    for (std::size_t i = 0; i < octets.size(); i += 2) {
        const auto high = std::to_integer<std::uint32_t>(octets[i]);
        const auto low = i + 1 < octets.size() ? std::to_integer<std::uint32_t>(octets[i + 1]) : 0;
        total += high * 256 + low;
        if (total > 0xffff)
            total = total - 0x10000 + 1;
    }
    return static_cast<std::uint16_t>(total);
}

std::uint16_t get16(base::ConstOctets octets, std::size_t at)
{
    return static_cast<std::uint16_t>(std::to_integer<unsigned>(octets[at]) * 256 +
                                      std::to_integer<unsigned>(octets[at + 1]));
}

std::uint32_t get32(base::ConstOctets octets, std::size_t at)
{
    return std::uint32_t{get16(octets, at)} * 65536 + get16(octets, at + 2);
}

void put16(Bytes &octets, std::size_t at, unsigned value)
{
    octets[at] = static_cast<std::byte>(value / 256);
    octets[at + 1] = static_cast<std::byte>(value % 256);
}

void put32(Bytes &octets, std::size_t at, std::uint32_t value)
{
    put16(octets, at, value / 65536);
    put16(octets, at + 2, value % 65536);
}

Bytes build_partial(const Description &d)
{
    Bytes packet(d.header_size());
    const std::size_t size = packet.size() + d.payload.size();
    const unsigned protocol = d.is_tcp ? 6 : 17;
    if (d.ip_version == 4) {
        packet[0] = static_cast<std::byte>(0x40 + d.ip_header_size() / 4);
        packet[1] = static_cast<std::byte>(d.traffic_class);
        put16(packet, 2, static_cast<unsigned>(size));
        put16(packet, 4, d.identification);
        put16(packet, 6, d.fragment);
        packet[8] = static_cast<std::byte>(d.hop_limit);
        packet[9] = static_cast<std::byte>(protocol);
        put32(packet, 12, 0x0a000000U + d.last_address_octet);
        put32(packet, 16, 0x0a000003U);
        std::copy(d.extension.begin(), d.extension.end(), packet.begin() + 20);
        put16(packet, 10, 0xffffU ^ plain_sum(base::ConstOctets(packet).first(d.ip_header_size())));
    } else {
        put32(packet, 0, 0x60000000U + d.traffic_class * 0x100000U + d.flow_label);
        put16(packet, 4, static_cast<unsigned>(size - 40));
        packet[6] = static_cast<std::byte>(d.extension.empty() ? protocol : d.extension_type);
        packet[7] = static_cast<std::byte>(d.hop_limit);
        put16(packet, 8, 0xfec0);
        packet[23] = static_cast<std::byte>(d.last_address_octet);
        put16(packet, 24, 0xfec0);
        packet[39] = std::byte{3};
        std::copy(d.extension.begin(), d.extension.end(), packet.begin() + 40);
    }
    const std::size_t transport = d.ip_header_size();
    put16(packet, transport, d.source_port);
    put16(packet, transport + 2, d.destination_port);
    if (d.is_tcp) {
        put32(packet, transport + 4, d.sequence);
        put32(packet, transport + 8, d.acknowledgment);
        packet[transport + 12] = static_cast<std::byte>((20 + d.tcp_options.size()) / 4 * 16);
        packet[transport + 13] = static_cast<std::byte>(d.flags);
        put16(packet, transport + 14, d.window);
        put16(packet, transport + 18, d.urgent);
        std::copy(d.tcp_options.begin(), d.tcp_options.end(),
                  packet.begin() + static_cast<std::ptrdiff_t>(transport + 20));
    } else {
        put16(packet, transport + 4, static_cast<unsigned>(size - transport));
    }
    packet.insert(packet.end(), d.payload.begin(), d.payload.end());
    put16(packet, d.checksum_at(), pseudo_header(packet));
    return packet;
}

Bytes build(const Description &description)
{
    Bytes packet = build_partial(description);
    fix_checksums(packet);
    return packet;
}

OffloadHeader offload_for(const Description &d, std::uint16_t gso_size)
{
    OffloadHeader offload;
    offload.flags = OffloadHeader::kNeedsCsum;
    offload.csum_start = static_cast<std::uint16_t>(d.ip_header_size());
    offload.csum_offset = d.is_tcp ? 16 : 6;
    if (gso_size == 0)
        return offload;
    offload.hdr_len = static_cast<std::uint16_t>(d.header_size());
    offload.gso_size = gso_size;
    if (d.is_tcp)
        offload.gso_type = d.ip_version == 4 ? OffloadHeader::kGsoTcpV4 : OffloadHeader::kGsoTcpV6;
    else
        offload.gso_type = OffloadHeader::kGsoUdpL4;
    return offload;
}

void fix_checksums(Bytes &packet)
{
    const Layout where = layout(packet);
    if (where.addresses == 12) {
        put16(packet, 10, 0);
        put16(packet, 10, 0xffffU ^ plain_sum(base::ConstOctets(packet).first(where.transport)));
    }
    const std::size_t at = where.transport + (where.protocol == 6 ? 16U : 6U);
    put16(packet, at, 0);
    unsigned checksum = 0xffffU ^ plain_sum(base::ConstOctets(packet).subspan(where.transport), pseudo_header(packet));
    if (where.protocol == 17 && checksum == 0)
        checksum = 0xffff;
    put16(packet, at, checksum);
}

std::string_view fault(base::ConstOctets packet)
{
    const Layout where = layout(packet);
    if (where.addresses == 12) {
        if (get16(packet, 2) != packet.size())
            return "IPv4 total length";
        if (plain_sum(packet.first(where.transport)) != 0xffff)
            return "IPv4 header checksum";
    } else if (get16(packet, 4) != packet.size() - 40) {
        return "IPv6 payload length";
    }
    if (where.protocol == 17) {
        if (get16(packet, where.transport + 4) != packet.size() - where.transport)
            return "UDP length";
        if (get16(packet, where.transport + 6) == 0)
            return "no UDP checksum";
    }
    if (plain_sum(packet.subspan(where.transport), pseudo_header(packet)) != 0xffff)
        return "TCP or UDP checksum";
    return {};
}

Bytes noise(std::size_t size, unsigned seed)
{
    std::minstd_rand random(seed + 1);
    Bytes octets(size);
    for (std::byte &octet : octets)
        octet = static_cast<std::byte>(random() >> 8U);
    return octets;
}

} // namespace mpt::proto::testing
