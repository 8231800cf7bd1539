// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <termios.h>

namespace mpt::cli {

// Whether what is written to standard output may be coloured: a terminal, and no NO_COLOR (see no-color.org).
bool use_colour();

// Whether people see UTF-8 as it is meant. Needs setlocale().
bool use_utf8();

struct Size {
    std::size_t columns;
    std::size_t rows;
};

// Of the terminal of standard output; 80x24 if that is none.
Size terminal_size();

// The whole terminal: another screen, no echo, no cursor. The terminal is as before once this is gone.
class FullScreen {
public:
    // Throws CommandError (kUsage) if standard input and output are no terminal.
    FullScreen();
    ~FullScreen();
    FullScreen(const FullScreen &) = delete;
    FullScreen &operator=(const FullScreen &) = delete;

    // Stops this process, as Ctrl-Z does, with the terminal as it was.
    void suspend();
    // All of it at once.
    void show(std::string_view frame);

private:
    void enter();
    void leave();

    termios before_{};
};

// Writes all of it to standard output; false if that fails.
bool write_all(std::string_view text);

} // namespace mpt::cli
