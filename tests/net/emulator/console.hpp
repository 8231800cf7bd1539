// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "tests/net/emulator/emulator.hpp"

#include <string>

namespace linkemu {

extern const char *const kCommands; // for --help

// Commands on standard input, one a line; each is answered on standard output with `ok` or `error TEXT`, the last line
// of its answer.
class Console {
public:
    explicit Console(Emulator &emulator) : emulator_{emulator} {}

    // Reads what is there and executes complete lines; stops the emulator at the end of the input.
    void read();

private:
    std::string execute(const std::string &line);

    Emulator &emulator_;
    std::string input_;
};

} // namespace linkemu
