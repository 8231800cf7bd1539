// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <string_view>

namespace mpt::bus {

// As the bus takes it and people may see it, whatever a file name or the kernel put into it: UTF-8 (RFC 3629) without
// control characters other than the ends of lines, and without those that change the direction of what follows. Each
// octet of anything else becomes '?'.
std::string printable(std::string_view text);

} // namespace mpt::bus
