// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/result.hpp"

#include <string_view>

namespace mpt::sys {

// The failure of a system call: `what` says what was being done and to what; the kernel's own words are added.
base::Failure system_failure(int error_number, std::string_view what);

} // namespace mpt::sys
