// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/base/address.hpp"

#include "cli/service.hpp"

// Guide 4.1.
namespace mpt::cli {

namespace {

constexpr unsigned kDefaultLength = 24;
constexpr unsigned kDefaultLengthV6 = 64;

class Address final : public Command {
public:
    std::vector<std::string> names() const override { return {"address", "addr"}; }
    bool works_alone() const override { return false; }

    std::string help() const override
    {
        return R"(mpt addr[ess] {add | del} IP_ADDRESS[/PREF_LEN] dev INTERFACE

IP_ADDRESS: The IP address (IPv4 or IPv6) to add or to remove
PREF_LEN: Its prefix length. Default: 24 for IPv4, 64 for IPv6
INTERFACE: The name of the interface
)";
    }

    void declare(CLI::App &app) override
    {
        app.add_option("action", action_)->required()->check(CLI::IsMember({"add", "del"}));
        app.add_option("IP_ADDRESS", address_)->required();
        app.add_option("dev", dev_)->required()->check(CLI::IsMember({"dev"}));
        app.add_option("INTERFACE", interface_)->required();
    }

    ExitStatus run(const Settings &settings) override
    {
        const auto prefix = base::Prefix::parse(address_, kDefaultLength, kDefaultLengthV6);
        if (!prefix)
            throw CommandError(kUsage, prefix.error().text);
        Bus bus;
        Service service(bus);
        service.change(settings, kConfigure, [&] {
            if (action_ == "add")
                service.manager().AddAddress(prefix->to_string(), interface_);
            else
                service.manager().RemoveAddress(prefix->to_string(), interface_);
        });
        return kSuccess;
    }

private:
    std::string action_;
    std::string address_;
    std::string dev_;
    std::string interface_;
};

} // namespace

std::unique_ptr<Command> make_address()
{
    return std::make_unique<Address>();
}

} // namespace mpt::cli
