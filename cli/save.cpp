// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/service.hpp"
#include "cli/text.hpp"

#include <fmt/format.h>

// Guide 4.6.
namespace mpt::cli {

namespace {

class Save final : public Command {
public:
    std::vector<std::string> names() const override { return {"save"}; }
    bool works_alone() const override { return true; }

    std::string help() const override
    {
        return R"(mpt save [FILENAME]

FILENAME: Save what was changed of the connection of this file alone. (Optional)
Writes what was changed at run time to the configuration files, and prints the
names of the files that were written.
)";
    }

    void declare(CLI::App &app) override { app.add_option("FILENAME", file_)->check(not_empty); }

    ExitStatus run(const Settings &settings) override
    {
        Bus bus;
        Service service(bus);
        std::vector<std::string> written;
        service.change(settings, kConfigure, [&] { written = service.manager().Save(file_); });
        for (const std::string &file : written)
            fmt::print("{}\n", printable(file));
        return kSuccess;
    }

private:
    std::string file_; // empty: all
};

} // namespace

std::unique_ptr<Command> make_save()
{
    return std::make_unique<Save>();
}

} // namespace mpt::cli
