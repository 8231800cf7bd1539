// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/result.hpp"

#include <sdbus-c++/Error.h>
#include <string>

namespace mpt::bus {

// org.mptd1.Error.*
sdbus::Error error_of(const base::Error &error);
// The caller may not do it.
sdbus::Error not_authorized(const std::string &text);
// Too much is waiting already.
sdbus::Error limits_exceeded(const std::string &text);

} // namespace mpt::bus
