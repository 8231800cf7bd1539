// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/watchdog.hpp"

#include "daemon/sys/clock.hpp"
#include "daemon/sys/notify.hpp"

#include <utility>

namespace mpt {

base::Result<std::unique_ptr<Watchdog>> Watchdog::start(sys::EventLoop &loop, plane::Plane &plane)
{
    const auto time = sys::watchdog_time();
    if (!time)
        return nullptr;
    // A worker has one pause to answer; with one more to spare the next message is in time.
    std::unique_ptr<Watchdog> watchdog(new Watchdog(plane, *time / 4));
    auto timer = loop.make_timer([w = watchdog.get()] { w->on_timer(); });
    if (!timer)
        return base::Failure(timer.error());
    watchdog->timer_ = std::move(*timer);
    watchdog->on_timer();
    return watchdog;
}

void Watchdog::on_timer()
{
    if (plane_.ask_workers())
        sys::notify_alive();
    timer_->set(sys::now() + pause_);
}

} // namespace mpt
