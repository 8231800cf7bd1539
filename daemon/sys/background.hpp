// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/result.hpp"
#include "daemon/sys/error.hpp"
#include "daemon/sys/event_loop.hpp"
#include "daemon/sys/file_descriptor.hpp"

#include <cerrno>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <system_error>
#include <thread>
#include <utility>

namespace mpt::sys {

// Work that waits, such as for a name server: a thread made for it waits instead of the event loop, and ends.
template <typename T> class Background {
public:
    using Callback = std::function<void(T)>;

    // `callback` is called by the loop, which stays the caller's, with what the work has returned.
    Background(EventLoop &loop, Callback callback) : loop_(loop), callback_(std::move(callback)) {}
    Background(const Background &) = delete;
    Background &operator=(const Background &) = delete;

    // Once at a time. The work must not throw, and may end after this object: then nothing is called. `purpose` says
    // in an error what the thread is for: "looks up names".
    base::Result<void> start(std::function<T()> work, const std::string &purpose)
    {
        auto attempt = std::make_shared<Attempt>();
        attempt->done = FileDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (!attempt->done.valid())
            return system_failure(errno, "making an eventfd");
        auto source = loop_.watch(attempt->done.get(), EPOLLIN, [this](std::uint32_t) { finish(); });
        if (!source)
            return base::Failure(source.error());
        try {
            std::thread([attempt, work = std::move(work)]() noexcept {
                attempt->promise.set_value(work());
                eventfd_write(attempt->done.get(), 1);
            }).detach();
        } catch (const std::system_error &error) {
            return system_failure(error.code().value(), "starting a thread that " + purpose);
        }
        source_ = std::move(*source);
        attempt_ = std::move(attempt);
        return {};
    }

private:
    struct Attempt {
        std::promise<T> promise;
        FileDescriptor done; // eventfd, readable when the promise is kept
    };

    void finish()
    {
        const auto attempt = std::exchange(attempt_, nullptr);
        source_.disable();
        callback_(attempt->promise.get_future().get());
    }

    EventLoop &loop_;
    Callback callback_;
    // Shared with the thread: either may end first.
    std::shared_ptr<Attempt> attempt_;
    EventSource source_;
};

} // namespace mpt::sys
