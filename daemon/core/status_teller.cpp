// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/status_teller.hpp"

#include <algorithm>

namespace mpt::core {

namespace {

using namespace std::chrono_literals;

constexpr base::Duration kFirstDelay = 1s;
constexpr base::Duration kLongestDelay = 60s;

} // namespace

void StatusTeller::tell(base::Instant now, std::size_t path, bool up)
{
    if (running_ && running_->path == path) {
        if (running_->up == up && !is_stale_)
            return;
        is_stale_ = true;
    }
    renew(now, path).up = up;
}

void StatusTeller::tell_weight(base::Instant now, std::size_t path, std::uint16_t weight)
{
    is_stale_ = is_stale_ || (running_ && running_->path == path);
    renew(now, path).weight = weight;
}

StatusTeller::Pending &StatusTeller::renew(base::Instant now, std::size_t path)
{
    Pending &pending = pending_[path];
    pending.due = now;
    pending.delay = kFirstDelay;
    return pending;
}

void StatusTeller::forget(std::size_t path)
{
    const auto found = pending_.find(path);
    if (found != pending_.end() && found->second.weight)
        found->second.up.reset();
    else if (found != pending_.end())
        pending_.erase(found);
    is_stale_ = is_stale_ || (running_ && running_->path == path);
}

std::optional<StatusTeller::Report> StatusTeller::start(base::Instant now)
{
    if (running_)
        return std::nullopt;
    const auto first = std::min_element(pending_.begin(), pending_.end(),
                                        [](const auto &a, const auto &b) { return a.second.due < b.second.due; });
    if (first == pending_.end() || first->second.due > now)
        return std::nullopt;
    running_ = Report{first->first, first->second.up, first->second.weight};
    is_stale_ = false;
    return running_;
}

void StatusTeller::on_answer()
{
    if (running_ && !is_stale_)
        pending_.erase(running_->path);
    running_.reset();
}

void StatusTeller::on_failure(base::Instant now)
{
    if (running_ && !is_stale_) {
        Pending &pending = pending_.at(running_->path);
        pending.due = now + pending.delay;
        pending.delay = std::min(2 * pending.delay, kLongestDelay);
    }
    running_.reset();
}

void StatusTeller::hurry(base::Instant now)
{
    for (auto &[path, pending] : pending_)
        pending.due = std::min(pending.due, now);
}

std::optional<base::Instant> StatusTeller::deadline() const noexcept
{
    std::optional<base::Instant> first;
    if (running_)
        return first;
    for (const auto &[path, pending] : pending_)
        first = std::min(first.value_or(pending.due), pending.due);
    return first;
}

} // namespace mpt::core
