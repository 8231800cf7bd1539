// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/bus/manager_object.hpp"

#include "daemon/bus/paths.hpp"
#include "daemon/bus/reload.hpp"
#include "daemon/bus/text.hpp"
#include "daemon/sys/notify.hpp"

#include <chrono>
#include <fmt/format.h>

namespace mpt::bus {

namespace {

constexpr std::size_t kMaxAddressText = 64; // octets; an IPv6 prefix needs 43

// What a call is about is looked at before anybody is asked: it is shown, and has no business being hostile.

std::string checked_file(std::string file)
{
    if (!file.empty())
        checked(service::check_file_name(file));
    return file;
}

std::string checked_file_of_one(const std::string &file)
{
    checked(service::check_file_name(file));
    return file;
}

std::string checked_interface(std::string interface)
{
    if (!config::is_interface_name(interface))
        throw error_of({base::ErrorCode::kInvalidArgument,
                        "that is no name of an interface: 1 to 15 printable characters without '/', ':' and '%'"});
    return interface;
}

base::Prefix checked_prefix(const std::string &text)
{
    if (text.size() > kMaxAddressText || text.find('/') == std::string::npos)
        throw error_of({base::ErrorCode::kInvalidArgument, "that is no address with the length of its prefix, such as "
                                                           "10.0.0.2/24 or fec0::2/64"});
    return checked(base::Prefix::parse(text));
}

// `one` is the message for one file, `all` for an empty `file`.
Question question(Action action, const std::string &file, const char *one, const char *all)
{
    if (file.empty())
        return {action, all, {}};
    return {action, one, {{"file", printable(file)}}};
}

Question address_question(const char *message, const std::string &interface, const base::Prefix &address)
{
    return {Action::kConfigure, message, {{"interface", interface}, {"address", address.to_string()}}};
}

} // namespace

base::Result<std::vector<std::string>> reload(service::Manager &manager, const std::string &file,
                                              service::Notices &notices)
{
    sys::notify_reloading();
    const auto reloaded = manager.reload(file, notices);
    sys::notify_ready(); // again, with what was there before if a file is wrong
    if (!reloaded)
        return base::Failure(reloaded.error());
    std::vector<std::string> texts;
    for (const service::Notice &notice : notices)
        texts.push_back(printable(notice.text));
    return texts;
}

ManagerObject::ManagerObject(const Context &context)
    : AdaptorInterfaces(context.connection, kRoot), context_(context), snapshot_(*this, kProperties)
{
    registerAdaptor();
}

ManagerObject::~ManagerObject()
{
    unregisterAdaptor();
}

void ManagerObject::changed()
{
    if (const auto names = snapshot_.changes(); !names.empty())
        getObject().emitPropertiesChangedSignal(org::mptd1::Manager_adaptor::INTERFACE_NAME, names);
}

void ManagerObject::Reload(sdbus::Result<std::vector<std::string>> &&result, std::string file)
{
    file = checked_file(std::move(file));
    answer(context_, getObject(),
           question(Action::kControl, file, "Authentication is required to reload $(file).",
                    "Authentication is required to reload the configuration of the multipath tunnels."),
           std::move(result),
           [file](service::Manager &manager, service::Notices &notices) { return reload(manager, file, notices); });
}

void ManagerObject::Restart(sdbus::Result<> &&result, std::string file)
{
    file = checked_file(std::move(file));
    answer(context_, getObject(),
           question(Action::kControl, file, "Authentication is required to restart the connection of $(file).",
                    "Authentication is required to restart all multipath connections."),
           std::move(result),
           [file](service::Manager &manager, service::Notices &notices) { return manager.restart(file, notices); });
}

void ManagerObject::Save(sdbus::Result<std::vector<std::string>> &&result, std::string file)
{
    file = checked_file(std::move(file));
    answer(context_, getObject(),
           question(Action::kConfigure, file, "Authentication is required to save what was changed to $(file).",
                    "Authentication is required to save what was changed of the multipath connections."),
           std::move(result), [file](service::Manager &manager, service::Notices &) { return manager.save(file); });
}

void ManagerObject::Delete(sdbus::Result<> &&result, std::string file)
{
    file = checked_file_of_one(file);
    answer(context_, getObject(),
           {Action::kConfigure,
            "Authentication is required to delete the connection of $(file).",
            {{"file", printable(file)}}},
           std::move(result), [file](service::Manager &manager, service::Notices &) { return manager.remove(file); });
}

void ManagerObject::Create(sdbus::Result<> &&result, std::string file)
{
    file = checked_file_of_one(file);
    context_.gate.submit(caller_of(getObject()),
                         {Action::kConfigure,
                          "Authentication is required to create the connection of $(file) on its peer.",
                          {{"file", printable(file)}}},
                         std::make_unique<CreateRequest>(context_, getObject(), std::move(result),
                                                         [file] { return base::Result<std::string>(file); }));
}

void ManagerObject::AddAddress(sdbus::Result<> &&result, std::string address, std::string interface)
{
    interface = checked_interface(std::move(interface));
    const base::Prefix prefix = checked_prefix(address);
    answer(context_, getObject(),
           address_question("Authentication is required to add the address $(address) to the interface $(interface).",
                            interface, prefix),
           std::move(result), [interface, prefix](service::Manager &manager, service::Notices &) {
               return manager.add_address(interface, prefix);
           });
}

void ManagerObject::RemoveAddress(sdbus::Result<> &&result, std::string address, std::string interface)
{
    interface = checked_interface(std::move(interface));
    const base::Prefix prefix = checked_prefix(address);
    answer(
        context_, getObject(),
        address_question("Authentication is required to remove the address $(address) from the interface $(interface).",
                         interface, prefix),
        std::move(result), [interface, prefix](service::Manager &manager, service::Notices &) {
            return manager.remove_address(interface, prefix);
        });
}

void ManagerObject::SetInterface(sdbus::Result<> &&result, std::string interface, bool up)
{
    interface = checked_interface(std::move(interface));
    const Action action = context_.manager.uses_interface(interface) ? Action::kControl : Action::kConfigure;
    answer(context_, getObject(),
           {action,
            up ? "Authentication is required to set the interface $(interface) up."
               : "Authentication is required to set the interface $(interface) down.",
            {{"interface", interface}}},
           std::move(result),
           [interface, up, action](service::Manager &manager, service::Notices &) -> base::Result<void> {
               if (action == Action::kControl && !manager.uses_interface(interface))
                   return base::fail(base::ErrorCode::kConflict,
                                     fmt::format("no tunnel and no path has the interface {} any more: to set it takes "
                                                 "another permission, ask again",
                                                 interface));
               return manager.set_interface(interface, up);
           });
}

void ManagerObject::SetMetered(sdbus::Result<> &&result, std::string interface, bool metered)
{
    interface = checked_interface(std::move(interface));
    answer(context_, getObject(),
           {Action::kControl,
            "Authentication is required to say whether the interface $(interface) is metered.",
            {{"interface", interface}}},
           std::move(result), [interface, metered](service::Manager &manager, service::Notices &) {
               return manager.set_metered(interface, metered);
           });
}

std::string ManagerObject::ConfigDirectory()
{
    return printable(context_.identity.config_directory);
}

std::uint64_t ManagerObject::CommandTimeout()
{
    return base::microseconds(context_.manager.interface().cmd_timeout);
}

std::vector<std::string> ManagerObject::StunServers()
{
    std::vector<std::string> servers;
    for (const config::StunServer &server : context_.manager.interface().stun_servers)
        servers.push_back(server.to_string());
    return servers;
}

std::vector<sdbus::ObjectPath> ManagerObject::Tunnels()
{
    std::vector<sdbus::ObjectPath> paths;
    for (const config::TunnelConfig &tunnel : context_.manager.interface().tunnels)
        paths.push_back(tunnel_path(tunnel.name));
    return paths;
}

std::vector<sdbus::ObjectPath> ManagerObject::Connections()
{
    std::vector<sdbus::ObjectPath> paths;
    for (const auto &connection : context_.manager.connections())
        paths.push_back(connection_path(connection->config.name));
    return paths;
}

std::vector<std::string> ManagerObject::Problems()
{
    std::vector<std::string> problems = context_.manager.problems();
    for (std::string &problem : problems)
        problem = printable(problem);
    return problems;
}

} // namespace mpt::bus
