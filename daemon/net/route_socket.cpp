// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/net/route_socket.hpp"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <map>
#include <system_error>

namespace mpt::net {

namespace {

using base::ErrorCode;
using base::Prefix;
using base::Result;

constexpr std::chrono::seconds kAnswerTimeout{5};
constexpr int kReceiveBuffer = 128 * 1024; // a dump waits for us to read on
constexpr int kDumpTries = 16;
// IP6_RT_PRIO_USER of linux/ipv6_route.h, which cannot stand beside netinet/in.h.
constexpr std::uint32_t kDefaultIpv6Metric = 1024;

constexpr auto kVersions = {base::IpVersion::kV4, base::IpVersion::kV6};

std::uint8_t family(base::IpVersion version) noexcept
{
    return version == base::IpVersion::kV4 ? AF_INET : AF_INET6;
}

std::uint8_t family(const base::Address &address) noexcept
{
    return family(address.version());
}

ErrorCode code_of(int error) noexcept
{
    switch (error) {
    case ENODEV:
    case ESRCH:
    case EADDRNOTAVAIL:
    case ENOENT:
        return ErrorCode::kNotFound;
    case EPERM:
        return ErrorCode::kNotPermitted;
    case EEXIST:
        return ErrorCode::kAlreadyExists;
    case EINVAL:
    case ERANGE:
        return ErrorCode::kInvalidArgument;
    case EACCES:
    case EAFNOSUPPORT:
    case EOPNOTSUPP:
        return ErrorCode::kNotSupported;
    default:
        return ErrorCode::kSystem;
    }
}

const char *advice(int error) noexcept
{
    switch (error) {
    case ENODEV:
        return "there is no interface of that name; see 'ip link'";
    case ESRCH:
        return "there is no such route of ours";
    case ENOENT:
        return "there is no such rule of ours";
    case EADDRNOTAVAIL:
        return "the interface has no such address with that prefix length";
    case EPERM:
        return "this needs CAP_NET_ADMIN: run as root";
    case EACCES: // what IPv6 says on an interface where it is off
        return "see net.ipv6.conf.*.disable_ipv6 of this interface";
    case ENETDOWN:
        return "set the interface up first";
    case ENETUNREACH:
    case EHOSTUNREACH:
        return "the gateway must be on a network of the interface";
    case EAGAIN:
        return "the network changed again and again while it was read; try later";
    case ETIMEDOUT:
        return "the kernel did not answer; see its log";
    default:
        return nullptr;
    }
}

RouteEntry entry_of(const Route &route, std::uint32_t index)
{
    const bool v4 = route.destination.address.is_v4();
    // The kernel turns metric 0 into this for IPv6. Said by us it is the same when the route is compared and removed.
    const std::uint32_t metric = route.metric == 0 && !v4 ? kDefaultIpv6Metric : route.metric;
    return {route.destination.network(), index, route.gateway, route.source, route.table, metric, kRouteProtocol};
}

} // namespace

std::string Route::to_string() const
{
    std::string text = destination.network().to_string();
    if (gateway)
        text += fmt::format(" via {}", gateway->to_string());
    text += fmt::format(" dev {}", interface);
    if (source)
        text += fmt::format(" src {}", source->to_string());
    if (table != kMainTable)
        text += fmt::format(" table {}", table);
    if (metric != 0)
        text += fmt::format(" metric {}", metric);
    return text;
}

RouteSocket::RouteSocket(NetlinkSocket socket) : socket_(std::move(socket))
{
}

Result<RouteSocket> RouteSocket::open()
{
    auto socket = NetlinkSocket::open(kReceiveBuffer);
    if (!socket)
        return base::Failure(socket.error());
    socket->set_receive_timeout(kAnswerTimeout);
    return RouteSocket(std::move(*socket));
}

base::Failure RouteSocket::explain(const std::string &what, const Refusal &refusal)
{
    std::string text = fmt::format("{}: {}", what, std::generic_category().message(refusal.error));
    if (!refusal.reason.empty())
        text += fmt::format(": {}", refusal.reason);
    if (const char *to_do = advice(refusal.error))
        text += fmt::format(" ({})", to_do);
    return base::fail(code_of(refusal.error), std::move(text));
}

RouteSocket::Outcome<std::vector<Event>> RouteSocket::transact(const Request &request)
{
    std::uint32_t sequence = 0;
    if (const int error = socket_.send(request, sequence); error != 0)
        return tl::unexpected(Refusal{error});
    Reply reply;
    while (!reply.status) {
        const NetlinkSocket::Received received = socket_.receive(0);
        if (received.error != 0)
            return tl::unexpected(Refusal{received.error == EAGAIN ? ETIMEDOUT : received.error});
        if (const auto gathered = gather(received.octets, sequence, socket_.port(), reply); !gathered)
            return tl::unexpected(Refusal{EBADMSG, gathered.error().text});
    }
    if (reply.status->error != 0)
        return tl::unexpected(Refusal{reply.status->error, std::move(reply.status->reason)});
    if (reply.interrupted)
        return tl::unexpected(Refusal{EAGAIN});
    return std::move(reply.events);
}

RouteSocket::Outcome<std::vector<Event>> RouteSocket::dump(const Request &request)
{
    for (int tries = 1;; ++tries) {
        auto events = transact(request);
        if (events || events.error().error != EAGAIN || tries == kDumpTries)
            return events;
    }
}

RouteSocket::Outcome<Link> RouteSocket::find_link(std::string_view name)
{
    // The kernel calls such names out of range; there can be no interface that has one.
    if (name.empty() || name.size() >= IFNAMSIZ || name.find('\0') != std::string_view::npos)
        return tl::unexpected(Refusal{ENODEV});
    auto events = transact(Request(RTM_GETLINK, 0, ifinfomsg{}).put(IFLA_IFNAME, std::string(name)));
    if (!events)
        return tl::unexpected(events.error());
    for (Event &event : *events)
        if (auto *found = std::get_if<LinkEvent>(&event))
            return std::move(found->link);
    return tl::unexpected(Refusal{ENODEV});
}

RouteSocket::Outcome<std::vector<InterfaceAddress>> RouteSocket::find_addresses(std::uint32_t index)
{
    const auto events = dump(Request(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{}));
    if (!events)
        return tl::unexpected(events.error());
    std::vector<InterfaceAddress> addresses;
    for (const Event &event : *events)
        if (const auto *found = std::get_if<AddressEvent>(&event); found && found->index == index)
            addresses.push_back(found->address);
    return addresses;
}

Result<Link> RouteSocket::link(std::string_view name)
{
    auto link = find_link(name);
    if (!link)
        return explain(fmt::format("looking for the interface {}", name), link.error());
    return std::move(*link);
}

Result<std::vector<InterfaceAddress>> RouteSocket::addresses(std::string_view name)
{
    const std::string what = fmt::format("reading the addresses of {}", name);
    const auto link = find_link(name);
    if (!link)
        return explain(what, link.error());
    auto addresses = find_addresses(link->index);
    if (!addresses)
        return explain(what, addresses.error());
    return std::move(*addresses);
}

Result<void> RouteSocket::set_up(std::string_view name, bool up)
{
    const std::string what = fmt::format("setting {} {}", name, up ? "up" : "down");
    const auto link = find_link(name);
    if (!link)
        return explain(what, link.error());
    ifinfomsg header{};
    header.ifi_index = static_cast<int>(link->index);
    header.ifi_change = IFF_UP;
    header.ifi_flags = up ? IFF_UP : 0;
    if (const auto done = transact(Request(RTM_SETLINK, 0, header)); !done)
        return explain(what, done.error());
    return {};
}

Result<void> RouteSocket::change_link(const std::string &what, std::string_view name, int attribute,
                                      std::uint32_t value)
{
    const auto link = find_link(name);
    if (!link)
        return explain(what, link.error());
    ifinfomsg header{};
    header.ifi_index = static_cast<int>(link->index);
    const auto done = transact(Request(RTM_SETLINK, 0, header).put(attribute, value));
    if (done)
        return {};
    base::Failure failure = explain(what, done.error());
    if (attribute == IFLA_MTU && failure.value().code == ErrorCode::kInvalidArgument)
        failure.value().text +=
            fmt::format(" (the interface allows {} {})", link->min_mtu,
                        link->max_mtu != 0 ? fmt::format("to {}", link->max_mtu) : std::string("and more"));
    return failure;
}

Result<void> RouteSocket::set_mtu(std::string_view name, std::uint32_t octets)
{
    return change_link(fmt::format("setting the MTU of {} to {}", name, octets), name, IFLA_MTU, octets);
}

Result<void> RouteSocket::set_queue_length(std::string_view name, std::uint32_t packets)
{
    return change_link(fmt::format("setting the transmit queue length of {} to {}", name, packets), name, IFLA_TXQLEN,
                       packets);
}

RouteSocket::Outcome<void> RouteSocket::change_address(int type, int flags, std::uint32_t index, const Prefix &address)
{
    ifaddrmsg header{};
    header.ifa_family = family(address.address);
    header.ifa_prefixlen = address.length;
    header.ifa_index = index;
    if (type == RTM_NEWADDR && !address.address.is_v4())
        header.ifa_flags = IFA_F_NODAD;
    const auto done =
        transact(Request(type, flags, header).put(IFA_LOCAL, address.address).put(IFA_ADDRESS, address.address));
    if (!done)
        return tl::unexpected(done.error());
    return {};
}

Result<void> RouteSocket::add_address(std::string_view name, const Prefix &address)
{
    const std::string what = fmt::format("adding the address {} to {}", address.to_string(), name);
    if (address.address.is_unspecified() || address.address.is_multicast())
        return base::fail(ErrorCode::kInvalidArgument,
                          what + ": an interface's address must be a unicast address of a host");
    const auto link = find_link(name);
    if (!link)
        return explain(what, link.error());
    const auto added = change_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, link->index, address);
    if (added)
        return {};
    if (added.error().error != EEXIST)
        return explain(what, added.error());
    const auto present = find_addresses(link->index);
    if (!present)
        return explain(what, present.error());
    for (const InterfaceAddress &other : *present) {
        if (other.prefix == address)
            return {};
        if (other.prefix.address == address.address)
            return base::fail(ErrorCode::kAlreadyExists,
                              fmt::format("{}: it is there as {}; remove that first", what, other.prefix.to_string()));
    }
    return explain(what, added.error());
}

