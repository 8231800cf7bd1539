// SPDX-License-Identifier: GPL-3.0-or-later
// What RouteSocket sets is read back with ip(8) of iproute2, and the other way round.
#include "daemon/net/route_socket.hpp"

#include "tests/unit/address.hpp"
#include "tests/unit/net/network_fixture.hpp"

#include <unistd.h>

namespace mpt::net {
namespace {

using base::Address;
using base::ErrorCode;
using base::Prefix;
using mpt::test::address;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Prefix prefix(const char *text)
{
    return Prefix::parse(text).value();
}

template <typename T> void expect_failure(const base::Result<T> &result, ErrorCode code, const char *text)
{
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code) << result.error().text;
    EXPECT_THAT(result.error().text, HasSubstr(text));
}

#define EXPECT_OK(expression)                                                                                          \
    do {                                                                                                               \
        const auto ok_result = (expression);                                                                           \
        EXPECT_TRUE(ok_result) << ok_result.error().text;                                                              \
    } while (false)

class RouteSocketTest : public NetworkTest {
protected:
    void SetUp() override
    {
        NetworkTest::SetUp();
        if (IsSkipped() || HasFatalFailure())
            return;
        make_tun();
        auto opened = RouteSocket::open();
        ASSERT_TRUE(opened) << opened.error().text;
        socket_.emplace(std::move(*opened));
    }

