// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/service.hpp"
#include "cli/text.hpp"

#include <fmt/format.h>

// Guide 4.3.
namespace mpt::cli {

namespace {

class Reload final : public Command {
public:
    std::vector<std::string> names() const override { return {"reload"}; }
    bool works_alone() const override { return true; }

    std::string help() const override
    {
        return R"(mpt reload [FILENAME]

FILENAME: Read this connection file again, without its directory. (Optional)
Without it interface.conf and all connection files are read. New connections are
started, changed ones follow, and no connection is removed: see mpt delete.
)";
    }

    void declare(CLI::App &app) override { app.add_option("FILENAME", file_)->check(not_empty); }

    ExitStatus run(const Settings &settings) override
    {
        Bus bus;
        Service service(bus);
        std::vector<std::string> notices;
        service.change(settings, kControl, [&] { notices = service.manager().Reload(file_); });
        for (const std::string &notice : notices)
            fmt::print("{}\n", printable(notice));
        return kSuccess;
    }

private:
    std::string file_; // empty: all
};

} // namespace

std::unique_ptr<Command> make_reload()
{
    return std::make_unique<Reload>();
}

} // namespace mpt::cli
