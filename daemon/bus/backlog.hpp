// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <sdbus-c++/sdbus-c++.h>

struct sd_bus;

namespace mpt::bus {

// What waits in the process until the bus takes it. sd-bus lets that grow to 131072 messages of any size, which callers
// could make large ones faster than a busy bus takes them.
class Backlog {
public:
    // From now on method calls are refused while it is full, and what only asks without wanting an answer is not looked
    // at. `proxy` is one on the connection, which stays the caller's.
    explicit Backlog(sdbus::IProxy &proxy);

    // Nothing should be read then.
    bool is_full() const noexcept;

private:
    sd_bus *bus_;
};

} // namespace mpt::bus
