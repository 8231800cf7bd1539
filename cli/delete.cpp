// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/service.hpp"

// Guide 4.5.
namespace mpt::cli {

namespace {

class Delete final : public Command {
public:
    std::vector<std::string> names() const override { return {"delete"}; }
    bool works_alone() const override { return false; }

    std::string help() const override
    {
        return R"(mpt delete FILENAME

FILENAME: The file, without its directory, of the connection to remove
The file is kept, as FILENAME.disabled.
)";
    }

    void declare(CLI::App &app) override { app.add_option("FILENAME", file_)->check(not_empty)->required(); }

    ExitStatus run(const Settings &settings) override
    {
        Bus bus;
        Service service(bus);
        service.change(settings, kConfigure, [&] { service.manager().Delete(file_); });
        return kSuccess;
    }

private:
    std::string file_;
};

} // namespace

std::unique_ptr<Command> make_delete()
{
    return std::make_unique<Delete>();
}

} // namespace mpt::cli
