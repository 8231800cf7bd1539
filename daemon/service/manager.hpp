// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/config/connection.hpp"
#include "daemon/config/interface.hpp"
#include "daemon/core/liveness.hpp"
#include "daemon/service/needs.hpp"

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace mpt::service {

// Something that the administrator should be told; who calls decides how.
struct Notice {
    enum class Level { kError, kWarning, kInfo };
    Level level;
    std::string text; // one line
};
using Notices = std::vector<Notice>;

// A path of a running connection.
struct PathRecord {
    core::PathParameters parameters; // local address unspecified while it is not known
    std::string waits_for;           // why it has no sockets, in words; empty if it has
};

// A running connection.
struct ConnectionRecord {
    config::ConnectionConfig config;
    std::string tunnel;
    std::vector<PathRecord> paths;
};

// Reads interface.conf, which must be right before anything is touched. kInvalidConfig if it is not there or not right;
// what is wrong stands in `notices`.
base::Result<config::InterfaceConfig> load_interface(ConfigDirectory &directory, Notices &notices);

// Everything that the daemon does with tunnels, connections and paths, told in terms of the configuration.
class Manager {
public:
    // `directory`, `network` and `plane` stay the caller's.
    Manager(config::InterfaceConfig interface, ConfigDirectory &directory, Network &network, DataPlane &plane);

    // Makes the tunnels and starts the connections. A connection whose file is wrong is left out, and a path whose
    // interface or address is missing waits; both stand in `notices`. Fails if a tunnel cannot be made or a port is in
    // use.
    base::Result<void> start(Notices &notices);

    // Something about these interfaces has changed: paths that wait are tried, and those that lost their interface or
    // address are closed.
    base::Result<void> on_interfaces_changed(const std::set<std::string> &interfaces, Notices &notices);
    // Looks at all paths once more: what one waits for, such as a port that another program had or a route to the peer,
    // is not always told by an interface.
    base::Result<void> retry(Notices &notices);
    // The data plane says that a path's status has changed.
    void on_path_status(const std::string &connection, std::size_t path, const core::StatusChange &change,
                        Notices &notices) const;

    const config::InterfaceConfig &interface() const noexcept { return interface_; }
    const std::vector<ConnectionRecord> &connections() const noexcept { return connections_; }

private:
    std::vector<config::ConnectionConfig> load_connections(Notices &notices);
    void add_connection(const config::ConnectionConfig &config);
    // A tunnel interface that was set down and up again gets back what the kernel took away.
    void follow_tunnel(const config::TunnelConfig &tunnel, Notices &notices);
    core::ConnectionParameters parameters_of(const ConnectionRecord &record) const;
    base::Result<void> follow_interfaces(const std::function<bool(const PathRecord &)> &concerns, Notices &notices);
    // Opens or closes the path as its interface is now. False if nothing has changed. A failure has been told.
    base::Result<bool> follow_interface(ConnectionRecord &record, std::size_t path, Notices &notices);

    config::InterfaceConfig interface_;
    ConfigDirectory &directory_;
    Network &network_;
    DataPlane &plane_;
    std::vector<ConnectionRecord> connections_;
    std::set<std::string> tunnels_down_; // interfaces of ours that somebody has set down
};

} // namespace mpt::service
