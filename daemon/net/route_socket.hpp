// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/net/netlink_socket.hpp"
#include "daemon/net/network_state.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace mpt::net {

// Marks the routes that mptd adds (`ip route show proto 212`), so that they are told from everybody else's. Not used
// in iproute2's rt_protos, nor by FRR (186-198) or other routing daemons.
inline constexpr std::uint8_t kRouteProtocol = 212;

inline constexpr std::uint32_t kMainTable = 254; // RT_TABLE_MAIN

struct Route {
    base::Prefix destination; // host bits do not matter
    std::string interface;
    std::optional<base::Address> gateway = {}; // none: directly connected
    std::optional<base::Address> source = {};  // preferred source address
    std::uint32_t table = kMainTable;
    std::uint32_t metric = 0; // 0: the kernel's default, which is 0 for IPv4 and 1024 for IPv6

    // As `ip route` writes it.
    std::string to_string() const;

    friend auto operator<=>(const Route &, const Route &) = default;
};

// Asks and changes the kernel's network state, of the network namespace in which it was opened. Every call is one or a
// few requests that are answered before it returns; it waits at most 5 s for each answer.
//
// Errors of all calls: kNotFound (no interface of that name, or what is to be removed is not there), kNotPermitted
// (CAP_NET_ADMIN is missing), kAlreadyExists, kInvalidArgument, kNotSupported (IPv6 is off), kSystem. A change that
// fails has changed nothing, except that after a time-out nobody knows.
class RouteSocket {
public:
    static base::Result<RouteSocket> open();

    base::Result<Link> link(std::string_view name);
    // In the kernel's order: IPv4 before IPv6, and an IPv4 subnet's primary address before its secondary ones.
    base::Result<std::vector<InterfaceAddress>> addresses(std::string_view name);

    // These succeed if it is so already.
    base::Result<void> set_up(std::string_view name, bool up);
    base::Result<void> set_mtu(std::string_view name, std::uint32_t octets);
    base::Result<void> set_queue_length(std::string_view name, std::uint32_t packets);

    // Adds an address with its prefix route. IPv6 without duplicate address detection, so that it can be bound to at
    // once. Succeeds if the interface has this address with this prefix length already; kAlreadyExists if it has the
    // IPv6 address with another one; kInvalidArgument for an unspecified or multicast address.
    base::Result<void> add_address(std::string_view name, const base::Prefix &address);
    // kNotFound also if the prefix length is another one. IPv4: the kernel takes the secondary addresses of the same
    // subnet away with the primary one, unless net.ipv4.conf.*.promote_secondaries is set.
    base::Result<void> remove_address(std::string_view name, const base::Prefix &address);

    // Adds a route with our protocol number. The interface must be up, and the gateway on one of its networks.
    // Succeeds if we have added exactly this route before; kAlreadyExists if there is any other route to the same
    // destination with the same metric in the same table: whose it is stays untouched. kInvalidArgument if
    // destination, gateway and source are not of one IP version.
    base::Result<void> add_route(const Route &route);
    // Removes a route that add_route() added, and no other one. The kernel removes routes by itself with their
    // interface, and when it is set down.
    base::Result<void> remove_route(const Route &route);
    // All that have our protocol number.
    base::Result<std::vector<Route>> own_routes();
    // Those of others that leave by the interface, of all tables.
    base::Result<std::vector<RouteEntry>> other_routes(std::string_view name, base::IpVersion version);

    // Adds a rule with our protocol number, after those that have its priority already. Succeeds if it is there.
    base::Result<void> add_rule(const Rule &rule);
    // Removes a rule that add_rule() added, and no other one.
    base::Result<void> remove_rule(const Rule &rule);
    // All that have our protocol number.
    base::Result<std::vector<Rule>> own_rules();

    // Whether the kernel forwards what comes in by the interface. IPv6 has one switch for all interfaces.
    base::Result<bool> forwards(std::string_view name, base::IpVersion version);

    // All interfaces and addresses.
    base::Result<NetworkState> read_state();

private:
    // Why a request was not done: an errno value, and the kernel's words if it gave any.
    struct Refusal {
        int error = 0;
        std::string reason = {};
    };
    template <typename T> using Outcome = tl::expected<T, Refusal>;

    explicit RouteSocket(NetlinkSocket socket);

    static base::Failure explain(const std::string &what, const Refusal &refusal);
    // Sends a request and gathers what is answered until its end. EAGAIN if it is a dump that a change interrupted.
    Outcome<std::vector<Event>> transact(const Request &request);
    // The same for a dump, which is repeated if it was interrupted.
    Outcome<std::vector<Event>> dump(const Request &request);
    Outcome<Link> find_link(std::string_view name);
    Outcome<std::vector<InterfaceAddress>> find_addresses(std::uint32_t index);
    base::Result<void> change_link(const std::string &what, std::string_view name, int attribute, std::uint32_t value);
    Outcome<void> change_address(int type, int flags, std::uint32_t index, const base::Prefix &address);
    Outcome<void> change_route(int type, int flags, const RouteEntry &route);
    Outcome<bool> has_route(const RouteEntry &route);
    // Empty filters, 0, take all.
    Outcome<std::vector<RouteEntry>> find_routes(base::IpVersion version, std::uint8_t protocol, std::uint32_t index);
    Outcome<void> change_rule(int type, int flags, const Rule &rule);

    NetlinkSocket socket_;
};

} // namespace mpt::net
