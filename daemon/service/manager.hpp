// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/config/interface.hpp"
#include "daemon/service/loader.hpp"
#include "daemon/service/needs.hpp"
#include "daemon/service/records.hpp"
#include "daemon/service/tunnel_mtus.hpp"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace mpt::service {

// Told of what has changed, when it has. Must not change anything through the manager from within.
class Observer {
public:
    virtual ~Observer() = default;

    virtual void on_connection_added(const ConnectionRecord &connection) = 0;
    virtual void on_connection_removed(const std::string &name) = 0;
    // Its configuration, its file or the number of its paths.
    virtual void on_connection_changed(const ConnectionRecord &connection) = 0;
    // The configuration of a path, what it waits for, or whether its interface is metered.
    virtual void on_path_changed(const ConnectionRecord &connection, std::size_t path) = 0;
    virtual void on_path_status(const ConnectionRecord &connection, std::size_t path,
                                const core::StatusChange &change) = 0;
    // interface(), problems() or the MTU of a tunnel.
    virtual void on_settings_changed() = 0;
};

// Everything that the daemon does with tunnels, connections and paths, told in terms of the configuration.
//
// Connections are named by their file or by their name; kNotFound if there is none of it. What the administrator should
// know besides success or failure is appended to `notices`.
class Manager {
public:
    // `directory`, `network` and `plane` stay the caller's.
    Manager(config::InterfaceConfig interface, ConfigDirectory &directory, Network &network, DataPlane &plane);

    // Makes the tunnels and starts the connections. A connection whose file is wrong is left out, and a path whose
    // interface or address is missing waits; both stand in `notices`. Fails if a tunnel cannot be made or a port is in
    // use.
    base::Result<void> start(Notices &notices);
    // From now on; null: nobody. Stays the caller's.
    void set_observer(Observer *observer) noexcept { observer_ = observer; }

    // Something about these interfaces has changed: paths that wait are tried, and those that lost their interface or
    // address are closed.
    base::Result<void> on_interfaces_changed(const std::set<std::string> &interfaces, Notices &notices);
    // Looks at all paths once more: what one waits for, such as a port that another program had or a route to the peer,
    // is not always told by an interface.
    base::Result<void> retry(Notices &notices);
    // Looks at the MTUs of paths and tunnels: also without any change told by an interface, since the kernel learns of
    // the paths from their packets.
    void follow_mtus(base::Instant now, Notices &notices);
    // The STUN servers that paths ask for their public address, so that each can reach them by its own gateway.
    base::Result<void> set_stun_servers(const std::vector<base::Address> &servers, Notices &notices);
    // What they say of the paths with this local port, if it is to be found automatically; nothing: no more. False if
    // that is known already.
    bool set_found(const base::Endpoint &local, const std::string &interface,
                   const std::optional<base::Endpoint> &found);
    // The data plane says that a path's status has changed. If that is for want of keepalives from where the peer was
    // learned to be, it is sought again where the file says.
    void on_path_status(base::Instant now, const std::string &connection, std::size_t path,
                        const core::StatusChange &change, Notices &notices);

    // The data plane says that the peer has proved to be somewhere else than a path's packets go. From now on they go
    // there, unless that is where another path's go whose file says so.
    struct PathMove {
        std::string connection;
        std::size_t path;
        base::Endpoint to;
    };
    base::Result<void> on_paths_moved(base::Instant now, const std::vector<PathMove> &moves, Notices &notices);
    // The peer says where it sees the path's packets come from.
    void on_path_observed(const std::string &connection, std::size_t path, const base::Endpoint &at);

