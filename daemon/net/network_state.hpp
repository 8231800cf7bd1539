// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/net/decode.hpp"

#include <map>
#include <set>
#include <string>
#include <string_view>

namespace mpt::net {

struct Interface {
    Link link;
    std::multimap<base::Address, InterfaceAddress> addresses; // by own address

    // True if packets can leave and arrive: set up, with carrier and operational.
    bool ready() const noexcept { return link.running && link.carrier; }
    // True if a socket can be bound to the address.
    bool has_usable(const base::Address &address) const noexcept;

    friend bool operator==(const Interface &, const Interface &) = default;
};

// All interfaces with their addresses, as far as the events that were applied tell.
class NetworkState {
public:
    // Adds to `changed` the name of the interface that the event changes (both names if it is renamed) and nothing if
    // it says what is known. An event on an address of an unknown interface is of no use: the kernel tells of the
    // interface first. Routes are not kept.
    void apply(const Event &event, std::set<std::string> &changed);

    // The interface of that name or null, valid until the next change. Two interfaces never share a name; one that
    // was removed and made again has another index.
    const Interface *find(std::string_view name) const noexcept;

    // By index.
    const std::map<std::uint32_t, Interface> &interfaces() const noexcept { return interfaces_; }

private:
    std::map<std::uint32_t, Interface> interfaces_;
};

// Adds to `changed` the names, before and after, of the interfaces that are not the same in both.
void compare(const NetworkState &before, const NetworkState &after, std::set<std::string> &changed);

} // namespace mpt::net
