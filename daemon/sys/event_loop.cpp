// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/event_loop.hpp"

#include "daemon/sys/error.hpp"

#include <csignal>
#include <cstdint>
#include <ctime>
#include <systemd/sd-event.h>
#include <utility>

namespace mpt::sys {

namespace {

constexpr std::uint64_t kAccuracy = 1; // microseconds; the default of 250 ms serves batteries, not packets

} // namespace

struct EventSource::State {
    sd_event_source *source = nullptr;
    sd_event_source *timer = nullptr; // of prepare
    std::function<Wait()> prepare;
    std::function<void(std::uint32_t)> callback;
    std::string *failed = nullptr; // where the loop keeps what a callback threw

    State() = default;
    State(const State &) = delete;
    State &operator=(const State &) = delete;
    ~State()
    {
        sd_event_source_disable_unref(timer);
        sd_event_source_disable_unref(source);
    }

    // Nothing may be thrown through sd-event: what is, ends the loop.
    template <typename Work> int guarded(Work work) noexcept
    {
        sd_event *event = sd_event_source_get_event(source);
        try {
            work();
        } catch (const std::exception &thrown) {
            *failed = thrown.what();
            sd_event_exit(event, 1);
        }
        return 0;
    }

    int call(std::uint32_t events) noexcept
    {
        return guarded([&] { callback(events); });
    }

    void follow(const Wait &wait) noexcept
    {
        sd_event_source_set_io_events(source, wait.events);
        if (wait.deadline)
            sd_event_source_set_time(timer, microseconds(*wait.deadline));
        sd_event_source_set_enabled(timer, wait.deadline ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
    }

    static std::uint64_t microseconds(base::Instant deadline) noexcept
    {
        const auto count = std::chrono::ceil<std::chrono::microseconds>(deadline.time_since_epoch()).count();
        return static_cast<std::uint64_t>(count > 0 ? count : 0);
    }

    static int on_io(sd_event_source *, int, std::uint32_t events, void *state)
    {
        return static_cast<State *>(state)->call(events);
    }
    static int on_prepare(sd_event_source *, void *state)
    {
        auto *self = static_cast<State *>(state);
        return self->guarded([&] { self->follow(self->prepare()); });
    }
    static int on_signal(sd_event_source *, const signalfd_siginfo *, void *state)
    {
        return static_cast<State *>(state)->call(0);
    }
    static int on_time(sd_event_source *, std::uint64_t, void *state) { return static_cast<State *>(state)->call(0); }
};

EventSource::EventSource() noexcept = default;
EventSource::EventSource(std::unique_ptr<State> state) noexcept : state_(std::move(state))
{
}
EventSource::EventSource(EventSource &&) noexcept = default;
EventSource &EventSource::operator=(EventSource &&) noexcept = default;
EventSource::~EventSource() = default;

void EventSource::enable() noexcept
{
    sd_event_source_set_enabled(state_->source, SD_EVENT_ON);
}

void EventSource::disable() noexcept
{
    if (state_->timer != nullptr)
        sd_event_source_set_enabled(state_->timer, SD_EVENT_OFF);
    sd_event_source_set_enabled(state_->source, SD_EVENT_OFF);
}

void Timer::set(std::optional<base::Instant> deadline) noexcept
{
    if (!deadline) {
        disable();
        return;
    }
    sd_event_source_set_time(state_->source, State::microseconds(*deadline));
    sd_event_source_set_enabled(state_->source, SD_EVENT_ONESHOT);
}

EventLoop::EventLoop(sd_event *event, std::unique_ptr<Failed> failed) noexcept
    : event_(event), failed_(std::move(failed))
{
}

EventLoop::EventLoop(EventLoop &&other) noexcept
    : event_(std::exchange(other.event_, nullptr)), failed_(std::move(other.failed_))
{
}

EventLoop::~EventLoop()
{
    sd_event_unref(event_);
}

base::Result<EventLoop> EventLoop::create()
{
    sd_event *event = nullptr;
    if (const int error = sd_event_new(&event); error < 0)
        return system_failure(-error, "making an event loop");
    return EventLoop(event, std::make_unique<Failed>());
}

base::Result<EventSource> EventLoop::watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> callback)
{
    auto state = std::make_unique<EventSource::State>();
    state->callback = std::move(callback);
    state->failed = &failed_->what;
    const int error = sd_event_add_io(event_, &state->source, fd, events, &EventSource::State::on_io, state.get());
    if (error < 0)
        return system_failure(-error, "watching a file descriptor");
    return EventSource(std::move(state));
}

base::Result<EventSource> EventLoop::watch(int fd, std::function<Wait()> prepare, std::function<void()> callback)
{
    auto source = watch(fd, 0, [callback = std::move(callback)](std::uint32_t) { callback(); });
    if (!source)
        return source;
    EventSource::State *state = source->state_.get();
    state->prepare = std::move(prepare);
    int error =
        sd_event_add_time(event_, &state->timer, CLOCK_MONOTONIC, 0, kAccuracy, &EventSource::State::on_time, state);
    if (error >= 0)
        error = sd_event_source_set_enabled(state->timer, SD_EVENT_OFF);
    if (error >= 0)
        error = sd_event_source_set_prepare(state->source, &EventSource::State::on_prepare);
    if (error < 0)
        return system_failure(-error, "watching a file descriptor");
    return source;
}

base::Result<EventSource> EventLoop::watch_signal(int signal, std::function<void()> callback)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    auto state = std::make_unique<EventSource::State>();
    state->callback = [callback = std::move(callback)](std::uint32_t) { callback(); };
    state->failed = &failed_->what;
    const int error = sd_event_add_signal(event_, &state->source, signal, &EventSource::State::on_signal, state.get());
    if (error < 0)
        return system_failure(-error, "watching a signal");
    return EventSource(std::move(state));
}

base::Result<Timer> EventLoop::make_timer(std::function<void()> callback)
{
    auto state = std::make_unique<EventSource::State>();
    state->callback = [callback = std::move(callback)](std::uint32_t) { callback(); };
    state->failed = &failed_->what;
    int error = sd_event_add_time(event_, &state->source, CLOCK_MONOTONIC, 0, kAccuracy, &EventSource::State::on_time,
                                  state.get());
    if (error >= 0)
        error = sd_event_source_set_enabled(state->source, SD_EVENT_OFF);
    if (error < 0)
        return system_failure(-error, "making a timer");
    return Timer(std::move(state));
}

base::Result<void> EventLoop::run()
{
    if (const int error = sd_event_loop(event_); error < 0)
        return system_failure(-error, "running the event loop");
    if (!failed_->what.empty())
        return base::fail(base::ErrorCode::kSystem, failed_->what);
    return {};
}

void EventLoop::exit() noexcept
{
    sd_event_exit(event_, 0);
}

} // namespace mpt::sys
