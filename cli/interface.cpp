// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/service.hpp"

#include <algorithm>

// Guide 4.2.
namespace mpt::cli {

namespace {

// Whether a tunnel or a path has this interface: then the lesser action is enough.
bool is_of_mptd(const Snapshot &snapshot, const std::string &interface)
{
    return std::any_of(snapshot.tunnels.begin(), snapshot.tunnels.end(),
                       [&](const Tunnel &tunnel) { return tunnel.name == interface; }) ||
           std::any_of(snapshot.connections.begin(), snapshot.connections.end(), [&](const Connection &connection) {
               return std::any_of(connection.paths.begin(), connection.paths.end(),
                                  [&](const Path &path) { return path.interface == interface; });
           });
}

class Interface final : public Command {
public:
    std::vector<std::string> names() const override { return {"interface", "int"}; }
    bool works_alone() const override { return false; }

    std::string help() const override
    {
        return R"(mpt int[erface] INTERFACE {up | down}

INTERFACE: The name of the interface, e.g. eth0
)";
    }

    void declare(CLI::App &app) override
    {
        app.add_option("INTERFACE", interface_)->required();
        app.add_option("state", state_)->required()->check(CLI::IsMember({"up", "down"}));
    }

    ExitStatus run(const Settings &settings) override
    {
        Bus bus;
        Service service(bus);
        const char *action = is_of_mptd(service.snapshot(), interface_) ? kControl : kConfigure;
        service.change(settings, action, [&] { service.manager().SetInterface(interface_, state_ == "up"); });
        return kSuccess;
    }

private:
    std::string interface_;
    std::string state_;
};

} // namespace

std::unique_ptr<Command> make_interface()
{
    return std::make_unique<Interface>();
}

} // namespace mpt::cli
