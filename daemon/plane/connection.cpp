// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/connection.hpp"

#include "daemon/plane/forwarding_state.hpp"
#include "daemon/proto/keepalive.hpp"
#include "daemon/sys/entropy.hpp"

#include <algorithm>
#include <utility>

namespace mpt::plane {

namespace {

// The most octets of an inner packet that can wait for a missing one: the deployed release's packets are at most 1592.
constexpr std::size_t kMinHeldPacket = 1600;

std::vector<std::uint16_t> weights_of(const core::ConnectionParameters &parameters)
{
    std::vector<std::uint16_t> weights;
    for (const core::PathParameters &path : parameters.paths)
        weights.push_back(path.weight);
    return weights;
}

core::ReorderSettings reorder_settings_of(const core::ConnectionParameters &parameters)
{
    return {parameters.reorder_window, parameters.max_buffer_delay,
            std::max(parameters.largest_packet, kMinHeldPacket)};
}

core::LivenessSettings liveness_settings_of(const core::PathParameters &path)
{
    return {path.keepalive, path.dead, path.status};
}

// How often the control thread is told of the same thing, at most.
constexpr base::Duration kTellingInterval = std::chrono::seconds(1);

std::uint64_t random_challenge() noexcept
{
    std::uint64_t number = 0;
    while (number == 0)
        sys::fill_random(std::as_writable_bytes(std::span(&number, 1)));
    return number;
}

core::PathTraffic traffic_of(const Path &path)
{
    return {path.counters.packets_out.get(), path.counters.packets_in.get()};
}

void publish(const core::PathMeasure &measure, PublishedMeasure &to) noexcept
{
    if (measure.rtt)
        to.rtt.set(std::max<std::uint64_t>(base::microseconds(*measure.rtt), 1));
    to.rtt_variation.set(base::microseconds(measure.rtt_variation));
    to.expected.set(measure.expected);
    to.lost_in.set(measure.lost_in);
    to.lost_out.set(measure.lost_out);
}

} // namespace

Connection::Connection(std::uint64_t id, const core::ConnectionParameters &parameters, const KeptState::Place &kept)
    : scheduler(weights_of(parameters)), reorder(reorder_settings_of(parameters), parameters.paths.size()), id_(id),
      before_(kept.before), slot_(kept.slot != nullptr ? *kept.slot : own_slot_),
      next_sequence_(before_.next_to_send.value_or(0)), reorder_settings_(reorder_settings_of(parameters)),
      reorder_paths_(parameters.paths.size())
{
    for (Path &path : paths)
        path.connection = this;
}

void Connection::apply(const ConnectionEntry &next, base::Instant now, EventQueue &events,
                       std::vector<base::ConstOctets> &released)
{
    const core::ReorderSettings settings = reorder_settings_of(next.parameters);
    const std::size_t count = next.parameters.paths.size();
    if (settings != reorder_settings_ || count != reorder_paths_)
        reorder.reconfigure(now, settings, count, released);
    reorder_settings_ = settings;
    reorder_paths_ = count;
    scheduler.reconfigure(weights_of(next.parameters));
    const ConnectionEntry *before = std::exchange(entry, &next);
    if (before == nullptr && before_.next_expected && !reorder.expected())
        reorder.resume(now, *before_.next_expected);
    const bool is_same_session = !apply_session(before);
    for (std::uint32_t i = 0; i < paths.size(); ++i) {
        Path &path = paths[i];
        if (i >= count) {
            path.liveness.reset();
            path.socket = nullptr;
            path.keepalive_socket = nullptr;
            path.mtu_search.reset();
            path.found_mtu.set(0);
            path.usable = false;
            path.status = core::PathStatus::kDisabled;
            slot_.clear_path(i);
            continue;
        }
        const PathLink &link = next.links[i];
        const core::PathParameters &parameters = next.parameters.paths[i];
        const bool is_known = !parameters.peer().address.is_unspecified();
        path.socket = !is_known ? nullptr : link.connected ? link.connected.get() : link.listening.get();
        path.remote = link.connected ? nullptr : &link.remote;
        path.keepalive_socket = link.listening.get();
        path.keepalive_remote = is_known ? &link.remote : nullptr;
        const core::PathParameters *last =
            before != nullptr && i < before->parameters.paths.size() ? &before->parameters.paths[i] : nullptr;
        const bool is_same = last != nullptr && core::is_same_path(*last, parameters);
        if (last != nullptr && !is_same) {
            path.liveness.reset(); // nothing that is known is about this one
            path.orders_by_hand = path.orders_by_peer = 0;
        }
        if (!is_same || !is_same_session)
            path.identity = identity_of(next.parameters, i);
        if (!is_same_session)
            path.whereabouts = {};
        if (!is_same || !is_same_session || last->peer() != parameters.peer())
            path.whereabouts.set_address(parameters.peer(), parameters.learned || parameters.is_proved,
                                         random_challenge());
        if (!is_same || last->local != parameters.local)
            path.observed = {};
        const core::LivenessSettings liveness = liveness_settings_of(parameters);
        if (!path.liveness) {
            // What was known before this process counts for the path that it was, the first time.
            const KeptPath *known = before == nullptr && before_.paths[i] ? &*before_.paths[i] : nullptr;
            const base::Endpoint &was_at = known != nullptr && known->learned ? known->learned->at : parameters.remote;
            path.liveness.emplace(now, liveness,
                                  known != nullptr && parameters.peer() == was_at ? std::optional(known->liveness)
                                                                                  : std::nullopt);
            path.usable = true; // for update_usable() to take one that is not out of the reorder buffer, too
            path.status = path.liveness->status();
            path.reason = path.liveness->reason();
            path.since = now;
        } else {
            note(i, path.liveness->reconfigure(now, liveness), now, events);
        }
        if (path.orders_by_hand != link.by_hand.count && link.by_hand.count != 0)
            note(i, path.liveness->set_by_hand(now, link.by_hand.up), now, events);
        if (path.orders_by_peer != link.by_peer.count && link.by_peer.count != 0)
            note(i, path.liveness->set_by_peer(now, link.by_peer.up), now, events);
        path.orders_by_hand = link.by_hand.count;
        path.orders_by_peer = link.by_peer.count;
        note(i, path.liveness->set_interface(now, link.interface_up && *link.interface_ready), now, events);
        note(i, path.liveness->set_address(now, link.address_present), now, events);
        note(i, path.liveness->set_socket(now, link.socket_works), now, events);
        apply_mtu_search(i, before, events);
    }
    update_usable(now);
}

// With another peer, or number of paths, nothing that was agreed holds. Then true.
bool Connection::apply_session(const ConnectionEntry *before)
{
    const core::ConnectionParameters &next = entry->parameters;
    if (before != nullptr && core::is_same_peer(before->parameters, next) &&
        before->parameters.paths.size() == next.paths.size())
        return false;
    session_.reset();
    if (!next.keepalive_key)
        return true;
    sys::fill_random(session_random_);
    session_.emplace(*next.keepalive_key, next.local, next.remote, next.paths.size(), session_random_);
    sys::fill_random(session_random_);
    challenge_random_ = random_challenge();
    return true;
}

std::optional<std::uint32_t> Connection::take_keepalive(std::uint32_t path, const base::Endpoint &source,
                                                        base::ConstOctets datagram, const proto::GrePacket &packet,
                                                        base::Instant now, StrangerLimit &strangers, EventQueue &events)
{
    if (session_ && packet.payload[0] == proto::kMtuProbeCommand) {
        take_mtu_probe(path, datagram, now, events);
        return std::nullopt;
    }
    if (session_)
        return take_session_keepalive(path, source, datagram, now, strangers, events);
    PathCounters &counters = paths[path].counters;
    const auto keepalive = proto::decode_keepalive(packet);
    if (!keepalive) {
        counters.drops.add(keepalive.error());
    } else if (keepalive->sender != entry->parameters.remote || keepalive->receiver != entry->parameters.local) {
        counters.drops.add(Drop::kWrongTunnel);
    } else {
        counters.keepalives_in.add();
        on_keepalive(path, now, events);
    }
    return std::nullopt;
}

std::optional<std::uint32_t> Connection::take_session_keepalive(std::uint32_t path, const base::Endpoint &source,
                                                                base::ConstOctets datagram, base::Instant now,
                                                                StrangerLimit &strangers, EventQueue &events)
{
    Path &by = paths[path];
    const bool is_usual = source == by.whereabouts.address();
    if (!is_usual && !session_->claims_session(datagram) && !strangers.allow(now, source.address)) {
        by.counters.drops.add(Drop::kRateLimit);
        return std::nullopt;
    }
    const core::KeepaliveTaken taken =
        session_->take(now, path, source, is_usual, datagram, traffic_of(by), session_random_);
    if (taken.is_new_session)
        sys::fill_random(session_random_);
    const core::Whereabouts where = by.whereabouts.on_keepalive(now, source, taken, challenge_random_);
    if (where.is_used)
        challenge_random_ = random_challenge();
    if (taken.drop) {
        by.counters.drops.add(*taken.drop);
    } else {
        by.counters.keepalives_in.add();
        publish(session_->measure(path), by.measure);
    }
    if (where.lives)
        on_keepalive(path, now, events);
    tell_whereabouts(path, taken, where, now, events);
    if ((taken.send || where.challenge) && by.liveness->sends_keepalives())
        send_keepalive_to(path, source, now);
    return taken.highest_sequence;
}

void Connection::tell_whereabouts(std::uint32_t path, const core::KeepaliveTaken &taken, const core::Whereabouts &where,
                                  base::Instant now, EventQueue &events)
{
    Path &by = paths[path];
    const base::Endpoint &address = by.whereabouts.address();
    const bool follows = address == entry->parameters.paths[path].peer();
    if (where.has_moved || (where.lives && !follows && now >= by.next_moved)) {
        by.next_moved = now + kTellingInterval;
        events.push({id_, path, PathMoved{address}, now});
    }
    if (taken.observed.port != 0 && taken.observed != by.observed && now >= by.next_observed &&
        events.push({id_, path, PathObserved{taken.observed}, now})) {
        by.next_observed = now + kTellingInterval;
        by.observed = taken.observed;
    }
}

void Connection::on_keepalive(std::uint32_t path, base::Instant now, EventQueue &events)
{
    paths[path].last_keepalive = now;
    note(path, paths[path].liveness->on_keepalive(now), now, events);
    if (paths[path].mtu_search)
        paths[path].mtu_search->on_alive(now);
    update_usable(now);
}

void Connection::on_data(std::uint32_t path, base::Instant now, EventQueue &events)
{
    if (const auto change = paths[path].liveness->on_data(now)) {
        note(path, change, now, events);
        update_usable(now);
    }
}

void Connection::on_link_change(base::Instant now, EventQueue &events)
{
    for (std::uint32_t i = 0; i < entry->links.size(); ++i) {
        const PathLink &link = entry->links[i];
        note(i, paths[i].liveness->set_interface(now, link.interface_up && *link.interface_ready), now, events);
    }
    update_usable(now);
}

void Connection::on_path_deadline(base::Instant now, EventQueue &events)
{
    if (!path_deadline_ || *path_deadline_ > now)
        return;
    for (std::uint32_t i = 0; i < entry->parameters.paths.size(); ++i) {
        const core::LivenessActions actions = paths[i].liveness->on_deadline(now);
        note(i, actions.change, now, events);
        if (actions.send_keepalive)
            send_keepalive(i, now);
        probe_mtu(i, now, events);
    }
    update_usable(now);
}

std::optional<base::Instant> Connection::deadline() const noexcept
{
    const auto waiting = reorder.deadline();
    return waiting && path_deadline_ ? std::min(*waiting, *path_deadline_) : waiting ? waiting : path_deadline_;
}

void Connection::publish_reorder_counters() noexcept
{
    const core::ReorderCounters &now = reorder.counters();
    reorder_counters.delivered.set(now.delivered);
    reorder_counters.reordered.set(now.reordered);
    reorder_counters.late.set(now.late);
    reorder_counters.duplicate.set(now.duplicate);
    reorder_counters.far.set(now.far);
    reorder_counters.too_large.set(now.too_large);
    reorder_counters.lost.set(now.lost);
    reorder_counters.unnumbered.set(now.unnumbered);
    reorder_counters.restarts.set(now.restarts);
    reorder_counters.jumps.set(now.jumps);
    reorder_counters.held_now.set(now.held_now);
    reorder_counters.held_max.set(now.held_max);
    if (const auto expected = reorder.expected())
        slot_.set_next_expected(*expected);
}

void Connection::note(std::uint32_t path, std::optional<core::StatusChange> change, base::Instant now,
                      EventQueue &events)
{
    if (!change)
        return;
    Path &noted = paths[path];
    noted.status = change->to;
    noted.reason = change->reason;
    noted.since = now;
    noted.changes.add();
    events.push(PathEvent{id_, path, *change, now});
}

bool Connection::leads_to_peer(std::size_t path) const noexcept
{
    const core::PathParameters &parameters = entry->parameters.paths[path];
    return paths[path].socket != nullptr && (parameters.is_proved || parameters.keepalive == base::Duration::zero() ||
                                             !session_ || paths[path].whereabouts.is_proved(parameters.peer()));
}

void Connection::update_usable(base::Instant now)
{
    const std::size_t count = entry->parameters.paths.size();
    const auto works = [&](std::size_t i) { return leads_to_peer(i) && paths[i].liveness->usable(); };
    const auto held_back = [&](std::size_t i) { return leads_to_peer(i) && paths[i].liveness->held_back_until(); };
    bool any = false;
    for (std::size_t i = 0; i < count; ++i)
        any = any || works(i);
    path_deadline_.reset();
    for (std::uint32_t i = 0; i < count; ++i) {
        Path &path = paths[i];
        // A path that is held back since it flaps is still better than none.
        const bool usable = works(i) || (!any && held_back(i));
        path.held_back = held_back(i);
        scheduler.set_usable(i, usable);
        if (usable && !path.usable)
            reorder.expect_path(now, i);
        else if (!usable && path.usable)
            reorder.forget_path(i);
        path.usable = usable;
        const auto probe = path.mtu_search && leads_to_peer(i) ? path.mtu_search->deadline() : std::nullopt;
        for (const auto &deadline : {path.liveness->deadline(), probe})
            if (deadline && (!path_deadline_ || *deadline < *path_deadline_))
                path_deadline_ = deadline;
    }
    keep_paths();
}

void Connection::keep_paths() noexcept
{
    for (std::uint32_t i = 0; i < entry->parameters.paths.size(); ++i) {
        const core::PathParameters &parameters = entry->parameters.paths[i];
        const Order &by_hand = entry->links[i].by_hand;
        KeptPath state{paths[i].liveness->memory(), std::nullopt, parameters.learned};
        state.liveness.alive = state.liveness.alive && !parameters.peer().address.is_unspecified();
        if (by_hand.count != 0)
            state.by_hand = by_hand.up;
        slot_.set_path(i, paths[i].identity, parameters, state);
    }
}

void Connection::send_keepalive(std::uint32_t number, base::Instant now)
{
    const Path &path = paths[number];
    if (path.keepalive_socket != nullptr && path.keepalive_remote != nullptr)
        send_keepalive(number, *path.keepalive_remote, path.whereabouts.challenge_for(path.whereabouts.address()), now);
}

void Connection::send_keepalive_to(std::uint32_t number, const base::Endpoint &to, base::Instant now)
{
    const Path &path = paths[number];
    if (path.keepalive_socket != nullptr)
        send_keepalive(number, sys::SocketAddress(to, path.keepalive_socket->scope()),
                       path.whereabouts.challenge_for(to), now);
}

void Connection::send_keepalive(std::uint32_t number, const sys::SocketAddress &to, std::uint64_t challenge,
                                base::Instant now)
{
    Path &path = paths[number];
    std::array<std::byte, std::max(proto::kKeepaliveSize, proto::kSessionKeepaliveSize)> room;
    base::ConstOctets octets;
    if (session_) {
        // It would overtake what waits for room in the send buffer.
        const bool is_behind_data = next_sequence_ != 0 && path.batch == nullptr;
        const auto highest = is_behind_data ? std::optional(next_sequence_ - 1) : std::nullopt;
        const auto made = std::span(room).first<proto::kSessionKeepaliveSize>();
        session_->make(now, number, traffic_of(path), highest, challenge, made);
        octets = made;
    } else {
        const auto made = std::span(room).first<proto::kKeepaliveSize>();
        proto::encode_keepalive({entry->parameters.local, entry->parameters.remote}, made);
        octets = made;
    }
    if (path.keepalive_socket->send(octets, &to))
        path.counters.keepalives_out.add();
    else
        path.counters.drops.add(Drop::kSendError);
    if (path.socket != nullptr)
        path.socket->retry_segments();
}

} // namespace mpt::plane
