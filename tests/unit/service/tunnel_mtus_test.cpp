// SPDX-License-Identifier: GPL-3.0-or-later
// MTUs of tunnels that follow their paths.
#include "tests/unit/service/manager_fixture.hpp"

namespace mpt::service {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using namespace std::chrono_literals;

void replace(std::string &text, const std::string &before, const std::string &after)
{
    ASSERT_THAT(text, HasSubstr(before));
    text.replace(text.find(before), before.size(), after);
}

class TunnelMtus : public ManagerTest {
protected:
    TunnelMtus() { replace(directory.interface, "mtu = 1440", "mtu = auto"); }

    TunnelMtu now()
    {
        notices.clear();
        manager->follow_mtus(clock, notices);
        return manager->tunnel_mtu(manager->interface().tunnels.front());
    }
    // A file whose peer takes packets of any size.
    static std::string type3(const std::string &text)
    {
        std::string changed = text;
        replace(changed, "auth_type = 0", "auth_type = 3\nauth_key = " + std::string(64, 'a'));
        return changed;
    }
    void start_and_look()
    {
        ASSERT_TRUE(start());
        now();
    }

    base::Instant clock{1000s};
};

TEST_F(TunnelMtus, OneThatTheFileSaysIsLeftAlone)
{
    directory.interface = kInterface;
    ASSERT_TRUE(start());
    network.mtus["eth1"] = 1300;
    EXPECT_EQ(now(), (TunnelMtu{1440, "", 1440, 0}));
    EXPECT_THAT(network.mtus_set, IsEmpty());
    EXPECT_THAT(plane.fragmenting, UnorderedElementsAre(Pair("A/0", true), Pair("A/1", true)));
    EXPECT_EQ(plane.connections.at("A").mtu, 1440U);
}

TEST_F(TunnelMtus, IsTheLeastOfThePaths)
{
    ASSERT_TRUE(start());
    network.mtus["eth2"] = 1492;
    EXPECT_EQ(now(), (TunnelMtu{1456, "A, path 1 (eth2): interface MTU 1492", 1500, 1280}));
    EXPECT_THAT(notices, ElementsAre(says("tunnel tun7: MTU 1456 (A, path 1 (eth2): interface MTU 1492)")));
    EXPECT_THAT(network.mtus_set, ElementsAre(1456U));
    EXPECT_EQ(plane.connections.at("A").mtu, 1456U);
    EXPECT_EQ(plane.connections.at("A").largest_packet, 1500U);
    EXPECT_THAT(plane.fragmenting, UnorderedElementsAre(Pair("A/0", false), Pair("A/1", false)));
    // What an ICMP message has said of a path counts more than its interface.
    plane.path_mtus["A/0"] = 1400;
    EXPECT_EQ(now(), (TunnelMtu{1364, "A, path 0 (eth1): path MTU 1400", 1500, 1280}));
    EXPECT_THAT(network.mtus_set, ElementsAre(1456U, 1364U));
    EXPECT_EQ(now().mtu, 1364U);
    EXPECT_THAT(notices, IsEmpty());
    EXPECT_THAT(network.mtus_set, ElementsAre(1456U, 1364U));
}

TEST_F(TunnelMtus, GoesUpLater)
{
    network.mtus["eth2"] = 1400;
    start_and_look();
    network.mtus.clear();
    EXPECT_EQ(now(), (TunnelMtu{1364, "A, path 1 (eth2): interface MTU 1400", 1500, 1280}));
    clock += core::AutoMtu::kHold;
    EXPECT_EQ(now().mtu, 1464U);
    EXPECT_THAT(network.mtus_set, ElementsAre(1364U, 1464U));
}

TEST_F(TunnelMtus, CountsAPathThatWaitsWhileItsInterfaceIsThere)
{
    network.mtus["eth2"] = 1400;
    network.without_carrier.insert("eth2");
    ASSERT_TRUE(start());
    plane.path_mtus["A/1"] = 600; // of long ago
    EXPECT_EQ(now().mtu, 1364U);
    EXPECT_THAT(plane.fragmenting, UnorderedElementsAre(Pair("A/0", false)));
    network.interfaces.erase("eth2");
    now();
    clock += core::AutoMtu::kHold;
    EXPECT_EQ(now().mtu, 1464U);
}

TEST_F(TunnelMtus, FitsEthernetWhileNothingIsKnown)
{
    network.interfaces.clear();
    ASSERT_TRUE(start());
    EXPECT_EQ(now(), (TunnelMtu{1444, "no path is known yet", 1444, 1280}));
    directory.files.clear();
    manager.reset();
    ASSERT_TRUE(start());
    EXPECT_EQ(now().mtu, 1444U);
    EXPECT_THAT(network.mtus_set, ElementsAre(1444U, 1444U));
}

TEST_F(TunnelMtus, IsNoMoreThanADeployedPeerTakes)
{
    network.mtus = {{"eth1", 9000}, {"eth2", 9000}};
    start_and_look();
    EXPECT_EQ(now(), (TunnelMtu{1592, "the peer of A may take no more", 9000, 1280}));
    directory.files["a.conf"] = type3(directory.files["a.conf"]);
    ASSERT_TRUE(manager->reload("", notices));
    now();
    clock += core::AutoMtu::kHold;
    EXPECT_EQ(now(), (TunnelMtu{8964, "A, path 0 (eth1): interface MTU 9000", 9000, 1280}));
}

TEST_F(TunnelMtus, OfTheLoopbackInterface)
{
    directory.files["a.conf"] = type3(directory.files["a.conf"]);
    network.mtus = {{"eth1", 65536}, {"eth2", 65536}};
    start_and_look();
    EXPECT_EQ(now(), (TunnelMtu{65499, "no packet can be larger", 65536, 1280}));
}

TEST_F(TunnelMtus, IsNoLessThanIpv6Needs)
{
    start_and_look();
    plane.path_mtus["A/0"] = 1300;
    EXPECT_EQ(now(), (TunnelMtu{1280, "the tunnel needs 1280; A, path 0 (eth1): path MTU 1300", 1500, 1280}));
    // There the packets leave in fragments.
    EXPECT_THAT(plane.fragmenting, UnorderedElementsAre(Pair("A/0", true), Pair("A/1", false)));
    plane.path_mtus["A/0"] = 1316;
    EXPECT_EQ(now().mtu, 1280U);
    EXPECT_THAT(plane.fragmenting, UnorderedElementsAre(Pair("A/0", false), Pair("A/1", false)));
}

TEST_F(TunnelMtus, IsNoLessThanIpv4Needs)
{
    replace(directory.interface, "ipv6_addr = fec0::2/64\n", "");
    start_and_look();
    plane.path_mtus["A/0"] = 1300;
    EXPECT_EQ(now().mtu, 1264U);
    plane.path_mtus["A/0"] = 552; // the least that Linux believes of an ICMP message
    EXPECT_EQ(now().mtu, 576U);
    EXPECT_THAT(plane.fragmenting, Contains(Pair("A/0", true)));
    // A network of IPv6 needs what IPv6 needs.
    std::string &file = directory.files["a.conf"];
    replace(file, "network_count = 0", "network_count = 1");
    file += "[net_0]\nip_ver = 6\nsrc_addr = fd01::/64\ndst_addr = fd02::/64\n";
    ASSERT_TRUE(manager->reload("", notices));
    now();
    clock += core::AutoMtu::kHold;
    EXPECT_EQ(now().mtu, 1280U);
}

TEST_F(TunnelMtus, GoesOnWhereItWasBeforeARestart)
{
    network.interfaces["tun7"] = "";
    network.mtus["tun7"] = 1364;
    start_and_look();
    EXPECT_EQ(now(), (TunnelMtu{1364, "as before the restart", 1500, 1280}));
    EXPECT_THAT(network.mtus_set, IsEmpty());
    clock += core::AutoMtu::kHold;
    EXPECT_EQ(now(), (TunnelMtu{1464, "A, path 0 (eth1): interface MTU 1500", 1500, 1280}));
    // Not where it is more than there is room for, or less than there must be.
    for (const std::uint32_t kept : {1500U, 1279U}) {
        network.mtus["tun7"] = kept;
        manager.reset();
        start_and_look();
        EXPECT_EQ(now().mtu, 1464U);
    }
}

TEST_F(TunnelMtus, WhatTheKernelRefusesIsToldOnceAndTriedAgain)
{
    ASSERT_TRUE(start());
    network.mtu_refused = true;
    now();
    EXPECT_THAT(notices, ElementsAre(error("setting the MTU of tun7")));
    now();
    EXPECT_THAT(notices, IsEmpty());
    network.mtu_refused = false;
    now();
    EXPECT_THAT(network.mtus_set, ElementsAre(1464U));
}

} // namespace
} // namespace mpt::service
