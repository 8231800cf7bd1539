// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/receiver.hpp"

#include "daemon/base/sequence.hpp"
#include "daemon/plane/connection.hpp"
#include "daemon/plane/tunnel.hpp"
#include "daemon/proto/ecn.hpp"
#include "daemon/proto/mss.hpp"
#include "daemon/sys/entropy.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <netinet/udp.h>

namespace mpt::plane {

namespace {

// With UDP_GRO one message may bring up to 64 datagrams, 65535 octets in all.
constexpr std::size_t kSlotSize = 64 << 10;
constexpr std::size_t kSlots = 64;
// The most messages of one socket in a pass, so that a busy path does not use up the room of the others.
constexpr std::size_t kMaxSocketSlots = 16;

// Answers of a STUN server that are looked at. It is asked once in a while for each local port.
constexpr std::uint32_t kStunAnswersPerSecond = 50;
constexpr std::uint32_t kStunAnswerBurst = 50;

// What the kernel says beside a message: the size of the datagrams in it, and their traffic class.
struct Control {
    alignas(cmsghdr) std::array<std::byte, 2 * CMSG_SPACE(sizeof(int))> octets;
};

struct Told {
    // Octets of each datagram but the last in a message that UDP_GRO put together; 0 if it is a single one.
    std::size_t segment = 0;
    std::uint8_t traffic_class = 0;
};

Told told_of(msghdr &message) noexcept
{
    Told told;
    for (cmsghdr *option = CMSG_FIRSTHDR(&message); option != nullptr; option = CMSG_NXTHDR(&message, option)) {
        if (option->cmsg_level == SOL_UDP && option->cmsg_type == UDP_GRO) {
            int size = 0;
            std::memcpy(&size, CMSG_DATA(option), sizeof size);
            told.segment = size > 0 ? static_cast<std::size_t>(size) : 0;
        } else if (option->cmsg_level == IPPROTO_IP && option->cmsg_type == IP_TOS) {
            std::memcpy(&told.traffic_class, CMSG_DATA(option), sizeof told.traffic_class);
        } else if (option->cmsg_level == IPPROTO_IPV6 && option->cmsg_type == IPV6_TCLASS) {
            int traffic_class = 0;
            std::memcpy(&traffic_class, CMSG_DATA(option), sizeof traffic_class);
            told.traffic_class = static_cast<std::uint8_t>(traffic_class);
        }
    }
    return told;
}

// Whose datagram it is. A connected socket has others than its peer's only from the moment when it was made.
std::optional<PathReference> find_path(const ForwardingState &state, const SocketEntry &socket,
                                       const base::Endpoint &source)
{
    if (socket.path && source == socket.remote)
        return socket.path;
    const SocketEntry &listening = state.sockets[socket.listening];
    if (const auto exact = listening.by_endpoint.find(source); exact != listening.by_endpoint.end())
        return exact->second;
    if (const auto address = listening.by_address.find(source.address); address != listening.by_address.end())
        return address->second;
    return std::nullopt;
}

// A keepalive of authentication type 3 says itself which path it is of, wherever it comes from.
std::optional<PathReference> find_named(const SocketEntry &listening, const proto::GrePacket &packet)
{
    const auto name = proto::name_of_session_keepalive(packet);
    if (!name)
        return std::nullopt;
    const auto found = listening.by_name.find(*name);
    return found == listening.by_name.end() ? std::nullopt : std::optional(found->second);
}

std::uint64_t random_secret() noexcept
{
    std::uint64_t secret = 0;
    sys::fill_random(std::as_writable_bytes(std::span(&secret, 1)));
    return secret;
}

} // namespace

Receiver::Receiver(EventQueue &events, StunQueue &stun)
    : events_(events), stun_(stun), strangers_(random_secret()),
      stun_limiter_(kStunAnswersPerSecond, kStunAnswerBurst, random_secret()),
      buffer_(new std::byte[kSlots * kSlotSize])
{
    arrivals_.reserve(kSlots * proto::Join::kMaxSegments);
}

void Receiver::run(const ForwardingState &state, std::span<const std::uint32_t> sockets, base::Instant now)
{
    touched_.clear();
    slots_used_ = 0;
    const std::size_t share =
        std::clamp<std::size_t>(kSlots / std::max<std::size_t>(sockets.size(), 1), 1, kMaxSocketSlots);
    for (const std::uint32_t index : sockets) {
        read(state, state.sockets[index], share, now);
    }
    deliver(state, now);
}

void Receiver::read(const ForwardingState &state, const SocketEntry &socket, std::size_t slots, base::Instant now)
{
    std::array<mmsghdr, kMaxSocketSlots> messages{};
    std::array<iovec, kMaxSocketSlots> parts;
    std::array<Control, kMaxSocketSlots> controls;
    std::array<sys::SocketAddress, kMaxSocketSlots> sources;
    for (std::size_t i = 0; i < slots; ++i) {
        msghdr &header = messages[i].msg_hdr;
        parts[i] = iovec{buffer_.get() + (slots_used_ + i) * kSlotSize, kSlotSize};
        header.msg_iov = &parts[i];
        header.msg_iovlen = 1;
        header.msg_control = &controls[i];
        header.msg_controllen = sizeof controls[i].octets;
        header.msg_name = &sources[i].any;
        header.msg_namelen = sizeof sources[i].v6;
    }
    const int count =
        recvmmsg(socket.socket->fd(), messages.data(), static_cast<unsigned>(slots), MSG_DONTWAIT, nullptr);
    // An error here is what an ICMP message said of an earlier datagram of ours: keepalives judge the path, not that.
    if (count < 0 && errno == EMSGSIZE)
        events_.doubt_mtus();
    for (int i = 0; i < count; ++i)
        take_message(state, socket, messages[static_cast<std::size_t>(i)], now);
    slots_used_ += static_cast<std::size_t>(std::max(count, 0));
}

void Receiver::take_message(const ForwardingState &state, const SocketEntry &socket, mmsghdr &message,
                            base::Instant now)
{
    const base::Octets octets(static_cast<std::byte *>(message.msg_hdr.msg_iov->iov_base), message.msg_len);
    const Told told = told_of(message.msg_hdr);
    const std::size_t step = told.segment == 0 ? octets.size() : told.segment;
    sys::SocketAddress address;
    std::memcpy(&address.v6, message.msg_hdr.msg_name, sizeof address.v6);
    const base::Endpoint endpoint = sys::endpoint_of(address);
    const Source source{endpoint, state.sockets[socket.listening], find_path(state, socket, endpoint),
                        told.traffic_class};
    std::size_t offset = 0;
    do { // an empty datagram is one, too
        take_datagram(state, source, octets.subspan(offset, std::min(step, octets.size() - offset)), now);
        offset += step;
    } while (offset < octets.size());
}

void Receiver::take_datagram(const ForwardingState &state, const Source &source, base::Octets datagram,
                             base::Instant now)
{
    const auto packet = proto::decode_gre(datagram);
    if (!packet && take_stun_answer(state, source, datagram, now))
        return;
    std::optional<PathReference> path_of = source.path;
    if (packet && packet->is_control)
        if (const auto named = find_named(source.listening, *packet))
            path_of = named;
    if (!path_of) {
        source.listening.socket->drops.add(Drop::kWrongSource);
        return;
    }
    const PathReference from = *path_of;
    const ConnectionEntry &entry = *state.connections[from.connection];
    Path &path = entry.connection->paths[from.path];
    if (!packet) {
        path.counters.drops.add(packet.error());
        return;
    }
    if (!packet->is_control) {
        path.counters.packets_in.add();
        path.counters.octets_in.add(packet->payload.size());
        const auto order = static_cast<std::uint32_t>(arrivals_.size());
        if (path.liveness->status() == core::PathStatus::kDead)
            entry.connection->on_data(from.path, now, events_);
        base::ConstOctets payload = packet->payload;
        if ((source.traffic_class & proto::kEcnMask) != proto::kEcnNone &&
            !proto::take_ecn(source.traffic_class, packet->version, datagram.last(payload.size()))) {
            path.counters.drops.add(Drop::kCongestion);
            payload = {}; // but its number has come
        }
        if (entry.parameters.clamp_mss && !payload.empty() && proto::may_announce_mss(packet->version, payload))
            proto::clamp_mss(packet->version, datagram.last(payload.size()), entry.parameters.mtu);
        arrivals_.push_back(Arrival{from.connection, from.path, packet->has_sequence ? packet->sequence : order,
                                    packet->has_sequence, payload});
        return;
    }
    if (const auto highest =
            entry.connection->take_keepalive(from.path, source.address, datagram, *packet, now, strangers_, events_))
        reached_.push_back(Reached{from.connection, from.path, *highest});
    touched_.push_back(from.connection);
}

bool Receiver::take_stun_answer(const ForwardingState &state, const Source &source, base::ConstOctets datagram,
                                base::Instant now)
{
    const auto &servers = state.stun_servers;
    if (!proto::is_stun_answer(datagram) || std::find(servers.begin(), servers.end(), source.address) == servers.end())
        return false;
    StunEvent event;
    event.server = source.address;
    event.size = datagram.size();
    std::copy(datagram.begin(), datagram.end(), event.octets.begin());
    if (!stun_limiter_.allow(now, event.server.address) || !stun_.push(event))
        source.listening.socket->drops.add(Drop::kStunFlood);
    return true;
}

void Receiver::deliver(const ForwardingState &state, base::Instant now)
{
    // Almost always all are of one connection already.
    const auto by_connection = [](const Arrival &a, const Arrival &b) { return a.connection < b.connection; };
    if (!std::is_sorted(arrivals_.begin(), arrivals_.end(), by_connection))
        std::sort(arrivals_.begin(), arrivals_.end(), by_connection);
    for (auto first = arrivals_.begin(); first != arrivals_.end();) {
        const auto last = std::upper_bound(first, arrivals_.end(), *first, by_connection);
        deliver_connection(state, std::span<Arrival>(first, last), now);
        touched_.push_back(first->connection);
        first = last;
    }
    arrivals_.clear();
    // After all that came before them.
    for (const Reached &reached : reached_) {
        const ConnectionEntry &entry = *state.connections[reached.connection];
        entry.connection->reorder.reached(now, reached.path, reached.highest, released_);
        write_released(*entry.connection, entry.tunnel->writer);
    }
    reached_.clear();
}

void Receiver::deliver_connection(const ForwardingState &state, std::span<Arrival> arrivals, base::Instant now)
{
    const ConnectionEntry &entry = *state.connections[arrivals.front().connection];
    Connection &connection = *entry.connection;
    TunWriter &writer = entry.tunnel->writer;
    // Unnumbered packets first, as they came: nothing is known of their order. Distances between numbers are taken from
    // one in their midst, which makes this an order even across the wrap; numbers 2^31 apart, which only an adversary
    // sends together, may come out in any order.
    std::uint32_t origin = 0;
    for (const Arrival &arrival : arrivals)
        if (arrival.numbered)
            origin = arrival.sequence;
    const auto in_order = [origin](const Arrival &a, const Arrival &b) {
        if (a.numbered != b.numbered)
            return b.numbered;
        const std::uint32_t from = a.numbered ? origin : 0;
        return base::sequence_distance(from, a.sequence) < base::sequence_distance(from, b.sequence);
    };
    if (!std::is_sorted(arrivals.begin(), arrivals.end(), in_order))
        std::sort(arrivals.begin(), arrivals.end(), in_order);
    for (const Arrival &arrival : arrivals) {
        if (!arrival.numbered) {
            connection.reorder.pass_through();
            write(connection, writer, arrival.packet);
            continue;
        }
        if (connection.reorder.needs_recycle())
            write_released(connection, writer);
        connection.reorder.offer(now, arrival.path, arrival.sequence, arrival.packet, released_);
    }
    write_released(connection, writer);
}

void Receiver::apply(const ConnectionEntry &entry, base::Instant now)
{
    entry.connection->apply(entry, now, events_, released_);
    write_released(*entry.connection, entry.tunnel->writer);
}

void Receiver::on_deadline(const ConnectionEntry &entry, base::Instant now)
{
    entry.connection->reorder.on_deadline(now, released_);
    write_released(*entry.connection, entry.tunnel->writer);
}

void Receiver::write(Connection &connection, TunWriter &writer, base::ConstOctets packet)
{
    // Only now, so that the reorder buffer does not wait for the number of a packet that is left out.
    if (packet.empty())
        return;
    const SourceFilter::Verdict verdict = connection.sources.check(packet);
    if (verdict == SourceFilter::Verdict::kPass)
        writer.write(packet);
    else if (verdict == SourceFilter::Verdict::kSpoofed)
        connection.drops.add(Drop::kSpoofed);
}

void Receiver::write_released(Connection &connection, TunWriter &writer)
{
    for (const base::ConstOctets packet : released_)
        write(connection, writer, packet);
    writer.flush();
    released_.clear();
    connection.reorder.recycle();
}

} // namespace mpt::plane
