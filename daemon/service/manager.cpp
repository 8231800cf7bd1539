// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/manager.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>
#include <span>
#include <utility>

namespace mpt::service {

namespace {

// The most connections that are named in one line.
constexpr std::size_t kNamed = 3;

} // namespace

Manager::Manager(config::InterfaceConfig interface, ConfigDirectory &directory, Network &network, DataPlane &plane)
    : interface_(std::move(interface)), directory_(directory), network_(network), plane_(plane), mtus_(network, plane)
{
}

base::Result<void> Manager::start(Notices &notices)
{
    for (const config::TunnelConfig &tunnel : interface_.tunnels) {
        if (auto added = plane_.add_tunnel(tunnel.name); !added)
            return added;
        if (auto set_up = network_.set_up_tunnel(tunnel); !set_up)
            return set_up;
        follow_addresses(tunnel); // of one that has outlived a restart nothing more is heard
    }
    const auto loaded = load_connections(directory_, interface_, {}, {}, notices);
    if (!loaded)
        notices.push_back({Notice::Level::kError, loaded.error().text});
    else
        problems_ = loaded->problems;
    for (const config::ConnectionConfig &config : loaded ? loaded->accepted : std::vector<config::ConnectionConfig>{})
        recall_orders(add_connection(config));
    recall_learned();
    std::vector<PathPlace> places;
    for (const auto &record : connections_)
        for (std::size_t path = 0; path < record->paths.size(); ++path)
            places.push_back({*record, path});
    plan_routes(); // first, or those of a tunnel that has outlived a restart would be taken away with the paths'
    // As later, a port that somebody holds keeps just its own path from working, if there is any other.
    if (const Followed followed = follow(places, notices); followed.port_in_use && !followed.any_open)
        return base::Failure(*followed.port_in_use);
    if (auto committed = plane_.commit(); !committed)
        return committed;
    set_routes(notices);
    return {};
}

ConnectionRecord &Manager::add_connection(const config::ConnectionConfig &config, const std::string &created_by)
{
    auto record = std::make_unique<ConnectionRecord>();
    if (created_by.empty())
        record->filed = config;
    record->file_present = created_by.empty();
    record->created_by = created_by;
    configure(*record, config);
    plane_.set_connection(parameters_of(*record));
    return *connections_.emplace_back(std::move(record));
}

void Manager::recall_orders(ConnectionRecord &record)
{
    for (std::size_t path = 0; path < record.paths.size(); ++path) {
        PathRecord &at = record.paths[path];
        at.by_hand = plane_.set_before(record.config.name, path);
        if (at.by_hand == false) // up is what no file contradicts, and said again it would take a dead path for alive
            plane_.set_path(record.config.name, path, false);
    }
}

void Manager::configure(ConnectionRecord &record, const config::ConnectionConfig &config) const
{
    const config::ConnectionConfig was = std::exchange(record.config, config);
    const std::vector<config::PathConfig> &before = was.paths;
    const bool is_same_peer = was.ip_local == config.ip_local && was.ip_remote == config.ip_remote &&
                              was.key() == config.key() && config.auth_type == config::AuthType::kHmacSha256;
    const std::vector<PathRecord> paths = std::exchange(record.paths, {});
    record.tunnel = tunnel_of(config).name;
    for (std::size_t i = 0; i < config.paths.size(); ++i) {
        const config::PathConfig &path = config.paths[i];
        const bool stays = i < paths.size() && before[i].interface_name == path.interface_name &&
                           before[i].private_ipaddr == path.private_ipaddr;
        core::PathParameters parameters;
        parameters.interface = path.interface_name;
        parameters.local = {stays ? paths[i].parameters.local.address : path.private_ipaddr, config.local_port};
        parameters.remote = {*path.remote_ipaddr, *config.remote_port};
        parameters.weight = path.weight_out;
        parameters.keepalive = path.keepalive;
        parameters.dead = path.dead;
        parameters.is_proved = record.created_by.empty(); // or we would send where a peer likes
        parameters.status = parameters.is_proved && !path.remote_ipaddr->is_unspecified()
                                ? static_cast<core::PathStatus>(path.status)
                                : core::PathStatus::kDead;
        record.paths.push_back({parameters, stays ? paths[i].waits_for : ""});
        if (stays) {
            record.paths.back().last_local = paths[i].last_local;
            record.paths.back().route = paths[i].route;
            record.paths.back().server_routes = paths[i].server_routes;
            if (parameters.local == paths[i].parameters.local) {
                record.paths.back().observed = paths[i].observed;
                record.paths.back().found = paths[i].found;
            }
        }
        if (i < paths.size() && core::is_same_path(paths[i].parameters, parameters)) {
            if (is_same_peer && paths[i].parameters.remote == parameters.remote)
                record.paths.back().parameters.learned = paths[i].parameters.learned;
            record.paths.back().by_hand = paths[i].by_hand;
            record.paths.back().told = paths[i].told;
            record.paths.back().told_since = paths[i].told_since;
        }
    }
}

const config::TunnelConfig &Manager::tunnel_of(const config::ConnectionConfig &config) const
{
    return *std::find_if(interface_.tunnels.begin(), interface_.tunnels.end(), [&](const config::TunnelConfig &tunnel) {
        return tunnel.has_address(config.ip_local); // check_connections() has found one
    });
}

void Manager::update_routes(Notices &notices)
{
    plan_routes();
    set_routes(notices);
}

void Manager::plan_routes()
{
    tunnel_routes_.clear();
    network_problems_.clear();
    std::vector<base::Prefix> addresses = network_.addresses();
    for (const config::TunnelConfig &tunnel : interface_.tunnels) // whose own may not have been heard of yet
        for (const std::optional<base::Prefix> &own : {tunnel.ipv4_addr, tunnel.ipv6_addr})
            if (own)
                addresses.push_back(*own);
    std::map<base::Prefix, std::string> tunnels;                                            // by destination
    std::map<std::pair<std::string, base::IpVersion>, std::vector<std::string>> forwarding; // who needs it where
    for (const auto &record : connections_) {
        if (tunnels_down_.contains(record->tunnel))
            continue;
        const std::string &name = record->config.name;
        for (TunnelRoute &route : tunnel_routes(record->config, tunnel_of(record->config), addresses)) {
            const auto [at, added] = tunnels.try_emplace(route.destination, route.tunnel);
            if (added)
                tunnel_routes_.push_back(std::move(route));
            else if (at->second != route.tunnel)
                network_problems_.push_back(fmt::format(
                    "the kernel sends packets to {} into {}: connection {} on {} gets none of them (use one "
                    "tunnel for both)",
                    route.destination.to_string(), at->second, name, route.tunnel));
        }
        std::set<base::IpVersion> forwarded;
        for (const config::NetworkConfig &network : record->config.networks)
            if (needs_forwarding(network, addresses))
                forwarded.insert(network.ip_ver);
        for (const base::IpVersion version : forwarded)
            forwarding[{record->tunnel, version}].push_back(name);
    }
    for (const auto &[what, names] : forwarding) {
        const auto &[tunnel, version] = what;
        if (network_.forwards(tunnel, version))
            continue;
        std::string all = fmt::format("{}", fmt::join(std::span(names).first(std::min(names.size(), kNamed)), ", "));
        if (names.size() > kNamed)
            all += fmt::format(" and {} others", names.size() - kNamed);
        network_problems_.push_back(fmt::format("the kernel does not forward IPv{} packets from {}, as the networks of "
                                                "{} need: set {} (see NOTES in mptd(8))",
                                                static_cast<int>(version), tunnel, all,
                                                version == base::IpVersion::kV4 ? "net.ipv4.ip_forward = 1"
                                                                                : "net.ipv6.conf.all.forwarding = 1"));
    }
}

void Manager::set_routes(Notices &notices)
{
    Routes routes{tunnel_routes_, {}};
    for (const auto &record : connections_)
        for (const PathRecord &path : record->paths) {
            if (path.route)
                routes.paths.push_back(*path.route);
            routes.paths.insert(routes.paths.end(), path.server_routes.begin(), path.server_routes.end());
        }
    std::vector<std::string> problems = network_.set_routes(routes);
    problems.insert(problems.end(), network_problems_.begin(), network_problems_.end());
    if (problems == route_problems_)
        return;
    for (const std::string &problem : problems)
        if (std::find(route_problems_.begin(), route_problems_.end(), problem) == route_problems_.end())
            notices.push_back({Notice::Level::kWarning, problem});
    route_problems_ = std::move(problems);
    if (observer_ != nullptr)
        observer_->on_settings_changed();
}

core::ConnectionParameters Manager::parameters_of(const ConnectionRecord &record) const
{
    core::ConnectionParameters parameters;
    parameters.name = record.config.name;
    parameters.tunnel = record.tunnel;
    for (const config::TunnelConfig &tunnel : interface_.tunnels)
        if (tunnel.name == record.tunnel) {
            const TunnelMtu mtu = mtus_.of(tunnel);
            parameters.mtu = mtu.mtu;
            parameters.largest_packet = mtu.largest_packet;
            if (record.config.auth_type == config::AuthType::kHmacSha256)
                parameters.probes_from = mtu.least;
        }
    parameters.local = record.config.ip_local;
    parameters.remote = *record.config.ip_remote;
    parameters.reorder_window = record.config.reorder_window;
    parameters.max_buffer_delay = record.config.max_buffdelay_msec;
    parameters.copy_dscp = record.config.copy_dscp;
    parameters.clamp_mss = record.config.clamps_mss();
    if (record.config.auth_type == config::AuthType::kHmacSha256)
        parameters.keepalive_key = key_of(record.config);
    for (const PathRecord &path : record.paths)
        parameters.paths.push_back(path.parameters);
    for (const config::NetworkConfig &network : record.config.networks)
        parameters.networks.push_back({network.src_addr, network.dst_addr});
    if (const auto added = tunnel_addresses_.find(record.tunnel); added != tunnel_addresses_.end())
        parameters.addresses.assign(added->second.begin(), added->second.end());
    return parameters;
}

Manager::PathSite Manager::survey(const ConnectionRecord &record, std::size_t path) const
{
    const config::PathConfig &config = record.config.paths[path];
    const std::string &interface = config.interface_name;
    // A peer that may be anywhere is answered wherever it speaks from, before it is known to be there.
    const core::PathParameters &parameters = record.paths[path].parameters;
    const base::Address &remote =
        parameters.remote.address.is_unspecified() ? parameters.remote.address : parameters.peer().address;
    PathSite site;
    site.local = config.private_ipaddr;
    if (site.local.is_unspecified())
        site.local = network_.first_address(interface, config.ip_ver).value_or(site.local);
    site.ready = network_.interface_ready(interface);
    site.present = !site.local.is_unspecified() && network_.has_address(interface, site.local);
    if (!network_.interface_exists(interface))
        site.lacks = fmt::format("there is no interface {}", interface);
    else if (!site.ready)
        site.lacks = fmt::format("{} is down or has no carrier", interface);
    else if (!site.present)
        site.lacks = site.local.is_unspecified()
                         ? fmt::format("{} has no address yet", interface)
                         : fmt::format("{} does not have the address {}", interface, site.local.to_string());
    if (!site.lacks.empty() || site.local.is_link_local())
        return site;

    // Where the kernel's own routes are what the file wants, there is none of ours.
    const bool is_connected = network_.is_connected(interface, remote);
    const base::Address &gateway = config.gateway_ipaddr;
    const bool is_direct =
        !gateway.is_unspecified() && (gateway == site.local || gateway == config.public_ipaddr || gateway == remote);
    if (!gateway.is_unspecified() && !is_direct) {
        site.route = PathRoute{interface, site.local, remote, gateway};
    } else if (!is_connected) {
        // Samples have the remote address for a gateway even where a router stands between.
        const auto way = network_.way(interface, remote);
        if (way || is_direct)
            site.route = PathRoute{interface, site.local, remote, way ? way->gateway : std::nullopt};
    }
    if (config.public_ipaddr.is_unspecified())
        survey_servers(config, site, is_direct);
    return site;
}

// A gateway that stands for none says nothing of the way to somebody else than the peer.
void Manager::survey_servers(const config::PathConfig &config, PathSite &site, bool is_direct) const
{
    const std::string &interface = config.interface_name;
    for (const base::Address &server : stun_servers_) {
        if (server.version() != config.ip_ver || network_.is_connected(interface, server))
            continue;
        if (!config.gateway_ipaddr.is_unspecified() && !is_direct)
            site.server_routes.push_back({interface, site.local, server, config.gateway_ipaddr});
        else if (const auto way = network_.way(interface, server))
            site.server_routes.push_back({interface, site.local, server, way->gateway});
    }
}

base::Result<void> Manager::set_stun_servers(const std::vector<base::Address> &servers, Notices &notices)
{
    stun_servers_ = servers;
    return retry(notices);
}

bool Manager::set_found(const base::Endpoint &local, const std::string &interface,
                        const std::optional<base::Endpoint> &found)
{
    bool is_new = false;
    for (const auto &record : connections_)
        for (std::size_t path = 0; path < record->paths.size(); ++path) {
            PathRecord &at = record->paths[path];
            if (!record->config.paths[path].public_ipaddr.is_unspecified() || at.parameters.local != local ||
                at.parameters.interface != interface || at.found == found)
                continue;
            at.found = found;
            is_new = true;
            if (observer_ != nullptr)
                observer_->on_path_changed(*record, path);
        }
    return is_new;
}

Manager::Followed Manager::follow(const std::vector<PathPlace> &places, Notices &notices)
{
    std::vector<PathSite> sites;
    bool rerouted = false;
    for (const PathPlace &place : places) {
        PathRecord &at = place.record.paths[place.path];
        PathSite site = survey(place.record, place.path);
        site.rerouted = at.route != site.route;
        rerouted = rerouted || site.rerouted || at.server_routes != site.server_routes;
        at.route = site.route;
        at.server_routes = site.server_routes;
        sites.push_back(std::move(site));
    }
    if (rerouted)
        set_routes(notices); // before the sockets: one that connects needs its route
    Followed followed;
    for (std::size_t i = 0; i < places.size(); ++i) {
        ConnectionRecord &record = places[i].record;
        const std::size_t path = places[i].path;
        const PathRecord &at = record.paths[path];
        const std::string waited_for = at.waits_for;
        const base::Address local = at.parameters.local.address;
        const auto changed = open_or_close(record, path, sites[i], notices);
        followed.changed = followed.changed || changed.value_or(true);
        followed.any_open = followed.any_open || at.waits_for.empty();
        if (!changed && changed.error().code == base::ErrorCode::kAddressInUse && !followed.port_in_use)
            followed.port_in_use = changed.error();
        if (observer_ != nullptr &&
            (sites[i].rerouted || at.waits_for != waited_for || at.parameters.local.address != local))
            observer_->on_path_changed(record, path);
    }
    return followed;
}

base::Result<bool> Manager::open_or_close(ConnectionRecord &record, std::size_t path, const PathSite &site,
                                          Notices &notices)
{
    PathRecord &at = record.paths[path];
    const base::Address &local = site.local;
    const std::string &waits_for = site.lacks;
    const bool moved = at.parameters.local.address != local;
    if (moved) {
        at.parameters.local.address = local;
        at.observed = {};
        if (!local.is_unspecified() && std::exchange(at.last_local, local) != local)
            at.found.reset();
        plane_.set_connection(parameters_of(record));
    }
    const bool changed = waits_for != at.waits_for;
    const std::string before = std::exchange(at.waits_for, waits_for);
    if (!waits_for.empty()) {
        if (changed)
            notices.push_back({Notice::Level::kWarning,
                               fmt::format("{} waits: {}", path_title(record, path), waits_for), Event::kPathWaits,
                               record.config.name, path});
        return plane_.close_path(record.config.name, path, site.ready, site.present) || moved;
    }
    auto opened = plane_.open_path(record.config.name, path);
    if (!opened) {
        at.waits_for = opened.error().text;
        if (at.waits_for != before)
            notices.push_back({Notice::Level::kError,
                               fmt::format("{} is disabled: {}", path_title(record, path), at.waits_for),
                               Event::kPathDisabled, record.config.name, path});
    } else if (!before.empty()) {
        notices.push_back(
            {Notice::Level::kInfo, fmt::format("{} has its interface and address", path_title(record, path))});
    }
    return opened;
}

void Manager::follow_all(ConnectionRecord &record, Notices &notices)
{
    std::vector<PathPlace> places;
    for (std::size_t path = 0; path < record.paths.size(); ++path)
        places.push_back({record, path});
    follow(places, notices);
}

base::Result<void> Manager::follow_interfaces(const std::function<bool(const PathRecord &)> &concerns, Notices &notices)
{
    std::vector<PathPlace> places;
    for (const auto &record : connections_)
        for (std::size_t path = 0; path < record->paths.size(); ++path)
            if (concerns(record->paths[path]))
                places.push_back({*record, path});
    network_.doubt_routes();
    const bool changed = follow(places, notices).changed;
    update_routes(notices);
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
    if (auto added = network_.add_addresses(tunnel); !added)
        notices.push_back({Notice::Level::kError, added.error().text});
}

bool Manager::follow_addresses(const config::TunnelConfig &tunnel)
{
    std::set<base::Address> addresses = network_.addresses(tunnel.name);
    std::erase_if(addresses, [](const base::Address &address) { return address.is_link_local(); });
    std::set<base::Address> &before = tunnel_addresses_[tunnel.name];
    if (addresses == before)
        return false;
    before = std::move(addresses);
    for (const auto &record : connections_)
        if (record->tunnel == tunnel.name)
            plane_.set_connection(parameters_of(*record));
    return true;
}

base::Result<void> Manager::on_interfaces_changed(const std::set<std::string> &interfaces, Notices &notices)
{
    bool readdressed = false;
    for (const config::TunnelConfig &tunnel : interface_.tunnels)
        if (interfaces.contains(tunnel.name)) {
            follow_tunnel(tunnel, notices);
            readdressed = follow_addresses(tunnel) || readdressed;
        }
    const auto committed = readdressed ? plane_.commit() : base::Result<void>{};
    const auto followed = follow_interfaces(
        [&](const PathRecord &path) { return interfaces.contains(path.parameters.interface); }, notices);
    return committed ? followed : committed;
}

void Manager::follow_mtus(base::Instant now, Notices &notices)
{
    const std::set<std::string> changed = mtus_.follow(now, interface_.tunnels, connections_, notices);
    if (changed.empty())
        return;
    for (const auto &record : connections_)
        if (changed.contains(record->tunnel))
            plane_.set_connection(parameters_of(*record));
    if (auto committed = plane_.commit(); !committed)
        notices.push_back({Notice::Level::kError, committed.error().text});
    if (observer_ != nullptr)
        observer_->on_settings_changed();
}

base::Result<void> Manager::retry(Notices &notices)
{
    return follow_interfaces([](const PathRecord &) { return true; }, notices);
}

} // namespace mpt::service
