// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>

namespace mpt::sys {

// Priorities of syslog(3); the order is theirs.
enum class Priority { kError = 3, kWarning = 4, kNotice = 5, kInfo = 6 };

// A field of the journal (systemd.journal-fields(7)); one without a value is left out.
struct LogField {
    std::string_view name;
    std::string value; // one line
};

// One line for the administrator: to the journal with its fields where standard error is the journal's stream
// (JOURNAL_STREAM), else, and if the journal takes nothing, on standard error. Octets that are no printable ASCII are
// replaced, so that what a file name or a peer made us say cannot play with a terminal. Never waits: a line that nobody
// takes is lost.
void log(Priority priority, std::string_view text, std::initializer_list<LogField> fields = {});

// From now on every line goes to standard error, for people.
void log_for_people() noexcept;

// Writes to a descriptor such as standard output, in pieces of PIPE_BUF octets at most, without waiting; returns how
// many octets were taken.
std::size_t write_line(int fd, std::string_view line);

} // namespace mpt::sys
