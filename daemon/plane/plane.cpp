// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/plane.hpp"

#include "daemon/plane/connection.hpp"
#include "daemon/plane/tunnel.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <net/if.h>
#include <numeric>
#include <set>
#include <utility>

namespace mpt::plane {

namespace {

// How long a change waits for the workers at most; they need a pass of their loop.
constexpr base::Duration kSettling = std::chrono::milliseconds(100);

base::Prefix whole(const base::Address &address)
{
    return {address, static_cast<std::uint8_t>(address.bits())};
}

// Which packets are whose.
class Claims {
public:
    // What a file says: two connections that say the same are an error, which ForwardingTable finds.
    void add(const base::Prefix &source, const base::Prefix &destination, std::uint32_t connection)
    {
        entries_.push_back({source, destination, connection});
    }
    // What follows from it, unless somebody has said something of just these.
    void imply(const base::Prefix &source, const base::Prefix &destination, std::uint32_t connection)
    {
        if (source.address.version() == destination.address.version())
            implied_.push_back({source, destination, connection});
    }
    base::Result<core::ForwardingTable> build()
    {
        std::set<std::pair<base::Prefix, base::Prefix>> claimed;
        for (const core::ForwardingEntry &entry : entries_)
            claimed.emplace(entry.source.network(), entry.destination.network());
        for (const core::ForwardingEntry &entry : implied_)
            if (claimed.emplace(entry.source.network(), entry.destination.network()).second)
                entries_.push_back(entry);
        return core::ForwardingTable::build(entries_);
    }

private:
    std::vector<core::ForwardingEntry> entries_;
    std::vector<core::ForwardingEntry> implied_;
};

void claim(Claims &claims, const core::ConnectionParameters &parameters, std::uint32_t connection)
{
    const base::Prefix local = whole(parameters.local);
    const base::Prefix remote = whole(parameters.remote);
    claims.add(local, remote, connection);
    // A host at one end speaks with the networks at the other, if only to say that a packet was too big for it.
    for (const core::NetworkParameters &network : parameters.networks) {
        claims.add(network.source, network.destination, connection);
        claims.imply(network.source, remote, connection);
        claims.imply(local, network.destination, connection);
    }
    // What `mpt address` has added is as good as the tunnel's own address.
    for (const base::Address &address : parameters.addresses) {
        claims.imply(whole(address), remote, connection);
        for (const core::NetworkParameters &network : parameters.networks)
            claims.imply(whole(address), network.destination, connection);
    }
}

} // namespace

Plane::Plane(Wakeup wakeup) noexcept : wakeup_(std::move(wakeup))
{
}

Plane::~Plane() = default;

base::Result<std::unique_ptr<Plane>> Plane::start(unsigned workers)
{
    auto wakeup = Wakeup::create();
    if (!wakeup)
        return base::Failure(wakeup.error());
    std::unique_ptr<Plane> plane(new Plane(std::move(*wakeup)));
    while (plane->workers_.size() < workers) {
        auto worker = Worker::start(plane->wakeup_);
        if (!worker)
            return base::Failure(worker.error());
        plane->workers_.push_back(std::move(*worker));
    }
    return plane;
}

base::Result<void> Plane::add_tunnel(const std::string &name)
{
    return add_tunnel(name, Tun::open(name));
}

base::Result<void> Plane::adopt_tunnel(const std::string &name, sys::FileDescriptor kept)
{
    return add_tunnel(name, Tun::adopt(std::move(kept), name));
}

base::Result<void> Plane::add_tunnel(const std::string &name, base::Result<Tun> tun)
{
    if (!tun)
        return base::Failure(tun.error());
    tunnels_[name] = {std::make_shared<Tunnel>(std::move(*tun)), next_worker_++ % workers_.size()};
    return {};
}

void Plane::remove_tunnel(const std::string &name)
{
    tunnels_.erase(name);
}

void Plane::set_connection(const core::ConnectionParameters &parameters)
{
    ConnectionRecord &record = connections_[parameters.name];
    const ConnectionEntry *previous = record.next ? record.next.get() : record.current.get();
    auto next = std::make_shared<ConnectionEntry>();
    next->parameters = parameters;
    for (const core::PathParameters &path : parameters.paths) {
        PathLink link;
        link.interface_ready = link_flags_.flag(path.interface);
        next->links.push_back(std::move(link));
    }
    next->tunnel = tunnels_.at(parameters.tunnel).tunnel;
    if (previous == nullptr || previous->tunnel != next->tunnel) { // another tunnel may be another worker's
        leave_slot(record.slot);
        give_back_slots();
        const KeptState::Place place = kept_ != nullptr ? kept_->take(parameters) : KeptState::Place{};
        record.slot = place.slot;
        next->connection = std::make_shared<Connection>(next_id_++, parameters, place);
    } else {
        next->connection = previous->connection;
        if (record.slot != nullptr && !core::is_same_peer(previous->parameters, parameters))
            KeptState::rename(*record.slot, parameters);
        for (std::size_t i = 0; i < std::min(previous->links.size(), next->links.size()); ++i) {
            const core::PathParameters &before = previous->parameters.paths[i];
            const core::PathParameters &after = parameters.paths[i];
            if (before.interface == after.interface && before.local == after.local && before.peer() == after.peer())
                next->links[i] = previous->links[i];
        }
    }
    if (previous != nullptr)
        for (std::size_t i = 0; i < std::min(previous->links.size(), next->links.size()); ++i) {
            if (!core::is_same_path(previous->parameters.paths[i], parameters.paths[i]))
                continue;
            next->links[i].by_hand = previous->links[i].by_hand;
            next->links[i].by_peer = previous->links[i].by_peer;
        }
    record.next = std::move(next);
}

void Plane::remove_connection(const std::string &name)
{
    const auto removed = connections_.find(name);
    if (removed == connections_.end())
        return;
    leave_slot(removed->second.slot);
    connections_.erase(removed);
}

void Plane::leave_slot(KeptSlot *slot)
{
    if (slot != nullptr)
        left_slots_.emplace_back(slot, committed_ + 1);
}

void Plane::give_back_slots()
{
    const auto is_gone = [this](std::uint64_t number) {
        return std::all_of(workers_.begin(), workers_.end(),
                           [&](const auto &worker) { return worker->has_adopted(number); });
    };
    for (; !left_slots_.empty() && is_gone(left_slots_.front().second); left_slots_.pop_front())
        KeptState::give_back(*left_slots_.front().first);
}

const ConnectionEntry *Plane::find(const std::string &connection) const
{
    const auto found = connections_.find(connection);
    if (found == connections_.end())
        return nullptr;
    return found->second.next ? found->second.next.get() : found->second.current.get();
}

ConnectionEntry &Plane::edit(const std::string &connection)
{
    ConnectionRecord &record = connections_.at(connection);
    if (!record.next)
        record.next = std::make_shared<ConnectionEntry>(*record.current);
    return *record.next;
}

base::Result<bool> Plane::open_path(const std::string &connection, std::size_t path)
{
    const ConnectionEntry *present = find(connection);
    if (present == nullptr || path >= present->links.size())
        return base::fail(base::ErrorCode::kNotFound, fmt::format("there is no path {} of {}", path, connection));
    const core::PathParameters &parameters = present->parameters.paths[path];
    // An interface that was removed and made again is another one.
    const auto &bound = present->links[path].listening;
    const bool stale = bound && bound->scope() != if_nametoindex(parameters.interface.c_str());
    if (present->links[path].connected && !stale)
        return false;
    std::shared_ptr<UdpSocket> connected;
    if (bound && !stale && (connected = connect(parameters)) == nullptr)
        return false; // the listening one serves
    ConnectionEntry &entry = edit(connection);
    PathLink &link = entry.links[path];
    if (stale) {
        link.listening.reset();
        link.connected.reset();
    }
    link.interface_up = true;
    link.address_present = true;
    if (!link.listening) {
        auto socket = listen(parameters.local, parameters.interface, tunnels_.at(entry.parameters.tunnel).worker);
        link.socket_works = socket.has_value();
        if (!socket)
            return base::Failure(socket.error());
        link.listening = std::move(*socket);
    }
    link.remote = sys::SocketAddress(parameters.peer(), link.listening->scope());
    link.connected = connected ? std::move(connected) : connect(parameters);
    return true;
}

bool Plane::close_path(const std::string &connection, std::size_t path, bool interface_up, bool address_present)
{
    const ConnectionEntry *present = find(connection);
    if (present == nullptr || path >= present->links.size())
        return false;
    const PathLink &before = present->links[path];
    if (!before.listening && before.interface_up == interface_up && before.address_present == address_present)
        return false;
    PathLink &link = edit(connection).links[path];
    link.listening.reset();
    link.connected.reset();
    link.interface_up = interface_up;
    link.address_present = address_present;
    link.socket_works = true;
    return true;
}

void Plane::set_path(const std::string &connection, std::size_t path, bool up)
{
    Order &order = edit(connection).links.at(path).by_hand;
    order = {order.count + 1, up};
}

std::optional<bool> Plane::set_before(const std::string &connection, std::size_t path) const
{
    const auto &before = find(connection)->connection->before().paths.at(path);
    return before ? before->by_hand : std::nullopt;
}

std::optional<core::LearnedPeer> Plane::learned_before(const std::string &connection, std::size_t path) const
{
    const auto &before = find(connection)->connection->before().paths.at(path);
    return before ? before->learned : std::nullopt;
}

void Plane::set_path_by_peer(const std::string &connection, std::size_t path, bool up)
{
    Order &order = edit(connection).links.at(path).by_peer;
    order = {order.count + 1, up};
}

void Plane::set_interface_ready(const std::string &interface, bool ready)
{
    if (link_flags_.set(interface, ready))
        for (const auto &worker : workers_)
            worker->look_at_links();
}

base::Result<void> Plane::commit()
{
    std::erase_if(listening_, [](const auto &listening) { return listening.second.socket.expired(); });
    std::vector<std::unique_ptr<ForwardingState>> states;
    for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
        auto state = build(worker);
        if (!state)
            return base::Failure(state.error());
        (*state)->number = committed_ + 1;
        states.push_back(std::move(*state));
    }
    ++committed_;
    for (auto &[name, record] : connections_)
        if (record.next)
            record.current = std::exchange(record.next, nullptr);
    for (std::size_t worker = 0; worker < workers_.size(); ++worker)
        workers_[worker]->post(std::move(states[worker]));
    for (const auto &[slot, number] : left_slots_)
        if (number == committed_)
            KeptState::retire(*slot);
    return {};
}

