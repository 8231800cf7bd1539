// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/result.hpp"
#include "daemon/sys/background.hpp"

#include <functional>
#include <memory>
#include <sdbus-c++/sdbus-c++.h>
#include <string>

namespace mpt::bus {

// Connects to the system bus. sd-bus waits for the bus there, and so does a subscription to a signal.
class Connector {
public:
    using Callback = std::function<void(base::Result<std::unique_ptr<sdbus::IConnection>>)>;

    // `match` and what is called for it: a signal that is subscribed to from the start. `callback` is called by the
    // loop with what start() has led to.
    Connector(sys::EventLoop &loop, std::string match, sdbus::message_handler on_signal, Callback callback);

    // Once at a time. Fails if there can be no thread.
    base::Result<void> start();

private:
    std::string match_;
    sdbus::message_handler on_signal_;
    sys::Background<base::Result<std::unique_ptr<sdbus::IConnection>>> attempt_;
};

} // namespace mpt::bus
