// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/plane/event_queue.hpp"
#include "daemon/plane/forwarding_state.hpp"
#include "daemon/plane/mailbox.hpp"
#include "daemon/plane/receiver.hpp"
#include "daemon/sys/event_loop.hpp"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace mpt::plane {

struct Tunnel;

// One thread of the data plane, with its own event loop. Everything of a connection (numbering, sending, ordering,
// liveness) is done by one worker.
class Worker {
public:
    // Starts the thread. `control` is signalled when there are events or the worker has failed.
    static base::Result<std::unique_ptr<Worker>> start(const Wakeup &control);

    Worker(const Worker &) = delete;
    Worker &operator=(const Worker &) = delete;
    // Ends the thread.
    ~Worker();

    // Gives the worker all that it is to do from now on.
    void post(std::unique_ptr<const ForwardingState> state) noexcept { mailbox_.post(std::move(state)); }
    // Whether the worker forwards by the state of this number or a later one.
    bool has_adopted(std::uint64_t number);
    // Waits until it does; at most for `bound`, or until it fails.
    void wait_for_adoption(std::uint64_t number, base::Duration bound);
    // Makes the worker look at the flags of the interfaces again. From any thread.
    void look_at_links() noexcept { links_.signal(); }
    // Asks for a sign of life, which the worker gives when its loop comes round. For one thread.
    void ask() noexcept
    {
        ++asked_;
        links_.signal();
    }
    bool has_answered() const noexcept { return answered_ == asked_; }
    EventQueue &events() noexcept { return events_; }
    StunQueue &stun_answers() noexcept { return stun_answers_; }
    // Why the thread has ended by itself; null while it has not.
    const char *failure() const noexcept { return failure_; }

private:
    Worker(const Wakeup &control, Wakeup mailbox, Wakeup links, Wakeup stop, sys::EventLoop loop,
           sys::FileDescriptor sockets);

    base::Result<void> prepare();
    void run();
    void fail(const char *why);

    bool receive();
    void on_tunnel(Tunnel &tunnel, std::uint32_t events);
    void on_retry(Tunnel &tunnel);
    void on_links();
    void on_connection_deadline(Connection &connection);
    void set_timer(Connection &connection);

    void adopt();
    void watch_socket(UdpSocket &socket, std::uint32_t index);
    void watch_tunnel(Tunnel &tunnel, std::size_t index);
    void apply(const ConnectionEntry &entry);
    void release(const ForwardingState &previous);
    void release_held();

    const Wakeup &control_;
    EventQueue events_;
    StunQueue stun_answers_;
    Mailbox mailbox_;
    Wakeup links_;
    Wakeup stop_;
    sys::EventLoop loop_;
    sys::FileDescriptor sockets_; // epoll(7) of all path sockets
    sys::EventSource mailbox_source_;
    sys::EventSource links_source_;
    sys::EventSource stop_source_;
    sys::EventSource sockets_source_;

    std::unique_ptr<const ForwardingState> state_;
    std::uint64_t generation_ = 0; // of state_
    bool adoption_waits_ = false;  // for stalled tunnels; meanwhile nothing is read from the others
    Receiver receiver_;
    std::mutex adoption_mutex_;
    std::condition_variable adoption_;
    std::uint64_t adopted_ = 0; // the number of state_, under the mutex
    std::atomic<const char *> failure_{nullptr};
    std::atomic<std::uint64_t> asked_{0};
    std::atomic<std::uint64_t> answered_{0};
    std::thread thread_;
};

} // namespace mpt::plane
