// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/gre.hpp"

#include "daemon/proto/inner.hpp"

namespace mpt::proto {

namespace {

constexpr std::uint16_t kSequencePresent = 0x1000; // RFC 2890 section 2
constexpr std::uint16_t kVersionMask = 0x0007;
constexpr std::uint16_t kProtocolTypeIpv4 = 0x0800;
constexpr std::uint16_t kProtocolTypeIpv6 = 0x86dd;
constexpr std::size_t kMinPayload = 8;

constexpr std::uint32_t first_word(std::uint16_t flags, base::IpVersion version) noexcept
{
    return (std::uint32_t{flags} << 16U) | (version == base::IpVersion::kV4 ? kProtocolTypeIpv4 : kProtocolTypeIpv6);
}

} // namespace

void encode_gre(base::IpVersion version, std::span<std::byte, kGreSize> to) noexcept
{
    base::store_be(to.data(), first_word(0, version));
}

void encode_gre(base::IpVersion version, std::uint32_t sequence, std::span<std::byte, kGreSequencedSize> to) noexcept
{
    base::store_be(to.data(), first_word(kSequencePresent, version));
    base::store_be(to.data() + kGreSize, sequence);
}

tl::expected<GrePacket, DropReason> decode_gre(base::ConstOctets datagram) noexcept
{
    if (datagram.size() < kGreSize)
        return tl::unexpected(DropReason::kTruncated);
    const auto flags = base::load_be<std::uint16_t>(datagram.data());
    const auto protocol_type = base::load_be<std::uint16_t>(datagram.data() + 2);

    // The version comes first: another one gives the flags another meaning (RFC 2637 section 4.1).
    if ((flags & kVersionMask) != 0)
        return tl::unexpected(DropReason::kUnknownVersion);
    if ((flags & ~kSequencePresent) != 0)
        return tl::unexpected(DropReason::kUnknownFlags);
    if (protocol_type != kProtocolTypeIpv4 && protocol_type != kProtocolTypeIpv6)
        return tl::unexpected(DropReason::kUnknownProtocol);

    GrePacket packet;
    packet.version = protocol_type == kProtocolTypeIpv4 ? base::IpVersion::kV4 : base::IpVersion::kV6;
    packet.has_sequence = flags != 0;
    if (packet.has_sequence) {
        if (datagram.size() < kGreSequencedSize)
            return tl::unexpected(DropReason::kTruncated);
        packet.sequence = base::load_be<std::uint32_t>(datagram.data() + kGreSize);
    }
    packet.payload = datagram.subspan(packet.has_sequence ? kGreSequencedSize : kGreSize);
    if (packet.payload.size() < kMinPayload)
        return tl::unexpected(DropReason::kTooShort);
    packet.is_control = packet.payload[0] >= kFirstControlCommand;
    if (packet.is_control)
        return packet;

    if (version_nibble(packet.payload) != static_cast<unsigned>(packet.version))
        return tl::unexpected(DropReason::kInnerVersion);
    if (const auto checked = check_inner(packet.payload); !checked)
        return tl::unexpected(checked.error());
    return packet;
}

} // namespace mpt::proto
