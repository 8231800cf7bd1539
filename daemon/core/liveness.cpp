// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/liveness.hpp"

#include <algorithm>

namespace mpt::core {

namespace {

using namespace std::chrono_literals;

constexpr base::Duration kFlapPeriod = 60s; // so many flaps within it hold a path back; quiet for it forgets them
constexpr unsigned kFlapsForHoldBack = 3;
constexpr base::Duration kFirstHoldBack = 1s;
constexpr base::Duration kLongestHoldBack = 60s;

// Keepalives to an address from which nothing has ever come leave no more often than so: it may be anybody's, since a
// peer that creates a connection names it.
constexpr base::Duration kUnansweredInterval = 1s;

} // namespace

Liveness::Liveness(base::Instant now, LivenessSettings settings, std::optional<LivenessMemory> before) noexcept
    : settings_(settings), set_down_(settings.initial == PathStatus::kSetDown),
      alive_(settings.initial != PathStatus::kDead), lived_(alive_), heard_(now), next_keepalive_(now),
      quiet_since_(now), since_(now)
{
    // A path that has no keepalives any more is not dead for lack of them.
    if (before && (before->alive || before->told_dead || has_keepalives())) {
        alive_ = before->alive;
        lived_ = before->lived || before->alive;
        told_dead_ = before->told_dead && !before->alive;
    }
    data_is_proof_ = !lived_;
    status_ = current_status();
}

std::optional<StatusChange> Liveness::on_keepalive(base::Instant now) noexcept
{
    last_keepalive_ = now;
    heard_ = now;
    alive_ = true;
    return update(now, StatusReason::kKeepalive);
}

std::optional<StatusChange> Liveness::on_data(base::Instant now) noexcept
{
    if (has_keepalives() || !data_is_proof_)
        return std::nullopt;
    alive_ = true;
    return update(now, StatusReason::kKeepalive);
}

std::optional<StatusChange> Liveness::set_by_hand(base::Instant now, bool up) noexcept
{
    set_down_ = !up;
    if (up) {
        alive_ = true;
        heard_ = now;
        flap_count_ = 0;
        hold_back_ = base::Duration::zero();
        held_back_until_.reset();
    }
    return update(now, StatusReason::kByHand);
}

std::optional<StatusChange> Liveness::set_by_peer(base::Instant now, bool up) noexcept
{
    // Of a path that has never lived here a word elsewhere proves nothing: we would send to whomever the peer names.
    if (up && !lived_) {
        data_is_proof_ = true;
        return std::nullopt;
    }
    data_is_proof_ = false;
    alive_ = up;
    told_dead_ = !up;
    heard_ = now;
    return update(now, StatusReason::kByPeer);
}

std::optional<StatusChange> Liveness::set_interface(base::Instant now, bool up) noexcept
{
    return set_fault(now, interface_up_, up, StatusReason::kInterface);
}

std::optional<StatusChange> Liveness::set_address(base::Instant now, bool present) noexcept
{
    return set_fault(now, address_present_, present, StatusReason::kAddress);
}

std::optional<StatusChange> Liveness::set_socket(base::Instant now, bool works) noexcept
{
    return set_fault(now, socket_works_, works, StatusReason::kSocket);
}

std::optional<StatusChange> Liveness::reconfigure(base::Instant now, LivenessSettings settings) noexcept
{
    if (settings.keepalive == settings_.keepalive && settings.dead == settings_.dead)
        return std::nullopt;
    const bool had_keepalives = has_keepalives();
    settings_.keepalive = settings.keepalive;
    settings_.dead = settings.dead;
    heard_ = now;
    next_keepalive_ = now;
    if (had_keepalives && !has_keepalives())
        alive_ = true;
    return update(now, StatusReason::kSettings);
}

LivenessActions Liveness::on_deadline(base::Instant now) noexcept
{
    LivenessActions actions;
    if (status_ == PathStatus::kUp && has_keepalives() && now - heard_ >= settings_.dead) {
        alive_ = false;
        actions.change = update(now, StatusReason::kKeepalivesMissed);
    }
    if (held_back_until_ && now >= *held_back_until_) {
        quiet_since_ = *held_back_until_;
        held_back_until_.reset();
    }
    if (sends_keepalives() && now >= next_keepalive_) {
        const base::Duration interval =
            lived_ ? settings_.keepalive : std::max(settings_.keepalive, kUnansweredInterval);
        actions.send_keepalive = true;
        next_keepalive_ += interval;
        if (next_keepalive_ <= now) // called late: none are made up for
            next_keepalive_ = now + interval;
    }
    return actions;
}

std::optional<base::Instant> Liveness::deadline() const noexcept
{
    std::optional<base::Instant> first = held_back_until_;
    const auto also = [&first](base::Instant at) { first = std::min(first.value_or(at), at); };
    if (sends_keepalives())
        also(next_keepalive_);
    if (status_ == PathStatus::kUp && has_keepalives())
        also(heard_ + settings_.dead);
    return first;
}

std::optional<StatusChange> Liveness::set_fault(base::Instant now, bool &good, bool value, StatusReason reason) noexcept
{
    if (good != value && value)
        heard_ = now;
    good = value;
    return update(now, reason);
}

std::optional<StatusChange> Liveness::update(base::Instant now, StatusReason reason) noexcept
{
    if (alive_ && !lived_) {
        lived_ = true;
        next_keepalive_ = now;
    }
    data_is_proof_ = data_is_proof_ && !alive_;
    told_dead_ = told_dead_ && !alive_;
    const StatusChange change{status_, current_status(), reason};
    if (change.from == change.to)
        return std::nullopt;
    const bool sent_keepalives = sends_keepalives();
    status_ = change.to;
    reason_ = reason;
    since_ = now;
    ++changes_;
    if (sends_keepalives() && !sent_keepalives)
        next_keepalive_ = now;
    if (!held_back_until_ && now - quiet_since_ >= kFlapPeriod) {
        flap_count_ = 0;
        hold_back_ = base::Duration::zero();
    }
    if (change.from == PathStatus::kUp) {
        held_back_until_.reset();
        if (reason != StatusReason::kByHand && reason != StatusReason::kByPeer)
            count_flap(now);
    } else if (change.to == PathStatus::kUp && hold_back_ > base::Duration::zero()) {
        held_back_until_ = now + hold_back_;
    }
    return change;
}

PathStatus Liveness::current_status() const noexcept
{
    if (set_down_)
        return PathStatus::kSetDown;
    if (!interface_up_)
        return PathStatus::kInterfaceDown;
    if (!address_present_)
        return PathStatus::kAddressMissing;
    if (!socket_works_)
        return PathStatus::kDisabled;
    return alive_ ? PathStatus::kUp : PathStatus::kDead;
}

bool Liveness::sends_keepalives() const noexcept
{
    return has_keepalives() && (status_ == PathStatus::kUp || status_ == PathStatus::kDead);
}

void Liveness::count_flap(base::Instant now) noexcept
{
    ++flap_count_;
    if (hold_back_ > base::Duration::zero())
        hold_back_ = std::min(2 * hold_back_, kLongestHoldBack);
    else if (flap_count_ >= kFlapsForHoldBack && now - flaps_[1] <= kFlapPeriod)
        hold_back_ = kFirstHoldBack;
    flaps_ = {now, flaps_[0]};
    quiet_since_ = now;
}

} // namespace mpt::core
