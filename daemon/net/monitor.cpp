// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/net/monitor.hpp"

#include <cerrno>
#include <fmt/format.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <system_error>
#include <utility>

namespace mpt::net {

namespace {

// So that a storm of changes leaves the caller's loop room for its other work.
constexpr int kDatagramsPerDrain = 256;

} // namespace

Monitor::Monitor(NetlinkSocket events, RouteSocket requests)
    : events_(std::move(events)), requests_(std::move(requests))
{
}

base::Result<Monitor> Monitor::open(int receive_buffer)
{
    auto events = NetlinkSocket::open(receive_buffer);
    if (!events)
        return base::Failure(events.error());
    for (const int group : {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR})
        if (auto joined = events->join(group); !joined)
            return base::Failure(joined.error());
    auto requests = RouteSocket::open();
    if (!requests)
        return base::Failure(requests.error());

    // Reading comes after joining: what changes in between is told twice, and never not at all.
    Monitor monitor(std::move(*events), std::move(*requests));
    if (auto read = monitor.read_again(); !read)
        return base::Failure(read.error());
    monitor.changed_.clear();
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
        if (*event)
            state_.apply(**event, changed_);
    }
    return true;
}

base::Result<void> Monitor::read_again()
{
    auto state = requests_.read_state();
    if (!state)
        return base::Failure(state.error());
    compare(state_, *state, changed_);
    state_ = std::move(*state);
    stale_ = false;
    return {};
}

} // namespace mpt::net
