// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/path_choice.hpp"
#include "cli/service.hpp"
#include "cli/status_view.hpp"
#include "cli/terminal.hpp"

#include <cstdio>
#include <fmt/format.h>
#include <thread>

namespace mpt::cli {

namespace {

using namespace std::chrono_literals;

// Short enough for an answer at once, long enough for the rates of a tunnel in use.
constexpr auto kGlance = 200ms;
constexpr auto kMeasurement = 1s; // --rates

// The same words with "show" in front are the older form.
class Status final : public Command {
public:
    explicit Status(bool behind_show) : behind_show_(behind_show) {}

    std::vector<std::string> names() const override { return {behind_show_ ? "show" : "status"}; }
    bool works_alone() const override { return !behind_show_; }

    std::string help() const override
    {
        return behind_show_ ? "mpt show status [CONNECTION] [--rates] [--json]\n\nThe older words for mpt status.\n"
                            : R"(mpt status [CONNECTION] [--rates] [--json]

CONNECTION: The name of the connection to show with all details. (Optional)
--rates: Measure the rates for a second, not for a fifth of one
--json: For programs. Contains rates with --rates only, and then waits for them

The table: OUT and IN are bits of the tunnel's packets in a second. LOSS is the
share of the peer's packets that were lost since the connection was started.
)";
    }

    void declare(CLI::App &app) override
    {
        if (behind_show_)
            app.add_option("status", status_)->required()->check(CLI::IsMember({"status"}));
        app.add_option("CONNECTION", connection_)->check(not_empty);
        app.add_flag("--rates", rates_);
        app.add_flag("--json", json_);
    }

    ExitStatus run(const Settings &) override
    {
        Bus bus;
        Service service(bus);
        Snapshot earlier;
        Snapshot now = service.snapshot_with_counters(connection_);
        if (!connection_.empty())
            choose_connection(now, connection_);
        const bool samples = !now.connections.empty() && (rates_ || !json_);
        if (samples) {
            earlier = std::move(now);
            std::this_thread::sleep_for(rates_ ? std::chrono::milliseconds(kMeasurement) : kGlance);
            now = service.snapshot_with_counters(connection_);
        }
        if (json_) {
            std::fputs(status_json(samples ? &earlier : nullptr, now, connection_).c_str(), stdout);
            return kSuccess;
        }
        const bool colour = use_colour();
        for (const Line &line : status_table(earlier, now, connection_, terminal_size().columns))
            fmt::print("{}\n", line.to_string(colour));
        return kSuccess;
    }

private:
    bool behind_show_;
    std::string status_;
    std::string connection_;
    bool rates_ = false;
    bool json_ = false;
};

} // namespace

std::unique_ptr<Command> make_status()
{
    return std::make_unique<Status>(false);
}

std::unique_ptr<Command> make_show()
{
    return std::make_unique<Status>(true);
}

} // namespace mpt::cli
