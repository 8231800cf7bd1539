// SPDX-License-Identifier: GPL-3.0-or-later
// A manager whose files, kernel and packets are in memory.
#pragma once

#include "daemon/service/manager.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace mpt::service {

inline constexpr const char *kInterface = R"(
[general]
tunnel_num = 1
accept_remote = 0
cmdport_local = 60456
cmd_timeout = 25
[tun_0]
name = tun7
mtu = 1440
ipv4_addr = 10.0.0.2/24
ipv6_addr = fec0::2/64
)";

inline std::string connection_file(const std::string &name, int last_octet, int port)
{
    return fmt::format(R"(
[connection]
name = {0}
permission = 3
ip_ver = 4
ip_local = 10.0.0.2
local_port = {2}
ip_remote = 10.0.0.{1}
remote_port = 23456
remote_cmd_port = 60456
path_count = 2
network_count = 0
status = 0
reorder_window = 100
max_buffdelay_msec = 50
auth_type = 0
[path_0]
interface_name = eth1
ip_ver = 4
public_ipaddr = 10.1.1.2
remote_ipaddr = 10.1.1.{1}
gateway_ipaddr = 10.1.1.2
keepalive_time = 2
weight_out = 3
status = 0
[path_1]
interface_name = eth2
ip_ver = 4
private_ipaddr = 0.0.0.0
public_ipaddr = 10.2.2.2
remote_ipaddr = 10.2.2.{1}
gateway_ipaddr = 10.2.2.2
weight_out = 1
status = 128
)",
                       name, last_octet, port);
}

class MemoryDirectory : public ConfigDirectory {
public:
    base::Result<base::SecretText> read_interface() override
    {
        return refusal ? base::Result<base::SecretText>(base::fail(*refusal, "reading interface.conf"))
                       : base::SecretText(interface);
    }
    base::Result<std::vector<std::string>> list_connections() override
    {
        std::vector<std::string> names;
        for (const auto &[name, text] : files)
            names.push_back(name);
        return names;
    }
    base::Result<std::vector<std::string>> list_all() override { return list_connections(); }
    base::Result<base::SecretText> read_connection(const std::string &file) override
    {
        if (!files.contains(file))
            return base::fail(base::ErrorCode::kNotFound, "reading " + file);
        return base::SecretText(files[file]);
    }
    base::Result<base::SecretText> read_template() override
    {
        return conf_template.empty()
                   ? base::Result<base::SecretText>(base::fail(base::ErrorCode::kNotFound, "no template"))
                   : base::SecretText(conf_template);
    }
    bool is_readable_by_all(const std::string &file) override { return readable_by_all.contains(file); }
    base::Result<KeyFile> read_key(const std::string &auth_key_file) override
    {
        if (!keys.contains(auth_key_file))
            return base::fail(key_refusal, "reading " + auth_key_file);
        return KeyFile{base::SecretText(keys[auth_key_file]), readable_by_all.contains(auth_key_file)};
    }
    base::Result<void> write_connection(const std::string &file, std::string_view text) override
    {
        if (read_only)
            return base::fail(base::ErrorCode::kSystem, "writing " + file);
        files[file] = text;
        return {};
    }
    base::Result<void> disable_connection(const std::string &file) override
    {
        if (read_only)
            return base::fail(base::ErrorCode::kSystem, "renaming " + file);
        if (files.erase(file) == 0)
            return base::fail(base::ErrorCode::kNotFound, "renaming " + file);
        disabled.push_back(file);
        return {};
    }

    std::string interface = kInterface;
    std::optional<base::ErrorCode> refusal; // of interface.conf
    std::map<std::string, std::string> files;
    std::string conf_template;
    std::vector<std::string> disabled;
    std::set<std::string> readable_by_all;
    std::map<std::string, std::string> keys; // texts of key files and credentials
    base::ErrorCode key_refusal = base::ErrorCode::kNotFound;
    bool read_only = false;
};

