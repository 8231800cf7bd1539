// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/events.hpp"
#include "cli/terminal.hpp"

#include <poll.h>

namespace mpt::cli {

namespace {

class Monitor final : public Command {
public:
    std::vector<std::string> names() const override { return {"monitor"}; }
    bool works_alone() const override { return true; }

    std::string help() const override
    {
        return R"(mpt monitor [--json]

--json: An object a line
Prints a line for each event until it is interrupted: paths that change their
status, connections that come and go, problems of the configuration, mptd itself.
)";
    }

    void declare(CLI::App &app) override { app.add_flag("--json", json_); }

    ExitStatus run(const Settings &) override
    {
        Bus bus;
        Follower follower([&](const Event &event) {
            print(event);
            if (event.kind == Event::Kind::kService && event.runs)
                learn(bus, follower);
        });
        bus.watch(follower);
        follower.on_service(bus.owner().has_value());
        while (written_) {
            bus.dispatch();
            const auto ready = bus.poll_data();
            pollfd descriptor{ready.fd, ready.events, 0};
            poll(&descriptor, 1, ready.getPollTimeout());
        }
        return kFailed;
    }

private:
    static void learn(Bus &bus, Follower &follower)
    {
        try {
            follower.know(Service(bus).snapshot());
        } catch (const CommandError &) { // it has ended already, and comes back with another event
        } catch (const sdbus::Error &) {
        }
    }

    void print(const Event &event)
    {
        written_ = write_all((json_ ? event_json(event) : event_line(event)) + '\n') && written_;
    }

    bool json_ = false;
    bool written_ = true; // so far
};

} // namespace

std::unique_ptr<Command> make_monitor()
{
    return std::make_unique<Monitor>();
}

} // namespace mpt::cli
