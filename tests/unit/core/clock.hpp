// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/time.hpp"

namespace mpt::core::testing {

// When the virtual clock of a test starts.
inline constexpr base::Instant kStart{std::chrono::seconds(1000)};

} // namespace mpt::core::testing
