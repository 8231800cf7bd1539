// SPDX-License-Identifier: GPL-3.0-or-later
// What Routing sets is read back with ip(8) of iproute2, and the kernel is asked which way packets go.
#include "daemon/net/routing.hpp"

#include "tests/unit/net/network_fixture.hpp"

#include <sstream>

namespace mpt::net {
namespace {

using base::Address;
using base::Prefix;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Address address(const char *text)
{
    return Address::parse(text).value();
}

Route tunnel(const char *destination, const char *source = nullptr)
{
    Route route;
    route.destination = Prefix::parse(destination).value();
    route.interface = "tun0";
    if (source != nullptr)
        route.source = address(source);
    return route;
}

PathRoute path(const char *interface, const char *local, const char *remote, const char *gateway = nullptr)
{
    PathRoute route{interface, address(local), address(remote)};
    if (gateway != nullptr)
        route.gateway = address(gateway);
    return route;
}

// A host with two uplinks, each with a router, and a tunnel.
class RoutingTest : public NetworkTest {
protected:
    void SetUp() override
    {
        NetworkTest::SetUp();
        if (IsSkipped() || HasFatalFailure())
            return;
        run("ip link set lo up; sysctl -qw net.ipv6.conf.default.addr_gen_mode=1"); // no link-local addresses
        make_tun();
        run("ip link set tun0 up; ip address add 10.0.0.2/24 dev tun0; ip address add fec0::2/64 dev tun0 nodad");
        for (const char *number : {"1", "2"}) {
            const std::string eth = std::string("eth") + number;
            run("ip link add " + eth + " type veth peer name peer" + number + "; ip link set peer" + number +
                " up; ip link set " + eth + " up; ip address add 10." + number + ".0.2/24 dev " + eth +
                "; ip address add fd00:" + number + "::2/64 dev " + eth + " nodad");
        }
        run("ip route add default via 10.1.0.1 dev eth1; ip -6 route add default via fd00:1::1 dev eth1");
        // What is nobody's business of ours, some of it close to what we use.
        run("ip rule add from 10.2.0.2 lookup 100 priority 32765; ip rule add from 10.1.0.9 lookup 21200 priority 212;"
            "ip rule add from 10.1.0.2 lookup 21200 suppress_prefixlength 0 priority 212;"
            "ip route add 192.0.2.0/24 via 10.2.0.9 table 100; ip -6 rule add from fd00:9::/64 lookup 100");
        for (const char *address : {"fec0::2 dev tun0", "fd00:1::2 dev eth1", "fd00:2::2 dev eth2"})
            wait_for_output("ip -6 route show table local", std::string("local ") + address);
        for (const char *interface : {"eth1", "eth2", "peer1", "peer2"}) {
            wait_for_output("ip -6 route show table local", std::string("multicast ff00::/8 dev ") + interface);
            wait_for_output(std::string("ip link show ") + interface, "state UP");
        }
        before_ = state();
        auto opened = RouteSocket::open();
        ASSERT_TRUE(opened) << opened.error().text;
        socket_.emplace(std::move(*opened));
        routing_.emplace(*socket_);
    }

    static std::string state()
    {
        return run("ip -d route show table all; ip -d -6 route show table all; ip -d rule; ip -d -6 rule; ip address");
    }
    // The way of a packet: the kernel's answer, without the cache line below it.
    static std::string way(const std::string &packet)
    {
        std::istringstream lines(run("ip route get " + packet));
        std::string first;
        std::getline(lines, first);
        return first;
    }
    static std::string rules() { return run("ip rule; ip -6 rule"); }

