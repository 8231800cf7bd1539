// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/service.hpp"

// Guide 4.4.
namespace mpt::cli {

namespace {

class Restart final : public Command {
public:
    std::vector<std::string> names() const override { return {"restart"}; }
    bool works_alone() const override { return true; }

    std::string help() const override
    {
        return R"(mpt restart [FILENAME]

FILENAME: Restart the connection of this file alone. (Optional)
A warm restart: the sockets of the connections are closed and opened again, the
configuration stays as it is.
)";
    }

    void declare(CLI::App &app) override { app.add_option("FILENAME", file_)->check(not_empty); }

    ExitStatus run(const Settings &settings) override
    {
        Bus bus;
        Service service(bus);
        service.change(settings, kControl, [&] { service.manager().Restart(file_); });
        return kSuccess;
    }

private:
    std::string file_; // empty: all
};

} // namespace

std::unique_ptr<Command> make_restart()
{
    return std::make_unique<Restart>();
}

} // namespace mpt::cli
