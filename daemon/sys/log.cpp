// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/log.hpp"

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <fmt/format.h>
#include <poll.h>
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

std::size_t write_line(int fd, std::string_view line)
{
    // A pipe that is writable takes PIPE_BUF octets at once; the descriptor is shared with others, so that it cannot be
    // made non-blocking.
    pollfd ready{fd, POLLOUT, 0};
    std::size_t written = 0;
    while (written < line.size() && poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0) {
        const std::string_view piece = line.substr(written, PIPE_BUF);
        const ssize_t taken = write(fd, piece.data(), piece.size());
        if (taken <= 0)
            break;
        written += static_cast<std::size_t>(taken);
    }
    return written;
}

void log(Priority priority, std::string_view text)
{
    static const bool journal = std::getenv("JOURNAL_STREAM") != nullptr && isatty(STDERR_FILENO) == 0;
    std::string line = journal ? fmt::format("<{}>{}", static_cast<int>(priority), text)
                               : fmt::format("mptd: {}{}", word(priority), text);
    for (char &c : line)
        if (c < ' ' || c > '~')
            c = '?';
    line += '\n';
    write_line(STDERR_FILENO, line);
}

} // namespace mpt::sys