Result<void> RouteSocket::remove_address(std::string_view name, const Prefix &address)
{
    const std::string what = fmt::format("removing the address {} from {}", address.to_string(), name);
    const auto link = find_link(name);
    if (!link)
        return explain(what, link.error());
    if (const auto removed = change_address(RTM_DELADDR, 0, link->index, address); !removed)
        return explain(what, removed.error());
    return {};
}

RouteSocket::Outcome<void> RouteSocket::change_route(int type, int flags, const RouteEntry &route)
{
    rtmsg header{};
    header.rtm_family = family(route.destination.address);
    header.rtm_dst_len = route.destination.length;
    header.rtm_protocol = route.protocol;
    header.rtm_type = RTN_UNICAST;
    header.rtm_scope = route.gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    header.rtm_table = RT_TABLE_UNSPEC; // the attribute holds 32 bits
    // The networks of the interface stand in the main table, where the kernel does not look for the gateway of another.
    header.rtm_flags = route.gateway && route.table != kMainTable ? RTNH_F_ONLINK : 0;
    Request request(type, flags, header);
    request.put(RTA_DST, route.destination.address).put(RTA_OIF, route.index).put(RTA_TABLE, route.table);
    request.put(RTA_PRIORITY, route.metric);
    if (route.gateway)
        request.put(RTA_GATEWAY, *route.gateway);
    if (route.source)
        request.put(RTA_PREFSRC, *route.source);
    if (const auto done = transact(request); !done)
        return tl::unexpected(done.error());
    return {};
}

