// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/join.hpp"

#include "daemon/proto/checksum.hpp"
#include "daemon/proto/headers.hpp"
#include "daemon/proto/inner.hpp"
#include "daemon/proto/native.hpp"

#include <cstring>

namespace mpt::proto {

namespace {

// True if both have the same value of type T at `offset`.
template <typename T> bool same(const std::byte *a, const std::byte *b, std::size_t offset) noexcept
{
    return load_native<T>(a + offset) == load_native<T>(b + offset);
}

std::uint8_t protocol(const Segment &segment) noexcept
{
    return segment.is_tcp ? kProtocolTcp : kProtocolUdp;
}

const std::byte *transport_header(const Segment &segment) noexcept
{
    return segment.packet.data() + segment.transport;
}

std::uint8_t tcp_flags(const Segment &segment) noexcept
{
    return std::to_integer<std::uint8_t>(transport_header(segment)[tcp::kFlags]);
}

std::uint32_t tcp_sequence(const Segment &segment) noexcept
{
    return base::load_be<std::uint32_t>(transport_header(segment) + tcp::kSequence);
}

std::uint16_t identification(const Segment &segment) noexcept
{
    return base::load_be<std::uint16_t>(segment.packet.data() + ipv4::kIdentification);
}

// Source and destination as they stand in the IP header.
base::ConstOctets addresses(const Segment &segment) noexcept
{
    return segment.is_v4 ? segment.packet.subspan(ipv4::kAddresses, 2 * ipv4::kAddressSize)
                         : segment.packet.subspan(ipv6::kAddresses, 2 * ipv6::kAddressSize);
}

bool checksums_valid(const Segment &segment) noexcept
{
    if (segment.is_v4 && fold(sum_octets(segment.packet.first(ipv4::kHeaderSize))) != 0xffff)
        return false;
    return transport_checksum_valid(addresses(segment), protocol(segment), segment.packet.subspan(segment.transport));
}

// Addresses and every other field of the IP header but lengths, identification and checksum.
bool same_ip(const Segment &first, const Segment &next) noexcept
{
    const std::byte *const a = first.packet.data();
    const std::byte *const b = next.packet.data();
    if (first.is_v4 != next.is_v4 || first.is_tcp != next.is_tcp)
        return false;
    if (first.is_v4)
        return same<std::uint64_t>(a, b, ipv4::kAddresses) && same<std::uint8_t>(a, b, ipv4::kTypeOfService) &&
               same<std::uint16_t>(a, b, ipv4::kFragment) && same<std::uint8_t>(a, b, ipv4::kTimeToLive);
    // traffic class and flow label; next header and hop limit
    return std::memcmp(a + ipv6::kAddresses, b + ipv6::kAddresses, 2 * ipv6::kAddressSize) == 0 &&
           same<std::uint32_t>(a, b, 0) && same<std::uint16_t>(a, b, ipv6::kNextHeader);
}

// Ports and every other field of the transport header but TCP sequence number, PSH, lengths and checksum.
bool same_transport(const Segment &first, const Segment &next) noexcept
{
    const std::byte *const a = transport_header(first);
    const std::byte *const b = transport_header(next);
    if (!same<std::uint32_t>(a, b, 0)) // ports
        return false;
    if (!first.is_tcp)
        return true;
    return same<std::uint32_t>(a, b, tcp::kAcknowledgment) && same<std::uint8_t>(a, b, tcp::kDataOffset) &&
           ((tcp_flags(first) ^ tcp_flags(next)) & ~tcp::kPsh) == 0 && same<std::uint16_t>(a, b, tcp::kWindow) &&
           same<std::uint16_t>(a, b, tcp::kUrgentPointer) &&
           std::memcmp(a + tcp::kHeaderSize, b + tcp::kHeaderSize,
                       first.header_size - first.transport - tcp::kHeaderSize) == 0;
}

} // namespace

std::optional<Segment> Segment::parse(base::ConstOctets packet) noexcept
{
    const auto version = check_inner(packet);
    if (!version)
        return std::nullopt;
    const bool is_v4 = *version == base::IpVersion::kV4;
    if (is_v4 && (ipv4_header_size(packet) != ipv4::kHeaderSize ||
                  (base::load_be<std::uint16_t>(packet.data() + ipv4::kFragment) & ~ipv4::kDontFragment) != 0))
        return std::nullopt;
    const std::size_t transport = is_v4 ? ipv4::kHeaderSize : ipv6::kHeaderSize;
    const auto protocol = std::to_integer<std::uint8_t>(packet[is_v4 ? ipv4::kProtocol : ipv6::kNextHeader]);
    const std::byte *const header = packet.data() + transport;

    std::size_t header_size = 0;
    if (protocol == kProtocolTcp) {
        if (packet.size() < transport + tcp::kHeaderSize)
            return std::nullopt;
        const auto flags = std::to_integer<std::uint8_t>(header[tcp::kFlags]);
        header_size = transport + std::to_integer<std::size_t>(header[tcp::kDataOffset]) / 16 * 4;
        if (header_size < transport + tcp::kHeaderSize || (flags & tcp::kAck) == 0 ||
            (flags & ~(tcp::kAck | tcp::kPsh | tcp::kEce)) != 0)
            return std::nullopt;
    } else if (protocol == kProtocolUdp) {
        header_size = transport + udp::kHeaderSize;
        if (packet.size() < header_size || load_native<std::uint16_t>(header + udp::kChecksum) == 0 ||
            base::load_be<std::uint16_t>(header + udp::kLength) != packet.size() - transport)
            return std::nullopt;
    } else {
        return std::nullopt;
    }
    if (packet.size() <= header_size)
        return std::nullopt;
    return Segment{packet, static_cast<std::uint8_t>(transport), static_cast<std::uint8_t>(header_size), is_v4,
                   protocol == kProtocolTcp};
}

bool Join::start(const Segment &segment) noexcept
{
    if ((!segment.is_tcp && !udp_) || !checksums_valid(segment))
        return false;
    first_ = segment;
    count_ = 0;
    size_ = segment.header_size;
    take(segment);
    return true;
}

bool Join::append(const Segment &segment) noexcept
{
    const std::size_t payload_size = segment.payload().size();
    if (count_ == 0 || closed_ || payload_size > payloads_[0].size() || size_ + payload_size > kMaxSize ||
        !same_ip(first_, segment) || !same_transport(first_, segment))
        return false;
    if (segment.is_tcp && tcp_sequence(segment) != next_sequence_)
        return false;

    // Identifications count up by one, as they do when the joined packet is split again; where DF is set (so that they
    // mean nothing, RFC 6864) the second segment may also show that all are the same.
    bool fixed_identification = fixed_identification_;
    if (segment.is_v4) {
        const auto ahead = static_cast<std::uint16_t>(identification(segment) - identification(first_));
        const bool dont_fragment = base::load_be<std::uint16_t>(first_.packet.data() + ipv4::kFragment) != 0;
        if (count_ == 1)
            fixed_identification = dont_fragment && ahead == 0;
        if (ahead != (fixed_identification ? 0 : count_))
            return false;
    }
    if (!checksums_valid(segment))
        return false;

    fixed_identification_ = fixed_identification;
    take(segment);
    return true;
}

void Join::take(const Segment &segment) noexcept
{
    const base::ConstOctets payload = segment.payload();
    payloads_[count_++] = payload;
    size_ += payload.size();
    pushed_ = false;
    if (segment.is_tcp) {
        next_sequence_ = tcp_sequence(segment) + static_cast<std::uint32_t>(payload.size());
        pushed_ = (tcp_flags(segment) & tcp::kPsh) != 0;
    }
    closed_ = pushed_ || count_ == kMaxSegments || payload.size() < payloads_[0].size();
}

Join::Packet Join::finish() noexcept
{
    const std::size_t count = count_;
    count_ = 0;
    if (count == 1)
        return {OffloadHeader{}, first_.packet, {}};

    const std::size_t transport = first_.transport;
    const auto transport_size = static_cast<std::uint16_t>(size_ - transport);
    std::byte *const ip = header_.data();
    std::byte *const header = ip + transport;
    std::memcpy(ip, first_.packet.data(), first_.header_size);

    OffloadHeader offload;
    offload.flags = OffloadHeader::kNeedsCsum;
    offload.hdr_len = first_.header_size;
    offload.gso_size = static_cast<std::uint16_t>(payloads_[0].size());
    offload.csum_start = first_.transport;

    if (first_.is_v4) {
        const auto before = load_native<std::uint16_t>(ip + ipv4::kTotalLength);
        const auto after = base::network_order(static_cast<std::uint16_t>(size_));
        const auto checksum = load_native<std::uint16_t>(ip + ipv4::kChecksum);
        store_native(ip + ipv4::kTotalLength, after);
        store_native(ip + ipv4::kChecksum, update_checksum(checksum, before, after));
    } else {
        base::store_be(ip + ipv6::kPayloadLength, static_cast<std::uint16_t>(size_ - ipv6::kHeaderSize));
    }

    const std::uint16_t partial =
        fold(pseudo_header_sum(addresses(first_), protocol(first_), std::uint32_t{transport_size}));
    if (first_.is_tcp) {
        if (pushed_)
            header[tcp::kFlags] |= std::byte{tcp::kPsh};
        store_native(header + tcp::kChecksum, partial);
        offload.gso_type = first_.is_v4 ? OffloadHeader::kGsoTcpV4 : OffloadHeader::kGsoTcpV6;
        offload.csum_offset = tcp::kChecksum;
    } else {
        base::store_be(header + udp::kLength, transport_size);
        store_native(header + udp::kChecksum, partial);
        offload.gso_type = OffloadHeader::kGsoUdpL4;
        offload.csum_offset = udp::kChecksum;
    }
    return {offload, base::ConstOctets(header_).first(first_.header_size),
            std::span<const base::ConstOctets>(payloads_).first(count)};
}

} // namespace mpt::proto
