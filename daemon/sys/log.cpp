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

void write_line(int fd, std::string_view line)
{
    // A pipe that is writable takes PIPE_BUF octets at once; the descriptor is shared with others, so that it cannot be
    // made non-blocking.
    pollfd ready{fd, POLLOUT, 0};
    for (; !line.empty() && poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0;
         line.remove_prefix(std::min<std::size_t>(line.size(), PIPE_BUF)))
        if (write(fd, line.data(), std::min<std::size_t>(line.size(), PIPE_BUF)) < 0)
            return;
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