RouteSocket::Outcome<std::vector<RouteEntry>> RouteSocket::find_routes(base::IpVersion version, std::uint8_t protocol,
                                                                       std::uint32_t index)
{
    rtmsg header{};
    header.rtm_family = family(version);
    header.rtm_protocol = protocol;
    Request request(RTM_GETROUTE, NLM_F_DUMP, header);
    if (index != 0)
        request.put(RTA_OIF, index);
    const auto events = dump(request);
    if (!events)
        return tl::unexpected(events.error());
    std::vector<RouteEntry> routes;
    for (const Event &event : *events) // without NETLINK_GET_STRICT_CHK, or without IPv6, there are others among them
        if (const auto *found = std::get_if<RouteEvent>(&event)) {
            routes.push_back(found->route);
            routes.insert(routes.end(), found->others.begin(), found->others.end());
        }
    std::erase_if(routes, [&](const RouteEntry &route) {
        return route.destination.address.version() != version || (protocol != 0 && route.protocol != protocol) ||
               (index != 0 && route.index != index);
    });
    return routes;
}

RouteSocket::Outcome<bool> RouteSocket::has_route(const RouteEntry &route)
{
    const auto routes = find_routes(route.destination.address.version(), route.protocol, 0);
    if (!routes)
        return tl::unexpected(routes.error());
    return std::find(routes->begin(), routes->end(), route) != routes->end();
}

