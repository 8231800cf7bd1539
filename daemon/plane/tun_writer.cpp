// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/tun_writer.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

namespace mpt::plane {

TunWriter::TunWriter(const Tun &tun, DropCounters &drops) noexcept
    : tun_(tun), drops_(drops), join_(tun.takes_udp_super_packets())
{
}

void TunWriter::write(base::ConstOctets packet) noexcept
{
    const auto segment = joins_ ? proto::Segment::parse(packet) : std::nullopt;
    if (segment && join_.append(*segment))
        return;
    flush();
    if (!segment || !join_.start(*segment))
        write_packet({}, packet, {}, 1);
}

void TunWriter::flush() noexcept
{
    const std::size_t packets = join_.count();
    if (packets == 0)
        return;
    const proto::Join::Packet joined = join_.finish();
    write_packet(joined.offload, joined.header, joined.payloads, packets);
}

void TunWriter::write_packet(const proto::OffloadHeader &offload, base::ConstOctets header,
                             std::span<const base::ConstOctets> payloads, std::size_t packets) noexcept
{
    const auto part = [](base::ConstOctets octets) {
        return iovec{const_cast<std::byte *>(octets.data()), octets.size()};
    };
    std::array<std::byte, proto::kOffloadHeaderSize> prefix;
    proto::encode_offload(offload, prefix);
    std::array<iovec, 2 + proto::Join::kMaxSegments> parts;
    parts[0] = part(prefix);
    parts[1] = part(header);
    std::transform(payloads.begin(), payloads.end(), parts.begin() + 2, part);
    const int error = tun_.write(std::span<const iovec>(parts.data(), 2 + payloads.size()));
    if (error == 0)
        return;
    drops_.add(Drop::kTunWrite, packets);
    if (error == EINVAL && packets > 1)
        joins_ = false;
}

} // namespace mpt::plane
