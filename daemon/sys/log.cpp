// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/log.hpp"

#include <cstdlib>
#include <fmt/format.h>
#include <string>
#include <unistd.h>

namespace mpt::sys {

namespace {

const char *word(Priority priority)
{
    switch (priority) {
    case Priority::kError:
        return "error: ";
    case Priority::kWarning:
        return "warning: ";
    case Priority::kNotice:
    case Priority::kInfo:
        break;
    }
    return "";
}

} // namespace

void log(Priority priority, std::string_view text)
{
    static const bool journal = std::getenv("JOURNAL_STREAM") != nullptr && isatty(STDERR_FILENO) == 0;
    std::string line = journal ? fmt::format("<{}>{}", static_cast<int>(priority), text)
                               : fmt::format("mptd: {}{}", word(priority), text);
    for (char &c : line)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            c = '?';
    line += '\n';
    // A log that cannot be written is nobody's error to handle.
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

} // namespace mpt::sys