Result<void> RouteSocket::add_route(const Route &route)
{
    const std::string what = fmt::format("adding the route {}", route.to_string());
    const base::IpVersion version = route.destination.address.version();
    if ((route.gateway && route.gateway->version() != version) || (route.source && route.source->version() != version))
        return base::fail(ErrorCode::kInvalidArgument,
                          what + ": destination, gateway and source must be of one IP version");
    const auto link = find_link(route.interface);
    if (!link)
        return explain(what, link.error());
    const RouteEntry entry = entry_of(route, link->index);
    const auto added = change_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, entry);
    if (added)
        return {};
    if (added.error().error != EEXIST)
        return explain(what, added.error());
    const auto present = has_route(entry);
    if (!present)
        return explain(what, present.error());
    if (*present)
        return {};
    return base::fail(ErrorCode::kAlreadyExists,
                      fmt::format("{}: there is another route to {} with that metric; remove it ('ip route') or use "
                                  "another metric",
                                  what, route.destination.network().to_string()));
}

Result<void> RouteSocket::remove_route(const Route &route)
{
    const std::string what = fmt::format("removing the route {}", route.to_string());
    const auto link = find_link(route.interface);
    if (!link)
        return explain(what, link.error());
    if (const auto removed = change_route(RTM_DELROUTE, 0, entry_of(route, link->index)); !removed)
        return explain(what, removed.error());
    return {};
}

Result<std::vector<Route>> RouteSocket::own_routes()
{
    const std::string what = fmt::format("reading the routes of protocol {}", kRouteProtocol);
    const auto links = dump(Request(RTM_GETLINK, NLM_F_DUMP, ifinfomsg{}));
    if (!links)
        return explain(what, links.error());
    std::map<std::uint32_t, std::string> names;
    for (const Event &event : *links)
        if (const auto *found = std::get_if<LinkEvent>(&event))
            names[found->link.index] = found->link.name;
    std::vector<Route> routes;
    for (const base::IpVersion version : kVersions) {
        const auto entries = find_routes(version, kRouteProtocol, 0);
        if (!entries)
            return explain(what, entries.error());
        for (const RouteEntry &entry : *entries) {
            // One whose interface is not there any more is just about to go, too.
            const auto name = names.find(entry.index);
            if (name == names.end())
                continue;
            const bool has_default_metric = version == base::IpVersion::kV6 && entry.metric == kDefaultIpv6Metric;
            routes.push_back({entry.destination, name->second, entry.gateway, entry.source, entry.table,
                              has_default_metric ? 0 : entry.metric});
        }
    }
    return routes;
}

