// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/result.hpp"
#include "daemon/net/monitor.hpp"
#include "daemon/plane/plane.hpp"
#include "daemon/sys/event_loop.hpp"

#include <memory>
#include <optional>
#include <thread>

namespace mpt {

// Tells the workers of interfaces that come and go, from a thread of its own that does nothing else: the control thread
// may be held up by a disk or by its callers when a carrier is lost.
class LinkWatch {
public:
    // `plane` stays the caller's, and must stay until this is gone.
    static base::Result<std::unique_ptr<LinkWatch>> start(plane::Plane &plane);

    LinkWatch(const LinkWatch &) = delete;
    LinkWatch &operator=(const LinkWatch &) = delete;
    ~LinkWatch();

private:
    LinkWatch(plane::Plane &plane, net::Monitor monitor, sys::EventLoop loop, plane::Wakeup stop);
    base::Result<void> prepare();
    void follow();

    plane::Plane &plane_;
    net::Monitor monitor_;
    sys::EventLoop loop_;
    plane::Wakeup stop_;
    sys::EventSource network_source_;
    sys::EventSource stop_source_;
    std::optional<sys::Timer> retry_;
    std::thread thread_;
};

} // namespace mpt
