// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/net/monitor.hpp"

#include <cerrno>
#include <fmt/format.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <system_error>
#include <utility>
#include <vector>

namespace mpt::net {

namespace {

// So that a storm of changes leaves the caller's loop room for its other work.
constexpr int kDatagramsPerDrain = 256;

} // namespace

Monitor::Monitor(NetlinkSocket events, RouteSocket requests, Scope scope)
    : events_(std::move(events)), requests_(std::move(requests)), scope_(scope)
{
}

base::Result<Monitor> Monitor::open(Scope scope, int receive_buffer)
{
    auto events = NetlinkSocket::open(receive_buffer);
    if (!events)
        return base::Failure(events.error());
    std::vector<int> groups{RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR};
    if (scope == Scope::kRoutesToo)
        groups.insert(groups.end(), {RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE,
                                     RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF});
    for (const int group : groups)
        if (auto joined = events->join(group); !joined)
            return base::Failure(joined.error());
    if (auto filtered = events->ignore_other_routes(kRouteProtocol); !filtered)
        return base::Failure(filtered.error());
    auto requests = RouteSocket::open();
    if (!requests)
        return base::Failure(requests.error());

    // Reading comes after joining: what changes in between is told twice, and never not at all.
    Monitor monitor(std::move(*events), std::move(*requests), scope);
    if (auto read = monitor.read_again(); !read)
        return base::Failure(read.error());
    monitor.changed_.clear();
    monitor.lost_routes_ = false;
    return monitor;
}

base::Result<std::set<std::string>> Monitor::drain()
{
    for (int count = 0; count < kDatagramsPerDrain; ++count) {
        const NetlinkSocket::Received received = events_.receive(MSG_DONTWAIT);
        if (received.error == EAGAIN) {
            if (stale_)
                if (auto read = read_again(); !read)
                    return base::Failure(read.error());
            break;
        }
        const bool overrun = received.error == ENOBUFS;
        if (received.error != 0 && !overrun) {
            stale_ = true;
            return base::fail(base::ErrorCode::kSystem,
                              fmt::format("reading the changes of the network: {} (the state of paths is not followed "
                                          "until it works again)",
                                          std::generic_category().message(received.error)));
        }
        // After an overrun the kernel goes on dropping until we have emptied the queue (NETLINK_S_CONGESTED), and it
        // tells so only once. So everything is read again only then, and what is queued is of no use until then.
        stale_ = stale_ || overrun || !apply(received.octets);
    }
    return std::exchange(changed_, {});
}

bool Monitor::apply(base::ConstOctets datagram)
{
    const auto messages = split(datagram);
    if (!messages)
        return false;
    for (const Message &message : *messages) {
        const auto event = decode(message);
        if (!event)
            return false;
        if (!*event)
            continue;
        state_.apply(**event, changed_);
        if (const auto *route = std::get_if<RouteEvent>(&**event))
            apply(*route);
        else if (const auto *rule = std::get_if<RuleEvent>(&**event))
            lost_routes_ = lost_routes_ || (rule->removed && rule->rule.protocol == kRouteProtocol);
        else if (const auto *forwarding = std::get_if<ForwardingEvent>(&**event))
            note_change(forwarding->index); // each is told beside all
    }
    return true;
}

void Monitor::apply(const RouteEvent &event)
{
    if (event.route.protocol == kRouteProtocol) {
        lost_routes_ = lost_routes_ || event.removed;
    } else if (event.route.destination.length == 0) {
        note_change(event.route.index);
        for (const RouteEntry &other : event.others)
            note_change(other.index);
    }
}

void Monitor::note_change(std::uint32_t index)
{
    if (const auto known = state_.interfaces().find(index); known != state_.interfaces().end())
        changed_.insert(known->second.link.name);
}

base::Result<void> Monitor::read_again()
{
    auto state = requests_.read_state();
    if (!state)
        return base::Failure(state.error());
    compare(state_, *state, changed_);
    state_ = std::move(*state);
    if (scope_ == Scope::kRoutesToo) { // whose changes are not known
        lost_routes_ = true;
        for (const auto &[index, interface] : state_.interfaces())
            changed_.insert(interface.link.name);
    }
    stale_ = false;
    return {};
}

} // namespace mpt::net
