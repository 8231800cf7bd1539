// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/octets.hpp"
#include "daemon/base/result.hpp"
#include "daemon/base/secret.hpp"
#include "daemon/config/interface.hpp"
#include "daemon/core/parameters.hpp"
#include "daemon/service/records.hpp"
#include "daemon/service/routes.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

// What the use cases need from the rest of the daemon. The program puts in what does it; tests put in their own.
namespace mpt::service {

// A file with a key in it.
struct KeyFile {
    base::SecretText text;
    bool readable_by_all; // by any user of the machine
};

// Where the configuration files are.
class ConfigDirectory {
public:
    virtual ~ConfigDirectory() = default;

    // The text of interface.conf.
    virtual base::Result<base::SecretText> read_interface() = 0;
    // Names of the connection files (*.conf), without path, sorted.
    virtual base::Result<std::vector<std::string>> list_connections() = 0;
    // Names of all files beside them, without path.
    virtual base::Result<std::vector<std::string>> list_all() = 0;
    virtual base::Result<base::SecretText> read_connection(const std::string &file) = 0;
    // The text of conf.template.
    virtual base::Result<base::SecretText> read_template() = 0;
    // Whether any user of the machine may read the file.
    virtual bool is_readable_by_all(const std::string &file) = 0;
    // What an auth_key_file names: a file anywhere, or a credential as the service manager passed it at the start.
    // kNotFound also if it has passed none.
    virtual base::Result<KeyFile> read_key(const std::string &auth_key_file) = 0;
    // Puts the text in the place of the file, or makes it: whole or not at all, with the group and mode that it had.
    virtual base::Result<void> write_connection(const std::string &file, std::string_view text) = 0;
    // Renames the file to FILE.disabled, in the place of one that was there before.
    virtual base::Result<void> disable_connection(const std::string &file) = 0;
};

// The kernel's network state.
class Network {
public:
    virtual ~Network() = default;

    // Gives a tunnel interface that is there its addresses, queue length and, if the file says a number, MTU, and sets
    // it up.
    virtual base::Result<void> set_up_tunnel(const config::TunnelConfig &tunnel) = 0;
    // Gives it its addresses once more: the kernel takes some away when it is set down.
    virtual base::Result<void> add_addresses(const config::TunnelConfig &tunnel) = 0;
    virtual base::Result<void> set_mtu(const std::string &interface, std::uint32_t octets) = 0;
    // Makes the routes of ours these and no others, with what the kernel needs beside them. Returns what could not be
    // done, one line each; it is tried again with the next call.
    virtual std::vector<std::string> set_routes(const Routes &routes) = 0;
    // What was set may have been taken away: set_routes() is to look.
    virtual void doubt_routes() = 0;
    // Whether the kernel forwards what comes out of the tunnel.
    virtual bool forwards(const std::string &tunnel, base::IpVersion version) = 0;

    // These fail with kNotFound if there is no such interface, or address on it.
    virtual base::Result<void> add_address(const std::string &interface, const base::Prefix &address) = 0;
    virtual base::Result<void> remove_address(const std::string &interface, const base::Prefix &address) = 0;
    virtual base::Result<void> set_interface(const std::string &interface, bool up) = 0;

    virtual bool interface_exists(const std::string &interface) = 0;
    // Nothing if there is none.
    virtual std::optional<std::uint32_t> interface_mtu(const std::string &interface) = 0;
    // Up, with carrier.
    virtual bool interface_ready(const std::string &interface) = 0;
    virtual bool has_address(const std::string &interface, const base::Address &address) = 0;
    // That can be used, of all interfaces, with the prefix lengths of their networks.
    virtual std::vector<base::Prefix> addresses() = 0;
    // Of one interface, in their order.
    virtual std::set<base::Address> addresses(const std::string &interface) = 0;
    // The first address of a version that is no link-local one.
    virtual std::optional<base::Address> first_address(const std::string &interface, base::IpVersion version) = 0;
    // Whether the address is on a network of the interface.
    virtual bool is_connected(const std::string &interface, const base::Address &address) = 0;
    // The way to that address over the interface that others have set; nothing if no route says so.
    virtual std::optional<Way> way(const std::string &interface, const base::Address &to) = 0;
};

// The packets. Changes take effect with commit().
class DataPlane {
public:
    virtual ~DataPlane() = default;

    virtual base::Result<void> add_tunnel(const std::string &name) = 0;
    // Adds a connection or changes the one of that name.
    virtual void set_connection(const core::ConnectionParameters &parameters) = 0;
    // Opens the sockets of a path whose interface is ready and has its address, and says whether that changed anything:
    // sockets that are open stay. kAddressInUse if another program has the port.
    virtual base::Result<bool> open_path(const std::string &connection, std::size_t path) = 0;
    // Closes the sockets of a path whose interface is not ready or does not have its address, and says whether that
    // changed anything.
    virtual bool close_path(const std::string &connection, std::size_t path, bool interface_ready,
                            bool address_present) = 0;
    // The largest packet that a path with open sockets carries to its peer in one piece, as far as is known: from its
    // interface, its route, ICMP messages on the way, and probes. Nothing if there is no route now.
    virtual std::optional<std::uint32_t> path_mtu(const std::string &connection, std::size_t path) = 0;
    // Whether the kernel sends in fragments what is larger, or refuses it. At once, without commit().
    virtual void set_fragmentation(const std::string &connection, std::size_t path, bool on) = 0;
    virtual void remove_connection(const std::string &connection) = 0;
    // By hand: down lasts until up.
    virtual void set_path(const std::string &connection, std::size_t path, bool up) = 0;
    // What it was last set to by hand in the process before this one.
    virtual std::optional<bool> set_before(const std::string &connection, std::size_t path) = 0;
    // Where its peer was learned to be in the process before this one, if that has not been long ago.
    virtual std::optional<core::LearnedPeer> learned_before(const std::string &connection, std::size_t path) = 0;
    // By the peer.
    virtual void set_path_by_peer(const std::string &connection, std::size_t path, bool up) = 0;
    // Whose answers Stun is told of.
    virtual void set_stun_servers(const std::vector<base::Endpoint> &servers) = 0;
    virtual base::Result<void> commit() = 0;
    // Waits shortly until what was committed can be seen. Never for a peer: it could hold us up.
    virtual void settle() = 0;

    // Sends from the local port of a path whose sockets are open; false if the kernel does not take it.
    virtual bool send_from(const base::Endpoint &local, const std::string &interface, const base::Endpoint &to,
                           base::ConstOctets datagram) = 0;

    // As it is now.
    virtual PathState path_state(const std::string &connection, std::size_t path) = 0;
    virtual ConnectionStatistics statistics(const std::string &connection) = 0;
    virtual Counters tunnel_statistics(const std::string &tunnel) = 0;
};

// Sends control messages.
class ControlPort {
public:
    virtual ~ControlPort() = default;

    // From an address of ours (unspecified: any) by the interface (empty: whichever leads there).
    virtual base::Result<void> send(const base::Address &local, const std::string &interface,
                                    const base::Endpoint &peer, base::ConstOctets octets) = 0;
};

// What has become of a host's name.
struct ResolvedName {
    std::string name;
    std::vector<base::Address> addresses; // sorted; none: `failure` says why
    std::string failure;
};

// Finds the addresses of hosts by their names, in its own time.
class Resolver {
public:
    virtual ~Resolver() = default;

    // The answer is given to Stun::on_resolved(); until then there is no further question.
    virtual base::Result<void> resolve(const std::vector<std::string> &names) = 0;
};

} // namespace mpt::service
