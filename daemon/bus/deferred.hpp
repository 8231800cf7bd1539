// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/result.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <sdbus-c++/sdbus-c++.h>
#include <string>

namespace mpt::bus {

// Does what takes longer than a call: creates the peer's side of the connection of a file, and then calls `done` once.
using Create = std::function<void(const std::string &file, std::function<void(base::Result<void>)> done)>;

// Calls that are answered later, by number: the answer outlives the connection to the bus, the call does not.
class Deferred {
public:
    // `object` is the path of the one that was called.
    std::uint64_t keep(const std::string &object, sdbus::Result<> &&call);
    // Does nothing if there is no such call any more.
    void answer(std::uint64_t number, const base::Result<void> &result) noexcept;
    // Refuses the calls of an object that is about to go: see Gate::object_gone().
    void object_gone(const std::string &path) noexcept;

private:
    struct Call {
        std::string object;
        sdbus::Result<> result;
    };

    std::map<std::uint64_t, Call> calls_;
};

} // namespace mpt::bus
