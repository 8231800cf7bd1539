// SPDX-License-Identifier: GPL-3.0-or-later
// Changes are made with ip(8) of iproute2.
#include "daemon/net/monitor.hpp"

#include "tests/unit/address.hpp"
#include "tests/unit/net/network_fixture.hpp"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace mpt::net {
namespace {

using base::Address;
using mpt::test::address;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::chrono::seconds kPatience{20}; // for an event that comes in milliseconds

class MonitorTest : public NetworkTest {
protected:
    void SetUp() override
    {
        NetworkTest::SetUp();
        if (IsSkipped() || HasFatalFailure())
            return;
        make_veth();
        start(Monitor::kReceiveBuffer);
    }

    void start(int receive_buffer, Monitor::Scope scope = Monitor::Scope::kInterfaces)
    {
        auto opened = Monitor::open(scope, receive_buffer);
        ASSERT_TRUE(opened) << opened.error().text;
        monitor_.emplace(std::move(*opened));
    }

    Monitor &monitor() { return *monitor_; }
    const Interface *find(const char *name) { return monitor_->state().find(name); }

    // Drains until the condition on the state holds, and returns the names that were told as changed meanwhile.
    template <typename Condition> std::set<std::string> wait_until(Condition condition)
    {
        std::set<std::string> told;
        const auto end = std::chrono::steady_clock::now() + kPatience;
        while (!condition()) {
            const auto left =
                std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
            pollfd waiting{.fd = monitor_->fd(), .events = POLLIN, .revents = 0};
            if (left.count() <= 0 || poll(&waiting, 1, static_cast<int>(left.count())) <= 0) {
                ADD_FAILURE() << "it did not happen";
                break;
            }
            auto changed = monitor_->drain();
            if (!changed) {
                ADD_FAILURE() << changed.error().text;
                break;
            }
            told.merge(*changed);
        }
        return told;
    }

    bool is_readable()
    {
        pollfd waiting{.fd = monitor_->fd(), .events = POLLIN, .revents = 0};
        return poll(&waiting, 1, 0) == 1;
    }

    // How many messages for the monitor the kernel has dropped (/proc/net/netlink: the socket's inode is the last
    // column).
    unsigned long drops()
    {
        struct stat status {};
        EXPECT_EQ(fstat(monitor_->fd(), &status), 0);
        return std::stoul(run(fmt::format("awk '$NF == {} {{ print $(NF - 1) }}' /proc/net/netlink", status.st_ino)));
    }

    // What the kernel says now, by another way than the events.
    static NetworkState present()
    {
        auto socket = RouteSocket::open();
        auto state = socket.value().read_state();
        while (!state)
            state = socket.value().read_state();
        return *state;
    }

