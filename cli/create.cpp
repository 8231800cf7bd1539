// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/service.hpp"

// Guide 4.7.
namespace mpt::cli {

namespace {

class Create final : public Command {
public:
    std::vector<std::string> names() const override { return {"create"}; }
    bool works_alone() const override { return false; }

    std::string help() const override
    {
        return R"(mpt create FILENAME

FILENAME: The file, without its directory, of the connection to create at the
peer. The peer must accept that (accept_remote) and have a conf.template.
)";
    }

    void declare(CLI::App &app) override { app.add_option("FILENAME", file_)->check(not_empty)->required(); }

    ExitStatus run(const Settings &settings) override
    {
        Bus bus;
        Service service(bus);
        service.change(
            settings, kConfigure, [&] { service.manager().Create(file_); }, Work::kPeer);
        return kSuccess;
    }

private:
    std::string file_;
};

} // namespace

std::unique_ptr<Command> make_create()
{
    return std::make_unique<Create>();
}

} // namespace mpt::cli
