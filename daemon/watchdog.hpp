// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/plane/plane.hpp"
#include "daemon/sys/event_loop.hpp"

#include <memory>
#include <optional>

namespace mpt {

// Tells the service manager that the daemon is alive, as long as the loops of the control thread and of all workers go
// round. Does nothing if the service manager does not want to know.
class Watchdog {
public:
    // `plane` stays the caller's.
    static base::Result<std::unique_ptr<Watchdog>> start(sys::EventLoop &loop, plane::Plane &plane);

private:
    Watchdog(plane::Plane &plane, base::Duration pause) : plane_(plane), pause_(pause) {}
    void on_timer();

    plane::Plane &plane_;
    const base::Duration pause_;
    std::optional<sys::Timer> timer_;
};

} // namespace mpt