void Plane::settle()
{
    for (const auto &worker : workers_)
        worker->wait_for_adoption(committed_, kSettling);
}

bool Plane::ask_workers() noexcept
{
    const bool all =
        std::all_of(workers_.begin(), workers_.end(), [](const auto &worker) { return worker->has_answered(); });
    for (const auto &worker : workers_)
        worker->ask();
    return all;
}

base::Result<std::unique_ptr<ForwardingState>> Plane::build(std::size_t worker) const
{
    auto state = std::make_unique<ForwardingState>();
    std::map<std::string, std::size_t> tunnel_index;
    std::vector<Claims> claims; // a tunnel each
    for (const auto &[name, record] : tunnels_) {
        if (record.worker != worker)
            continue;
        tunnel_index[name] = state->tunnels.size();
        state->tunnels.push_back(TunnelEntry{record.tunnel, {}});
        claims.emplace_back();
    }
    for (const auto &[name, record] : connections_) {
        const std::shared_ptr<const ConnectionEntry> &entry = record.next ? record.next : record.current;
        const auto tunnel = tunnel_index.find(entry->parameters.tunnel);
        if (tunnel == tunnel_index.end())
            continue;
        const auto index = static_cast<std::uint32_t>(state->connections.size());
        const core::ConnectionParameters &parameters = entry->parameters;
        claim(claims[tunnel->second], parameters, index);
        state->connections.push_back(entry);
    }
    for (std::size_t i = 0; i < claims.size(); ++i) {
        auto table = claims[i].build();
        if (!table)
            return base::Failure(table.error());
        state->tunnels[i].table = std::move(*table);
    }
    add_sockets(*state);
    state->stun_servers = stun_servers_;
    return state;
}

