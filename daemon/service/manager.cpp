// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/manager.hpp"

#include "daemon/config/check.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace mpt::service {

namespace {

void tell(const std::vector<config::Problem> &problems, Notices &notices)
{
    for (const config::Problem &problem : problems)
        notices.push_back(
            {problem.severity == config::Severity::kError ? Notice::Level::kError : Notice::Level::kWarning,
             problem.to_string()});
}

std::string status_word(core::PathStatus status)
{
    switch (status) {
    case core::PathStatus::kUp:
        return "up";
    case core::PathStatus::kDead:
        return "dead";
    case core::PathStatus::kInterfaceDown:
        return "down: its interface is down";
    case core::PathStatus::kAddressMissing:
        return "down: its address is missing";
    case core::PathStatus::kSetDown:
        return "set down";
    case core::PathStatus::kDisabled:
        return "disabled";
    }
    return "unknown";
}

std::string reason_words(core::StatusReason reason)
{
    switch (reason) {
    case core::StatusReason::kKeepalive:
        return " (a keepalive came)";
    case core::StatusReason::kKeepalivesMissed:
        return " (no keepalive came in its dead time)";
    case core::StatusReason::kByHand:
        return " (by hand)";
    case core::StatusReason::kByPeer:
        return " (told by the peer)";
    case core::StatusReason::kStart:
    case core::StatusReason::kInterface:
    case core::StatusReason::kAddress:
    case core::StatusReason::kSocket:
    case core::StatusReason::kSettings:
        break;
    }
    return "";
}

// "connection A, path 0 (eth1)"
std::string path_title(const ConnectionRecord &record, std::size_t path)
{
    return fmt::format("connection {}, path {} ({})", record.config.name, path,
                       record.paths[path].parameters.interface);
}

} // namespace

base::Result<config::InterfaceConfig> load_interface(ConfigDirectory &directory, Notices &notices)
{
    const auto text = directory.read_interface();
    if (!text)
        return base::fail(base::ErrorCode::kInvalidConfig, text.error().text);
    auto parsed = config::parse_interface("interface.conf", *text);
    tell(parsed.problems, notices);
    if (!parsed.value)
        return base::fail(base::ErrorCode::kInvalidConfig, "interface.conf has errors: nothing is started");
    return std::move(*parsed.value);
}

Manager::Manager(config::InterfaceConfig interface, ConfigDirectory &directory, Network &network, DataPlane &plane)
    : interface_(std::move(interface)), directory_(directory), network_(network), plane_(plane)
{
}

std::vector<config::ConnectionConfig> Manager::load_connections(Notices &notices)
{
    std::vector<config::ConnectionConfig> configs;
    const auto left_out = [&](const std::string &file) {
        notices.push_back({Notice::Level::kError, fmt::format("connections/{} is left out", file)});
    };
    const auto files = directory_.list_connections();
    if (!files)
        notices.push_back({Notice::Level::kError, files.error().text});
    for (const std::string &file : files.value_or(std::vector<std::string>{})) {
        const auto text = directory_.read_connection(file);
        if (!text) {
            notices.push_back({Notice::Level::kError, text.error().text});
            left_out(file);
            continue;
        }
        auto parsed = config::parse_connection(file, *text);
        tell(parsed.problems, notices);
        if (parsed.value)
            configs.push_back(std::move(*parsed.value));
        else
            left_out(file);
    }
    const auto problems = config::check_connections(interface_, configs);
    tell(problems, notices);
    std::erase_if(configs, [&](const config::ConnectionConfig &config) {
        const bool wrong = std::any_of(problems.begin(), problems.end(), [&](const config::Problem &problem) {
            return problem.severity == config::Severity::kError && problem.file == config.file;
        });
        if (wrong)
            left_out(config.file);
        return wrong;
    });
    std::erase_if(configs, [&](const config::ConnectionConfig &config) {
        if (!config.is_complete())
            notices.push_back(
                {Notice::Level::kInfo,
                 fmt::format("connection {} waits: its file says too little about the peer", config.name)});
        return !config.is_complete();
    });
    return configs;
}

base::Result<void> Manager::start(Notices &notices)
{
    for (const config::TunnelConfig &tunnel : interface_.tunnels) {
        if (auto added = plane_.add_tunnel(tunnel.name); !added)
            return added;
        if (auto set_up = network_.set_up_tunnel(tunnel); !set_up)
            return set_up;
    }
    for (const config::ConnectionConfig &config : load_connections(notices))
        add_connection(config);
    for (ConnectionRecord &record : connections_)
        for (std::size_t path = 0; path < record.paths.size(); ++path)
            if (auto opened = follow_interface(record, path, notices);
                !opened && opened.error().code == base::ErrorCode::kAddressInUse)
                return base::Failure(opened.error());
    if (auto committed = plane_.commit(); !committed)
        return committed;
    for (const ConnectionRecord &record : connections_)
        if (auto added = network_.add_peer_route(record.tunnel, record.config.ip_local, *record.config.ip_remote);
            !added)
            notices.push_back({Notice::Level::kWarning, added.error().text});
    return {};
}

void Manager::add_connection(const config::ConnectionConfig &config)
{
    const auto tunnel = std::find_if(interface_.tunnels.begin(), interface_.tunnels.end(),
                                     [&](const config::TunnelConfig &t) { return t.has_address(config.ip_local); });
    ConnectionRecord record{config, tunnel->name, {}}; // check_connections() has found one
    for (const config::PathConfig &path : config.paths) {
        core::PathParameters parameters;
        parameters.interface = path.interface_name;
        parameters.local = {path.private_ipaddr, config.local_port};
        parameters.remote = {*path.remote_ipaddr, *config.remote_port};
        parameters.weight = path.weight_out;
        parameters.keepalive = path.keepalive;
        parameters.dead = path.dead;
        parameters.status = static_cast<core::PathStatus>(path.status);
        record.paths.push_back({parameters, ""});
    }
    plane_.set_connection(parameters_of(record));
    connections_.push_back(std::move(record));
}

