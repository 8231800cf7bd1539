// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/link_watch.hpp"

#include "daemon/sys/capabilities.hpp"
#include "daemon/sys/clock.hpp"

#include <pthread.h>
#include <sys/epoll.h>
#include <utility>

namespace mpt {

namespace {

// After the kernel's state could not be read.
constexpr base::Duration kRetry = std::chrono::seconds(1);

} // namespace

LinkWatch::LinkWatch(plane::Plane &plane, net::Monitor monitor, sys::EventLoop loop, plane::Wakeup stop)
    : plane_(plane), monitor_(std::move(monitor)), loop_(std::move(loop)), stop_(std::move(stop))
{
}

base::Result<std::unique_ptr<LinkWatch>> LinkWatch::start(plane::Plane &plane)
{
    auto monitor = net::Monitor::open();
    auto loop = sys::EventLoop::create();
    auto stop = plane::Wakeup::create();
    if (!monitor)
        return base::Failure(monitor.error());
    if (!loop)
        return base::Failure(loop.error());
    if (!stop)
        return base::Failure(stop.error());
    std::unique_ptr<LinkWatch> watch(new LinkWatch(plane, std::move(*monitor), std::move(*loop), std::move(*stop)));
    if (auto prepared = watch->prepare(); !prepared)
        return base::Failure(prepared.error());
    watch->thread_ = std::thread([w = watch.get()] {
        sys::drop_capabilities();
        [[maybe_unused]] const auto ran = w->loop_.run();
    });
    pthread_setname_np(watch->thread_.native_handle(), "mptd-links");
    return watch;
}

base::Result<void> LinkWatch::prepare()
{
    auto network = loop_.watch(monitor_.fd(), EPOLLIN, [this](std::uint32_t) { follow(); });
    auto stop = loop_.watch(stop_.fd(), EPOLLIN, [this](std::uint32_t) { loop_.exit(); });
    auto retry = loop_.make_timer([this] { follow(); });
    if (!retry)
        return base::Failure(retry.error());
    retry_ = std::move(*retry);
    for (const auto *source : {&network, &stop})
        if (!*source)
            return base::Failure(source->error());
    network_source_ = std::move(*network);
    stop_source_ = std::move(*stop);
    return {};
}

LinkWatch::~LinkWatch()
{
    if (thread_.joinable()) {
        stop_.signal();
        thread_.join();
    }
}

void LinkWatch::follow()
{
    const auto changed = monitor_.drain();
    if (!changed) {
        // The control thread hears the same, and says so.
        retry_->set(sys::now() + kRetry);
        return;
    }
    for (const std::string &name : *changed) {
        const net::Interface *interface = monitor_.state().find(name);
        plane_.set_interface_ready(name, interface != nullptr && interface->ready());
    }
}

} // namespace mpt
