// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/net/routing.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <tuple>

namespace mpt::net {

namespace {

using base::Address;
using base::ErrorCode;
using base::Prefix;

// More than the kernel's default of both versions, and a number of its own for each interface of a destination.
constexpr std::uint32_t kFirstMetric = 1024;

Prefix whole(const Address &address)
{
    return {address, static_cast<std::uint8_t>(address.bits())};
}

Prefix default_of(base::IpVersion version)
{
    return {Address::any(version), 0};
}

// 0.0.0.0/1 and 128.0.0.0/1, or ::/1 and 8000::/1.
std::array<Prefix, 2> halves(base::IpVersion version)
{
    const Address upper = version == base::IpVersion::kV4
                              ? Address::from_octets(std::array<std::byte, 4>{std::byte{0x80}})
                              : Address::from_octets(std::array<std::byte, 16>{std::byte{0x80}});
    return {Prefix{Address::any(version), 1}, Prefix{upper, 1}};
}

Rule rule(std::uint32_t priority, const Address &source, std::uint32_t table, std::optional<std::uint32_t> longer)
{
    return {source.version(), priority, whole(source), table, longer, kRouteProtocol};
}

// What is in `all` and not in `without`.
template <typename T> std::vector<T> difference(const std::set<T> &all, const std::set<T> &without)
{
    std::vector<T> result;
    std::set_difference(all.begin(), all.end(), without.begin(), without.end(), std::back_inserter(result));
    return result;
}

} // namespace

base::Result<void> Routing::read()
{
    auto routes = requests_.own_routes();
    if (!routes)
        return base::Failure(routes.error());
    auto rules = requests_.own_rules();
    if (!rules)
        return base::Failure(rules.error());
    routes_ = std::set<Route>(std::make_move_iterator(routes->begin()), std::make_move_iterator(routes->end()));
    rules_ = std::set<Rule>(rules->begin(), rules->end());
    return {};
}

std::vector<std::string> Routing::apply(std::span<const Route> tunnels, std::span<const PathRoute> paths)
{
    std::vector<std::string> problems;
    const Wanted wanted = plan(tunnels, paths, problems);
    const auto tell = [&](const base::Result<void> &done) {
        if (!done)
            problems.push_back(done.error().text);
        return done.has_value();
    };
    const auto is_gone = [&](const base::Result<void> &removed) {
        return (!removed && removed.error().code == ErrorCode::kNotFound) || tell(removed);
    };
    const auto remove = [&](const Rule &old) {
        if (is_gone(requests_.remove_rule(old)))
            rules_.erase(old);
    };
    for (const Rule &old : difference(rules_, wanted.rules))
        remove(old);
    for (const Route &old : difference(routes_, wanted.routes))
        if (is_gone(requests_.remove_route(old)))
            routes_.erase(old);
    // A rule comes after what it points to.
    for (const Route &route : difference(wanted.routes, routes_))
        if (tell(requests_.add_route(route)))
            routes_.insert(route);
    // Rules of one priority and source are asked in the order in which they are added.
    for (const Rule &added : difference(wanted.rules, rules_))
        for (const Rule &later : std::set<Rule>(rules_.upper_bound(added), rules_.end()))
            if (later.version == added.version && later.priority == added.priority && later.source == added.source)
                remove(later);
    for (const Rule &added : difference(wanted.rules, rules_))
        if (tell(requests_.add_rule(added)))
            rules_.insert(added);
    return problems;
}

Routing::Wanted Routing::plan(std::span<const Route> tunnels, std::span<const PathRoute> paths,
                              std::vector<std::string> &problems)
{
    Wanted wanted;
    std::set<base::IpVersion> defaults; // versions of which a tunnel is the default
    for (Route route : tunnels) {
        route.destination = route.destination.network();
        if (route.destination.length != 0) {
            wanted.routes.insert(std::move(route));
            continue;
        }
        const base::IpVersion version = route.destination.address.version();
        defaults.insert(version);
        for (const Prefix &half : halves(version)) {
            route.destination = half;
            wanted.routes.insert(route);
        }
    }

    std::set<Address> locals;
    for (const PathRoute &path : paths)
        locals.insert(path.local);
    assign_tables(locals, problems);

    std::map<std::tuple<std::uint32_t, Prefix>, std::vector<Route>> by_destination;
    const auto add = [&](const PathRoute &path, std::uint32_t table, const Prefix &destination) {
        std::vector<Route> &same = by_destination[{table, destination}];
        const auto other = std::find_if(same.begin(), same.end(),
                                        [&](const Route &route) { return route.interface == path.interface; });
        if (other == same.end())
            same.push_back({destination, path.interface, path.gateway, std::nullopt, table, 0});
        else if (other->gateway != path.gateway && destination.length != 0)
            problems.push_back(fmt::format(
                "two paths from {} on {} to {} have the gateways {} and {}: give both the same", path.local.to_string(),
                path.interface, path.remote.to_string(), other->gateway ? other->gateway->to_string() : "none",
                path.gateway ? path.gateway->to_string() : "none"));
    };
    for (const PathRoute &path : paths) {
        const auto table = tables_.find(path.local);
        if (table == tables_.end())
            continue;
        const bool is_anywhere = path.remote.is_unspecified();
        if (!is_anywhere)
            add(path, table->second, whole(path.remote));
        wanted.rules.insert(rule(kPathRulePriority, path.local, table->second, 0));
        const base::IpVersion version = path.local.version();
        if (!is_anywhere && !defaults.contains(version))
            continue;
        add(path, table->second, default_of(version));
        wanted.rules.insert(rule(kAnswerRulePriority, path.local, kMainTable, 1));
        wanted.rules.insert(rule(kAnswerRulePriority, path.local, table->second, std::nullopt));
    }
    for (auto &[key, routes] : by_destination) {
        std::sort(routes.begin(), routes.end());
        for (std::size_t i = 0; i < routes.size(); ++i) {
            routes[i].metric = kFirstMetric + 1 + static_cast<std::uint32_t>(i);
            wanted.routes.insert(std::move(routes[i]));
        }
    }
    return wanted;
}

void Routing::assign_tables(const std::set<Address> &addresses, std::vector<std::string> &problems)
{
    std::erase_if(tables_, [&](const auto &entry) { return !addresses.contains(entry.first); });
    std::set<std::uint32_t> used;
    // What is there stays: after a crash the next process goes on with the same tables.
    for (const Rule &present : rules_)
        if (present.priority == kPathRulePriority && present.source && addresses.contains(present.source->address))
            tables_.try_emplace(present.source->address, present.table);
    for (const auto &[address, table] : tables_)
        used.insert(table);
    std::uint32_t next = kFirstPathTable;
    for (const Address &address : addresses) {
        if (tables_.contains(address))
            continue;
        while (used.contains(next))
            ++next;
        if (next >= kFirstPathTable + kPathTables) {
            problems.push_back(fmt::format("the paths from {} have no routing table: all {} from {} on are in use",
                                           address.to_string(), kPathTables, kFirstPathTable));
            continue;
        }
        tables_[address] = next;
        used.insert(next);
    }
}

std::optional<Way> find_way(std::span<const RouteEntry> routes, const Address &remote)
{
    const RouteEntry *best = nullptr;
    const auto rank = [](const RouteEntry &route) {
        return std::tuple(route.table != kMainTable, -static_cast<int>(route.destination.length), route.metric);
    };
    for (const RouteEntry &route : routes)
        if (route.destination.contains(remote) && (best == nullptr || rank(route) < rank(*best)))
            best = &route;
    return best == nullptr ? std::nullopt : std::optional(Way{best->gateway});
}

} // namespace mpt::net
