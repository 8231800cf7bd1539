// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace linkemu {

// A system call has just failed: says what could not be done, and errno why.
[[noreturn]] inline void fail(const std::string &what)
{
    throw std::system_error(errno, std::generic_category(), what);
}

} // namespace linkemu
