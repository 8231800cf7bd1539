// SPDX-License-Identifier: GPL-3.0-or-later
// Probes of the paths' MTUs, on connections of authentication type 3.
#include "daemon/plane/connection.hpp"
#include "daemon/plane/forwarding_state.hpp"
#include "daemon/sys/entropy.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace mpt::plane {

namespace {

// RFC 8899 section 5.1.2: BASE_PLPMTU. A tunnel that must not get so small has no use for less than it needs.
constexpr std::uint32_t kBasePathMtu = 1200;

// An answer to a probe by a path comes no sooner than this after the one before it.
constexpr base::Duration kAnswerInterval = std::chrono::milliseconds(100);

// Octets of IP and UDP header in front of a datagram.
std::uint32_t headers_of(const UdpSocket &socket) noexcept
{
    return (socket.is_v4() ? 20 : 40) + 8;
}

} // namespace

void Connection::apply_mtu_search(std::uint32_t number, const ConnectionEntry *before, EventQueue &events)
{
    Path &path = paths[number];
    const PathLink &link = entry->links[number];
    const std::uint32_t least = entry->parameters.probes_from;
    if (!session_ || least == 0 || !link.connected || path.socket == nullptr) {
        path.mtu_search.reset();
    } else if (!path.mtu_search || before == nullptr || before->parameters.probes_from != least ||
               number >= before->links.size() || before->links[number].connected != link.connected) {
        const auto version = link.connected->is_v4() ? base::IpVersion::kV4 : base::IpVersion::kV6;
        path.mtu_search.emplace(std::max(kBasePathMtu, least + core::tunnel_overhead(version)));
    }
    publish_mtu(path, events);
}

void Connection::publish_mtu(Path &path, EventQueue &events) noexcept
{
    const std::uint64_t found = path.mtu_search ? path.mtu_search->found().value_or(0) : 0;
    if (found == path.found_mtu.get())
        return;
    path.found_mtu.set(found);
    events.doubt_mtus();
}

void Connection::probe_mtu(std::uint32_t number, base::Instant now, EventQueue &events)
{
    Path &path = paths[number];
    if (!path.mtu_search || !path.mtu_search->deadline() || *path.mtu_search->deadline() > now ||
        !leads_to_peer(number)) // else nobody is sent more than he sends
        return;
    const base::Duration rtt = session_->measure(number).rtt.value_or(base::Duration::zero());
    const core::PathParameters &parameters = entry->parameters.paths[number];
    auto ceiling = path.socket->path_mtu();
    if (!ceiling) // the kernel remembers no route for a socket by which nothing has left since one changed
        ceiling = UdpSocket::path_mtu(parameters.local.address, parameters.interface, parameters.peer());
    const auto size = path.mtu_search->on_deadline(now, ceiling.value_or(0), rtt);
    publish_mtu(path, events);
    if (!size)
        return;
    if (*size != path.probed_mtu) // an answer to any probe of the same size is as good
        sys::fill_random(std::as_writable_bytes(std::span(&path.probe, 1)));
    path.probed_mtu = *size;
    std::vector<std::byte> octets(*size - headers_of(*path.socket));
    if (!session_->make_probe(number, path.probe, std::nullopt, octets) || !path.socket->send(octets, nullptr))
        path.mtu_search->on_refused();
}

void Connection::take_mtu_probe(std::uint32_t number, base::ConstOctets datagram, base::Instant now, EventQueue &events)
{
    Path &path = paths[number];
    const auto probe = session_->take_probe(number, datagram);
    if (!probe) {
        path.counters.drops.add(probe.error());
    } else if (!probe->received) {
        if (now < path.next_probe_answer || !path.liveness->sends_keepalives() || path.keepalive_socket == nullptr ||
            path.keepalive_remote == nullptr)
            return;
        path.next_probe_answer = now + kAnswerInterval;
        std::array<std::byte, proto::kMtuProbeSize> octets;
        if (session_->make_probe(number, probe->number, static_cast<std::uint16_t>(datagram.size()), octets))
            path.keepalive_socket->send(octets, path.keepalive_remote);
    } else if (path.mtu_search && probe->number == path.probe &&
               *probe->received == path.probed_mtu - headers_of(*path.socket)) {
        path.mtu_search->on_answer(now, path.probed_mtu);
        publish_mtu(path, events);
        update_usable(now);
    }
}

} // namespace mpt::plane