void Plane::add_sockets(ForwardingState &state) const
{
    std::map<const UdpSocket *, std::size_t> index;
    std::set<std::pair<std::size_t, base::Address>> ambiguous; // addresses of several peers of a listening socket
    const auto index_of = [&](const std::shared_ptr<UdpSocket> &socket) {
        const auto [at, added] = index.try_emplace(socket.get(), state.sockets.size());
        if (added)
            state.sockets.push_back(SocketEntry{socket, std::nullopt, {}, state.sockets.size(), {}, {}, {}});
        return at->second;
    };
    for (std::uint32_t c = 0; c < state.connections.size(); ++c) {
        const ConnectionEntry &connection = *state.connections[c];
        for (std::uint32_t p = 0; p < connection.links.size(); ++p) {
            const PathLink &link = connection.links[p];
            const core::ConnectionParameters &parameters = connection.parameters;
            const base::Endpoint &remote = parameters.paths[p].peer();
            if (!link.listening)
                continue; // then there is no connected one, either
            const PathReference path{c, p};
            const std::size_t listening = index_of(link.listening);
            if (parameters.keepalive_key)
                state.sockets[listening].by_name.try_emplace(
                    {parameters.remote, parameters.local, static_cast<std::uint8_t>(p)}, path);
            if (remote.address.is_unspecified())
                continue; // nor is it anywhere
            state.sockets[listening].by_endpoint.try_emplace(remote, path);
            const auto [other, is_first] = state.sockets[listening].by_address.try_emplace(remote.address, path);
            // Peers behind one NAT. Who they are, keepalives with a MAC say, and whose port has changed.
            if (!is_first && other->second.connection != c && parameters.keepalive_key &&
                state.connections[other->second.connection]->parameters.keepalive_key)
                ambiguous.emplace(listening, remote.address);
            if (!link.connected)
                continue;
            SocketEntry &connected = state.sockets[index_of(link.connected)];
            connected.path = PathReference{c, p};
            connected.remote = remote;
            connected.listening = listening;
        }
    }
    for (const auto &[listening, address] : ambiguous)
        state.sockets[listening].by_address.erase(address);
}