class MemoryNetwork : public Network {
public:
    base::Result<void> set_up_tunnel(const config::TunnelConfig &tunnel) override
    {
        tunnels.push_back(tunnel.name);
        return {};
    }
    base::Result<void> add_addresses(const config::TunnelConfig &tunnel) override
    {
        addressed_again.push_back(tunnel.name);
        return {};
    }
    base::Result<void> set_mtu(const std::string &interface, std::uint32_t octets) override
    {
        if (mtu_refused)
            return base::fail(base::ErrorCode::kNotPermitted, "setting the MTU of " + interface);
        mtus_set.push_back(octets);
        return {};
    }
    std::vector<std::string> set_routes(const Routes &wanted) override
    {
        routes.clear();
        path_routes.clear();
        for (const TunnelRoute &route : wanted.tunnels)
            routes.push_back(fmt::format("{} dev {} src {}", route.destination.to_string(), route.tunnel,
                                         route.source ? route.source->to_string() : "none"));
        for (const PathRoute &route : wanted.paths)
            path_routes.push_back(fmt::format("{} from {} via {} dev {}", route.remote.to_string(),
                                              route.local.to_string(),
                                              route.gateway ? route.gateway->to_string() : "none", route.interface));
        return route_problems;
    }
    void doubt_routes() override {}
    bool forwards(const std::string &, base::IpVersion) override { return is_forwarding; }
    base::Result<void> add_address(const std::string &, const base::Prefix &) override { return {}; }
    base::Result<void> remove_address(const std::string &, const base::Prefix &) override { return {}; }
    base::Result<void> set_interface(const std::string &, bool) override { return {}; }
    bool interface_exists(const std::string &name) override { return interfaces.contains(name); }
    std::optional<std::uint32_t> interface_mtu(const std::string &name) override
    {
        if (!interfaces.contains(name))
            return std::nullopt;
        return mtus.contains(name) ? mtus[name] : 1500;
    }
    bool interface_ready(const std::string &name) override
    {
        return interfaces.contains(name) && !without_carrier.contains(name);
    }
    bool has_address(const std::string &name, const base::Address &address) override
    {
        return interfaces.contains(name) && interfaces[name] == address.to_string();
    }
    std::vector<base::Prefix> addresses() override
    {
        std::vector<base::Prefix> all;
        for (const auto &[name, address] : interfaces)
            if (!address.empty())
                all.push_back({base::Address::parse(address).value(), 24});
        return all;
    }
    std::set<base::Address> addresses(const std::string &name) override
    {
        std::set<base::Address> all = added[name];
        if (interfaces.contains(name) && !interfaces[name].empty())
            all.insert(base::Address::parse(interfaces[name]).value());
        return all;
    }
    std::optional<base::Address> first_address(const std::string &name, base::IpVersion) override
    {
        ++look_ups;
        if (!interfaces.contains(name) || interfaces[name].empty())
            return std::nullopt;
        return base::Address::parse(interfaces[name]).value();
    }
    bool is_connected(const std::string &name, const base::Address &address) override
    {
        return interfaces.contains(name) && !interfaces[name].empty() &&
               base::Prefix{base::Address::parse(interfaces[name]).value(), 24}.contains(address);
    }
    std::optional<Way> way(const std::string &name, const base::Address &) override
    {
        if (!gateways.contains(name))
            return std::nullopt;
        return gateways[name].empty() ? Way{} : Way{base::Address::parse(gateways[name]).value()};
    }

    std::map<std::string, std::string> interfaces; // name to its address
    std::set<std::string> without_carrier;
    std::map<std::string, std::uint32_t> mtus; // of interfaces, if not 1500
    std::vector<std::uint32_t> mtus_set;       // of tunnels
    bool mtu_refused = false;
    int look_ups = 0; // of first addresses
    std::vector<std::string> tunnels;
    std::vector<std::string> routes;      // into tunnels
    std::vector<std::string> path_routes; // of paths
    std::vector<std::string> route_problems;
    bool is_forwarding = true;
    std::map<std::string, std::string> gateways;          // that interfaces have; "": none is needed
    std::map<std::string, std::set<base::Address>> added; // further addresses of interfaces
    std::vector<std::string> addressed_again;             // tunnels that were given theirs again
};

