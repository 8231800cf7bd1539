// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/events.hpp"
#include "cli/terminal.hpp"
#include "cli/top_view.hpp"

#include <array>
#include <csignal>
#include <optional>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace mpt::cli {

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kPeriod = 1000000; // microseconds between measurements
constexpr auto kTimeout = 2s;              // of a call: keys wait for it

// A descriptor that is readable when one of the signals has come, which have no other effect any more.
int open_signals()
{
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH})
        sigaddset(&signals, signal);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    const int descriptor = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (descriptor < 0)
        throw CommandError(kFailed, "cannot wait for signals");
    return descriptor;
}

class Session {
public:
    Session() : view_(use_utf8()), follower_([this](const Event &event) { on_event(event); })
    {
        bus_.connection().setMethodCallTimeout(kTimeout);
        bus_.watch(follower_);
        follower_.know(Service(bus_).snapshot());
        runs_ = true;
        signals_ = open_signals();
        screen_.emplace();
    }

    void run()
    {
        std::uint64_t next = 0;
        while (!ends_) {
            if (monotonic_now() >= next) {
                measure();
                next = monotonic_now() + kPeriod;
            }
            draw();
            wait(next);
        }
    }

private:
    void measure()
    {
        if (!runs_)
            return;
        try {
            view_.add(Service(bus_).snapshot_with_counters());
        } catch (const sdbus::Error &) {
            view_.clear(); // it has ended, which a signal tells, or hangs
        } catch (const CommandError &) {
            view_.clear();
        }
    }

    void on_event(const Event &event)
    {
        view_.add_event(event.time, event_words(event));
        if (event.kind == Event::Kind::kPathStatus)
            view_.set_status(event.object, event.to, event.reason, monotonic_now());
        if (event.kind != Event::Kind::kService)
            return;
        runs_ = event.runs;
        view_.clear();
        if (runs_)
            follower_.know(Service(bus_).snapshot());
    }

    void draw()
    {
        const Size size = terminal_size();
        const std::vector<Line> lines = view_.frame(size.columns, size.rows, realtime_now(), monotonic_now());
        const bool colour = use_colour();
        std::string frame = "\033[H";
        for (std::size_t i = 0; i < lines.size(); ++i)
            frame += (i == 0 ? "\033[K" : "\r\n\033[K") + lines[i].to_string(colour, size.columns);
        screen_->show(frame);
    }

    void wait(std::uint64_t deadline)
    {
        bus_.dispatch();
        const auto bus = bus_.poll_data();
        const std::uint64_t now = monotonic_now();
        int timeout = deadline > now ? static_cast<int>((deadline - now) / 1000) + 1 : 0;
        if (const int sooner = bus.getPollTimeout(); sooner >= 0)
            timeout = std::min(timeout, sooner);
        std::array<pollfd, 3> descriptors = {
            {{STDIN_FILENO, POLLIN, 0}, {signals_, POLLIN, 0}, {bus.fd, bus.events, 0}}};
        poll(descriptors.data(), descriptors.size(), timeout);
        if (descriptors[0].revents != 0)
            on_input();
        if (descriptors[1].revents != 0)
            on_signal();
        bus_.dispatch();
    }

    void on_input()
    {
        std::array<char, 256> typed{};
        const ssize_t length = read(STDIN_FILENO, typed.data(), typed.size());
        if (length <= 0) { // the terminal is gone
            ends_ = true;
            return;
        }
        for (const Key key : parse_keys(std::string_view(typed.data(), static_cast<std::size_t>(length)))) {
            ends_ = ends_ || key == Key::kQuit;
            view_.press(key, terminal_size().rows);
        }
    }

    void on_signal()
    {
        signalfd_siginfo info{};
        while (read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
            if (info.ssi_signo == SIGTSTP)
                screen_->suspend();
            else if (info.ssi_signo != SIGWINCH)
                ends_ = true;
        }
    }

    Bus bus_;
    TopView view_;
    Follower follower_;
    bool runs_ = false;
    bool ends_ = false;
    int signals_ = -1;
    std::optional<FullScreen> screen_;
};

class Top final : public Command {
public:
    std::vector<std::string> names() const override { return {"top"}; }
    bool works_alone() const override { return true; }

    std::string help() const override
    {
        return R"(mpt top

Shows rates and states of all paths, live.
Keys: q quits, s sorts by name, rate or status, arrows, page keys, Home and End
scroll.
)";
    }

    void declare(CLI::App &) override {}

    ExitStatus run(const Settings &) override
    {
        Session().run();
        return kSuccess;
    }
};

} // namespace

std::unique_ptr<Command> make_top()
{
    return std::make_unique<Top>();
}

} // namespace mpt::cli
