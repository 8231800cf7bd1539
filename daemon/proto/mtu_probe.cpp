// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/mtu_probe.hpp"

#include "daemon/base/octets.hpp"

#include <algorithm>

namespace mpt::proto {

namespace {

constexpr std::uint8_t kProbeFormVersion = 1;

// What it is.
constexpr std::uint8_t kIsProbe = 0;
constexpr std::uint8_t kIsAnswer = 1;

} // namespace

void encode_mtu_probe(const MtuProbe &probe, SessionKey &key, base::Octets to) noexcept
{
    encode_gre(probe.version, to.first<kGreSize>());
    base::Writer writer(to.subspan(kGreSize));
    writer.write(static_cast<std::uint8_t>(kMtuProbeCommand)).write(kProbeFormVersion).write(probe.path);
    writer.write(probe.received ? kIsAnswer : kIsProbe).write(probe.received.value_or(0)).zeros(2);
    writer.put(probe.sender).put(probe.receiver).write(probe.number);
    writer.zeros(to.size() - kMtuProbeMac);
    key.sign(to, kMtuProbeMac);
}

tl::expected<MtuProbe, DropReason> decode_mtu_probe(base::ConstOctets datagram) noexcept
{
    const auto packet = decode_gre(datagram);
    if (!packet)
        return tl::unexpected(packet.error());
    if (packet->payload[0] != kMtuProbeCommand)
        return tl::unexpected(DropReason::kUnknownCommand);
    if (packet->has_sequence)
        return tl::unexpected(DropReason::kUnknownFlags);
    if (datagram.size() < kMtuProbeSize)
        return tl::unexpected(DropReason::kBadKeepalive);

    base::Reader reader(packet->payload.subspan(1));
    const auto form = *reader.read<std::uint8_t>();
    MtuProbe probe;
    probe.version = packet->version;
    probe.path = *reader.read<std::uint8_t>();
    const auto kind = *reader.read<std::uint8_t>();
    const auto received = *reader.read<std::uint16_t>();
    if (form != kProbeFormVersion || (kind != kIsProbe && kind != kIsAnswer))
        return tl::unexpected(DropReason::kBadKeepalive);
    if (kind == kIsAnswer)
        probe.received = received;
    reader.take(2);
    for (RandomNumber *random : {&probe.sender, &probe.receiver})
        std::ranges::copy(*reader.take(random->size()), random->begin());
    probe.number = *reader.read<std::uint64_t>();
    return probe;
}

} // namespace mpt::proto
