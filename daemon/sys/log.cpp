// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/log.hpp"

#include "daemon/sys/file_descriptor.hpp"

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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

enum class Destination { kPeople, kJournal };

// Whether standard error is the stream that JOURNAL_STREAM means ("device:inode", systemd.exec(5)): a child of a
// service may have another one.
Destination find_destination()
{
    const char *stream = std::getenv("JOURNAL_STREAM");
    struct stat status {};
    if (stream == nullptr || fstat(STDERR_FILENO, &status) != 0)
        return Destination::kPeople;
    return fmt::format("{}:{}", status.st_dev, status.st_ino) == stream ? Destination::kJournal : Destination::kPeople;
}

Destination &destination()
{
    static Destination value = find_destination();
    return value;
}

void make_printable(std::string &text)
{
    for (char &c : text)
        if (c < ' ' || c > '~')
            c = '?';
}

void add_field(std::string &datagram, std::string_view name, std::string value)
{
    make_printable(value);
    datagram += fmt::format("{}={}\n", name, value);
}

// By the journal's own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): sd_journal_send(3) would wait for a journal that
// stands still.
bool send_to_journal(Priority priority, std::string_view text, std::initializer_list<LogField> fields)
{
    static const FileDescriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    static const sockaddr_un journal{AF_UNIX, "/run/systemd/journal/socket"};
    std::string datagram;
    add_field(datagram, "MESSAGE", std::string(text));
    add_field(datagram, "PRIORITY", fmt::format("{}", static_cast<int>(priority)));
    add_field(datagram, "SYSLOG_IDENTIFIER", "mptd");
    for (const LogField &field : fields)
        if (!field.value.empty())
            add_field(datagram, field.name, field.value);
    return sendto(socket.get(), datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                  reinterpret_cast<const sockaddr *>(&journal), sizeof journal) >= 0;
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

void log(Priority priority, std::string_view text, std::initializer_list<LogField> fields)
{
    if (destination() == Destination::kJournal && send_to_journal(priority, text, fields))
        return;
    std::string line = destination() == Destination::kPeople ? fmt::format("mptd: {}{}", word(priority), text)
                                                             : fmt::format("<{}>{}", static_cast<int>(priority), text);
    make_printable(line);
    line += '\n';
    write_line(STDERR_FILENO, line);
}

void log_for_people() noexcept
{
    destination() = Destination::kPeople;
}

} // namespace mpt::sys
