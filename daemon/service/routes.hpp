// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/config/connection.hpp"
#include "daemon/config/interface.hpp"

#include <optional>
#include <span>
#include <string>
#include <vector>

// The routes that tunnels and paths need.
namespace mpt::service {

// Into a tunnel.
struct TunnelRoute {
    std::string tunnel;
    base::Prefix destination;            // length 0: all that no other route leads to
    std::optional<base::Address> source; // of what this host sends there itself

    friend bool operator==(const TunnelRoute &, const TunnelRoute &) = default;
};

// Of a path's packets, from its own address to the peer's, out of its interface.
struct PathRoute {
    std::string interface;
    base::Address local;
    base::Address remote;                 // unspecified: wherever the peer may be
    std::optional<base::Address> gateway; // none: directly connected

    friend bool operator==(const PathRoute &, const PathRoute &) = default;
};

// How packets leave by an interface.
struct Way {
    std::optional<base::Address> gateway; // none: directly
};

struct Routes {
    std::vector<TunnelRoute> tunnels;
    std::vector<PathRoute> paths;
};

// The routes into the tunnel that a connection needs: to the peer's tunnel address, and to its networks. What this host
// itself sends into a network comes from an address of src_addr if it has one, since the peer knows the network by it,
// else from the tunnel's address. `addresses` are this host's.
std::vector<TunnelRoute> tunnel_routes(const config::ConnectionConfig &connection, const config::TunnelConfig &tunnel,
                                       std::span<const base::Prefix> addresses);

// Whether packets of others than this host come from src_addr, so that it must forward them.
bool needs_forwarding(const config::NetworkConfig &network, std::span<const base::Prefix> addresses);

} // namespace mpt::service
