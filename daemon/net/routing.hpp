// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/net/route_socket.hpp"

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

// The routes and rules of this program: what makes the kernel send packets into the tunnels, and those of each path out
// by the path's own interface and gateway.
namespace mpt::net {

// The packets of a path that come from `local` and go to `remote`, or anywhere if that is unspecified.
struct PathRoute {
    std::string interface; // up, and with the address
    base::Address local;
    base::Address remote;
    std::optional<base::Address> gateway = {}; // none: directly connected
};

// Our rules. Each local address of a path has one, "from ADDRESS lookup TABLE suppress_prefixlength 0", and the table a
// route to each remote address of its paths: of the packets of others only those between just these two addresses are
// concerned. The sockets of paths are bound to their interfaces, so the kernel skips the routes of other interfaces for
// them: neither a mark on packets, which may clash with the administrator's own, nor a table for each path is needed.
// By the source alone, without `oif`, the rules hold in the opposite direction too, for strict reverse path filtering.
inline constexpr std::uint32_t kPathRulePriority = 212; // before those that people add, and before those of VRFs (1000)
inline constexpr std::uint32_t kFirstPathTable = 21200;
inline constexpr std::uint32_t kPathTables = 1000;

// While a tunnel has a default route, what comes from a path's local address, such as an answer of this host to
// somebody out there, must not go into the tunnel, which takes it from no such address. So, behind all other rules but
// the kernel's own: "from ADDRESS lookup main suppress_prefixlength 1", what the main table says besides default
// routes, ours and theirs, then "from ADDRESS lookup TABLE", whose default route is the path's. A path whose peer may
// be anywhere has the same.
inline constexpr std::uint32_t kAnswerRulePriority = 32765;

class Routing {
public:
    // `requests` stays the caller's.
    explicit Routing(RouteSocket &requests) : requests_(requests) {}

    // Learns what there is of ours: at the start, what a process that was killed has left, and later what the kernel or
    // somebody else has taken away.
    base::Result<void> read();

    // Makes what there is of ours these, and takes the rest away. A destination 0.0.0.0/0 or ::/0 into a tunnel becomes
    // two routes to its halves, which go before any default route and leave those as they are. Returns what could not
    // be done, one line each; it is tried again with the next call.
    std::vector<std::string> apply(std::span<const Route> tunnels, std::span<const PathRoute> paths);

private:
    struct Wanted {
        std::set<Rule> rules;
        std::set<Route> routes;
    };

    Wanted plan(std::span<const Route> tunnels, std::span<const PathRoute> paths, std::vector<std::string> &problems);
    // A table for each of these addresses, which stays as long as the address does.
    void assign_tables(const std::set<base::Address> &addresses, std::vector<std::string> &problems);

    RouteSocket &requests_;
    std::set<Rule> rules_;
    std::set<Route> routes_;
    std::map<base::Address, std::uint32_t> tables_;
};

// How packets to `remote` leave by an interface, as these routes over it say.
struct Way {
    std::optional<base::Address> gateway; // none: directly connected
};
// The main table's longest prefix that fits, and of several the one with the smallest metric; if nothing in it fits the
// same of all other tables. Nothing if no route fits.
std::optional<Way> find_way(std::span<const RouteEntry> routes, const base::Address &remote);

} // namespace mpt::net
