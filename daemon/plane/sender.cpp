// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/sender.hpp"

#include "daemon/core/auto_mtu.hpp"
#include "daemon/plane/tunnel.hpp"
#include "daemon/proto/ecn.hpp"
#include "daemon/proto/gre.hpp"
#include "daemon/proto/icmp.hpp"
#include "daemon/proto/inner.hpp"
#include "daemon/proto/mss.hpp"

#include <algorithm>

namespace mpt::plane {

namespace {

constexpr std::size_t kMaxRead = proto::kOffloadHeaderSize + 65535; // of one super-packet
constexpr std::size_t kArenaSize = 5 * kMaxRead;
constexpr std::size_t kMaxReads = 256;
constexpr std::size_t kHeaderArenaSize = 128 << 10;
constexpr std::size_t kMaxHeader = proto::kGreSequencedSize + proto::kMaxInnerHeaders;
constexpr std::size_t kMaxBatches = 64;

// How long a tunnel may stand still for a path that takes nothing: longer than one packet takes on a path of
// 256 kbit/s, and too short for anybody on the other paths to hang up.
constexpr base::Duration kStallLimit = std::chrono::milliseconds(100);

// Between two ICMP errors of a connection (RFC 1812 section 4.3.2.8 asks for a limit).
constexpr base::Duration kRefusalInterval = std::chrono::seconds(1);

// The source of an ICMP error about a packet: the peer's tunnel address, for the kernel takes no IPv4 packet from the
// tunnel that claims to come from itself. About IPv6 on a connection between IPv4 addresses this host speaks, if the
// tunnel has an IPv6 address.
std::optional<base::Address> speaker(const core::ConnectionParameters &parameters, base::ConstOctets packet)
{
    const base::IpVersion version = proto::version_nibble(packet) == 4 ? base::IpVersion::kV4 : base::IpVersion::kV6;
    if (parameters.remote.version() == version)
        return parameters.remote;
    const auto own =
        std::find_if(parameters.addresses.begin(), parameters.addresses.end(), [&](const base::Address &address) {
            return version == base::IpVersion::kV6 && address.version() == version;
        });
    return own != parameters.addresses.end() ? std::optional(*own) : std::nullopt;
}

} // namespace

Sender::Sender() : arena_(new std::byte[kArenaSize]), headers_(new std::byte[kHeaderArenaSize])
{
    batches_.reserve(kMaxBatches);
    while (batches_.size() < kMaxBatches)
        batches_.push_back(std::make_unique_for_overwrite<SendBatch>());
}

void Sender::run(const ForwardingState &state, const TunnelEntry &tunnel, base::Instant now)
{
    std::size_t used = 0;
    nearly_full_ = false;
    for (std::size_t reads = 0; reads < kMaxReads && kArenaSize - used >= kMaxRead && !nearly_full_; ++reads) {
        const base::Octets room(arena_.get() + used, kMaxRead);
        const ssize_t size = tunnel.tunnel->tun.read(room);
        if (size <= 0)
            break; // nothing waits, or the interface is down
        used += static_cast<std::size_t>(size);
        forward(state, tunnel, room.first(static_cast<std::size_t>(size)), now);
    }
    flush(now);
}

void Sender::forward(const ForwardingState &state, const TunnelEntry &tunnel, base::Octets read, base::Instant now)
{
    DropCounters &drops = tunnel.tunnel->drops;
    if (read.size() <= proto::kOffloadHeaderSize) {
        drops.add(Drop::kMalformed);
        return;
    }
    const proto::OffloadHeader offload = proto::decode_offload(read.first<proto::kOffloadHeaderSize>());
    const base::Octets packet = read.subspan(proto::kOffloadHeaderSize);
    const auto version = proto::check_inner(packet);
    if (!version) {
        drops.add(version.error());
        return;
    }
    const proto::InnerAddresses addresses = proto::inner_addresses(*version, packet);
    const auto found = tunnel.table.find(addresses.source, addresses.destination);
    if (!found) {
        // Multicast and link-local packets are the interface's own noise (router solicitations and the like).
        if (!addresses.destination.is_multicast() && !addresses.destination.is_link_local())
            drops.add(Drop::kNoConnection);
        return;
    }
    Connection &connection = *state.connections[*found]->connection;
    std::optional<proto::SuperPacket> super;
    bool whole = false;
    if (offload.gso_type == proto::OffloadHeader::kGsoNone) {
        whole = proto::complete_checksum(offload, packet);
    } else if (auto parsed = proto::SuperPacket::parse(offload, packet)) {
        super = *parsed;
        whole = true;
    }
    if (!whole) {
        drops.add(Drop::kMalformed);
    } else if (!connection.scheduler.any_usable()) {
        connection.drops.add(Drop::kNoPath, super ? super->count() : 1);
        refuse(*tunnel.tunnel, connection, packet, now);
    } else {
        const std::uint8_t inner = proto::traffic_class(*version, packet);
        const core::ConnectionParameters &parameters = connection.entry->parameters;
        const std::uint8_t outer = parameters.copy_dscp ? inner : inner & proto::kEcnMask;
        if (super) { // which is no SYN
            send_super_packet(connection, *version, *super, outer, now);
        } else {
            if (parameters.clamp_mss && proto::may_announce_mss(*version, packet))
                proto::clamp_mss(*version, packet, parameters.mtu);
            send_packet(connection, *version, packet, outer, now);
        }
    }
}

void Sender::refuse(Tunnel &tunnel, Connection &connection, base::ConstOctets packet, base::Instant now)
{
    if (connection.refused && now - *connection.refused < kRefusalInterval)
        return;
    const auto from = speaker(connection.entry->parameters, packet);
    if (!from)
        return;
    std::array<std::byte, proto::kMaxIcmpError> octets;
    const base::ConstOctets error = proto::write_unreachable(packet, *from, octets);
    if (error.empty())
        return;
    connection.refused = now;
    tunnel.writer.write(error);
    tunnel.writer.flush();
}

void Sender::tell_too_big(const SendBatch &batch, base::Instant now)
{
    too_big_ = true;
    Connection &connection = *batch.path().connection;
    const std::optional<std::uint32_t> mtu = batch.path().socket->path_mtu();
    if (!mtu || (connection.told_too_big && now - *connection.told_too_big < kRefusalInterval))
        return;
    const base::ConstOctets packet = batch.refused();
    const auto from = speaker(connection.entry->parameters, packet);
    if (!from)
        return;
    std::array<std::byte, proto::kMaxIcmpError> octets;
    const auto version = batch.path().socket->is_v4() ? base::IpVersion::kV4 : base::IpVersion::kV6;
    const base::ConstOctets error = proto::write_too_big(packet, *from, core::inner_mtu(version, *mtu), octets);
    if (error.empty())
        return;
    connection.told_too_big = now;
    TunWriter &writer = connection.entry->tunnel->writer;
    writer.write(error);
    writer.flush();
}

void Sender::send_super_packet(Connection &connection, base::IpVersion version, const proto::SuperPacket &packet,
                               std::uint8_t traffic_class, base::Instant now)
{
    for (std::size_t i = 0; i < packet.count(); ++i) {
        SendBatch &batch = prepare(next_path(connection), now);
        const base::Octets header = start_header(connection, version);
        packet.write_headers(i, header.subspan(proto::kGreSequencedSize));
        queue(batch, proto::kGreSequencedSize + packet.header_size(), packet.payload(i), traffic_class);
    }
}

void Sender::send_packet(Connection &connection, base::IpVersion version, base::ConstOctets packet,
                         std::uint8_t traffic_class, base::Instant now)
{
    SendBatch &batch = prepare(next_path(connection), now);
    start_header(connection, version);
    queue(batch, proto::kGreSequencedSize, packet, traffic_class);
}

Path &Sender::next_path(Connection &connection)
{
    return connection.paths[*connection.scheduler.next()]; // there is one: forward() has asked
}

base::Octets Sender::start_header(Connection &connection, base::IpVersion version)
{
    const base::Octets room(headers_.get() + headers_used_, kHeaderArenaSize - headers_used_);
    proto::encode_gre(version, connection.take_number(), room.first<proto::kGreSequencedSize>());
    return room;
}

SendBatch &Sender::prepare(Path &path, base::Instant now)
{
    if (kHeaderArenaSize - headers_used_ < kMaxHeader ||
        (path.batch != nullptr ? path.batch->full() : batch_count_ == kMaxBatches))
        make_room(now);
    if (path.batch == nullptr) {
        path.batch = batches_[batch_count_++].get();
        path.batch->start(path);
    }
    return *path.batch;
}

void Sender::queue(SendBatch &batch, std::size_t header_size, base::ConstOctets payload, std::uint8_t traffic_class)
{
    batch.add(base::ConstOctets(headers_.get() + headers_used_, header_size), payload, traffic_class);
    headers_used_ += header_size;
    nearly_full_ = nearly_full_ || batch.nearly_full() || batch_count_ > kMaxBatches / 2;
}

void Sender::make_room(base::Instant now)
{
    for (std::size_t i = 0; i < batch_count_; ++i) {
        if (batches_[i]->flush(now) == SendBatch::Outcome::kBlocked)
            batches_[i]->drop_rest();
        finish(*batches_[i], now);
    }
    batch_count_ = 0;
    headers_used_ = 0;
}

void Sender::finish(SendBatch &batch, base::Instant now)
{
    batch.path().batch = nullptr;
    if (!batch.refused().empty())
        tell_too_big(batch, now);
}

void Sender::flush(base::Instant now)
{
    // What is blocked moves to the front; the others are done with.
    std::size_t blocked = 0;
    for (std::size_t i = 0; i < batch_count_; ++i) {
        if (batches_[i]->flush(now) == SendBatch::Outcome::kDone)
            finish(*batches_[i], now);
        else
            std::swap(batches_[blocked++], batches_[i]);
    }
    batch_count_ = blocked;
    if (blocked == 0)
        headers_used_ = 0;
    else
        stalled_since_ = now;
}

void Sender::retry(base::Instant now)
{
    const base::Instant since = stalled_since_;
    flush(now);
    if (!stalled())
        return;
    stalled_since_ = since;
    if (now - since < kStallLimit)
        return;
    for (std::size_t i = 0; i < batch_count_; ++i)
        batches_[i]->give_up(now);
    flush(now);
}

} // namespace mpt::plane
