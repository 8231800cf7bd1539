// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/time.hpp"

namespace mpt::sys {

// CLOCK_MONOTONIC, now.
base::Instant now() noexcept;

} // namespace mpt::sys
