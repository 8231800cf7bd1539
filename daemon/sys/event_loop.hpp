// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/result.hpp"
#include "daemon/base/time.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

struct sd_event;
struct sd_event_source;

namespace mpt::sys {

class EventLoop;

// What an event loop watches; destroying it ends the watching. It must not outlive its loop.
class EventSource {
public:
    EventSource() noexcept;
    EventSource(EventSource &&) noexcept;
    EventSource &operator=(EventSource &&) noexcept;
    ~EventSource();

    void enable() noexcept;
    void disable() noexcept;

protected:
    friend class EventLoop;
    struct State; // the sd-event source and what it calls
    explicit EventSource(std::unique_ptr<State> state) noexcept;

    std::unique_ptr<State> state_;
};

// Calls back once when a deadline has passed; set again for the next time. Starts unset.
class Timer : public EventSource {
public:
    using EventSource::EventSource;

    // Calls back once when it has come; nothing: not at all.
    void set(std::optional<base::Instant> deadline) noexcept;
};

// What a library waits for that wants to be called when it has come.
struct Wait {
    std::uint32_t events = 0;              // of epoll
    std::optional<base::Instant> deadline; // may have passed
};

// One sd-event loop, for one thread. What a callback throws ends the loop, and run() tells it.
class EventLoop {
public:
    static base::Result<EventLoop> create();

    EventLoop(EventLoop &&) noexcept;
    EventLoop &operator=(EventLoop &&) = delete;
    ~EventLoop();

    // Calls back while any of the epoll `events` is there (level-triggered). The descriptor stays the caller's.
    base::Result<EventSource> watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> callback);
    // For a library that wants to say what it waits for: it is asked before each wait of the loop.
    base::Result<EventSource> watch(int fd, std::function<Wait()> prepare, std::function<void()> callback);
    // Calls back when the signal arrives; the signal is blocked for this thread and those that it starts.
    base::Result<EventSource> watch_signal(int signal, std::function<void()> callback);
    base::Result<Timer> make_timer(std::function<void()> callback);

    // Runs until exit() is called.
    base::Result<void> run();
    void exit() noexcept;

private:
    struct Failed {
        std::string what; // of the exception that ended the loop; empty if none did
    };
    EventLoop(sd_event *event, std::unique_ptr<Failed> failed) noexcept;

    sd_event *event_;
    std::unique_ptr<Failed> failed_;
};

} // namespace mpt::sys
