// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/core/liveness.hpp"
#include "daemon/plane/mailbox.hpp"
#include "daemon/proto/stun.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>

namespace mpt::plane {

// The peer is somewhere else now, as it has proved. Told again while the path does not follow.
struct PathMoved {
    base::Endpoint to;
};

// The peer sees the path's packets come from there.
struct PathObserved {
    base::Endpoint at;
};

// Something has happened to a path, at its worker: its status has changed, or one of these.
struct PathEvent {
    std::uint64_t connection = 0; // Connection::id
    std::uint32_t path = 0;
    std::variant<core::StatusChange, PathMoved, PathObserved> what{};
    base::Instant when{};
};

// An answer that a STUN server has sent to the port of a path.
struct StunEvent {
    base::Endpoint server;
    std::size_t size = 0;
    std::array<std::byte, proto::kMaxStunAnswer> octets;
};

// Events from one worker to the control thread: bounded, never waiting. One that does not fit is dropped and counted;
// the state that it tells of can still be read from the counters, or it comes again.
template <typename Event, std::size_t Size> class BoundedQueue {
public:
    explicit BoundedQueue(const Wakeup &wakeup) noexcept : wakeup_(wakeup) {}

    // False if it does not fit.
    bool push(const Event &event) noexcept
    {
        bool fits = true;
        const std::size_t tail = tail_.load(std::memory_order_relaxed);
        if (tail - head_.load(std::memory_order_acquire) == Size) {
            fits = false;
            lost_.fetch_add(1, std::memory_order_relaxed);
        } else {
            events_[tail % Size] = event;
            tail_.store(tail + 1, std::memory_order_release);
        }
        wakeup_.signal();
        return fits;
    }

    std::optional<Event> pop() noexcept
    {
        const std::size_t head = head_.load(std::memory_order_relaxed);
        if (head == tail_.load(std::memory_order_acquire))
            return std::nullopt;
        const Event event = events_[head % Size];
        head_.store(head + 1, std::memory_order_release);
        return event;
    }

    // Events dropped since the last call.
    std::uint64_t take_lost() noexcept { return lost_.exchange(0, std::memory_order_relaxed); }

protected:
    const Wakeup &wakeup_; // of the control thread

private:
    std::array<Event, Size> events_;
    alignas(64) std::atomic<std::size_t> head_{0};
    alignas(64) std::atomic<std::size_t> tail_{0};
    std::atomic<std::uint64_t> lost_{0};
};

class EventQueue : public BoundedQueue<PathEvent, 4096> {
public:
    using BoundedQueue::BoundedQueue;

    // What was known of the MTUs of paths may have changed.
    void doubt_mtus() noexcept
    {
        if (!mtus_doubted_.exchange(true, std::memory_order_relaxed))
            wakeup_.signal();
    }
    bool take_mtu_doubts() noexcept { return mtus_doubted_.exchange(false, std::memory_order_relaxed); }

private:
    std::atomic<bool> mtus_doubted_{false};
};

using StunQueue = BoundedQueue<StunEvent, 64>;

} // namespace mpt::plane
