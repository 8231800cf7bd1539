// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/core/forwarding_table.hpp"
#include "daemon/core/parameters.hpp"
#include "daemon/plane/link_flags.hpp"
#include "daemon/plane/tun.hpp"
#include "daemon/plane/udp_socket.hpp"
#include "daemon/proto/session_keepalive.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

namespace mpt::plane {

class Connection;
class Sender;
struct Tunnel;

// That a path was set up or down.
struct Order {
    std::uint32_t count = 0; // how often so far
    bool up = false;         // the last time
};

// What the worker is told of a path besides its parameters.
struct PathLink {
    // Shared by the forwarding states that follow one another: the last one to go closes the socket.
    std::shared_ptr<UdpSocket> listening; // null: the path waits for its interface or address
    std::shared_ptr<UdpSocket> connected; // null: datagrams leave by the listening socket
    sys::SocketAddress remote;            // where to, if that is known
    LinkFlag interface_ready;             // what the watch over the links says, at once
    bool interface_up = false;            // what the control thread says: there, up and with carrier
    bool address_present = false;         // the interface has the path's local address
    bool socket_works = true;             // false: the sockets could not be made
    Order by_hand;
    Order by_peer;
};

// One version of a connection; a worker tells by the pointer whether it has changed.
struct ConnectionEntry {
    core::ConnectionParameters parameters;
    std::shared_ptr<Tunnel> tunnel; // as the connection
    std::vector<PathLink> links;    // one a path
    // Shared with the forwarding states before and after, and with the control thread, which reads the counters.
    std::shared_ptr<Connection> connection;
};

struct PathReference {
    std::uint32_t connection = 0; // index in ForwardingState::connections
    std::uint32_t path = 0;
};

// A socket that is read, and whose datagrams they are.
struct SocketEntry {
    std::shared_ptr<UdpSocket> socket;
    std::optional<PathReference> path; // of a connected socket
    base::Endpoint remote;             // of that path
    std::size_t listening = 0;         // the socket in ForwardingState::sockets that knows all other sources
    // Of a listening socket: by the whole source, else (a NAT changed the port) by its address alone.
    std::unordered_map<base::Endpoint, PathReference> by_endpoint;
    std::unordered_map<base::Address, PathReference> by_address;
    // And of keepalives of authentication type 3, which may come from anywhere, by what they say.
    std::unordered_map<proto::KeepaliveName, PathReference> by_name;
};

struct TunnelEntry {
    std::shared_ptr<Tunnel> tunnel; // as the sockets
    core::ForwardingTable table;    // to the index in ForwardingState::connections
};

// All that a worker needs to forward packets; it never changes once it is posted.
struct ForwardingState {
    std::uint64_t number = 0; // rises with each one
    std::vector<TunnelEntry> tunnels;
    std::vector<std::shared_ptr<const ConnectionEntry>> connections;
    std::vector<SocketEntry> sockets;
    std::vector<base::Endpoint> stun_servers; // whose answers the control thread gets: few
};

} // namespace mpt::plane
