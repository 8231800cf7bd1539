// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/service.hpp"
#include "cli/text.hpp"

#include <fmt/format.h>

namespace mpt::cli {

namespace {

class Version final : public Command {
public:
    std::vector<std::string> names() const override { return {"version"}; }
    bool works_alone() const override { return true; }

    std::string help() const override
    {
        return R"(mpt version

Prints the version of mpt and, if it runs, of mptd.
)";
    }

    void declare(CLI::App &) override {}

    ExitStatus run(const Settings &) override
    {
        fmt::print("mpt {}\n", MPTD_VERSION);
        std::fflush(stdout);
        Bus bus;
        Service service(bus);
        fmt::print("mptd {}\n", printable(service.manager().Version()));
        return kSuccess;
    }
};

} // namespace

std::unique_ptr<Command> make_version()
{
    return std::make_unique<Version>();
}

} // namespace mpt::cli
