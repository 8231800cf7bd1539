// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "tests/net/emulator/settings.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>

namespace linkemu {

// Every frame read ends in exactly one of delivered, lost, dropped_* or is still in flight; a duplicate is one
// delivery more: frames + duplicated = delivered + lost + dropped_queue + dropped_cut + dropped_other + in flight.
struct Counters {
    std::uint64_t frames = 0; // read from the sending device
    std::uint64_t octets = 0;
    std::uint64_t delivered = 0; // written to the receiving device, duplicates included
    std::uint64_t delivered_octets = 0;
    std::uint64_t duplicated = 0;
    std::uint64_t lost = 0;
    std::uint64_t dropped_queue = 0;
    std::uint64_t dropped_cut = 0;
    // The receiving device is down or gone, the frame is longer than a buffer, or all buffers are in flight.
    std::uint64_t dropped_other = 0;
};

struct Fate {
    Instant due;
    std::uint8_t copies = 1;
};

// One direction of a link as decisions: when a frame arrives at the other end, if ever. A frame first waits for the
// line (queue, rate), may then be lost, and travels for delay and jitter. The queue is virtual: a frame's times are
// settled when it enters, so a change of settings is for the frames after it.
class Shaper {
public:
    explicit Shaper(std::uint64_t seed) : random_{seed} {}

    // Counts the frame and decides; nothing if it does not arrive.
    std::optional<Fate> admit(Instant now, std::size_t octets);

    // The line is free at once: what was in flight is gone (the caller drops it).
    void clear();

    // Time until a frame that enters now would begin to leave.
    Duration backlog(Instant now) const;

    Settings settings;
    Counters counters;

private:
    Duration transmission(std::uint64_t octets) const;
    double draw() { return std::uniform_real_distribution<double>{}(random_); }
    bool lose();

    std::mt19937_64 random_;
    Instant line_free_{};
    Instant last_due_{};
    bool losing_ = false; // state of the Gilbert model
};

} // namespace linkemu