    RouteSocket &socket() { return *socket_; }

private:
    std::optional<RouteSocket> socket_;
};

TEST_F(RouteSocketTest, LooksUpALink)
{
    run("ip link set tun0 mtu 1400");
    const auto tun = socket().link("tun0");
    ASSERT_TRUE(tun) << tun.error().text;
    EXPECT_EQ(tun->name, "tun0");
    EXPECT_EQ(tun->kind, "tun");
    EXPECT_EQ(tun->mtu, 1400U);
    EXPECT_EQ(tun->min_mtu, 68U);
    EXPECT_FALSE(tun->up);
    EXPECT_THAT(run("ip -j link show tun0"), HasSubstr("\"ifindex\":" + std::to_string(tun->index) + ","));

    make_veth();
    run("ip link set v0 up");
    const auto without_carrier = socket().link("v0").value();
    EXPECT_EQ(without_carrier.kind, "veth");
    EXPECT_TRUE(without_carrier.up);
    EXPECT_FALSE(without_carrier.carrier);
    EXPECT_FALSE(without_carrier.running);
    run("ip link set v1 up");
    EXPECT_TRUE(socket().link("v0")->carrier);

    EXPECT_EQ(socket().link("lo")->kind, "");
}

TEST_F(RouteSocketTest, SetsLinkUpAndDown)
{
    EXPECT_OK(socket().set_up("tun0", true));
    EXPECT_OK(socket().set_up("tun0", true));
    EXPECT_THAT(run("ip -j link show tun0"), HasSubstr("\"UP\""));
    EXPECT_TRUE(socket().link("tun0")->up);
    EXPECT_OK(socket().set_up("tun0", false));
    EXPECT_THAT(run("ip -j link show tun0"), Not(HasSubstr("\"UP\"")));
    // Only that flag is changed.
    EXPECT_THAT(run("ip -j link show tun0"), AllOf(HasSubstr("NOARP"), HasSubstr("POINTOPOINT")));
}

TEST_F(RouteSocketTest, SetsMtuAndQueueLength)
{
    EXPECT_OK(socket().set_mtu("tun0", 1440));
    EXPECT_OK(socket().set_queue_length("tun0", 1234));
    EXPECT_THAT(run("ip -j link show tun0"), AllOf(HasSubstr("\"mtu\":1440,"), HasSubstr("\"txqlen\":1234,")));

    expect_failure(socket().set_mtu("tun0", 99999), ErrorCode::kInvalidArgument,
                   "setting the MTU of tun0 to 99999: Invalid argument");
    expect_failure(socket().set_mtu("tun0", 99999), ErrorCode::kInvalidArgument, "(the interface allows 68 to 65");
    expect_failure(socket().set_mtu("tun0", 67), ErrorCode::kInvalidArgument, "the interface allows 68");
    EXPECT_EQ(socket().link("tun0")->mtu, 1440U);
}

TEST_F(RouteSocketTest, AddsAndRemovesAddresses)
{
    EXPECT_OK(socket().add_address("tun0", prefix("10.9.0.2/24")));
    EXPECT_OK(socket().add_address("tun0", prefix("fd09::2/64")));
    EXPECT_THAT(run("ip -j -4 addr show dev tun0"), HasSubstr("\"local\":\"10.9.0.2\",\"prefixlen\":24,"));
    EXPECT_THAT(run("ip -j -6 addr show dev tun0"), HasSubstr("\"local\":\"fd09::2\",\"prefixlen\":64,"));

    const auto present = socket().addresses("tun0");
    ASSERT_TRUE(present) << present.error().text;
    ASSERT_EQ(present->size(), 2U);
    EXPECT_EQ((*present)[0].prefix, prefix("10.9.0.2/24"));
    EXPECT_EQ((*present)[0].peer, address("10.9.0.2"));
    EXPECT_EQ((*present)[1].prefix, prefix("fd09::2/64"));

    EXPECT_OK(socket().remove_address("tun0", prefix("10.9.0.2/24")));
    EXPECT_OK(socket().remove_address("tun0", prefix("fd09::2/64")));
    EXPECT_THAT(run("ip -j addr show dev tun0"), Not(HasSubstr("\"local\"")));
}

TEST_F(RouteSocketTest, AddingAnAddressAgainSucceedsOnlyIfItIsTheSame)
{
    for (const char *text : {"10.9.0.2/24", "fd09::2/64"}) {
        EXPECT_OK(socket().add_address("tun0", prefix(text)));
        EXPECT_OK(socket().add_address("tun0", prefix(text)));
    }
    // IPv4 addresses are there once for each prefix length, IPv6 addresses once.
    EXPECT_OK(socket().add_address("tun0", prefix("10.9.0.2/16")));
    expect_failure(socket().add_address("tun0", prefix("fd09::2/48")), ErrorCode::kAlreadyExists,
                   "adding the address fd09::2/48 to tun0: it is there as fd09::2/64; remove that first");
    EXPECT_EQ(socket().addresses("tun0")->size(), 3U);
}

TEST_F(RouteSocketTest, RemovingAnAddressNeedsItsPrefixLength)
{
    EXPECT_OK(socket().add_address("tun0", prefix("10.9.0.2/24")));
    EXPECT_OK(socket().add_address("tun0", prefix("fd09::2/64")));
    for (const char *text : {"10.9.0.2/25", "10.9.0.3/24", "fd09::2/48", "fd09::3/64"})
        expect_failure(socket().remove_address("tun0", prefix(text)), ErrorCode::kNotFound, text);
    EXPECT_EQ(socket().addresses("tun0")->size(), 2U);
}

TEST_F(RouteSocketTest, ListsTheAddressesOfOneLinkOnly)
{
    make_veth();
    run("ip addr add 10.8.0.1/24 dev v0");
    run("ip addr add 10.9.0.1 peer 10.9.0.9/32 dev tun0");
    const auto present = socket().addresses("tun0").value();
    ASSERT_EQ(present.size(), 1U);
    EXPECT_EQ(present[0].prefix, prefix("10.9.0.1/32"));
    EXPECT_EQ(present[0].peer, address("10.9.0.9"));
}

TEST_F(RouteSocketTest, Ipv6AddressCanBeUsedAtOnce)
{
    make_veth();
    EXPECT_OK(socket().set_up("v0", true));
    EXPECT_OK(socket().set_up("v1", true));
    EXPECT_OK(socket().add_address("v0", prefix("fd09::2/64")));
    const std::string shown = run("ip -j -6 addr show dev v0 to fd09::2");
    EXPECT_THAT(shown, AllOf(HasSubstr("\"nodad\":true"), Not(HasSubstr("tentative"))));
}

TEST_F(RouteSocketTest, RefusesAddressesThatNoHostHas)
{
    for (const char *text : {"0.0.0.0/0", "224.0.0.5/24", "::/64", "ff02::5/64"})
        expect_failure(socket().add_address("tun0", prefix(text)), ErrorCode::kInvalidArgument, text);
}

TEST_F(RouteSocketTest, SaysThatIpv6IsOff)
{
    run("sysctl -qw net.ipv6.conf.tun0.disable_ipv6=1");
    expect_failure(socket().add_address("tun0", prefix("fd09::2/64")), ErrorCode::kNotSupported, "disable_ipv6");
}

TEST_F(RouteSocketTest, AddsAndRemovesRoutes)
{
    EXPECT_OK(socket().set_up("tun0", true));
    EXPECT_OK(socket().add_address("tun0", prefix("10.9.0.2/24")));
    EXPECT_OK(socket().add_address("tun0", prefix("fd09::2/64")));
    const std::vector<Route> routes = {
        {.destination = prefix("10.20.0.0/16"), .interface = "tun0"},
        {.destination = prefix("10.21.7.7/16"), // host bits set
         .interface = "tun0",
         .gateway = address("10.9.0.1"),
         .source = address("10.9.0.2"),
         .table = 1000,
         .metric = 77},
        {.destination = prefix("0.0.0.0/0"), .interface = "tun0", .gateway = address("10.9.0.1")},
        {.destination = prefix("fd20::/32"), .interface = "tun0"},
        {.destination = prefix("fd21::/32"),
         .interface = "tun0",
         .gateway = address("fd09::1"),
         .source = address("fd09::2"),
         .table = 1000,
         .metric = 77},
        {.destination = prefix("::/0"), .interface = "tun0", .gateway = address("fd09::1")},
    };
    for (const Route &route : routes)
        EXPECT_OK(socket().add_route(route));

    EXPECT_EQ(kRouteProtocol, 212);
    const std::string v4 = run("ip -N -4 route show table all proto 212");
    EXPECT_THAT(v4, HasSubstr("10.20.0.0/16 dev tun0 scope 253"));
    EXPECT_THAT(v4, HasSubstr("10.21.0.0/16 via 10.9.0.1 dev tun0 table 1000 src 10.9.0.2 metric 77"));
    EXPECT_THAT(v4, HasSubstr("default via 10.9.0.1 dev tun0"));
    EXPECT_EQ(std::count(v4.begin(), v4.end(), '\n'), 3);
    const std::string v6 = run("ip -N -6 route show table all proto 212");
    EXPECT_THAT(v6, HasSubstr("fd20::/32 dev tun0 metric 1024"));
    EXPECT_THAT(v6, HasSubstr("fd21::/32 via fd09::1 dev tun0 table 1000 src fd09::2 metric 77"));
    EXPECT_THAT(v6, HasSubstr("default via fd09::1 dev tun0 metric 1024"));
    EXPECT_EQ(std::count(v6.begin(), v6.end(), '\n'), 3);

    for (const Route &route : routes) {
        EXPECT_OK(socket().remove_route(route));
        expect_failure(socket().remove_route(route), ErrorCode::kNotFound, route.to_string().c_str());
    }
    EXPECT_EQ(run("ip -N -4 route show table all proto 212") + run("ip -N -6 route show table all proto 212"), "");
}

TEST_F(RouteSocketTest, AddingARouteAgainSucceedsOnlyIfItIsTheSame)
{
    EXPECT_OK(socket().set_up("tun0", true));
    EXPECT_OK(socket().add_address("tun0", prefix("10.9.0.2/24")));
    EXPECT_OK(socket().add_address("tun0", prefix("fd09::2/64")));
    for (const char *destination : {"10.20.0.1/16", "fd20::1/32", "0.0.0.0/0", "::/0"}) {
        Route route{.destination = prefix(destination), .interface = "tun0"};
        EXPECT_OK(socket().add_route(route));
        EXPECT_OK(socket().add_route(route));
        route.source = route.destination.address.is_v4() ? address("10.9.0.2") : address("fd09::2");
        expect_failure(socket().add_route(route), ErrorCode::kAlreadyExists, "another route");
        route.metric = 5;
        EXPECT_OK(socket().add_route(route));
    }
}

TEST_F(RouteSocketTest, LeavesTheRoutesOfOthersAlone)
{
    EXPECT_OK(socket().set_up("tun0", true));
    EXPECT_OK(socket().add_address("tun0", prefix("10.9.0.2/24")));
    EXPECT_OK(socket().add_address("tun0", prefix("fd09::2/64")));
    run("ip route add 10.20.0.0/16 dev tun0");
    run("ip -6 route add fd20::/32 dev tun0");
    wait_for_output("ip -6 route show table local", "local fd09::2 dev tun0");
    const std::string before = run("ip route show table all") + run("ip -6 route show table all");
    for (const char *destination : {"10.20.0.0/16", "fd20::/32"}) {
        const Route route{.destination = prefix(destination), .interface = "tun0"};
        expect_failure(socket().add_route(route), ErrorCode::kAlreadyExists, "adding the route");
        expect_failure(socket().remove_route(route), ErrorCode::kNotFound, "removing the route");
    }
    EXPECT_EQ(run("ip route show table all") + run("ip -6 route show table all"), before);
}

TEST_F(RouteSocketTest, SaysWhyARouteCannotBe)
{
    EXPECT_OK(socket().add_address("tun0", prefix("10.9.0.2/24")));
    Route route{.destination = prefix("10.20.0.0/16"), .interface = "tun0"};
    expect_failure(socket().add_route(route), ErrorCode::kSystem, "set the interface up first");
    EXPECT_OK(socket().set_up("tun0", true));
    route.gateway = address("10.77.0.1");
    expect_failure(socket().add_route(route), ErrorCode::kSystem,
                   "adding the route 10.20.0.0/16 via 10.77.0.1 dev tun0: Network is unreachable: Nexthop");
    route.gateway = address("fd09::1");
    expect_failure(socket().add_route(route), ErrorCode::kInvalidArgument, "of one IP version");
    route.gateway.reset();
    route.source = address("10.9.0.77"); // not an address of this host
    expect_failure(socket().add_route(route), ErrorCode::kInvalidArgument, "src 10.9.0.77");
}

TEST_F(RouteSocketTest, SaysThatThereIsNoSuchInterface)
{
    const std::string long_name(200, 'x');
    const std::string split_name("tun0\0x", 6);
    for (const std::string &name : {std::string("tun9"), std::string(), long_name, split_name}) {
        const auto not_found = [&](const auto &result) {
            expect_failure(result, ErrorCode::kNotFound, "no interface of that name");
            expect_failure(result, ErrorCode::kNotFound, name.c_str());
        };
        not_found(socket().link(name));
        not_found(socket().addresses(name));
        not_found(socket().set_up(name, true));
        not_found(socket().set_mtu(name, 1400));
        not_found(socket().set_queue_length(name, 100));
        not_found(socket().add_address(name, prefix("10.9.0.2/24")));
        not_found(socket().remove_address(name, prefix("10.9.0.2/24")));
        not_found(socket().add_route({.destination = prefix("10.20.0.0/16"), .interface = name}));
        not_found(socket().remove_route({.destination = prefix("10.20.0.0/16"), .interface = name}));
    }
}

TEST_F(RouteSocketTest, SaysThatThePrivilegeIsMissing)
{
    // A child, since there is no way back.
    const auto unprivileged = [] {
        if (setresuid(65534, 65534, 65534) != 0)
            _exit(2);
        auto own = RouteSocket::open();
        if (!own || !own->link("tun0"))
            _exit(3);
        const base::Result<void> results[] = {
            own->set_up("tun0", true),
            own->set_mtu("tun0", 1400),
            own->set_queue_length("tun0", 100),
            own->add_address("tun0", prefix("10.9.0.2/24")),
            own->remove_address("tun0", prefix("10.9.0.2/24")),
            own->add_route({.destination = prefix("10.20.0.0/16"), .interface = "tun0"}),
            own->remove_route({.destination = prefix("10.20.0.0/16"), .interface = "tun0"}),
        };
        for (const auto &result : results) {
            if (result || result.error().code != ErrorCode::kNotPermitted)
                _exit(4);
            std::fprintf(stderr, "%s\n", result.error().text.c_str());
        }
        _exit(0);
    };
    EXPECT_EXIT(unprivileged(), ::testing::ExitedWithCode(0),
                "setting the MTU of tun0 to 1400: Operation not permitted .*CAP_NET_ADMIN");
}

TEST_F(RouteSocketTest, SaysWhetherTheKernelForwards)
{
    const auto forwards = [this](base::IpVersion version) { return socket().forwards("tun0", version).value(); };
    EXPECT_FALSE(forwards(base::IpVersion::kV4));
    EXPECT_FALSE(forwards(base::IpVersion::kV6));
    run("sysctl -q -w net.ipv4.conf.lo.forwarding=1 net.ipv6.conf.tun0.forwarding=1");
    EXPECT_FALSE(forwards(base::IpVersion::kV4)) << "another interface";
    EXPECT_FALSE(forwards(base::IpVersion::kV6)) << "the switch of one interface only says how it takes advertisements";
    run("sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    EXPECT_TRUE(forwards(base::IpVersion::kV4));
    EXPECT_TRUE(forwards(base::IpVersion::kV6));
    run("sysctl -q -w net.ipv4.conf.tun0.forwarding=0");
    EXPECT_FALSE(forwards(base::IpVersion::kV4));
    expect_failure(socket().forwards("none", base::IpVersion::kV4), ErrorCode::kNotFound, "none");
}

TEST_F(RouteSocketTest, ReadsEverythingInOneGo)
{
    make_veth();
    run("ip addr add 10.8.0.1/24 dev v0");
    // More than fits into one piece of a dump.
    run("for i in $(seq 2000); do echo \"addr add 10.10.$((i / 256)).$((i % 256))/32 dev v1\"; done | ip -batch -");
    const auto state = socket().read_state();
    ASSERT_TRUE(state) << state.error().text;
    EXPECT_EQ(state->interfaces().size(), 4U);
    ASSERT_TRUE(state->find("v0"));
    EXPECT_TRUE(state->find("v0")->has_usable(address("10.8.0.1")));
    EXPECT_FALSE(state->find("tun0")->has_usable(address("10.8.0.1")));
    ASSERT_TRUE(state->find("v1"));
    EXPECT_EQ(state->find("v1")->addresses.size(), 2000U);
}

} // namespace
} // namespace mpt::net
