// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/time.hpp"

#include <optional>
#include <string_view>

namespace mpt::sys {

// What the service manager is told (sd_notify(3)); without one nothing happens.
void notify_ready() noexcept;
// Until the next notify_ready(): the configuration is being read again.
void notify_reloading() noexcept;
void notify_stopping() noexcept;
// One line for people; a line break in it is made a blank.
void notify_status(std::string_view line);
void notify_alive() noexcept;

// Whether there is one.
bool has_service_manager() noexcept;

// Within which time after each other the service manager wants notify_alive(); none if it does not (WatchdogSec=).
std::optional<base::Duration> watchdog_time() noexcept;

} // namespace mpt::sys