Result<std::vector<RouteEntry>> RouteSocket::other_routes(std::string_view name, base::IpVersion version)
{
    const std::string what = fmt::format("reading the routes over {}", name);
    const auto link = find_link(name);
    if (!link)
        return explain(what, link.error());
    auto routes = find_routes(version, 0, link->index);
    if (!routes)
        return explain(what, routes.error());
    std::erase_if(*routes, [](const RouteEntry &route) { return route.protocol == kRouteProtocol; });
    return std::move(*routes);
}

RouteSocket::Outcome<void> RouteSocket::change_rule(int type, int flags, const Rule &rule)
{
    fib_rule_hdr header{};
    header.family = family(rule.version);
    header.src_len = rule.source ? rule.source->length : 0;
    header.table = RT_TABLE_UNSPEC; // the attribute holds 32 bits
    header.action = FR_ACT_TO_TBL;
    Request request(type, flags, header);
    request.put(FRA_PRIORITY, rule.priority).put(FRA_TABLE, rule.table).put(FRA_PROTOCOL, kRouteProtocol);
    if (rule.source)
        request.put(FRA_SRC, rule.source->address);
    if (rule.longer)
        request.put(FRA_SUPPRESS_PREFIXLEN, *rule.longer);
    if (const auto done = transact(request); !done)
        return tl::unexpected(done.error());
    return {};
}

Result<void> RouteSocket::add_rule(const Rule &rule)
{
    // A rule of somebody else is another one for the kernel, for its protocol number differs.
    const auto added = change_rule(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule);
    if (!added && added.error().error != EEXIST)
        return explain(fmt::format("adding the rule {}", rule.to_string()), added.error());
    return {};
}

Result<void> RouteSocket::remove_rule(const Rule &rule)
{
    if (const auto removed = change_rule(RTM_DELRULE, 0, rule); !removed)
        return explain(fmt::format("removing the rule {}", rule.to_string()), removed.error());
    return {};
}

Result<std::vector<Rule>> RouteSocket::own_rules()
{
    std::vector<Rule> rules;
    for (const base::IpVersion version : kVersions) {
        fib_rule_hdr header{};
        header.family = family(version);
        const auto events = dump(Request(RTM_GETRULE, NLM_F_DUMP, header));
        if (!events && code_of(events.error().error) == ErrorCode::kNotSupported)
            continue; // IPv6 is not there at all
        if (!events)
            return explain(fmt::format("reading the rules of protocol {}", kRouteProtocol), events.error());
        for (const Event &event : *events)
            if (const auto *found = std::get_if<RuleEvent>(&event);
                found && found->rule.protocol == kRouteProtocol && found->rule.version == version)
                rules.push_back(found->rule);
    }
    return rules;
}

Result<bool> RouteSocket::forwards(std::string_view name, base::IpVersion version)
{
    const std::string what = fmt::format("asking whether {} forwards", name);
    const auto link = find_link(name);
    if (!link)
        return explain(what, link.error());
    const auto index = version == base::IpVersion::kV4 ? link->index : static_cast<std::uint32_t>(NETCONFA_IFINDEX_ALL);
    const auto events = transact(Request(RTM_GETNETCONF, 0, netconfmsg{family(version)}).put(NETCONFA_IFINDEX, index));
    if (!events)
        return explain(what, events.error());
    for (const Event &event : *events)
        if (const auto *found = std::get_if<ForwardingEvent>(&event))
            return found->on;
    return base::fail(ErrorCode::kSystem, what + ": the kernel does not say");
}

Result<NetworkState> RouteSocket::read_state()
{
    NetworkState state;
    std::set<std::string> changed;
    // Links first: an address needs its link.
    for (const Request &request :
         {Request(RTM_GETLINK, NLM_F_DUMP, ifinfomsg{}), Request(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{})}) {
        const auto events = dump(request);
        if (!events)
            return explain("reading the interfaces and addresses of this host", events.error());
        for (const Event &event : *events)
            state.apply(event, changed);
    }
    return state;
}

} // namespace mpt::net
