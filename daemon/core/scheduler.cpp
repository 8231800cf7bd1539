// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/scheduler.hpp"

#include <algorithm>

namespace mpt::core {

Scheduler::Scheduler(std::span<const std::uint16_t> weights) noexcept : paths_(std::min(weights.size(), kMaxPaths))
{
    std::copy_n(weights.begin(), paths_, weights_.begin());
}

std::optional<std::size_t> Scheduler::next() noexcept
{
    if (active_count_ == 0)
        return std::nullopt;
    if (left_ == 0)
        start_cycle();
    Entry *best = active_.data();
    // The products stay below 2^32: both factors are at most 10001.
    for (Entry *entry = best + 1; entry != active_.data() + active_count_; ++entry)
        if (entry->next * best->weight < best->next * entry->weight)
            best = entry;
    ++best->next;
    --left_;
    return best->path;
}

void Scheduler::set_usable(std::size_t path, bool usable) noexcept
{
    if (path >= paths_ || usable == is_usable(path))
        return;
    if (usable)
        join(path);
    else
        leave(path);
}

void Scheduler::reconfigure(std::span<const std::uint16_t> weights) noexcept
{
    const std::size_t old_paths = paths_;
    paths_ = std::min(weights.size(), kMaxPaths);
    for (std::size_t path = 0; path < std::max(old_paths, paths_); ++path) {
        const std::uint32_t weight = path < paths_ ? weights[path] : 0;
        if (weight == weights_[path])
            continue;
        const bool usable = is_usable(path);
        if (usable)
            leave(path);
        left_with_[path] = weights_[path] == 0 ? 0 : left_with_[path] * weight / weights_[path];
        weights_[path] = static_cast<std::uint16_t>(weight);
        if (usable && weight != 0)
            join(path);
    }
}

// Takes its place as if it had been usable all the time: it has had every turn (k / weight, path) up to the last one
// given to the others, and those that it had before it left.
void Scheduler::join(std::size_t path) noexcept
{
    const std::uint32_t weight = weights_[path];
    const Entry *last = nullptr; // that had its turn; of equal turns the one with the highest number
    for (const Entry &entry : std::span(active_).first(active_count_))
        if (last == nullptr || (entry.next - 1) * last->weight >= (last->next - 1) * entry.weight)
            last = &entry;
    std::uint32_t sent = 0;
    if (last != nullptr) {
        const std::uint32_t turn = (last->next - 1) * weight;
        sent = turn / last->weight;
        if (sent != 0 && turn % last->weight == 0 && path > last->path)
            --sent;
    }
    sent = std::max(sent, left_with_[path]);
    const auto place = std::find_if(active_.begin(), active_.begin() + active_count_,
                                    [path](const Entry &entry) { return entry.path > path; });
    std::move_backward(place, active_.begin() + active_count_, active_.begin() + active_count_ + 1);
    *place = Entry{sent + 1, weight, static_cast<std::uint32_t>(path)};
    ++active_count_;
    left_ += weight - sent;
}

void Scheduler::leave(std::size_t path) noexcept
{
    const auto end = active_.begin() + active_count_;
    const auto place = std::find_if(active_.begin(), end, [path](const Entry &entry) { return entry.path == path; });
    left_with_[path] = place->next - 1;
    left_ -= place->weight - left_with_[path];
    std::move(place + 1, end, place);
    --active_count_;
}

bool Scheduler::is_usable(std::size_t path) const noexcept
{
    return std::any_of(active_.begin(), active_.begin() + active_count_,
                       [path](const Entry &entry) { return entry.path == path; });
}

void Scheduler::start_cycle() noexcept
{
    left_with_.fill(0);
    for (std::size_t i = 0; i < active_count_; ++i) {
        active_[i].next = 1;
        left_ += active_[i].weight;
    }
}

} // namespace mpt::core
