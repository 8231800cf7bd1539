// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/bus/connection_object.hpp"

#include "daemon/bus/counters.hpp"
#include "daemon/bus/paths.hpp"
#include "daemon/bus/reload.hpp"
#include "daemon/bus/text.hpp"

#include <chrono>
#include <fmt/format.h>

namespace mpt::bus {

namespace {

base::Error gone(const std::string &connection)
{
    return {base::ErrorCode::kNotFound, fmt::format("there is no connection {} any more", connection)};
}

} // namespace

ConnectionObject::ConnectionObject(const Context &context, const service::ConnectionRecord &record)
    : AdaptorInterfaces(context.connection, connection_path(record.config.name)), context_(context), record_(record),
      snapshot_(*this, kProperties)
{
    registerAdaptor();
    for (std::size_t i = 0; i < record_.paths.size(); ++i)
        paths_.push_back(std::make_unique<PathObject>(context_, record_, i));
}

ConnectionObject::~ConnectionObject()
{
    context_.gate.object_gone(getObjectPath());
    context_.deferred.object_gone(getObjectPath());
    unregisterAdaptor();
}

void ConnectionObject::announce()
{
    getObject().emitInterfacesAddedSignal();
    for (const auto &path : paths_)
        path->announce();
}

void ConnectionObject::renounce()
{
    for (const auto &path : paths_)
        path->renounce();
    getObject().emitInterfacesRemovedSignal();
}

void ConnectionObject::changed()
{
    while (paths_.size() > record_.paths.size()) {
        paths_.back()->renounce();
        paths_.pop_back();
    }
    for (const auto &path : paths_)
        path->changed();
    while (paths_.size() < record_.paths.size()) {
        paths_.push_back(std::make_unique<PathObject>(context_, record_, paths_.size()));
        paths_.back()->announce();
    }
    if (const auto names = snapshot_.changes(); !names.empty())
        getObject().emitPropertiesChangedSignal(INTERFACE_NAME, names);
}

void ConnectionObject::status_changed(std::size_t path, const core::StatusChange &change)
{
    changed();
    if (path < paths_.size())
        paths_[path]->status_changed(change);
}

Question ConnectionObject::question(Action action, const char *message) const
{
    return {action, message, {{"connection", record_.config.name}}};
}

template <typename Work, typename... Out>
void ConnectionObject::answer_for_file(Question asked, sdbus::Result<Out...> &&result, Work work)
{
    answer(context_, getObject(), std::move(asked), std::move(result),
           [name = record_.config.name, work](service::Manager &manager, service::Notices &notices)
               -> std::invoke_result_t<Work, service::Manager &, const std::string &, service::Notices &> {
               const service::ConnectionRecord *found = manager.find(name);
               if (found == nullptr)
                   return base::Failure(gone(name));
               return work(manager, std::string(found->config.file), notices);
           });
}

void ConnectionObject::Reload(sdbus::Result<std::vector<std::string>> &&result)
{
    answer_for_file(question(Action::kControl, "Authentication is required to reload connection $(connection)."),
                    std::move(result), reload);
}

void ConnectionObject::Restart(sdbus::Result<> &&result)
{
    answer_for_file(question(Action::kControl, "Authentication is required to restart connection $(connection)."),
                    std::move(result),
                    [](service::Manager &manager, const std::string &file, service::Notices &notices) {
                        return manager.restart(file, notices);
                    });
}

void ConnectionObject::Save(sdbus::Result<bool> &&result)
{
    answer_for_file(
        question(Action::kConfigure, "Authentication is required to save the changes of connection $(connection)."),
        std::move(result),
        [](service::Manager &manager, const std::string &file, service::Notices &) -> base::Result<bool> {
            return manager.save(file).map([](const auto &files) { return !files.empty(); });
        });
}

void ConnectionObject::Delete(sdbus::Result<> &&result)
{
    answer_for_file(question(Action::kConfigure, "Authentication is required to delete connection $(connection)."),
                    std::move(result), [](service::Manager &manager, const std::string &file, service::Notices &) {
                        return manager.remove(file);
                    });
}

void ConnectionObject::Create(sdbus::Result<> &&result)
{
    context_.gate.submit(
        caller_of(getObject()),
        question(Action::kConfigure, "Authentication is required to create connection $(connection) on its peer."),
        std::make_unique<CreateRequest>(
            context_, getObject(), std::move(result),
            [&manager = context_.manager, name = record_.config.name]() -> base::Result<std::string> {
                const service::ConnectionRecord *found = manager.find(name);
                return found == nullptr ? base::Result<std::string>(base::Failure(gone(name))) : found->config.file;
            }));
}

std::tuple<std::map<std::string, std::uint64_t>, std::vector<std::map<std::string, std::uint64_t>>>
ConnectionObject::GetStatistics()
{
    const service::ConnectionStatistics statistics = context_.manager.statistics(record_.config.name);
    std::vector<std::map<std::string, std::uint64_t>> paths;
    for (const service::Counters &counters : statistics.paths)
        paths.push_back(map_of(counters));
    return {map_of(statistics.connection), std::move(paths)};
}

std::string ConnectionObject::File()
{
    return printable(config().file);
}

bool ConnectionObject::FilePresent()
{
    return record_.file_present;
}

bool ConnectionObject::Unsaved()
{
    return record_.is_unsaved();
}

std::string ConnectionObject::CreatedBy()
{
    return record_.created_by;
}

sdbus::ObjectPath ConnectionObject::Tunnel()
{
    return tunnel_path(record_.tunnel);
}

std::uint8_t ConnectionObject::Permission()
{
    return config().permission;
}

std::uint8_t ConnectionObject::IpVersion()
{
    return static_cast<std::uint8_t>(config().ip_ver);
}

std::string ConnectionObject::LocalAddress()
{
    return config().ip_local.to_string();
}

std::string ConnectionObject::RemoteAddress()
{
    return config().ip_remote ? config().ip_remote->to_string() : std::string();
}

std::uint16_t ConnectionObject::LocalPort()
{
    return config().local_port;
}

std::uint16_t ConnectionObject::RemotePort()
{
    return config().remote_port.value_or(0);
}

std::uint16_t ConnectionObject::RemoteControlPort()
{
    return config().remote_cmd_port.value_or(0);
}

std::uint8_t ConnectionObject::Status()
{
    return config().status;
}

bool ConnectionObject::CopyDscp()
{
    return config().copy_dscp;
}

bool ConnectionObject::ClampMss()
{
    return config().clamps_mss();
}

std::uint16_t ConnectionObject::ReorderWindow()
{
    return config().reorder_window;
}

std::uint64_t ConnectionObject::MaxBufferDelay()
{
    return base::microseconds(config().max_buffdelay_msec);
}

std::uint8_t ConnectionObject::AuthType()
{
    return static_cast<std::uint8_t>(config().auth_type);
}

bool ConnectionObject::HasKey()
{
    return config().has_key();
}

std::vector<sdbus::ObjectPath> ConnectionObject::Paths()
{
    std::vector<sdbus::ObjectPath> paths;
    for (std::size_t i = 0; i < record_.paths.size(); ++i)
        paths.push_back(path_of(record_.config.name, i));
    return paths;
}

std::vector<sdbus::Struct<std::string, std::string>> ConnectionObject::Networks()
{
    std::vector<sdbus::Struct<std::string, std::string>> networks;
    for (const config::NetworkConfig &network : config().networks)
        networks.emplace_back(network.src_addr.to_string(), network.dst_addr.to_string());
    return networks;
}

} // namespace mpt::bus
