// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <chrono>
#include <cstdint>

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

// A duration that is not negative in whole microseconds, as counters, the bus and messages have it.
constexpr std::uint64_t microseconds(Duration duration)
{
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(duration).count());
}

// Since the clock's epoch.
constexpr std::uint64_t microseconds(Instant instant)
{
    return microseconds(instant.time_since_epoch());
}

} // namespace mpt::base