core::ConnectionParameters Manager::parameters_of(const ConnectionRecord &record) const
{
    core::ConnectionParameters parameters;
    parameters.name = record.config.name;
    parameters.tunnel = record.tunnel;
    for (const config::TunnelConfig &tunnel : interface_.tunnels)
        if (tunnel.name == record.tunnel)
            parameters.mtu = tunnel.mtu;
    parameters.local = record.config.ip_local;
    parameters.remote = *record.config.ip_remote;
    parameters.reorder_window = record.config.reorder_window;
    parameters.max_buffer_delay = record.config.max_buffdelay_msec;
    for (const PathRecord &path : record.paths)
        parameters.paths.push_back(path.parameters);
    for (const config::NetworkConfig &network : record.config.networks)
        parameters.networks.push_back({network.src_addr, network.dst_addr});
    return parameters;
}

base::Result<bool> Manager::follow_interface(ConnectionRecord &record, std::size_t path, Notices &notices)
{
    PathRecord &at = record.paths[path];
    const config::PathConfig &config = record.config.paths[path];
    const std::string &interface = config.interface_name;
    base::Address local = config.private_ipaddr;
    if (local.is_unspecified())
        local = network_.first_address(interface, config.ip_ver).value_or(local);
    const bool ready = network_.interface_ready(interface);
    const bool present = !local.is_unspecified() && network_.has_address(interface, local);
    std::string waits_for;
    if (!network_.interface_exists(interface))
        waits_for = fmt::format("there is no interface {}", interface);
    else if (!ready)
        waits_for = fmt::format("{} is down or has no carrier", interface);
    else if (!present)
        waits_for = local.is_unspecified()
                        ? fmt::format("{} has no address yet", interface)
                        : fmt::format("{} does not have the address {}", interface, local.to_string());
    else if (at.parameters.remote.address.is_unspecified())
        waits_for = "the address of the peer is not known";

    const bool moved = at.parameters.local.address != local;
    if (moved) {
        at.parameters.local.address = local;
        plane_.set_connection(parameters_of(record));
    }
    const bool changed = waits_for != at.waits_for;
    const std::string before = std::exchange(at.waits_for, waits_for);
    if (!waits_for.empty()) {
        if (changed)
            notices.push_back(
                {Notice::Level::kWarning, fmt::format("{} waits: {}", path_title(record, path), waits_for)});
        return plane_.close_path(record.config.name, path, ready, present) || moved;
    }
    const auto opened = plane_.open_path(record.config.name, path);
    if (!opened) {
        at.waits_for = opened.error().text;
        if (at.waits_for != before)
            notices.push_back(
                {Notice::Level::kError, fmt::format("{} is disabled: {}", path_title(record, path), at.waits_for)});
    } else if (!before.empty()) {
        notices.push_back(
            {Notice::Level::kInfo, fmt::format("{} has its interface and address", path_title(record, path))});
    }
    return opened;
}

base::Result<void> Manager::follow_interfaces(const std::function<bool(const PathRecord &)> &concerns, Notices &notices)
{
    bool changed = false;
    for (ConnectionRecord &record : connections_)
        for (std::size_t path = 0; path < record.paths.size(); ++path)
            if (concerns(record.paths[path]))
                changed = follow_interface(record, path, notices).value_or(true) || changed;
    return changed ? plane_.commit() : base::Result<void>{};
}

void Manager::follow_tunnel(const config::TunnelConfig &tunnel, Notices &notices)
{
    if (!network_.interface_ready(tunnel.name)) {
        tunnels_down_.insert(tunnel.name);
        return;
    }
    if (tunnels_down_.erase(tunnel.name) == 0)
        return;
    const auto tell = [&notices](const base::Result<void> &done) {
        if (!done)
            notices.push_back({Notice::Level::kError, done.error().text});
    };
    tell(network_.add_addresses(tunnel));
    for (const ConnectionRecord &record : connections_)
        if (record.tunnel == tunnel.name)
            tell(network_.add_peer_route(record.tunnel, record.config.ip_local, *record.config.ip_remote));
}

base::Result<void> Manager::on_interfaces_changed(const std::set<std::string> &interfaces, Notices &notices)
{
    for (const config::TunnelConfig &tunnel : interface_.tunnels)
        if (interfaces.contains(tunnel.name))
            follow_tunnel(tunnel, notices);
    return follow_interfaces([&](const PathRecord &path) { return interfaces.contains(path.parameters.interface); },
                             notices);
}

base::Result<void> Manager::retry(Notices &notices)
{
    return follow_interfaces([](const PathRecord &) { return true; }, notices);
}

void Manager::on_path_status(const std::string &connection, std::size_t path, const core::StatusChange &change,
                             Notices &notices) const
{
    for (const ConnectionRecord &record : connections_)
        if (record.config.name == connection && path < record.paths.size())
            notices.push_back({change.to == core::PathStatus::kUp ? Notice::Level::kInfo : Notice::Level::kWarning,
                               fmt::format("{} is {}{}", path_title(record, path), status_word(change.to),
                                           reason_words(change.reason))});
}

} // namespace mpt::service
