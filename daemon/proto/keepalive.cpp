// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/keepalive.hpp"

#include "daemon/base/octets.hpp"

#include <cstdint>

namespace mpt::proto {

namespace {

// Offsets behind the GRE header.
constexpr std::size_t kAddressVersion = 5;
constexpr std::size_t kSenderAddress = 8;
constexpr std::size_t kReceiverAddress = 24;

} // namespace

void encode_keepalive(const Keepalive &keepalive, std::span<std::byte, kKeepaliveSize> to) noexcept
{
    const base::IpVersion version = keepalive.sender.version();
    encode_gre(version, to.first<kGreSize>());
    base::Writer writer(to.subspan<kGreSize>());
    writer.write(static_cast<std::uint8_t>(kKeepaliveCommand)).zeros(4);
    writer.write(static_cast<std::uint8_t>(version)).zeros(2);
    writer.put(keepalive.sender.mapped()).put(keepalive.receiver.mapped());
}

tl::expected<Keepalive, DropReason> decode_keepalive(const GrePacket &message) noexcept
{
    const base::ConstOctets payload = message.payload;
    if (payload.empty() || payload[0] != kKeepaliveCommand)
        return tl::unexpected(DropReason::kUnknownCommand);
    if (message.has_sequence)
        return tl::unexpected(DropReason::kUnknownFlags);
    if (payload.size() != kKeepaliveSize - kGreSize)
        return tl::unexpected(DropReason::kBadKeepalive);

    const Keepalive keepalive{base::Address::from_octets(payload.subspan<kSenderAddress, 16>()),
                              base::Address::from_octets(payload.subspan<kReceiverAddress, 16>())};
    if (std::to_integer<std::uint8_t>(payload[kAddressVersion]) != static_cast<std::uint8_t>(message.version) ||
        keepalive.sender.version() != message.version || keepalive.receiver.version() != message.version)
        return tl::unexpected(DropReason::kBadKeepalive);
    return keepalive;
}

} // namespace mpt::proto
