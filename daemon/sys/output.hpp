// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/sys/event_loop.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mpt::sys {

// Long texts on a descriptor such as standard output. Never waits: what is not taken at once is written when somebody
// takes it.
class Output {
public:
    // Both stay the caller's.
    Output(EventLoop &loop, int fd) noexcept : loop_(loop), fd_(fd) {}

    // Whole or not at all: a text is lost while so many octets wait that nobody seems to read them.
    void write(std::string_view text);

private:
    void write_on();
    void on_event(std::uint32_t events);

    EventLoop &loop_;
    const int fd_;
    std::string waiting_;
    std::optional<EventSource> source_; // enabled while something waits
};

} // namespace mpt::sys
