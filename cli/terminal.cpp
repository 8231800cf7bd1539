// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/terminal.hpp"

#include "cli/command.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace mpt::cli {

namespace {

// xterm and ECMA-48, which all terminals of today follow: the other screen, no cursor, no wrapping of long lines.
constexpr std::string_view kEnter = "\033[?1049h\033[?25l\033[?7l";
constexpr std::string_view kLeave = "\033[?7h\033[?25h\033[?1049l";

} // namespace

bool use_colour()
{
    const char *no_colour = std::getenv("NO_COLOR");
    const char *term = std::getenv("TERM");
    return isatty(STDOUT_FILENO) != 0 && (no_colour == nullptr || *no_colour == '\0') &&
           (term == nullptr || std::strcmp(term, "dumb") != 0);
}

bool use_utf8()
{
    return std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

Size terminal_size()
{
    winsize size{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
        return {80, 24};
    return {size.ws_col, size.ws_row};
}

bool write_all(std::string_view text)
{
    while (!text.empty()) {
        const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
        if (written < 0 && errno != EINTR)
            return false;
        text.remove_prefix(written > 0 ? static_cast<std::size_t>(written) : 0);
    }
    return true;
}

FullScreen::FullScreen()
{
    if (isatty(STDIN_FILENO) == 0 || isatty(STDOUT_FILENO) == 0 || tcgetattr(STDIN_FILENO, &before_) != 0)
        throw CommandError(kUsage, "this needs a terminal; for scripts there are mpt status --json and mpt monitor");
    enter();
}

FullScreen::~FullScreen()
{
    leave();
}

void FullScreen::enter()
{
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
    write_all(kEnter);
}

void FullScreen::leave()
{
    write_all(kLeave);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
}

void FullScreen::suspend()
{
    leave();
    raise(SIGSTOP);
    enter();
}

void FullScreen::show(std::string_view frame)
{
    write_all(frame);
}

} // namespace mpt::cli
