// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

namespace mpt::sys {

// Tells the service manager a state such as "READY=1" (sd_notify(3)); without one nothing happens.
void notify(const char *state) noexcept;

} // namespace mpt::sys
