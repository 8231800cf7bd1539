// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/check.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <tuple>

namespace mpt::config {

namespace {

// A local address, or the interface whose address is used where it is found automatically.
using LocalAddress = std::pair<base::Address, std::string>;

// What one socket pair is known by: the same in two paths, and their packets could not be told apart.
using PathSocket = std::tuple<LocalAddress, std::uint16_t, base::Address, std::optional<std::uint16_t>>;

using TunnelPair = std::pair<base::Address, base::Address>;
using NetworkPair = std::pair<base::Prefix, base::Prefix>;

std::string path_section(std::size_t number)
{
    return fmt::format("path_{}", number);
}

// Adds the connections one by one to those that can run together.
class Checker {
public:
    explicit Checker(const InterfaceConfig &interface) : interface_(interface) {}

    std::vector<Problem> check(const ConnectionConfig &connection)
    {
        connection_ = &connection;
        problems_.clear();
        check_connection();
        for (std::size_t n = 0; n < connection.paths.size(); ++n)
            check_path(n, connection.paths[n]);
        for (std::size_t n = 0; n < connection.networks.size(); ++n)
            check_network(n, connection.networks[n]);
        if (!has_errors(problems_))
            add();
        return std::move(problems_);
    }

private:
    void add_problem(Severity severity, std::string_view section, std::string_view key, std::string value,
                     std::string text)
    {
        problems_.push_back({severity, connection_->file, connection_->lines.line(section, key), std::string(key),
                             std::move(value), std::move(text)});
    }

    void error(std::string_view section, std::string_view key, std::string value, std::string text)
    {
        add_problem(Severity::kError, section, key, std::move(value), std::move(text));
    }

    // The name of the tunnel that has this address; empty if there is none.
    std::string tunnel_of(const base::Address &address) const
    {
        const auto found = std::find_if(interface_.tunnels.begin(), interface_.tunnels.end(),
                                        [&](const TunnelConfig &tunnel) { return tunnel.has_address(address); });
        return found == interface_.tunnels.end() ? std::string() : found->name;
    }

    void check_connection()
    {
        const ConnectionConfig &c = *connection_;
        if (const auto found = names_.find(c.name); found != names_.end())
            error("connection", "name", c.name, fmt::format("is the name of the connection in {} too", found->second));
        if (tunnel_of(c.ip_local).empty())
            error("connection", "ip_local", c.ip_local.to_string(),
                  "must be the address of a tunnel in interface.conf");
        if (c.ip_remote) {
            if (const std::string tunnel = tunnel_of(*c.ip_remote); !tunnel.empty())
                error("connection", "ip_remote", c.ip_remote->to_string(),
                      fmt::format("must be an address of the peer: it is that of tunnel {} here", tunnel));
            if (const auto found = pairs_.find({c.ip_local, *c.ip_remote}); found != pairs_.end())
                error("connection", "ip_remote", c.ip_remote->to_string(),
                      fmt::format("the connection in {} is between the same tunnel addresses", found->second));
            else if (const auto network = networks_.find(tunnel_pair(c)); network != networks_.end())
                error("connection", "ip_remote", c.ip_remote->to_string(),
                      fmt::format("{} has the same source and destination", network->second));
        }
        if (c.local_port == interface_.cmdport_local)
            error("connection", "local_port", fmt::format("{}", c.local_port),
                  "must differ from cmdport_local in interface.conf");
        if (c.local_cmd_port && *c.local_cmd_port != interface_.cmdport_local)
            add_problem(Severity::kWarning, "connection", "local_cmd_port", fmt::format("{}", *c.local_cmd_port),
                        fmt::format("is not used: cmdport_local in interface.conf is {}", interface_.cmdport_local));
    }

    void check_path(std::size_t n, const PathConfig &path)
    {
        const std::string section = path_section(n);
        if (std::any_of(interface_.tunnels.begin(), interface_.tunnels.end(),
                        [&](const TunnelConfig &tunnel) { return tunnel.name == path.interface_name; }))
            error(section, "interface_name", path.interface_name,
                  "must be a physical interface: this one is a tunnel in interface.conf");
        const auto must_be_outside = [&](std::string_view key, const base::Address &address) {
            if (!tunnel_of(address).empty() || address == connection_->ip_remote)
                error(section, key, address.to_string(), "must be an address of a physical interface, not of a tunnel");
        };
        if (path.private_ipaddr != path.public_ipaddr) // which it is too where the file has none
            must_be_outside("private_ipaddr", path.private_ipaddr);
        must_be_outside("public_ipaddr", path.public_ipaddr);
        if (!path.remote_ipaddr)
            return;
        must_be_outside("remote_ipaddr", *path.remote_ipaddr);
        if (path.remote_ipaddr->is_unspecified())
            return; // keepalives say which path they are of
        const PathSocket socket = socket_of(*connection_, path);
        const auto same_as = [&](const std::string &where) {
            error(section, "remote_ipaddr", path.remote_ipaddr->to_string(),
                  fmt::format("{} has the same local and remote addresses and ports", where));
        };
        if (const auto found = sockets_.find(socket); found != sockets_.end())
            same_as(found->second);
        for (std::size_t earlier = 0; earlier < n; ++earlier) {
            const PathConfig &other = connection_->paths[earlier];
            if (other.remote_ipaddr && socket_of(*connection_, other) == socket)
                same_as(fmt::format("[{}]", path_section(earlier)));
        }
    }

