// SPDX-License-Identifier: GPL-3.0-or-later
// Which routes connections with networks, and paths with gateways, ask the kernel for.
#include "tests/unit/service/manager_fixture.hpp"

namespace mpt::service {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class RoutesTest : public ManagerTest {
protected:
    static void replace(std::string &text, const std::string &before, const std::string &after)
    {
        ASSERT_THAT(text, HasSubstr(before));
        text.replace(text.find(before), before.size(), after);
    }
    static void add_networks(std::string &text, std::vector<std::pair<std::string, std::string>> networks)
    {
        replace(text, "network_count = 0", fmt::format("network_count = {}", networks.size()));
        for (std::size_t i = 0; i < networks.size(); ++i)
            text += fmt::format("[net_{}]\nip_ver = {}\nsrc_addr = {}\ndst_addr = {}\n", i,
                                networks[i].first.find(':') == std::string::npos ? 4 : 6, networks[i].first,
                                networks[i].second);
    }
    // Path 0 goes over this gateway to a peer that is not on a network of eth1.
    void go_over(const std::string &gateway)
    {
        replace(a(), "remote_ipaddr = 10.1.1.3", "remote_ipaddr = 203.0.113.9");
        replace(a(), "gateway_ipaddr = 10.1.1.2", "gateway_ipaddr = " + gateway);
    }
    std::string &a() { return directory.files["a.conf"]; }
};

TEST_F(RoutesTest, EachNetworkHasOneOfWhicheverVersion)
{
    network.interfaces["lan"] = "192.168.1.1";
    add_networks(a(), {{"192.168.1.0/24", "192.168.2.0/24"},
                       {"192.168.3.0/24", "192.168.4.0/24"},
                       {"10.0.0.2/32", "0.0.0.0/0"},
                       {"fec0::2/128", "::/0"},
                       {"fd77::/64", "fd78::/64"}});
    ASSERT_TRUE(start());
    // From an address that the peer takes for the network's, where this host has one.
    EXPECT_THAT(network.routes,
                UnorderedElementsAre("10.0.0.3/32 dev tun7 src 10.0.0.2", "192.168.2.0/24 dev tun7 src 192.168.1.1",
                                     "192.168.4.0/24 dev tun7 src 10.0.0.2", "0.0.0.0/0 dev tun7 src 10.0.0.2",
                                     "::/0 dev tun7 src fec0::2", "fd78::/64 dev tun7 src fec0::2"));
    EXPECT_THAT(network.path_routes, IsEmpty());

    ASSERT_TRUE(manager->remove("a.conf"));
    EXPECT_THAT(network.routes, IsEmpty());
}

TEST_F(RoutesTest, NetworksFollowTheirFile)
{
    add_networks(a(), {{"192.168.1.0/24", "192.168.2.0/24"}});
    ASSERT_TRUE(start());
    replace(a(), "dst_addr = 192.168.2.0/24", "dst_addr = 192.168.9.0/24");
    ASSERT_TRUE(manager->reload("", notices));
    EXPECT_THAT(network.routes, Contains("192.168.9.0/24 dev tun7 src 10.0.0.2"));
    EXPECT_THAT(network.routes, Not(Contains(HasSubstr("192.168.2.0/24"))));
}

TEST_F(RoutesTest, TwoConnectionsMayReachOneNetworkFromDifferentOnes)
{
    directory.files["b.conf"] = connection_file("B", 4, 23457);
    add_networks(a(), {{"192.168.1.0/24", "192.168.9.0/24"}});
    add_networks(directory.files["b.conf"], {{"192.168.2.0/24", "192.168.9.0/24"}});
    ASSERT_TRUE(start());
    EXPECT_THAT(notices, IsEmpty());
    EXPECT_THAT(network.routes,
                UnorderedElementsAre(HasSubstr("10.0.0.3/32"), HasSubstr("10.0.0.4/32"), HasSubstr("192.168.9.0/24")));
}

TEST_F(RoutesTest, APathGoesOverItsGateway)
{
    go_over("10.1.1.1");
    ASSERT_TRUE(start());
    EXPECT_THAT(network.path_routes, ElementsAre("203.0.113.9 from 10.1.1.2 via 10.1.1.1 dev eth1"));
    EXPECT_THAT(plane.open, ElementsAre("A/0", "A/1"));
    network.without_carrier.insert("eth1");
    ASSERT_TRUE(manager->on_interfaces_changed({"eth1"}, notices));
    EXPECT_THAT(network.path_routes, IsEmpty());
    network.without_carrier.clear();
    ASSERT_TRUE(manager->on_interfaces_changed({"eth1"}, notices));
    EXPECT_THAT(network.path_routes, ElementsAre("203.0.113.9 from 10.1.1.2 via 10.1.1.1 dev eth1"));
    replace(a(), "gateway_ipaddr = 10.1.1.1", "gateway_ipaddr = 10.1.1.7");
    ASSERT_TRUE(manager->reload("", notices));
    EXPECT_THAT(network.path_routes, ElementsAre("203.0.113.9 from 10.1.1.2 via 10.1.1.7 dev eth1"));
    ASSERT_TRUE(manager->remove("a.conf"));
    EXPECT_THAT(network.path_routes, IsEmpty());
}

TEST_F(RoutesTest, APeerOnTheInterfacesNetworkMayStillBeBehindAGateway)
{
    replace(a(), "gateway_ipaddr = 10.1.1.2", "gateway_ipaddr = 10.1.1.1");
    ASSERT_TRUE(start());
    EXPECT_THAT(network.path_routes, ElementsAre("10.1.1.3 from 10.1.1.2 via 10.1.1.1 dev eth1"));
}

TEST_F(RoutesTest, ADirectConnectionNeedsNoneUnlessThePeerIsOutsideTheInterfacesNetworks)
{
    go_over("203.0.113.9");
    ASSERT_TRUE(start());
    EXPECT_THAT(network.path_routes, ElementsAre("203.0.113.9 from 10.1.1.2 via none dev eth1"));
}

TEST_F(RoutesTest, ADirectConnectionThatIsNoneGoesOverTheKernelsGateway)
{
    go_over("203.0.113.9"); // behind a translator, say
    network.gateways["eth1"] = "10.1.1.1";
    ASSERT_TRUE(start());
    EXPECT_THAT(network.path_routes, ElementsAre("203.0.113.9 from 10.1.1.2 via 10.1.1.1 dev eth1"));
}

TEST_F(RoutesTest, AGatewayThatIsFoundIsNoDirectConnectionWhileThereIsNone)
{
    go_over("0.0.0.0");
    replace(a(), "public_ipaddr = 10.1.1.2", "public_ipaddr = 0.0.0.0");
    ASSERT_TRUE(start());
    EXPECT_THAT(network.path_routes, IsEmpty());
}

TEST_F(RoutesTest, TheGatewayOfTheInterfaceIsFollowed)
{
    go_over("0.0.0.0");
    ASSERT_TRUE(start());
    EXPECT_THAT(network.path_routes, IsEmpty());
    EXPECT_THAT(plane.open, ElementsAre("A/0", "A/1")) << "the kernel may know a way that is no route";
    for (const char *gateway : {"10.1.1.1", "10.1.1.254"}) {
        network.gateways["eth1"] = gateway;
        ASSERT_TRUE(manager->on_interfaces_changed({"eth1"}, notices));
        EXPECT_THAT(network.path_routes,
                    ElementsAre(fmt::format("203.0.113.9 from 10.1.1.2 via {} dev eth1", gateway)));
    }
    network.gateways["eth1"] = ""; // a point-to-point link
    ASSERT_TRUE(manager->on_interfaces_changed({"eth1"}, notices));
    EXPECT_THAT(network.path_routes, ElementsAre("203.0.113.9 from 10.1.1.2 via none dev eth1"));
    // And the address with it, as DHCP does.
    network.interfaces["eth2"] = "10.2.2.77";
    ASSERT_TRUE(manager->retry(notices));
    EXPECT_EQ(plane.connections.at("A").paths[1].local.address.to_string(), "10.2.2.77");
}

TEST_F(RoutesTest, ARouteIsThereBeforeTheSocketIsOpened)
{
    go_over("10.1.1.1");
    network.without_carrier.insert("eth1");
    ASSERT_TRUE(start());
    network.without_carrier.clear();
    plane.port_in_use = true; // the path is not opened
    ASSERT_TRUE(manager->retry(notices));
    EXPECT_THAT(network.path_routes, ElementsAre("203.0.113.9 from 10.1.1.2 via 10.1.1.1 dev eth1"));
}

TEST_F(RoutesTest, AddressesThatAreAddedToATunnelAreItsConnections)
{
    directory.files["b.conf"] = connection_file("B", 4, 23457);
    ASSERT_TRUE(start());
    network.interfaces["tun7"] = "10.0.0.2";
    network.added["tun7"] = {base::Address::parse("10.0.0.77").value(), base::Address::parse("fe80::1").value()};
    ASSERT_TRUE(manager->on_interfaces_changed({"tun7"}, notices));
    for (const char *name : {"A", "B"})
        EXPECT_THAT(plane.connections.at(name).addresses,
                    ElementsAre(base::Address::parse("10.0.0.2").value(), base::Address::parse("10.0.0.77").value()));
    const int commits = plane.commits;
    ASSERT_TRUE(manager->on_interfaces_changed({"tun7"}, notices));
    EXPECT_EQ(plane.commits, commits);
    network.added.clear();
    ASSERT_TRUE(manager->on_interfaces_changed({"tun7"}, notices));
    EXPECT_EQ(plane.commits, commits + 1);
    EXPECT_THAT(plane.connections.at("A").addresses, ElementsAre(base::Address::parse("10.0.0.2").value()));
}

TEST_F(RoutesTest, WhatDoesNotWorkIsToldOnceAndStaysInTheProblems)
{
    network.route_problems = {"adding the route 10.0.0.3/32 dev tun7: somebody has it"};
    ASSERT_TRUE(start());
    EXPECT_THAT(notices, ElementsAre(says("somebody has it")));
    notices.clear();
    ASSERT_TRUE(manager->retry(notices));
    EXPECT_THAT(notices, IsEmpty());
    EXPECT_THAT(manager->problems(), ElementsAre(HasSubstr("somebody has it")));
    network.route_problems.clear();
    ASSERT_TRUE(manager->retry(notices));
    EXPECT_THAT(manager->problems(), IsEmpty());
}

TEST_F(RoutesTest, ForwardingThatIsOffIsToldWhereOthersNeedIt)
{
    network.is_forwarding = false;
    add_networks(a(), {{"10.0.0.2/32", "0.0.0.0/0"}}); // this host alone
    ASSERT_TRUE(start());
    EXPECT_THAT(notices, IsEmpty());
    add_networks(directory.files["b.conf"] = connection_file("B", 4, 23457), {{"192.168.1.0/24", "192.168.2.0/24"}});
    ASSERT_TRUE(manager->reload("", notices));
    EXPECT_THAT(notices, Contains(says("net.ipv4.ip_forward = 1")));
    EXPECT_THAT(manager->problems(), ElementsAre(HasSubstr("the networks of B need")));
    for (int i = 5; i < 9; ++i)
        add_networks(directory.files[fmt::format("{}.conf", i)] = connection_file(fmt::format("C{}", i), i, 23453 + i),
                     {{"192.168.1.0/24", fmt::format("192.168.{}.0/24", i)}});
    ASSERT_TRUE(manager->reload("", notices));
    EXPECT_THAT(manager->problems(), ElementsAre(HasSubstr("the networks of B, C5, C6 and 2 others need")));
    network.is_forwarding = true;
    ASSERT_TRUE(manager->retry(notices));
    EXPECT_THAT(manager->problems(), IsEmpty());
}

} // namespace
} // namespace mpt::service
