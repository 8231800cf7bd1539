// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/net/network_state.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mpt::net {
namespace {

using base::Address;
using base::Prefix;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

LinkEvent link(std::uint32_t index, const char *name, std::uint32_t mtu = 1500)
{
    LinkEvent event;
    event.link.index = index;
    event.link.name = name;
    event.link.mtu = mtu;
    return event;
}

AddressEvent address(std::uint32_t index, const char *prefix, const char *peer = nullptr)
{
    AddressEvent event;
    event.index = index;
    event.address.prefix = Prefix::parse(prefix).value();
    event.address.peer = peer ? Address::parse(peer).value() : event.address.prefix.address;
    return event;
}

template <typename T> T removed(T event)
{
    event.removed = true;
    return event;
}

AddressEvent tentative(AddressEvent event)
{
    event.address.tentative = true;
    return event;
}

std::set<std::string> apply(NetworkState &state, const Event &event)
{
    std::set<std::string> changed;
    state.apply(event, changed);
    return changed;
}

bool has(const NetworkState &state, const char *name, const char *text)
{
    return state.find(name) && state.find(name)->has_usable(Address::parse(text).value());
}

TEST(NetworkState, TellsWhatChangedAndOnlyThat)
{
    NetworkState state;
    EXPECT_THAT(apply(state, link(5, "eth1")), ElementsAre("eth1"));
    EXPECT_THAT(apply(state, link(5, "eth1")), IsEmpty());
    EXPECT_THAT(apply(state, link(5, "eth1", 1400)), ElementsAre("eth1"));
    EXPECT_THAT(apply(state, link(5, "wan0", 1400)), ElementsAre("eth1", "wan0"));
    EXPECT_THAT(apply(state, address(5, "10.0.0.2/24")), ElementsAre("wan0"));
    EXPECT_THAT(apply(state, address(5, "10.0.0.2/24")), IsEmpty());
    EXPECT_THAT(apply(state, removed(address(5, "10.0.0.2/25"))), IsEmpty());
    EXPECT_THAT(apply(state, removed(address(5, "10.0.0.2/24"))), ElementsAre("wan0"));
    EXPECT_THAT(apply(state, removed(link(6, "wan0"))), IsEmpty());
    EXPECT_THAT(apply(state, removed(link(5, "wan0"))), ElementsAre("wan0"));
    EXPECT_FALSE(state.find("wan0"));
    EXPECT_TRUE(state.interfaces().empty());
}

TEST(NetworkState, IsReadyOnlyWithCarrierAndOperational)
{
    NetworkState state;
    LinkEvent event = link(5, "eth1");
    event.link.up = true;
    apply(state, event);
    EXPECT_FALSE(state.find("eth1")->ready());
    event.link.carrier = true; // but dormant: 802.1X is not through
    apply(state, event);
    EXPECT_FALSE(state.find("eth1")->ready());
    event.link.running = true;
    apply(state, event);
    EXPECT_TRUE(state.find("eth1")->ready());
}

TEST(NetworkState, AnAddressBelongsToItsInterface)
{
    NetworkState state;
    apply(state, link(5, "eth1"));
    apply(state, link(6, "eth2"));
    apply(state, address(5, "10.0.0.2/24"));
    EXPECT_TRUE(has(state, "eth1", "10.0.0.2"));
    EXPECT_FALSE(has(state, "eth1", "10.0.0.3"));
    EXPECT_FALSE(has(state, "eth2", "10.0.0.2"));
    EXPECT_FALSE(has(state, "eth3", "10.0.0.2"));
    // A change of the link leaves its addresses; its end takes them along.
    apply(state, link(5, "eth1", 1400));
    EXPECT_TRUE(has(state, "eth1", "10.0.0.2"));
    apply(state, removed(link(5, "eth1")));
    apply(state, link(5, "eth1"));
    EXPECT_FALSE(has(state, "eth1", "10.0.0.2"));
    // An event that comes late, for an interface that is gone.
    EXPECT_THAT(apply(state, address(77, "10.0.0.2/24")), IsEmpty());
    apply(state, link(77, "eth3"));
    EXPECT_FALSE(has(state, "eth3", "10.0.0.2"));
}

TEST(NetworkState, Ipv4AddressesAreToldApartByPrefixLengthAndPeer)
{
    NetworkState state;
    apply(state, link(5, "eth1"));
    apply(state, address(5, "10.0.0.2/24"));
    apply(state, address(5, "10.0.0.2/16"));
    apply(state, address(5, "10.0.0.2/32", "10.0.0.8"));
    apply(state, address(5, "10.0.0.2/32", "10.0.0.9"));
    EXPECT_EQ(state.find("eth1")->addresses.size(), 4U);
    apply(state, removed(address(5, "10.0.0.2/24")));
    apply(state, removed(address(5, "10.0.0.2/32", "10.0.0.8")));
    apply(state, removed(address(5, "10.0.0.2/16")));
    EXPECT_TRUE(has(state, "eth1", "10.0.0.2"));
    apply(state, removed(address(5, "10.0.0.2/32", "10.0.0.9")));
    EXPECT_FALSE(has(state, "eth1", "10.0.0.2"));
}

TEST(NetworkState, AnIpv6AddressIsThereOnceWhateverItsPeer)
{
    NetworkState state;
    apply(state, link(5, "eth1"));
    apply(state, tentative(address(5, "fd00::2/64")));
    EXPECT_FALSE(has(state, "eth1", "fd00::2"));
    EXPECT_THAT(apply(state, address(5, "fd00::2/64")), ElementsAre("eth1"));
    EXPECT_TRUE(has(state, "eth1", "fd00::2"));
    EXPECT_THAT(apply(state, address(5, "fd00::2/64", "fd00::9")), ElementsAre("eth1"));
    EXPECT_EQ(state.find("eth1")->addresses.size(), 1U);
    apply(state, removed(address(5, "fd00::2/64", "fd00::9")));
    EXPECT_THAT(state.find("eth1")->addresses, IsEmpty());
}

TEST(NetworkState, IsComparedWithALaterOne)
{
    NetworkState before;
    NetworkState after;
    for (NetworkState *state : {&before, &after}) {
        apply(*state, link(1, "lo"));
        apply(*state, link(2, "same"));
        apply(*state, address(2, "10.0.0.2/24"));
    }
    apply(before, link(3, "gone"));
    apply(after, link(4, "new"));
    apply(before, link(5, "old_name"));
    apply(after, link(5, "new_name"));
    apply(before, link(6, "made_again"));
    apply(after, link(7, "made_again"));
    apply(before, link(8, "address"));
    apply(after, link(8, "address"));
    apply(after, address(8, "10.0.0.3/24"));
    apply(before, link(9, "mtu", 1500));
    apply(after, link(9, "mtu", 1400));
    // In another order: nothing changed.
    apply(before, link(10, "order"));
    apply(after, link(10, "order"));
    apply(before, address(10, "fd00::1/64"));
    apply(before, address(10, "fd00::2/64"));
    apply(after, address(10, "fd00::2/64"));
    apply(after, address(10, "fd00::1/64"));
    std::set<std::string> changed;
    compare(before, after, changed);
    EXPECT_THAT(changed, ElementsAre("address", "gone", "made_again", "mtu", "new", "new_name", "old_name"));
}

} // namespace
} // namespace mpt::net
