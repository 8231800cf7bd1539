// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/result.hpp"
#include "daemon/sys/event_loop.hpp"

#include <functional>
#include <memory>
#include <sdbus-c++/sdbus-c++.h>
#include <string>

namespace mpt::bus {

// Connects to the system bus. sd-bus waits for the bus there, and so does a subscription to a signal: a thread made for
// it waits instead of the event loop.
class Connector {
public:
    using Callback = std::function<void(base::Result<std::unique_ptr<sdbus::IConnection>>)>;

    // `match` and what is called for it: a signal that is subscribed to from the start. `callback` is called by the
    // loop with what start() has led to.
    Connector(sys::EventLoop &loop, std::string match, sdbus::message_handler on_signal, Callback callback);
    ~Connector();

    // Once at a time. Fails if there can be no thread.
    base::Result<void> start();

private:
    struct Attempt;
    void finish();

    sys::EventLoop &loop_;
    std::string match_;
    sdbus::message_handler on_signal_;
    Callback callback_;
    // Shared with the thread: either may end first.
    std::shared_ptr<Attempt> attempt_;
    sys::EventSource source_;
};

} // namespace mpt::bus
