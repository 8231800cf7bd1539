// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/notify.hpp"

#include "daemon/sys/clock.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fmt/format.h>
#include <string>
#include <systemd/sd-daemon.h>

namespace mpt::sys {

void notify_ready() noexcept
{
    sd_notify(0, "READY=1");
}

void notify_reloading() noexcept
{
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
               static_cast<long long>(
                   std::chrono::duration_cast<std::chrono::microseconds>(now().time_since_epoch()).count()));
}

void notify_stopping() noexcept
{
    sd_notify(0, "STOPPING=1");
}

void notify_status(std::string_view line)
{
    std::string state = fmt::format("STATUS={}", line);
    std::replace(state.begin(), state.end(), '\n', ' ');
    sd_notify(0, state.c_str());
}

void notify_alive() noexcept
{
    sd_notify(0, "WATCHDOG=1");
}

bool has_service_manager() noexcept
{
    return std::getenv("NOTIFY_SOCKET") != nullptr;
}

std::optional<base::Duration> watchdog_time() noexcept
{
    std::uint64_t microseconds = 0;
    if (sd_watchdog_enabled(0, &microseconds) <= 0)
        return std::nullopt;
    return std::chrono::microseconds(microseconds);
}

} // namespace mpt::sys
