// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/clock.hpp"

#include <ctime>

namespace mpt::sys {

base::Instant now() noexcept
{
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return base::Instant(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
}

} // namespace mpt::sys