    // Reads the files once more: all (file empty), or one connection file (guide 4.3). New connections are started,
    // changed ones follow. kInvalidConfig if a file is wrong or cannot be applied: its connection goes on unchanged,
    // and the other files are applied.
    base::Result<void> reload(const std::string &file, Notices &notices);
    // Closes the sockets of all connections (file empty) or one, and starts them again as they are (guide 4.4). A path
    // that was set up or down by hand stays so.
    base::Result<void> restart(const std::string &file, Notices &notices);
    // Ends a connection and renames its file to *.conf.disabled (guide 4.5).
    base::Result<void> remove(const std::string &file);
    // Writes what was changed at run time to the files of all connections (file empty) or one (guide 4.6); returns the
    // files written. kConflict if a file was changed since it was read: nothing of it is overwritten.
    base::Result<std::vector<std::string>> save(const std::string &file);
    // Guide 4.1 and 4.2.
    base::Result<void> add_address(const std::string &interface, const base::Prefix &address);
    base::Result<void> remove_address(const std::string &interface, const base::Prefix &address);
    base::Result<void> set_interface(const std::string &interface, bool up);
    // Whether traffic over the interface costs: nobody has said so before the first call, nor after a restart. It is
    // shown, and changes nothing else. kNotFound for a metered interface that is not there.
    base::Result<void> set_metered(const std::string &interface, bool metered);
    bool is_metered(const std::string &interface) const { return metered_.contains(interface); }
    // Whether a tunnel or a path has this interface.
    bool uses_interface(const std::string &interface) const;

    // By hand. kConflict for the last path that can be used, unless `force`.
    base::Result<void> set_path(const std::string &connection, std::size_t path, bool up, bool force);
    // The peer says so.
    base::Result<void> set_path_by_peer(const std::string &connection, std::size_t path, bool up);
    // 1-10000, else kInvalidArgument.
    base::Result<void> set_weight(const std::string &connection, std::size_t path, unsigned weight);
    // The weight that the peer shall give its end of the path. kNotSupported unless the connection is of authentication
    // type 3: no other peer can be told.
    base::Result<void> set_weight_in(const std::string &connection, std::size_t path, unsigned weight);

    // A connection that a peer has created; it is in no file before save(). Its paths carry nothing before the peer
    // was heard on them.
    base::Result<void> add_created(const config::ConnectionConfig &config, const std::string &peer, Notices &notices);
    // The connection that a create has completed: `config` takes effect, and its file still says `filed`.
    base::Result<void> complete(const config::ConnectionConfig &filed, const config::ConnectionConfig &config,
                                Notices &notices);

    const config::InterfaceConfig &interface() const noexcept { return interface_; }
    // In the order in which they were started. Pointers stay valid until the connection is removed.
    const std::vector<std::unique_ptr<ConnectionRecord>> &connections() const noexcept { return connections_; }
    const ConnectionRecord *find(std::string_view name) const;
    const ConnectionRecord *find_file(std::string_view file) const;
    // The connection between these tunnel addresses.
    const ConnectionRecord *find_between(const base::Address &local, const base::Address &remote) const;
    // The configurations of all connections but the one of the file.
    std::vector<config::ConnectionConfig> others(const std::string &file) const;
    PathState path_state(const std::string &connection, std::size_t path) const;
    ConnectionStatistics statistics(const std::string &connection) const;
    Counters tunnel_statistics(const std::string &tunnel) const;
    TunnelMtu tunnel_mtu(const config::TunnelConfig &tunnel) const { return mtus_.of(tunnel); }
    // What is wrong with the configuration, one line each: files that are left out or not applied, files that are gone.
    std::vector<std::string> problems() const;

private:
    ConnectionRecord *find_record(std::string_view name) const;
    // One connection (kNotFound) or all.
    base::Result<std::vector<ConnectionRecord *>> select(const std::string &file);

    // Of a file (`created_by` empty) or of a peer. Its sockets are opened by follow(), and commit() makes
    // them work.
    ConnectionRecord &add_connection(const config::ConnectionConfig &config, const std::string &created_by = {});
    void configure(ConnectionRecord &record, const config::ConnectionConfig &config) const;
    // What concerns the routes of all connections: into the tunnels, and of the paths as follow() has found them.
    // What the tunnels need, from now on for set_routes().
    void plan_routes();
    void update_routes(Notices &notices);
    void set_routes(Notices &notices);
    void follow_all(ConnectionRecord &record, Notices &notices);