base::Result<std::uint64_t>
Plane::take_events(const std::function<void(const std::string &connection, const PathEvent &event)> &callback)
{
    wakeup_.clear();
    std::map<std::uint64_t, const std::string *> names;
    for (const auto &[name, record] : connections_)
        if (record.current)
            names[record.current->connection->id()] = &name;
    std::uint64_t lost = 0;
    for (const auto &worker : workers_) {
        while (const auto event = worker->events().pop())
            if (const auto name = names.find(event->connection); name != names.end())
                callback(*name->second, *event);
        lost += worker->events().take_lost();
        if (const char *failure = worker->failure())
            return base::fail(base::ErrorCode::kSystem, failure);
    }
    return lost;
}

bool Plane::take_mtu_doubts() noexcept
{
    return std::accumulate(workers_.begin(), workers_.end(), false,
                           [](bool any, const auto &worker) { return worker->events().take_mtu_doubts() || any; });
}

std::optional<std::uint32_t> Plane::path_mtu(const std::string &connection, std::size_t path) const
{
    const ConnectionEntry *entry = find(connection);
    if (entry == nullptr || path >= entry->links.size())
        return std::nullopt;
    const core::PathParameters &parameters = entry->parameters.paths[path];
    if (parameters.peer().address.is_unspecified())
        return std::nullopt;
    const auto known = UdpSocket::path_mtu(parameters.local.address, parameters.interface, parameters.peer());
    const auto found = static_cast<std::uint32_t>(entry->connection->paths[path].found_mtu.get());
    return known && found != 0 ? std::optional(std::min(*known, found)) : known;
}

void Plane::set_fragmentation(const std::string &connection, std::size_t path, bool on)
{
    const ConnectionEntry *entry = find(connection);
    if (entry != nullptr && path < entry->links.size() && entry->links[path].connected)
        entry->links[path].connected->set_fragmentation(on);
}

void Plane::take_stun_answers(
    const std::function<void(const base::Endpoint &server, base::ConstOctets answer)> &callback) const
{
    for (const auto &worker : workers_)
        while (const auto event = worker->stun_answers().pop())
            callback(event->server, base::ConstOctets(event->octets).first(event->size));
}

const Tunnel *Plane::find_tunnel(const std::string &name) const
{
    const auto found = tunnels_.find(name);
    return found == tunnels_.end() ? nullptr : found->second.tunnel.get();
}

const ConnectionEntry *Plane::find_connection(const std::string &name) const
{
    const auto found = connections_.find(name);
    return found == connections_.end() ? nullptr : found->second.current.get();
}

void Plane::visit_tunnels(const std::function<void(const Tunnel &)> &callback) const
{
    for (const auto &[name, record] : tunnels_)
        callback(*record.tunnel);
}

void Plane::visit_connections(const std::function<void(const ConnectionEntry &)> &callback) const
{
    for (const auto &[name, record] : connections_)
        if (record.current)
            callback(*record.current);
}

void Plane::visit_sockets(const std::function<void(const std::string &name, const UdpSocket &)> &callback) const
{
    for (const auto &[key, record] : listening_)
        if (const auto socket = record.socket.lock())
            callback(fmt::format("{}%{}", std::get<0>(key).to_string(), std::get<1>(key)), *socket);
}

} // namespace mpt::plane