    void check_network(std::size_t n, const NetworkConfig &network)
    {
        const std::string section = fmt::format("net_{}", n);
        const NetworkPair pair{network.src_addr, network.dst_addr};
        const auto same_as = [&](const std::string &where) {
            error(section, "dst_addr", network.dst_addr.to_string(),
                  fmt::format("{} has the same source and destination", where));
        };
        if (const auto found = networks_.find(pair); found != networks_.end())
            same_as(found->second);
        for (std::size_t earlier = 0; earlier < n; ++earlier) {
            const NetworkConfig &other = connection_->networks[earlier];
            if (NetworkPair{other.src_addr, other.dst_addr} == pair)
                same_as(fmt::format("[net_{}]", earlier));
        }
        if (network.dst_addr.length == 0)
            return; // a default route: more specific ones go before it
        for (const TunnelConfig &tunnel : interface_.tunnels) {
            for (const std::optional<base::Prefix> &own : {tunnel.ipv4_addr, tunnel.ipv6_addr}) {
                if (own && network.dst_addr.contains(own->address))
                    error(section, "dst_addr", network.dst_addr.to_string(),
                          fmt::format("must not cover {}, the address of tunnel {} in interface.conf",
                                      own->address.to_string(), tunnel.name));
            }
        }
    }

    // The packets between the two ends of a connection, as a network of one host each.
    static NetworkPair tunnel_pair(const ConnectionConfig &connection)
    {
        const auto whole = [](const base::Address &address) {
            return base::Prefix{address, static_cast<std::uint8_t>(address.bits())};
        };
        return {whole(connection.ip_local), whole(*connection.ip_remote)};
    }

    static PathSocket socket_of(const ConnectionConfig &connection, const PathConfig &path)
    {
        const bool is_automatic = path.private_ipaddr.is_unspecified();
        return {{path.private_ipaddr, is_automatic ? path.interface_name : std::string()},
                connection.local_port,
                *path.remote_ipaddr,
                connection.remote_port};
    }

    void add()
    {
        const ConnectionConfig &c = *connection_;
        names_.emplace(c.name, c.file);
        if (c.ip_remote) {
            pairs_.emplace(TunnelPair{c.ip_local, *c.ip_remote}, c.file);
            networks_.emplace(tunnel_pair(c), fmt::format("the tunnel of {}", c.file));
        }
        for (std::size_t n = 0; n < c.paths.size(); ++n) {
            if (c.paths[n].remote_ipaddr && !c.paths[n].remote_ipaddr->is_unspecified())
                sockets_.emplace(socket_of(c, c.paths[n]), fmt::format("[{}] in {}", path_section(n), c.file));
        }
        for (std::size_t n = 0; n < c.networks.size(); ++n)
            networks_.emplace(NetworkPair{c.networks[n].src_addr, c.networks[n].dst_addr},
                              fmt::format("[net_{}] in {}", n, c.file));
    }

    const InterfaceConfig &interface_;
    const ConnectionConfig *connection_ = nullptr; // the one being checked
    std::vector<Problem> problems_;                // of it
    // Of those that were added, and where each stands.
    std::map<std::string, std::string> names_;
    std::map<TunnelPair, std::string> pairs_;
    std::map<PathSocket, std::string> sockets_;
    std::map<NetworkPair, std::string> networks_;
};

} // namespace

std::vector<Problem> check_connections(const InterfaceConfig &interface, std::span<const ConnectionConfig> connections)
{
    std::vector<const ConnectionConfig *> by_file;
    for (const ConnectionConfig &connection : connections)
        by_file.push_back(&connection);
    std::stable_sort(by_file.begin(), by_file.end(),
                     [](const ConnectionConfig *a, const ConnectionConfig *b) { return a->file < b->file; });
    Checker checker(interface);
    std::vector<Problem> all;
    for (const ConnectionConfig *connection : by_file) {
        std::vector<Problem> problems = checker.check(*connection);
        all.insert(all.end(), std::make_move_iterator(problems.begin()), std::make_move_iterator(problems.end()));
    }
    return all;
}

} // namespace mpt::config
