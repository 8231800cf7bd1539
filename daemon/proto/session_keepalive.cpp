// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/session_keepalive.hpp"

#include "daemon/base/octets.hpp"
#include "daemon/proto/keepalive.hpp"

#include <algorithm>

namespace mpt::proto {

namespace {

constexpr std::uint8_t kFormVersion = 1;
constexpr std::uint8_t kHasSequence = 1; // flag

// Offsets behind the GRE header.
constexpr std::size_t kVersion = 1;
constexpr std::size_t kPath = 2;
constexpr std::size_t kFlags = 3;
constexpr std::size_t kSequence = 4;
constexpr std::size_t kFrom = 8;
constexpr std::size_t kTo = 24;
constexpr std::size_t kSenderRandom = 40;
constexpr std::size_t kReceiverRandom = 56;
constexpr std::size_t kOffer = 72;
constexpr std::size_t kCounter = 88; // the first of eight numbers of 8 octets
constexpr std::size_t kObservedAddress = 152;
constexpr std::size_t kObservedPort = 168;
constexpr std::size_t kUnused = 6; // octets behind it

RandomNumber random_at(base::ConstOctets octets, std::size_t at) noexcept
{
    RandomNumber number;
    std::copy_n(octets.begin() + static_cast<std::ptrdiff_t>(at), number.size(), number.begin());
    return number;
}

base::Address address_at(base::ConstOctets octets, std::size_t at) noexcept
{
    return base::Address::from_octets(octets.subspan(at).first<16>());
}

bool has_form(base::ConstOctets payload) noexcept
{
    return payload.size() == kSessionKeepaliveSize - kGreSize && payload[kVersion] == std::byte{kFormVersion};
}

} // namespace

void encode_session_keepalive(const SessionKeepalive &keepalive, SessionKey &key,
                              std::span<std::byte, kSessionKeepaliveSize> to) noexcept
{
    encode_gre(keepalive.version, to.first<kGreSize>());
    base::Writer writer(to.subspan<kGreSize>());
    writer.write(static_cast<std::uint8_t>(kSessionKeepaliveCommand)).write(kFormVersion).write(keepalive.path);
    writer.write(keepalive.highest_sequence ? kHasSequence : std::uint8_t{0});
    writer.write(keepalive.highest_sequence.value_or(0));
    writer.put(keepalive.from.mapped()).put(keepalive.to.mapped());
    writer.put(keepalive.sender).put(keepalive.receiver).put(keepalive.offer);
    for (const std::uint64_t number :
         {keepalive.counter, keepalive.sent_at, keepalive.echo, keepalive.echo_delay, keepalive.packets_sent,
          keepalive.packets_lost, keepalive.challenge, keepalive.response})
        writer.write(number);
    if (keepalive.observed.port != 0)
        writer.put(keepalive.observed.address.mapped());
    else
        writer.zeros(keepalive.observed.address.mapped().size());
    writer.write(keepalive.observed.port).zeros(kUnused);
    key.sign(to, kSessionKeepaliveMac);
}

std::optional<KeepaliveName> name_of_session_keepalive(const GrePacket &message) noexcept
{
    const base::ConstOctets payload = message.payload;
    if (payload[0] != kSessionKeepaliveCommand || message.has_sequence || !has_form(payload))
        return std::nullopt;
    return KeepaliveName{address_at(payload, kFrom), address_at(payload, kTo),
                         std::to_integer<std::uint8_t>(payload[kPath])};
}

tl::expected<SessionKeepalive, DropReason> decode_session_keepalive(base::ConstOctets datagram) noexcept
{
    const auto packet = decode_gre(datagram);
    if (!packet)
        return tl::unexpected(packet.error());
    const base::ConstOctets payload = packet->payload;
    if (payload[0] == kKeepaliveCommand)
        return tl::unexpected(DropReason::kWeakKeepalive);
    if (payload[0] != kSessionKeepaliveCommand)
        return tl::unexpected(DropReason::kUnknownCommand);
    if (packet->has_sequence)
        return tl::unexpected(DropReason::kUnknownFlags);
    const auto octet = [&](std::size_t at) { return std::to_integer<std::uint8_t>(payload[at]); };
    if (!has_form(payload))
        return tl::unexpected(DropReason::kBadKeepalive);

    SessionKeepalive keepalive;
    keepalive.version = packet->version;
    keepalive.path = octet(kPath);
    if ((octet(kFlags) & kHasSequence) != 0)
        keepalive.highest_sequence = base::load_be<std::uint32_t>(payload.data() + kSequence);
    keepalive.from = address_at(payload, kFrom);
    keepalive.to = address_at(payload, kTo);
    keepalive.sender = random_at(payload, kSenderRandom);
    keepalive.receiver = random_at(payload, kReceiverRandom);
    keepalive.offer = random_at(payload, kOffer);
    std::size_t at = kCounter;
    for (std::uint64_t *number :
         {&keepalive.counter, &keepalive.sent_at, &keepalive.echo, &keepalive.echo_delay, &keepalive.packets_sent,
          &keepalive.packets_lost, &keepalive.challenge, &keepalive.response}) {
        *number = base::load_be<std::uint64_t>(payload.data() + at);
        at += sizeof *number;
    }
    if (const auto port = base::load_be<std::uint16_t>(payload.data() + kObservedPort); port != 0)
        keepalive.observed = {address_at(payload, kObservedAddress), port};
    return keepalive;
}

} // namespace mpt::proto