    const config::TunnelConfig &tunnel_of(const config::ConnectionConfig &config) const;
    // Whether a new configuration keeps the record's name and tunnel.
    bool is_same_place(const ConnectionRecord &record, const config::ConnectionConfig &config) const;
    // Closes the sockets that the connection does not have by its new configuration; false if there are none.
    bool close_left(const ConnectionRecord &record, const config::ConnectionConfig &config);
    void end_connection(const ConnectionRecord &record);
    void reload_interface(Notices &notices);
    // A configuration that is right, and what its file says, which after a create is less.
    struct Change {
        config::ConnectionConfig filed;
        config::ConnectionConfig config;
    };
    // They take effect together.
    base::Result<void> take_effect(const std::vector<Change> &changes, Notices &notices);
    void apply(const Change &change, Notices &notices);
    // The data plane has the connection anew: what was set by hand before holds on for paths that are still the same.
    void repeat_orders(ConnectionRecord &record, const std::vector<PathRecord> &before);
    void note_presence(const std::vector<std::string> &present, const std::string &file);
    base::Result<bool> save(ConnectionRecord &record);
    // A tunnel interface that was set down and up again gets back what the kernel took away.
    void follow_tunnel(const config::TunnelConfig &tunnel, Notices &notices);
    // Packets with the addresses that somebody has added to a tunnel interface belong to its connections. False if they
    // are as they were.
    bool follow_addresses(const config::TunnelConfig &tunnel);
    // What was set by hand lasts over a restart.
    void recall_orders(ConnectionRecord &record);
    // Where peers were found lasts, too, unless another path has the same sockets and that peer.
    void recall_learned();
    core::ConnectionParameters parameters_of(const ConnectionRecord &record) const;
    base::Result<void> follow_interfaces(const std::function<bool(const PathRecord &)> &concerns, Notices &notices);
    struct PathPlace {
        ConnectionRecord &record;
        std::size_t path;
    };
    // What a path finds on this host.
    struct PathSite {
        base::Address local;
        bool ready = false;   // the interface
        bool present = false; // the address, on it
        std::string lacks;    // what the path waits for
        std::optional<PathRoute> route;
        std::vector<PathRoute> server_routes;
        bool rerouted = false; // it was another one before
    };
    struct Followed {
        bool changed = false;
        bool any_open = false;
        std::optional<base::Error> port_in_use; // of the first one that found its port taken
    };
    PathSite survey(const ConnectionRecord &record, std::size_t path) const;
    // The paths whose packets to that peer could not be told apart from the path's.
    std::vector<PathPlace> same_sockets(const ConnectionRecord &record, std::size_t path, const base::Endpoint &peer);
    void forget_learned(ConnectionRecord &record, std::size_t path, Notices &notices);
    // Whether one more line about the path may be said this minute; appends to the last one that it is the last one.
    static bool may_tell(base::Instant now, PathRecord &path, std::string &text);
    void survey_servers(const config::PathConfig &config, PathSite &site, bool is_direct) const;
    // Sets the routes of these paths, and opens or closes each as its interface is now. Failures are told in `notices`.
    Followed follow(const std::vector<PathPlace> &places, Notices &notices);
    base::Result<bool> open_or_close(ConnectionRecord &record, std::size_t path, const PathSite &site,
                                     Notices &notices);

    config::InterfaceConfig interface_;
    ConfigDirectory &directory_;
    Network &network_;
    DataPlane &plane_;
    TunnelMtus mtus_;
    Observer *observer_ = nullptr;
    std::vector<std::unique_ptr<ConnectionRecord>> connections_;
    FileProblems problems_; // by file
    std::vector<base::Address> stun_servers_;
    std::vector<TunnelRoute> tunnel_routes_;
    std::vector<std::string> network_problems_;                       // what of the networks does not work
    std::vector<std::string> route_problems_;                         // that, and what of the routes could not be set
    std::map<std::string, std::set<base::Address>> tunnel_addresses_; // of the interface, by name
    std::set<std::string> metered_;                                   // interfaces
    std::set<std::string> tunnels_down_;                              // interfaces of ours that somebody has set down
};

} // namespace mpt::service