class MemoryPlane : public DataPlane {
public:
    base::Result<void> add_tunnel(const std::string &name) override
    {
        tunnels.push_back(name);
        return {};
    }
    void set_connection(const core::ConnectionParameters &parameters) override
    {
        if (const auto before = connections.find(parameters.name); before != connections.end())
            for (std::size_t i = 0; i < before->second.paths.size(); ++i)
                if (i >= parameters.paths.size() || before->second.paths[i].local != parameters.paths[i].local)
                    open.erase(fmt::format("{}/{}", parameters.name, i));
        connections[parameters.name] = parameters;
        ++times_set[parameters.name];
        states[parameters.name].resize(parameters.paths.size());
    }
    void remove_connection(const std::string &connection) override
    {
        connections.erase(connection);
        states.erase(connection);
        std::erase_if(open, [&](const std::string &path) { return path.starts_with(connection + "/"); });
    }
    void set_path(const std::string &connection, std::size_t path, bool up) override
    {
        states.at(connection).at(path).status = up ? core::PathStatus::kUp : core::PathStatus::kSetDown;
    }
    std::optional<bool> set_before(const std::string &connection, std::size_t path) override
    {
        const auto found = set_by_hand.find(fmt::format("{}/{}", connection, path));
        return found == set_by_hand.end() ? std::nullopt : std::optional(found->second);
    }
    std::optional<core::LearnedPeer> learned_before(const std::string &connection, std::size_t path) override
    {
        const auto found = learned.find(fmt::format("{}/{}", connection, path));
        return found == learned.end() ? std::nullopt : std::optional(found->second);
    }
    void set_path_by_peer(const std::string &connection, std::size_t path, bool up) override
    {
        states.at(connection).at(path).status = up ? core::PathStatus::kUp : core::PathStatus::kDead;
        by_peer.push_back(fmt::format("{}/{} {}", connection, path, up ? "up" : "down"));
    }
    void settle() override {}
    PathState path_state(const std::string &connection, std::size_t path) override
    {
        return states.at(connection).at(path);
    }
    std::optional<std::uint32_t> path_mtu(const std::string &connection, std::size_t path) override
    {
        const auto found = path_mtus.find(fmt::format("{}/{}", connection, path));
        return found != path_mtus.end() ? std::optional(found->second) : std::nullopt;
    }
    void set_fragmentation(const std::string &connection, std::size_t path, bool on) override
    {
        fragmenting[fmt::format("{}/{}", connection, path)] = on;
    }
    ConnectionStatistics statistics(const std::string &) override { return {}; }
    Counters tunnel_statistics(const std::string &) override { return {}; }
    base::Result<bool> open_path(const std::string &connection, std::size_t path) override
    {
        const std::string name = fmt::format("{}/{}", connection, path);
        if ((port_in_use || ports_in_use.contains(name)) && !open.contains(name))
            return base::fail(base::ErrorCode::kAddressInUse, "port in use");
        const auto user = in_use.find(connections.at(connection).paths.at(path).local);
        if (own_workers && user != in_use.end() && user->second != connection)
            return base::fail(base::ErrorCode::kInvalidConfig, "of another worker");
        return open.insert(name).second;
    }
    bool close_path(const std::string &connection, std::size_t path, bool, bool) override
    {
        return open.erase(fmt::format("{}/{}", connection, path)) > 0;
    }
    void set_stun_servers(const std::vector<base::Endpoint> &servers) override { stun_servers = servers; }
    bool send_from(const base::Endpoint &local, const std::string &interface, const base::Endpoint &to,
                   base::ConstOctets datagram) override
    {
        sent.push_back({local, interface, to, {datagram.begin(), datagram.end()}});
        return true;
    }
    base::Result<void> commit() override
    {
        ++commits;
        in_use.clear();
        for (const auto &[name, connection] : connections)
            for (std::size_t i = 0; i < connection.paths.size(); ++i)
                if (open.contains(fmt::format("{}/{}", name, i)))
                    in_use[connection.paths[i].local] = name;
        return {};
    }

    struct Sent {
        base::Endpoint local;
        std::string interface;
        base::Endpoint to;
        std::vector<std::byte> datagram;
    };

    std::vector<base::Endpoint> stun_servers;
    std::vector<Sent> sent; // from the ports of paths
    std::vector<std::string> tunnels;
    std::map<std::string, core::ConnectionParameters> connections;
    std::map<std::string, int> times_set; // of connections
    std::set<std::string> open;
    std::map<std::string, std::uint32_t> path_mtus; // that the kernel knows
    std::map<std::string, bool> fragmenting;
    std::vector<std::string> by_peer; // "connection/path up" that were passed on
    std::map<std::string, std::vector<PathState>> states;
    std::map<std::string, bool> set_by_hand;          // what paths were set to by hand before
    std::map<std::string, core::LearnedPeer> learned; // where peers were before
    bool port_in_use = false;                         // of every path that is not open
    std::set<std::string> ports_in_use;               // of these, "connection/path"
    bool own_workers = false;                         // every connection has one, and no socket may serve two of them
    std::map<base::Endpoint, std::string> in_use;     // since the last commit, and by whom
    int commits = 0;
};

class ManagerTest : public ::testing::Test {
protected:
    ManagerTest()
    {
        directory.files["a.conf"] = connection_file("A", 3, 23456);
        network.interfaces = {{"eth1", "10.1.1.2"}, {"eth2", "10.2.2.2"}};
    }

    base::Result<void> start()
    {
        auto interface = load_interface(directory, notices);
        if (!interface)
            return base::Failure(interface.error());
        manager.emplace(*interface, directory, network, plane);
        return manager->start(notices);
    }
    static auto error(const std::string &text)
    {
        return ::testing::AllOf(::testing::Field(&Notice::level, Notice::Level::kError),
                                ::testing::Field(&Notice::text, ::testing::HasSubstr(text)));
    }
    static auto says(const std::string &text) { return ::testing::Field(&Notice::text, ::testing::HasSubstr(text)); }

    MemoryDirectory directory;
    MemoryNetwork network;
    MemoryPlane plane;
    Notices notices;
    std::optional<Manager> manager;
};

} // namespace mpt::service
