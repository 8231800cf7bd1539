// SPDX-License-Identifier: GPL-3.0-or-later
// Octets as from a netlink socket. Whatever they are, decoding them must not fail otherwise than by a Result, and what
// comes out must keep what the types promise. The corpus was recorded from a kernel, one datagram a file.
#include "daemon/net/network_state.hpp"

#include <cstdlib>

namespace {

void require(bool condition)
{
    if (!condition)
        std::abort();
}

void check(const mpt::base::Prefix &prefix)
{
    require(prefix.length <= prefix.address.bits());
}

void check(const mpt::net::Event &event)
{
    if (const auto *link = std::get_if<mpt::net::LinkEvent>(&event)) {
        require(link->link.index != 0 && !link->link.name.empty() && link->link.name.size() < 16);
    } else if (const auto *address = std::get_if<mpt::net::AddressEvent>(&event)) {
        require(address->index != 0);
        check(address->address.prefix);
    } else if (const auto *rule = std::get_if<mpt::net::RuleEvent>(&event)) {
        if (rule->rule.source) {
            check(*rule->rule.source);
            require(rule->rule.source->address.version() == rule->rule.version);
        }
    } else if (const auto *route = std::get_if<mpt::net::RouteEvent>(&event)) {
        check(route->route.destination);
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    using namespace mpt::net;
    const auto datagram = std::as_bytes(std::span(data, size));
    const auto messages = split(datagram);
    if (!messages)
        return 0;
    if (!messages->empty()) {
        Reply reply;
        (void)gather(datagram, messages->front().sequence, messages->front().port, reply);
        require(reply.events.size() <= messages->size());
    }
    NetworkState state;
    for (const Message &message : *messages) {
        if (const auto status = decode_status(message))
            require(status->error >= 0);
        const auto event = decode(message);
        if (!event || !*event)
            continue;
        check(**event);
        const NetworkState before = state;
        std::set<std::string> told;
        state.apply(**event, told);
        std::set<std::string> changed;
        compare(before, state, changed);
        require(told == changed);
    }
    return 0;
}