    void apply(std::vector<Route> tunnels, std::vector<PathRoute> paths)
    {
        EXPECT_THAT(routing_->apply(tunnels, paths), IsEmpty());
    }
    Routing &routing() { return *routing_; }
    // A process that starts now.
    void start_again()
    {
        routing_.emplace(*socket_);
        ASSERT_TRUE(routing_->read());
    }
    const std::string &before() const { return before_; }

private:
    std::string before_;
    std::optional<RouteSocket> socket_;
    std::optional<Routing> routing_;
};

TEST_F(RoutingTest, EachPathLeavesByItsInterfaceAndGateway)
{
    apply({}, {path("eth1", "10.1.0.2", "203.0.113.9", "10.1.0.1"), path("eth2", "10.2.0.2", "203.0.113.9", "10.2.0.1"),
               path("eth1", "fd00:1::2", "2001:db8::9", "fd00:1::1"),
               path("eth2", "fd00:2::2", "2001:db8::9", "fd00:2::1")});
    EXPECT_THAT(way("203.0.113.9 from 10.1.0.2"), HasSubstr("via 10.1.0.1 dev eth1"));
    EXPECT_THAT(way("203.0.113.9 from 10.2.0.2"), HasSubstr("via 10.2.0.1 dev eth2"));
    EXPECT_THAT(way("203.0.113.9 from 10.2.0.2 oif eth2"), HasSubstr("via 10.2.0.1 dev eth2"));
    EXPECT_THAT(way("2001:db8::9 from fd00:1::2"), HasSubstr("via fd00:1::1 dev eth1"));
    EXPECT_THAT(way("2001:db8::9 from fd00:2::2"), HasSubstr("via fd00:2::1 dev eth2"));
    // Nobody else's way has changed.
    EXPECT_THAT(way("203.0.113.9"), HasSubstr("via 10.1.0.1 dev eth1"));
    EXPECT_THAT(way("203.0.113.8 from 10.2.0.2"), HasSubstr("via 10.1.0.1 dev eth1"));
    EXPECT_THAT(way("192.0.2.1 from 10.2.0.2"), HasSubstr("via 10.2.0.9 dev eth2 table 100"));
    apply({}, {});
    EXPECT_EQ(state(), before());
}

TEST_F(RoutingTest, PathsOfOneAddressShareItsTable)
{
    apply({}, {path("eth1", "10.1.0.2", "203.0.113.9", "10.1.0.1"), path("eth1", "10.1.0.2", "203.0.113.9", "10.1.0.1"),
               path("eth1", "10.1.0.2", "10.1.0.3"), path("eth2", "10.1.0.2", "203.0.113.9", "10.2.0.1")});
    EXPECT_THAT(run("ip rule show priority 212 | grep -c \"10.1.0.2 .*proto 212\""), HasSubstr("1"));
    EXPECT_THAT(way("10.1.0.3 from 10.1.0.2"), AllOf(HasSubstr("dev eth1"), Not(HasSubstr("via"))));
    EXPECT_THAT(way("203.0.113.9 from 10.1.0.2 oif eth1"), HasSubstr("via 10.1.0.1 dev eth1"));
    EXPECT_THAT(way("203.0.113.9 from 10.1.0.2 oif eth2"), HasSubstr("via 10.2.0.1 dev eth2"));
    EXPECT_THAT(routing().apply({}, std::vector{path("eth1", "10.1.0.2", "203.0.113.9", "10.1.0.1"),
                                                path("eth1", "10.1.0.2", "203.0.113.9", "10.1.0.8")}),
                ElementsAre(AllOf(HasSubstr("10.1.0.1"), HasSubstr("10.1.0.8"))));
}

TEST_F(RoutingTest, AGatewayNeedNotBeOnANetworkOfItsInterface)
{
    apply({},
          {path("eth2", "10.2.0.2", "203.0.113.9", "172.31.1.1"), path("eth2", "fd00:2::2", "2001:db8::9", "fe80::1")});
    EXPECT_THAT(way("203.0.113.9 from 10.2.0.2"), HasSubstr("via 172.31.1.1 dev eth2"));
    EXPECT_THAT(way("2001:db8::9 from fd00:2::2"), HasSubstr("via fe80::1 dev eth2"));
}

TEST_F(RoutingTest, ADefaultRouteGoesBeforeAnyOtherAndPathsStayOutside)
{
    apply({tunnel("0.0.0.0/0", "10.0.0.2"), tunnel("::/0", "fec0::2")},
          {path("eth1", "10.1.0.2", "203.0.113.9", "10.1.0.1"), path("eth2", "10.2.0.2", "203.0.113.9", "10.2.0.1"),
           path("eth2", "fd00:2::2", "2001:db8::9", "fd00:2::1")});
    EXPECT_THAT(way("198.51.100.1"), HasSubstr("dev tun0 src 10.0.0.2"));
    EXPECT_THAT(way("8.8.8.8"), HasSubstr("dev tun0 src 10.0.0.2"));
    EXPECT_THAT(way("2001:db8:1::1"), AllOf(HasSubstr("dev tun0"), HasSubstr("src fec0::2")));
    EXPECT_THAT(way("fd77::1"), HasSubstr("dev tun0"));
    for (const char *oif : {"", " oif eth2"}) {
        EXPECT_THAT(way(std::string("203.0.113.9 from 10.2.0.2") + oif), HasSubstr("via 10.2.0.1 dev eth2"));
        EXPECT_THAT(way(std::string("2001:db8::9 from fd00:2::2") + oif), HasSubstr("via fd00:2::1 dev eth2"));
    }
    // Answers of this host from a path's address; what the main table knows better stays.
    EXPECT_THAT(way("198.51.100.1 from 10.2.0.2"), HasSubstr("via 10.2.0.1 dev eth2"));
    EXPECT_THAT(way("198.51.100.1 from 10.1.0.2"), HasSubstr("via 10.1.0.1 dev eth1"));
    EXPECT_THAT(way("10.1.0.77 from 10.2.0.2"), HasSubstr("dev eth1"));
    EXPECT_THAT(way("192.0.2.1 from 10.2.0.2"), HasSubstr("table 100"));
    // The second half of what is there once it was taken away: in the right order again.
    run("ip rule delete from 10.2.0.2 lookup main suppress_prefixlength 1 priority 32765");
    ASSERT_TRUE(routing().read());
    apply({tunnel("0.0.0.0/0", "10.0.0.2")}, {path("eth2", "10.2.0.2", "203.0.113.9", "10.2.0.1")});
    EXPECT_THAT(way("10.1.0.77 from 10.2.0.2"), HasSubstr("dev eth1"));
    EXPECT_THAT(way("198.51.100.1 from 10.2.0.2"), HasSubstr("via 10.2.0.1 dev eth2"));
    apply({}, {});
    EXPECT_EQ(state(), before());
}

TEST_F(RoutingTest, APeerThatMayBeAnywhereIsAnsweredByThePathsGateway)
{
    apply({}, {path("eth2", "10.2.0.2", "0.0.0.0", "10.2.0.1"), path("eth2", "10.2.0.2", "203.0.113.9", "10.2.0.7"),
               path("eth2", "fd00:2::2", "::", "fd00:2::1")});
    for (const char *oif : {"", " oif eth2"}) {
        EXPECT_THAT(way(std::string("198.51.100.1 from 10.2.0.2") + oif), HasSubstr("via 10.2.0.1 dev eth2"));
        EXPECT_THAT(way(std::string("203.0.113.9 from 10.2.0.2") + oif), HasSubstr("via 10.2.0.7 dev eth2"));
        EXPECT_THAT(way(std::string("2001:db8::9 from fd00:2::2") + oif), HasSubstr("via fd00:2::1 dev eth2"));
    }
    // What others have set, and the ways from other addresses, stay.
    EXPECT_THAT(way("10.1.0.77 from 10.2.0.2"), HasSubstr("dev eth1"));
    EXPECT_THAT(way("192.0.2.1 from 10.2.0.2"), HasSubstr("table 100"));
    EXPECT_THAT(way("198.51.100.1"), HasSubstr("via 10.1.0.1 dev eth1"));
    EXPECT_THAT(way("198.51.100.1 from 10.1.0.2"), HasSubstr("via 10.1.0.1 dev eth1"));
    apply({}, {});
    EXPECT_EQ(state(), before());
}

TEST_F(RoutingTest, APointToPointLinkNeedsNoGateway)
{
    run("ip tuntap add dev ppp0 mode tun; ip link set ppp0 up; ip address add 10.3.0.2 peer 10.3.0.1 dev ppp0");
    const std::string bare = state();
    apply({tunnel("0.0.0.0/0", "10.0.0.2")}, {path("ppp0", "10.3.0.2", "203.0.113.9")});
    EXPECT_THAT(way("203.0.113.9 from 10.3.0.2"), AllOf(HasSubstr("dev ppp0"), Not(HasSubstr("via"))));
    EXPECT_THAT(way("198.51.100.1 from 10.3.0.2"), AllOf(HasSubstr("dev ppp0"), Not(HasSubstr("via"))));
    apply({}, {});
    EXPECT_EQ(state(), bare);
}

TEST_F(RoutingTest, SweepsWhatAKilledProcessHasLeft)
{
    apply({tunnel("0.0.0.0/0", "10.0.0.2"), tunnel("192.168.7.0/24")},
          {path("eth1", "10.1.0.2", "203.0.113.9", "10.1.0.1"), path("eth2", "fd00:2::2", "2001:db8::9", "fd00:2::1")});
    EXPECT_NE(state(), before());
    start_again();
    apply({}, {});
    EXPECT_EQ(state(), before());
}

TEST_F(RoutingTest, GoesOnWithTheTablesThatItFinds)
{
    apply({},
          {path("eth1", "10.1.0.2", "203.0.113.9", "10.1.0.1"), path("eth2", "10.2.0.2", "203.0.113.9", "10.2.0.1")});
    apply({}, {path("eth2", "10.2.0.2", "203.0.113.9", "10.2.0.1")});
    const std::string present = state();
    start_again();
    apply({}, {path("eth2", "10.2.0.2", "203.0.113.9", "10.2.0.1")});
    EXPECT_EQ(state(), present);
    apply({},
          {path("eth1", "10.1.0.2", "203.0.113.9", "10.1.0.1"), path("eth2", "10.2.0.2", "203.0.113.9", "10.2.0.1")});
    EXPECT_THAT(way("203.0.113.9 from 10.1.0.2"), HasSubstr("via 10.1.0.1 dev eth1"));
    EXPECT_THAT(way("203.0.113.9 from 10.2.0.2"), HasSubstr("via 10.2.0.1 dev eth2"));
}

TEST_F(RoutingTest, FollowsAGatewayThatChangesAndPutsBackWhatWasTaken)
{
    apply({}, {path("eth2", "10.2.0.2", "203.0.113.9", "10.2.0.1")});
    apply({}, {path("eth2", "10.2.0.2", "203.0.113.9", "10.2.0.8")});
    EXPECT_THAT(way("203.0.113.9 from 10.2.0.2"), HasSubstr("via 10.2.0.8 dev eth2"));
    run("ip link set eth2 down; ip link set eth2 up; ip rule delete priority 212 from 10.2.0.2");
    ASSERT_TRUE(routing().read());
    apply({}, {path("eth2", "10.2.0.2", "203.0.113.9", "10.2.0.8")});
    EXPECT_THAT(way("203.0.113.9 from 10.2.0.2"), HasSubstr("via 10.2.0.8 dev eth2"));
}

TEST_F(RoutingTest, SaysWhatCannotBeAndTriesAgain)
{
    run("ip route add 192.168.7.0/24 via 10.1.0.1");
    EXPECT_THAT(routing().apply(std::vector{tunnel("192.168.7.0/24"), tunnel("192.168.8.0/24")}, {}),
                ElementsAre(AllOf(HasSubstr("192.168.7.0/24"), HasSubstr("another route"))));
    EXPECT_THAT(way("192.168.7.1"), HasSubstr("via 10.1.0.1"));
    EXPECT_THAT(way("192.168.8.1"), HasSubstr("dev tun0"));
    run("ip route delete 192.168.7.0/24 via 10.1.0.1");
    apply({tunnel("192.168.7.0/24"), tunnel("192.168.8.0/24")}, {});
    EXPECT_THAT(way("192.168.7.1"), HasSubstr("dev tun0"));
}

TEST_F(RoutingTest, StrictReversePathFilteringTakesWhatComesInOnAPath)
{
    apply({tunnel("0.0.0.0/0", "10.0.0.2")}, {path("eth2", "10.2.0.2", "203.0.113.9", "10.2.0.1")});
    run("sysctl -q -w net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth2.rp_filter=1");
    EXPECT_THAT(way("10.2.0.2 from 203.0.113.9 iif eth2"), HasSubstr("local 10.2.0.2"));
    EXPECT_THAT(way("10.2.0.2 from 198.51.100.1 iif eth2"), HasSubstr("local 10.2.0.2"));
}

TEST_F(RoutingTest, FindsTheWayThatOthersHaveSet)
{
    const auto find = [&](const char *interface, const char *remote) {
        auto opened = RouteSocket::open();
        const auto routes = opened->other_routes(interface, address(remote).version());
        EXPECT_TRUE(routes) << routes.error().text;
        const auto way = find_way(*routes, address(remote));
        return !way ? "none" : !way->gateway ? "direct" : way->gateway->to_string();
    };
    EXPECT_EQ(find("eth1", "203.0.113.9"), "10.1.0.1");
    EXPECT_EQ(find("eth1", "10.1.0.3"), "direct");
    EXPECT_EQ(find("eth1", "2001:db8::9"), "fd00:1::1");
    EXPECT_EQ(find("eth2", "203.0.113.9"), "none");
    EXPECT_EQ(find("eth2", "192.0.2.1"), "10.2.0.9");
    run("ip route add default via 10.2.0.7 dev eth2 table 100");
    EXPECT_EQ(find("eth2", "203.0.113.9"), "10.2.0.7");
    run("ip route add default via 10.2.0.6 dev eth2 metric 600; ip route add default via 10.2.0.5 dev eth2 metric 100");
    EXPECT_EQ(find("eth2", "203.0.113.9"), "10.2.0.5");
    run("ip route add 203.0.113.0/24 via 10.2.0.4 dev eth2 metric 900");
    EXPECT_EQ(find("eth2", "203.0.113.9"), "10.2.0.4");
    // Over both uplinks at once.
    run("ip route add 198.18.0.0/15 nexthop via 10.1.0.4 dev eth1 nexthop via 10.2.0.8 dev eth2;"
        "ip -6 route add 2001:db8:2::/48 nexthop via fd00:1::4 dev eth1 nexthop via fd00:2::8 dev eth2");
    EXPECT_EQ(find("eth1", "198.18.0.1"), "10.1.0.4");
    EXPECT_EQ(find("eth2", "198.18.0.1"), "10.2.0.8");
    EXPECT_EQ(find("eth1", "2001:db8:2::1"), "fd00:1::4");
    EXPECT_EQ(find("eth2", "2001:db8:2::1"), "fd00:2::8");
    // Our own say nothing of it.
    apply({}, {path("eth2", "10.2.0.2", "198.51.100.1", "10.2.0.3")});
    EXPECT_EQ(find("eth2", "198.51.100.1"), "10.2.0.5");
}

TEST_F(RoutingTest, WithoutIpv6ThereIsIpv4)
{
    run("sysctl -q -w net.ipv6.conf.all.disable_ipv6=1");
    ASSERT_TRUE(routing().read());
    apply({tunnel("192.168.7.0/24")}, {path("eth2", "10.2.0.2", "203.0.113.9", "10.2.0.1")});
    EXPECT_THAT(routing().apply({}, std::vector{path("eth2", "fd00:2::2", "2001:db8::9", "fd00:2::1")}),
                ElementsAre(HasSubstr("2001:db8::9")));
}

} // namespace
} // namespace mpt::net
