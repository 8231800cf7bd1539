// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <string_view>

namespace mpt::sys {

// Priorities of syslog(3); the order is theirs.
enum class Priority { kError = 3, kWarning = 4, kNotice = 5, kInfo = 6 };

// One line for the administrator, on standard error: with the priority in front as sd-daemon(3) lays down where that is
// the journal's stream (JOURNAL_STREAM), else for people. Octets that are no printable ASCII are replaced, so that what
// a file name or a peer made us say cannot play with a terminal. Never waits: a line that nobody takes is lost.
void log(Priority priority, std::string_view text);

// Writes to a descriptor such as standard output, in pieces of PIPE_BUF octets at most, without waiting: what nobody
// takes is not written. Returns how many octets were.
std::size_t write_line(int fd, std::string_view line);

} // namespace mpt::sys