    // Drains what is there, and then compares the state with the kernel's. A carrier change of the kernel's own may
    // come in between, hence the repetition.
    void expect_present_state()
    {
        wait_until([this] { return !is_readable() && monitor_->state().interfaces() == present().interfaces(); });
    }

private:
    std::optional<Monitor> monitor_;
};

TEST_F(MonitorTest, KnowsThePresentStateAtTheStart)
{
    run("ip addr add 10.8.0.1/24 dev v0");
    run("ip link set v0 mtu 1400 up");
    start(Monitor::kReceiveBuffer);
    ASSERT_TRUE(find("v0"));
    EXPECT_TRUE(find("v0")->link.up);
    EXPECT_FALSE(find("v0")->ready());
    EXPECT_EQ(find("v0")->link.mtu, 1400U);
    EXPECT_TRUE(find("v0")->has_usable(address("10.8.0.1")));
    ASSERT_TRUE(find("v1"));
    EXPECT_FALSE(find("v1")->link.up);
    EXPECT_FALSE(find("v2"));
    EXPECT_THAT(monitor().drain().value(), IsEmpty());
}

TEST_F(MonitorTest, SeesUpAndCarrierComeAndGo)
{
    run("ip link set v0 up");
    EXPECT_THAT(wait_until([this] { return find("v0")->link.up; }), Contains("v0"));
    EXPECT_FALSE(find("v0")->link.carrier);

    run("ip link set v1 up");
    EXPECT_THAT(wait_until([this] { return find("v0")->ready() && find("v1")->ready(); }), ElementsAre("v0", "v1"));

    run("ip link set v1 down");
    EXPECT_THAT(wait_until([this] { return !find("v0")->ready(); }), Contains("v0"));
    EXPECT_TRUE(find("v0")->link.up);
    EXPECT_FALSE(find("v0")->link.carrier);

    run("ip link set v0 down");
    wait_until([this] { return !find("v0")->link.up; });
    expect_present_state();
}

TEST_F(MonitorTest, SeesTheMtu)
{
    run("ip link set v0 mtu 1300");
    EXPECT_THAT(wait_until([this] { return find("v0")->link.mtu == 1300; }), ElementsAre("v0"));
}

TEST_F(MonitorTest, SeesAddressesComeAndGo)
{
    run("ip link set v0 up");
    run("ip link set v1 up");
    wait_until([this] { return find("v0")->ready(); });

    run("ip addr add 10.8.0.1/24 dev v0");
    EXPECT_THAT(wait_until([this] { return find("v0")->has_usable(address("10.8.0.1")); }), Contains("v0"));
    run("ip addr add fd08::1/64 dev v0 nodad");
    wait_until([this] { return find("v0")->has_usable(address("fd08::1")); });
    EXPECT_FALSE(find("v1")->has_usable(address("10.8.0.1")));

    run("ip addr del 10.8.0.1/24 dev v0");
    EXPECT_THAT(wait_until([this] { return !find("v0")->has_usable(address("10.8.0.1")); }), Contains("v0"));
    EXPECT_TRUE(find("v0")->has_usable(address("fd08::1")));
    run("ip addr del fd08::1/64 dev v0");
    wait_until([this] { return !find("v0")->has_usable(address("fd08::1")); });
    expect_present_state();
}

TEST_F(MonitorTest, AnAddressThatIsThereTwiceGoesWithTheSecond)
{
    run("ip addr add 10.8.0.1/24 dev v0");
    run("ip addr add 10.8.0.1/16 dev v0");
    run("ip addr add 10.8.0.1 peer 10.99.0.1/32 dev v0");
    wait_until([this] { return find("v0")->addresses.size() == 3; });
    run("ip addr del 10.8.0.1/24 dev v0");
    wait_until([this] { return find("v0")->addresses.size() == 2; });
    run("ip addr del 10.8.0.1 peer 10.99.0.1/32 dev v0");
    wait_until([this] { return find("v0")->addresses.size() == 1; });
    EXPECT_TRUE(find("v0")->has_usable(address("10.8.0.1")));
    expect_present_state();
}

TEST_F(MonitorTest, AnAddressIsUsedOnlyAfterDuplicateAddressDetection)
{
    run("ip link set v0 up");
    run("ip link set v1 up");
    wait_until([this] { return find("v0")->ready() && find("v1")->ready(); });
    run("sysctl -qw net.ipv6.conf.v0.dad_transmits=3"); // a second each: longer than it takes to look
    run("ip addr add fd08::1/64 dev v0");
    wait_until([this] { return find("v0")->addresses.count(address("fd08::1")) == 1; });
    EXPECT_TRUE(find("v0")->addresses.find(address("fd08::1"))->second.tentative);
    EXPECT_FALSE(find("v0")->has_usable(address("fd08::1")));
    wait_until([this] { return find("v0")->has_usable(address("fd08::1")); });

    // The other end of the cable has this one.
    run("ip addr add fd08::2/64 dev v1 nodad");
    run("ip addr add fd08::2/64 dev v0");
    wait_until([this] {
        const auto found = find("v0")->addresses.find(address("fd08::2"));
        return found != find("v0")->addresses.end() && found->second.dad_failed;
    });
    EXPECT_FALSE(find("v0")->has_usable(address("fd08::2")));
    EXPECT_TRUE(find("v1")->has_usable(address("fd08::2")));
}

TEST_F(MonitorTest, SeesARename)
{
    run("ip addr add 10.8.0.1/24 dev v0");
    wait_until([this] { return !find("v0")->addresses.empty(); });
    const std::uint32_t index = find("v0")->link.index;
    run("ip link set v0 name uplink");
    EXPECT_THAT(wait_until([this] { return find("uplink"); }), ElementsAre("uplink", "v0"));
    EXPECT_FALSE(find("v0"));
    EXPECT_EQ(find("uplink")->link.index, index);
    EXPECT_TRUE(find("uplink")->has_usable(address("10.8.0.1")));
}

TEST_F(MonitorTest, SeesRemovalAndAnotherInterfaceOfThatName)
{
    run("ip addr add 10.8.0.1/24 dev v0");
    wait_until([this] { return !find("v0")->addresses.empty(); });
    const std::uint32_t index = find("v0")->link.index;
    run("ip link del v0");
    EXPECT_THAT(wait_until([this] { return !find("v0") && !find("v1"); }), ElementsAre("v0", "v1"));

    make_veth();
    wait_until([this] { return find("v0") && find("v1"); });
    EXPECT_NE(find("v0")->link.index, index);
    EXPECT_THAT(find("v0")->addresses, IsEmpty());

    // In one go: the name stays, and what was bound to the old one must be told.
    const std::uint32_t second = find("v0")->link.index;
    run("ip link del v0; ip link add v0 type veth peer name v1");
    EXPECT_THAT(wait_until([&] { return find("v0") && find("v0")->link.index != second; }), Contains("v0"));
    expect_present_state();
}

TEST_F(MonitorTest, AnInterfaceThatLeavesABridgeIsStillThere)
{
    run("ip addr add 10.8.0.1/24 dev v0");
    run("ip link add br0 type bridge");
    run("ip link set v0 master br0");
    run("ip link set v0 nomaster");
    run("ip link set v0 mtu 1200"); // comes last
    wait_until([this] { return !find("v0") || find("v0")->link.mtu == 1200; });
    ASSERT_TRUE(find("v0"));
    EXPECT_TRUE(find("v0")->has_usable(address("10.8.0.1")));
    expect_present_state();
}

TEST_F(MonitorTest, SaysNothingIfNothingOfInterestChanged)
{
    run("ip link set v0 alias something");
    run("ip link set v0 txqueuelen 77");
    ASSERT_TRUE(is_readable());
    EXPECT_THAT(monitor().drain().value(), IsEmpty());
    EXPECT_FALSE(is_readable());
}

// Of what the kernel could queue nothing holds any more in the end, and of what holds it could queue nothing.
TEST_F(MonitorTest, ReadsAgainAfterAnOverrun)
{
    start(4096);
    run("(seq -f 'addr add 10.8.0.%g/32 dev v0' 0 255; seq -f 'addr add 10.8.1.%g/32 dev v0' 0 255;"
        " for i in $(seq 20); do seq -f 'addr add 10.9.0.%g/32 dev v0' 0 236; seq -f 'addr del 10.9.0.%g/32 dev v0' 0 "
        "236;"
        " done; echo link set v1 mtu 1234; seq -f 'addr del 10.8.0.%g/32 dev v0' 0 248) | ip -batch -");
    EXPECT_GT(drops(), 0U);
    EXPECT_THAT(wait_until([this] { return !is_readable(); }), ElementsAre("v0", "v1"));
    EXPECT_EQ(find("v1")->link.mtu, 1234U);
    std::string shown;
    for (const auto &[own, entry] : find("v0")->addresses)
        shown += own.to_string() + '\n';
    EXPECT_EQ(shown, run("ip -o -4 addr show dev v0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/' | sort -V"));
    EXPECT_EQ(find("v0")->addresses.size(), 7U + 256U);

    // Events are followed again.
    run("ip addr add 10.7.0.1/24 dev v0");
    EXPECT_THAT(wait_until([this] { return find("v0")->has_usable(address("10.7.0.1")); }), ElementsAre("v0"));
}

TEST_F(MonitorTest, KeepsTheStateRightThroughAStormThatItCannotFollow)
{
    // More addresses than fit into one piece of a dump, so that changes come in the middle of a dump too.
    run("for i in $(seq 0 3); do seq -f \"addr add 10.7.$i.%g/32 dev v1\" 0 255; done | ip -batch -");
    start(4096);
    run("seq -f 'addr add 10.6.0.%g/32 dev v0' 0 255 | ip -batch -"); // an overrun before the storm
    FILE *const storm = popen("for i in $(seq 20); do seq -f \"addr add 10.8.$i.%g/32 dev v0\" 0 255;"
                              " seq -f \"addr del 10.8.$i.%g/32 dev v0\" 5 255; done | ip -batch - && echo done",
                              "r");
    ASSERT_TRUE(storm);
    std::array<pollfd, 2> waiting{pollfd{.fd = monitor().fd(), .events = POLLIN, .revents = 0},
                                  pollfd{.fd = fileno(storm), .events = POLLIN, .revents = 0}};
    while (waiting[1].revents == 0) {
        ASSERT_GT(poll(waiting.data(), waiting.size(), 60'000), 0);
        // Reading everything again may fail while it goes on; that is tried again by the next call.
        if (const auto changed = monitor().drain(); !changed) {
            EXPECT_THAT(changed.error().text, HasSubstr("the network changed again and again"));
        }
        present(); // takes its time, in which more is lost
    }
    EXPECT_TRUE(monitor().drain());
    EXPECT_EQ(pclose(storm), 0);
    EXPECT_GT(drops(), 0U);
    expect_present_state();
    EXPECT_EQ(find("v0")->addresses.size(), 256U + 20U * 5U);
    EXPECT_EQ(find("v1")->addresses.size(), 1024U);
}

TEST_F(MonitorTest, SaysWhereADefaultRouteHasChanged)
{
    run("ip link set v0 addrgenmode none; ip link set v1 addrgenmode none; ip link set v0 up; ip link set v1 up;"
        "ip address add 10.0.0.2/24 dev v0; ip address add fd00::2/64 dev v0 nodad");
    wait_until([this] { return find("v0")->ready() && find("v1")->ready(); });
    start(Monitor::kReceiveBuffer, Monitor::Scope::kRoutesToo);
    const auto told = [this] { return wait_until([this] { return !is_readable(); }); };
    EXPECT_THAT(told(), IsEmpty());
    for (const char *change :
         {"ip route add default via 10.0.0.1", "ip route change default via 10.0.0.9", "ip route delete default",
          "ip -6 route add default via fd00::1", "ip route add default via 10.0.0.1 dev v0 table 100 proto dhcp"}) {
        run(change);
        EXPECT_THAT(told(), ElementsAre("v0")) << change;
    }
    for (const char *change : {"sysctl -q -w net.ipv4.ip_forward=1", "sysctl -q -w net.ipv6.conf.all.forwarding=1",
                               "sysctl -q -w net.ipv4.conf.v0.forwarding=0"}) {
        run(change);
        EXPECT_THAT(told(), Contains("v0")) << change;
    }
    run("sysctl -q -w net.ipv4.conf.v0.rp_filter=1");
    EXPECT_THAT(told(), IsEmpty());
    EXPECT_FALSE(monitor().take_lost_routes());
    // Ours are no news, nor are others than default routes.
    run("ip route add default dev v0 proto 212 metric 7; ip route add 192.0.2.0/24 via 10.0.0.1; ip rule add from "
        "10.0.0.2 lookup 100; ip rule add from 10.0.0.3 lookup 100 proto 212");
    EXPECT_THAT(told(), IsEmpty());
    EXPECT_FALSE(monitor().take_lost_routes());
    run("ip rule delete from 10.0.0.2 lookup 100; ip route delete 192.0.2.0/24 via 10.0.0.1");
    told();
    EXPECT_FALSE(monitor().take_lost_routes());
    for (const char *loss : {"ip route delete default dev v0 proto 212 metric 7", "ip rule delete from 10.0.0.3"}) {
        run(loss);
        EXPECT_THAT(told(), IsEmpty());
        EXPECT_TRUE(monitor().take_lost_routes()) << loss;
        EXPECT_FALSE(monitor().take_lost_routes());
    }
}

TEST_F(MonitorTest, AStormOfOthersRoutesIsNotHeard)
{
    run("ip link set v0 addrgenmode none; ip link set v0 up; ip addr add 10.8.8.1/32 dev v0; ip route add 10.8.0.0/16 "
        "dev v0");
    start(4096, Monitor::Scope::kRoutesToo);
    wait_until([this] { return !is_readable(); });
    run("(for i in $(seq 20); do seq -f 'route add 10.8.0.%g/32 dev v0' 0 255;"
        " seq -f 'route del 10.8.0.%g/32 dev v0' 0 255; done) | ip -batch -");
    EXPECT_FALSE(is_readable());
    EXPECT_EQ(drops(), 0U);
    run("ip route add default dev v0");
    EXPECT_THAT(wait_until([this] { return !is_readable(); }), ElementsAre("v0"));
}

TEST_F(MonitorTest, AfterAnOverrunAnyRouteMayHaveChanged)
{
    start(4096, Monitor::Scope::kRoutesToo);
    EXPECT_FALSE(monitor().take_lost_routes());
    run("(for i in $(seq 20); do seq -f 'addr add 10.8.0.%g/32 dev v0' 0 255;"
        " seq -f 'addr del 10.8.0.%g/32 dev v0' 0 255; done) | ip -batch -");
    EXPECT_GT(drops(), 0U);
    EXPECT_THAT(wait_until([this] { return !is_readable(); }), ElementsAre("lo", "v0", "v1"));
    EXPECT_TRUE(monitor().take_lost_routes());
}

TEST_F(MonitorTest, HearsTheKernelOnly)
{
    sockaddr_nl to{};
    socklen_t size = sizeof to;
    ASSERT_EQ(getsockname(monitor().fd(), reinterpret_cast<sockaddr *>(&to), &size), 0);
    struct {
        nlmsghdr header;
        ifinfomsg body;
        rtattr attribute;
        std::array<char, 4> name;
        rtattr mtu_attribute;
        std::uint32_t mtu;
    } forged{};
    forged.header.nlmsg_len = sizeof forged;
    forged.header.nlmsg_type = RTM_DELLINK;
    forged.body.ifi_index = static_cast<int>(find("v0")->link.index);
    forged.attribute = {.rta_len = 7, .rta_type = IFLA_IFNAME};
    forged.name = {'v', '0', 0, 0};
    forged.mtu_attribute = {.rta_len = 8, .rta_type = IFLA_MTU};
    forged.mtu = 1500;
    const auto octets = std::as_bytes(std::span(&forged, 1));
    ASSERT_TRUE(std::holds_alternative<LinkEvent>(decode(split(octets).value().at(0)).value().value()));

    const int sender = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    ASSERT_GE(sender, 0);
    EXPECT_EQ(sendto(sender, octets.data(), octets.size(), 0, reinterpret_cast<sockaddr *>(&to), sizeof to),
              static_cast<ssize_t>(octets.size()));
    close(sender);
    ASSERT_TRUE(is_readable());
    EXPECT_THAT(monitor().drain().value(), IsEmpty());
    EXPECT_TRUE(find("v0"));
}

} // namespace
} // namespace mpt::net
