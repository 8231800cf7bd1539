// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace mpt::core {

inline constexpr std::size_t kMaxPaths = 20; // paths of a connection (guide 2.6.3.1, path_count)

// Chooses the path of each packet, by weight (guide 2.6.3.2, weight_out): the one with the smallest
// (packets sent in this cycle + 1) / weight among the usable paths, ties to the lowest number. A cycle is as many
// packets as the usable paths' weights add up to. At every moment the packets of the cycle are the highest-averages
// apportionment (D'Hondt) of their number, which does not change for the others when a path leaves, so a path takes
// its share with it and nobody else gets a gap or a burst.
class Scheduler {
public:
    // Weights are 1 to 10000, at most kMaxPaths of them; no path is usable yet.
    explicit Scheduler(std::span<const std::uint16_t> weights) noexcept;

    // The path for the next packet; nothing if no path is usable. Costs one comparison a usable path.
    std::optional<std::size_t> next() noexcept;

    // A path that comes back joins the cycle where it would be if it had never left: it catches nothing up.
    void set_usable(std::size_t path, bool usable) noexcept;

    bool any_usable() const noexcept { return active_count_ != 0; }

    // New weights, and as many paths as there are weights: those that stay keep their place in the cycle and whether
    // they are usable, new ones are not usable.
    void reconfigure(std::span<const std::uint16_t> weights) noexcept;

private:
    struct Entry {
        std::uint32_t next = 1; // packets sent in this cycle + 1
        std::uint32_t weight = 1;
        std::uint32_t path = 0;
    };

    void join(std::size_t path) noexcept;
    void leave(std::size_t path) noexcept;
    bool is_usable(std::size_t path) const noexcept;
    void start_cycle() noexcept;

    std::array<Entry, kMaxPaths> active_{}; // the usable paths, by number
    std::size_t active_count_ = 0;
    std::uint32_t left_ = 0;                           // packets until the cycle of the usable paths is complete
    std::array<std::uint32_t, kMaxPaths> left_with_{}; // packets in this cycle of a path that left in it
    std::array<std::uint16_t, kMaxPaths> weights_{};   // 0: no such path
    std::size_t paths_ = 0;
};

} // namespace mpt::core
