// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/split.hpp"

#include "daemon/proto/headers.hpp"
#include "daemon/proto/inner.hpp"
#include "daemon/proto/native.hpp"

#include <array>
#include <cstring>
#include <optional>

namespace mpt::proto {

namespace {

// What comes after the IPv6 header and its extension headers if these end exactly at `end`; nothing if they do not, or
// if there is one that cannot be repeated in every segment unchanged.
std::optional<std::uint8_t> ipv6_protocol(base::ConstOctets packet, std::size_t end) noexcept
{
    std::uint8_t next = octet(packet, ipv6::kNextHeader);
    std::size_t at = ipv6::kHeaderSize;
    while (at < end && ipv6::is_skippable(next)) {
        if (at + 2 > packet.size())
            return std::nullopt;
        next = octet(packet, at);
        at += (octet(packet, at + 1) + std::size_t{1}) * 8;
    }
    if (at != end)
        return std::nullopt;
    return next;
}

// The protocol of the transport header, which is at `transport`.
tl::expected<std::uint8_t, SplitError> check_ip(base::ConstOctets packet, std::size_t transport) noexcept
{
    const auto version = check_inner(packet);
    if (!version)
        return tl::unexpected(version.error() == DropReason::kInnerLength ? SplitError::kIpLength
                                                                          : SplitError::kIpHeader);
    if (*version == base::IpVersion::kV6) {
        if (transport < ipv6::kHeaderSize)
            return tl::unexpected(SplitError::kChecksumPlace);
        const auto protocol = ipv6_protocol(packet, transport);
        if (!protocol)
            return tl::unexpected(SplitError::kIpHeader);
        return *protocol;
    }
    const auto fragment = base::load_be<std::uint16_t>(packet.data() + ipv4::kFragment);
    if ((fragment & ~ipv4::kDontFragment) != 0)
        return tl::unexpected(SplitError::kIpHeader);
    if (transport != ipv4_header_size(packet))
        return tl::unexpected(SplitError::kChecksumPlace);
    return octet(packet, ipv4::kProtocol);
}

// The protocol that a gso_type is for, if it is one for this IP version.
std::optional<std::uint8_t> gso_protocol(std::uint8_t gso_type, unsigned ip_version) noexcept
{
    switch (gso_type) {
    case OffloadHeader::kGsoUdpL4:
        return kProtocolUdp;
    case OffloadHeader::kGsoTcpV4:
    case OffloadHeader::kGsoTcpV4 | OffloadHeader::kGsoEcn:
        return ip_version == 4 ? std::optional(kProtocolTcp) : std::nullopt;
    case OffloadHeader::kGsoTcpV6:
    case OffloadHeader::kGsoTcpV6 | OffloadHeader::kGsoEcn:
        return ip_version == 6 ? std::optional(kProtocolTcp) : std::nullopt;
    default:
        return std::nullopt;
    }
}

} // namespace

std::string_view to_string(SplitError error) noexcept
{
    switch (error) {
    case SplitError::kGsoType:
        return "unknown or wrong GSO type";
    case SplitError::kGsoSize:
        return "GSO size is zero";
    case SplitError::kChecksumPlace:
        return "checksum not where TCP or UDP have it";
    case SplitError::kIpHeader:
        return "bad IP header";
    case SplitError::kIpLength:
        return "wrong IP length";
    case SplitError::kTransport:
        return "bad TCP or UDP header";
    case SplitError::kHeadersTooLong:
        return "headers too long";
    }
    return "unknown";
}

tl::expected<SuperPacket, SplitError> SuperPacket::parse(const OffloadHeader &offload,
                                                         base::ConstOctets packet) noexcept
{
    if (packet.empty())
        return tl::unexpected(SplitError::kIpHeader);
    const auto wanted = gso_protocol(offload.gso_type, version_nibble(packet));
    if (!wanted)
        return tl::unexpected(SplitError::kGsoType);
    if (offload.gso_size == 0)
        return tl::unexpected(SplitError::kGsoSize);

    const bool is_tcp = *wanted == kProtocolTcp;
    const std::size_t transport = offload.csum_start;
    const std::size_t checksum_offset = is_tcp ? tcp::kChecksum : udp::kChecksum;
    if ((offload.flags & OffloadHeader::kNeedsCsum) == 0 || offload.csum_offset != checksum_offset)
        return tl::unexpected(SplitError::kChecksumPlace);
    const auto protocol = check_ip(packet, transport);
    if (!protocol)
        return tl::unexpected(protocol.error());
    if (*protocol != *wanted)
        return tl::unexpected(SplitError::kGsoType);

    std::size_t transport_header_size = udp::kHeaderSize;
    if (is_tcp) {
        if (packet.size() < transport + tcp::kHeaderSize)
            return tl::unexpected(SplitError::kTransport);
        transport_header_size = std::size_t{octet(packet, transport + tcp::kDataOffset)} / 16 * 4;
        if (transport_header_size < tcp::kHeaderSize)
            return tl::unexpected(SplitError::kTransport);
    }
    const std::size_t header_size = transport + transport_header_size;
    if (header_size > packet.size())
        return tl::unexpected(SplitError::kTransport);
    if (header_size > kMaxInnerHeaders)
        return tl::unexpected(SplitError::kHeadersTooLong);

    SuperPacket super;
    super.packet_ = packet;
    super.header_size_ = header_size;
    super.transport_ = transport;
    super.segment_size_ = offload.gso_size;
    const std::size_t payload_size = packet.size() - header_size;
    super.count_ = payload_size == 0 ? 1 : (payload_size + super.segment_size_ - 1) / super.segment_size_;
    super.is_v4_ = version_nibble(packet) == 4;
    super.is_tcp_ = is_tcp;

    std::array<std::byte, kMaxInnerHeaders> constant; // NOLINT(cppcoreguidelines-pro-type-member-init)
    std::memcpy(constant.data(), packet.data(), header_size);
    if (super.is_v4_) {
        super.identification_ = base::load_be<std::uint16_t>(packet.data() + ipv4::kIdentification);
        store_native(constant.data() + ipv4::kTotalLength, std::uint16_t{0});
        store_native(constant.data() + ipv4::kIdentification, std::uint16_t{0});
        store_native(constant.data() + ipv4::kChecksum, std::uint16_t{0});
        super.ip_sum_ = sum_octets(base::ConstOctets(constant).first(transport));
    }
    std::byte *const header = constant.data() + transport;
    if (is_tcp) {
        super.sequence_ = base::load_be<std::uint32_t>(header + tcp::kSequence);
        store_native(header + tcp::kSequence, std::uint32_t{0});
        header[tcp::kFlags] = std::byte{0};
    } else {
        store_native(header + udp::kLength, std::uint16_t{0});
    }
    // The checksum field, which stays in the sum, holds the pseudo-header's with the length of the whole: that length
    // is taken out here. So even a routing header, with which the pseudo-header has another destination than the IP
    // header (RFC 8200 section 8.1), needs no care.
    const auto length = static_cast<std::uint16_t>(packet.size() - transport);
    super.transport_sum_ = sum_octets(base::ConstOctets(constant).subspan(transport, transport_header_size)) +
                           static_cast<std::uint16_t>(~base::network_order(length));
    return super;
}

void SuperPacket::write_headers(std::size_t index, base::Octets to) const noexcept
{
    const base::ConstOctets data = payload(index);
    const std::size_t size = header_size_ + data.size();
    const bool is_last = index + 1 == count_;
    std::byte *const ip = to.first(header_size_).data();
    std::memcpy(ip, packet_.data(), header_size_);

    if (is_v4_) {
        // As a sender's stack numbers them (RFC 6864 asks for nothing where DF is set).
        const auto length = base::network_order(static_cast<std::uint16_t>(size));
        const auto identification = base::network_order(static_cast<std::uint16_t>(identification_ + index));
        store_native(ip + ipv4::kTotalLength, length);
        store_native(ip + ipv4::kIdentification, identification);
        store_native(ip + ipv4::kChecksum, finish_checksum(ip_sum_ + length + identification));
    } else {
        base::store_be(ip + ipv6::kPayloadLength, static_cast<std::uint16_t>(size - ipv6::kHeaderSize));
    }

    std::byte *const header = ip + transport_;
    const auto length = base::network_order(static_cast<std::uint16_t>(size - transport_));
    PartialSum sum = transport_sum_ + length + sum_octets(data);
    if (is_tcp_) {
        // FIN and PSH are said of the end of the data; CWR is an answer that is given once (RFC 3168 section 6.1.2).
        auto flags = std::to_integer<std::uint8_t>(header[tcp::kFlags]);
        if (!is_last)
            flags &= static_cast<std::uint8_t>(~(tcp::kFin | tcp::kPsh));
        if (index != 0)
            flags &= static_cast<std::uint8_t>(~tcp::kCwr);
        const auto sequence = base::network_order(static_cast<std::uint32_t>(sequence_ + index * segment_size_));
        header[tcp::kFlags] = std::byte{flags};
        store_native(header + tcp::kSequence, sequence);
        sum += PartialSum{sequence} + base::network_order(std::uint16_t{flags});
        store_native(header + tcp::kChecksum, finish_checksum(sum));
    } else {
        store_native(header + udp::kLength, length);
        store_native(header + udp::kChecksum, finish_udp_checksum(sum + length));
    }
}

bool complete_checksum(const OffloadHeader &offload, base::Octets packet) noexcept
{
    if ((offload.flags & OffloadHeader::kNeedsCsum) == 0)
        return true;
    const std::size_t start = offload.csum_start;
    const std::size_t field = start + offload.csum_offset;
    if (field + 2 > packet.size())
        return false;
    // Zero is stored as 0xffff also for other protocols than UDP: as the same number in one's complement it is as
    // right, and the kernel does so.
    store_native(packet.data() + field, finish_udp_checksum(sum_octets(packet.subspan(start))));
    return true;
}

} // namespace mpt::proto
