// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace linkemu {

using Duration = std::chrono::nanoseconds;
using Instant = std::chrono::steady_clock::time_point;

// How one direction of a link treats frames. Defaults: a perfect cable.
struct Settings {
    Duration delay{0};
    // Each frame gets an additional delay, uniform in [0, jitter].
    Duration jitter{0};
    // false: a frame with little jitter waits for the one before it. true: it overtakes.
    bool reorder = false;
    // Probabilities in [0, 1].
    double loss = 0;
    double duplicate = 0;
    // Mean number of frames lost in a row (two-state Gilbert model); 0: each loss is independent of the last.
    double burst = 0;
    // Mbit/s, counting a frame's octets from the Ethernet header to the end of the payload (as tc does); 0: unlimited.
    double rate = 0;
    // A frame that would wait longer for the line, or behind more octets, is dropped. Only a rate makes a queue.
    Duration queue_time = std::chrono::milliseconds{100};
    std::optional<std::uint32_t> queue_octets; // if set, it counts instead of queue_time
};

// Sets one setting by its name on the command line. Throws std::invalid_argument, which says what was expected.
void assign(Settings &settings, std::string_view key, std::string_view value);

// What cannot be judged one key at a time. Throws std::invalid_argument.
void check(const Settings &settings);

} // namespace linkemu
