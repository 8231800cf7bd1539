// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/result.hpp"
#include "daemon/sys/file_descriptor.hpp"

#include <atomic>
#include <memory>

namespace mpt::plane {

struct ForwardingState;

// A descriptor that one thread makes readable to wake another one (eventfd(2)).
class Wakeup {
public:
    static base::Result<Wakeup> create();

    int fd() const noexcept { return fd_.get(); }
    void signal() const noexcept;
    // Makes the descriptor unreadable again.
    void clear() const noexcept;

private:
    explicit Wakeup(sys::FileDescriptor fd) noexcept : fd_(std::move(fd)) {}

    sys::FileDescriptor fd_;
};

// Hands the newest forwarding state from the control thread to a worker. A state that the worker has not taken when the
// next one comes is never seen by it.
class Mailbox {
public:
    explicit Mailbox(Wakeup wakeup) noexcept : wakeup_(std::move(wakeup)) {}
    Mailbox(const Mailbox &) = delete;
    Mailbox &operator=(const Mailbox &) = delete;
    ~Mailbox();

    void post(std::unique_ptr<const ForwardingState> state) noexcept;
    // The newest state, or null if there is none since the last one.
    std::unique_ptr<const ForwardingState> take() noexcept;
    // Makes the descriptor readable again, though nothing is posted.
    void wake() const noexcept { wakeup_.signal(); }
    // Makes the descriptor unreadable without taking the state.
    void clear() const noexcept { wakeup_.clear(); }
    int fd() const noexcept { return wakeup_.fd(); }

private:
    std::atomic<const ForwardingState *> state_{nullptr};
    Wakeup wakeup_;
};

} // namespace mpt::plane
