// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <chrono>

namespace mpt::base {

using Duration = std::chrono::nanoseconds;

// A clock type without now(): the layers that decide are told the time by their callers.
struct MonotonicClock {
    using rep = Duration::rep;
    using period = Duration::period;
    using duration = Duration;
    using time_point = std::chrono::time_point<MonotonicClock>;
    static constexpr bool is_steady = true;
};

// A point of CLOCK_MONOTONIC, in nanoseconds since its epoch.
using Instant = MonotonicClock::time_point;

} // namespace mpt::base
