// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/net/network_state.hpp"

#include <algorithm>

namespace mpt::net {

namespace {

using Interfaces = std::map<std::uint32_t, Interface>;

// Both are on one interface and have the same own address. IPv4 takes it again with another prefix length or peer,
// IPv6 has it once.
bool is_same(const InterfaceAddress &a, const InterfaceAddress &b) noexcept
{
    return !a.prefix.address.is_v4() || (a.prefix == b.prefix && a.peer == b.peer);
}

void apply_link(Interfaces &interfaces, const LinkEvent &event, std::set<std::string> &changed)
{
    const auto known = interfaces.find(event.link.index);
    if (event.removed) {
        if (known != interfaces.end()) {
            changed.insert(known->second.link.name);
            interfaces.erase(known);
        }
        return;
    }
    Interface &interface = known != interfaces.end() ? known->second : interfaces[event.link.index];
    if (interface.link == event.link)
        return;
    if (known != interfaces.end())
        changed.insert(interface.link.name);
    changed.insert(event.link.name);
    interface.link = event.link;
}

void apply_address(Interfaces &interfaces, const AddressEvent &event, std::set<std::string> &changed)
{
    const auto known = interfaces.find(event.index);
    if (known == interfaces.end())
        return;
    auto &addresses = known->second.addresses;
    const auto [first, last] = addresses.equal_range(event.address.prefix.address);
    const auto old = std::find_if(first, last, [&](const auto &entry) { return is_same(entry.second, event.address); });
    const bool there = old != last;
    if (event.removed ? !there : there && old->second == event.address)
        return;
    changed.insert(known->second.link.name);
    if (event.removed)
        addresses.erase(old);
    else if (there)
        old->second = event.address;
    else
        addresses.emplace(event.address.prefix.address, event.address);
}

} // namespace

bool Interface::has_usable(const base::Address &address) const noexcept
{
    const auto [first, last] = addresses.equal_range(address);
    return std::any_of(first, last, [](const auto &entry) { return entry.second.usable(); });
}

void NetworkState::apply(const Event &event, std::set<std::string> &changed)
{
    if (const auto *link = std::get_if<LinkEvent>(&event))
        apply_link(interfaces_, *link, changed);
    else if (const auto *address = std::get_if<AddressEvent>(&event))
        apply_address(interfaces_, *address, changed);
}

const Interface *NetworkState::find(std::string_view name) const noexcept
{
    const auto found = std::find_if(interfaces_.begin(), interfaces_.end(),
                                    [&](const auto &entry) { return entry.second.link.name == name; });
    return found != interfaces_.end() ? &found->second : nullptr;
}

void compare(const NetworkState &before, const NetworkState &after, std::set<std::string> &changed)
{
    const auto add_missing = [&changed](const Interfaces &from, const Interfaces &in) {
        for (const auto &[index, interface] : from) {
            const auto other = in.find(index);
            if (other == in.end() || other->second != interface)
                changed.insert(interface.link.name);
        }
    };
    add_missing(before.interfaces(), after.interfaces());
    add_missing(after.interfaces(), before.interfaces());
}

} // namespace mpt::net
