// SPDX-License-Identifier: GPL-3.0-or-later
// One plane, whose peer is an ordinary UDP socket.
#include "daemon/plane/connection.hpp"
#include "daemon/plane/plane.hpp"

#include "tests/unit/plane/loopback.hpp"

#include <algorithm>
#include <cstdlib>

namespace mpt::plane {
namespace {

using namespace std::chrono_literals;
using core::PathStatus;
using core::StatusReason;

const base::Endpoint kOwn = endpoint("10.7.0.1", kPort);
const base::Endpoint kPeer = endpoint("10.7.0.2", kPort);

class OnePlaneTest : public PlaneTest {
protected:
    void SetUp() override
    {
        PlaneTest::SetUp();
        if (IsSkipped() || HasFatalFailure())
            return;
        peer = std::make_unique<UdpPeer>(kPeer);
        plane = start({"tun7"});
        tunnel = std::make_unique<TunEnd>("tun7");
    }

    // A packet goes in, the peer gets it with this number.
    void expect_sent(std::uint32_t sequence)
    {
        const std::string packet = inner_packet(sequence);
        tunnel->send(packet);
        ASSERT_EQ(peer->receive(), gre(sequence, packet));
    }

    // The peer sends a packet with this number, it comes out.
    void expect_received(std::uint32_t sequence)
    {
        const std::string packet = inner_answer(sequence);
        peer->send(gre(sequence, packet), kOwn);
        ASSERT_EQ(tunnel->receive(), packet);
    }

    const core::ConnectionParameters simple = connection("tun7", {path("10.7.0.1", "10.7.0.2")});
    std::unique_ptr<UdpPeer> peer;
    std::unique_ptr<Plane> plane;
    std::unique_ptr<TunEnd> tunnel;
};

TEST_F(OnePlaneTest, NumbersWhatItSendsFromZero)
{
    open(*plane, simple);
    for (std::uint32_t i = 0; i < 300; ++i)
        expect_sent(i);
    // A new version of the connection goes on where it was.
    core::ConnectionParameters changed = simple;
    changed.reorder_window = 50;
    open(*plane, changed);
    for (std::uint32_t i = 300; i < 310; ++i)
        expect_sent(i);
    wait_until([&] { return packets_out(*plane, simple.name, 0) == 310; }, "all are counted");
}

TEST_F(OnePlaneTest, DropsAndCountsWhatIsNotOfThePeer)
{
    open(*plane, simple);
    const std::string packet = inner_answer(1);
    const UdpPeer stranger(endpoint("10.7.0.3", kPort));
    stranger.send(gre(1, packet), kOwn);
    wait_until([&] { return socket_drops(*plane, "wrong source") == 1; }, "the stranger's packet is counted");

    struct Case {
        const char *reason;
        std::string datagram;
    };
    const Case cases[] = {
        {"truncated GRE header", from_hex("100008")},
        {"unknown GRE flags", from_hex("90000800") + packet}, // a checksum (RFC 2784 section 2.1)
        {"unknown GRE version", from_hex("00010800") + packet},
        {"unknown GRE protocol type", from_hex("00000806") + packet},
        {"payload too short", from_hex("00000800") + packet.substr(0, 7)},
        {"wrong inner IP length", gre(1, packet + "x")},
        // A keepalive as deployed peers send it, but the other way round.
        {"wrong tunnel", from_hex("00000800a10000000004000000000000000000000000ffff0a000002"
                                  "00000000000000000000ffff0a000003")},
    };
    for (const Case &one : cases) {
        peer->send(one.datagram, kOwn);
        wait_until([&] { return connection_drops(*plane, simple.name, one.reason) == 1; }, one.reason);
    }
    EXPECT_TRUE(tunnel->has_nothing());
    expect_received(0);
    EXPECT_EQ(find(*plane, simple.name)->paths[0].counters.packets_in.get(), 1U);
}

TEST_F(OnePlaneTest, LeavesOutWhatThePeerMayNotSend)
{
    core::ConnectionParameters parameters = simple;
    parameters.reorder_window = 50;
    parameters.max_buffer_delay = 60s;
    parameters.networks = {{base::Prefix::parse("10.0.8.0/24").value(), base::Prefix::parse("10.0.9.0/24").value()}};
    parameters.addresses = {base::Address::parse("10.0.0.77").value()};
    open(*plane, parameters);
    const auto from_to = [](const char *source, const char *destination, std::uint32_t content) {
        const auto octets = [](const char *text) {
            const base::Address address = base::Address::parse(text).value();
            return std::string(reinterpret_cast<const char *>(address.octets().data()), address.octets().size());
        };
        return inner_packet(content).replace(12, 8, octets(source) + octets(destination));
    };
    const std::vector<std::string> good{inner_answer(0), from_to("10.0.9.5", "10.0.8.7", 1),
                                        from_to("10.0.9.5", "10.0.0.2", 2), from_to("10.0.0.3", "10.0.8.7", 3),
                                        from_to("10.0.0.3", "10.0.0.77", 4)};
    const std::vector<std::string> spoofed{inner_packet(5), from_to("10.0.0.4", "10.0.0.2", 6),
                                           from_to("10.0.8.1", "10.0.9.5", 7), from_to("8.8.8.8", "10.0.0.2", 8)};
    const std::vector<std::string> noise{from_to("10.0.0.3", "224.0.0.251", 9), from_to("169.254.1.1", "10.0.0.2", 10)};
    std::uint32_t number = 0;
    for (const auto *packets : {&spoofed, &noise, &good})
        for (const std::string &packet : *packets)
            peer->send(gre(number++, packet), kOwn);
    for (const std::string &packet : good) // what is left out leaves no gap: the window would wait for a minute
        EXPECT_EQ(tunnel->receive(), packet);
    wait_until([&] { return connection_drops(*plane, simple.name, "spoofed source") == spoofed.size(); }, "counted");
    EXPECT_TRUE(tunnel->has_nothing());
    EXPECT_EQ(find(*plane, simple.name)->reorder_counters.lost.get(), 0U);
    // Without numbers, too.
    peer->send(from_hex("00000800") + spoofed[0], kOwn);
    wait_until([&] { return connection_drops(*plane, simple.name, "spoofed source") == spoofed.size() + 1; },
               "that too");
    // This host may answer all of that.
    for (const std::string &answer : {from_to("10.0.0.2", "10.0.9.5", 1), from_to("10.0.8.7", "10.0.0.3", 2),
                                      from_to("10.0.0.77", "10.0.0.3", 3), from_to("10.0.0.77", "10.0.9.5", 4)}) {
        tunnel->send(answer);
        EXPECT_EQ(peer->receive().substr(8), answer);
    }
}

TEST_F(OnePlaneTest, TheSenderOfAPacketThatDoesNotFitIsTold)
{
    open(*plane, simple);
    EXPECT_FALSE(plane->take_mtu_doubts());
    EXPECT_EQ(plane->path_mtu(simple.name, 0), 1500U);
    ASSERT_EQ(std::system("ip link set lo mtu 1400"), 0);
    EXPECT_EQ(plane->path_mtu(simple.name, 0), 1400U);
    EXPECT_EQ(plane->path_mtu(simple.name, 1), std::nullopt);
    EXPECT_EQ(plane->path_mtu("nobody", 0), std::nullopt);

    std::string packet = inner_packet(7);
    packet.resize(1365, 'x'); // 36 octets more on the path
    packet.replace(2, 2, from_hex("0555"));
    packet.replace(6, 2, from_hex("4000")); // may not be fragmented
    tunnel->send(packet);
    EXPECT_EQ(peer->receive(), gre(0, packet)) << "in fragments, as at first";
    plane->set_fragmentation(simple.name, 0, false);
    tunnel->send(packet);
    const std::string told = tunnel->receive();
    ASSERT_EQ(told.size(), 576U);
    EXPECT_EQ(told.substr(12, 8), from_hex("0a0000030a000002"));
    EXPECT_EQ(told.substr(20, 2), from_hex("0304"));     // RFC 1191: fragmentation needed
    EXPECT_EQ(told.substr(24, 4), from_hex("00000554")); // 1364
    EXPECT_EQ(told.substr(28), packet.substr(0, 548));
    wait_until([&] { return plane->take_mtu_doubts(); }, "the control thread hears of it");
    EXPECT_FALSE(plane->take_mtu_doubts());
    // Not again at once, but all are counted.
    tunnel->send(packet);
    wait_until([&] { return connection_drops(*plane, simple.name, "too big") == 2; }, "counted");
    EXPECT_TRUE(tunnel->has_nothing());
    packet.resize(1364);
    packet.replace(2, 2, from_hex("0554"));
    tunnel->send(packet);
    EXPECT_EQ(peer->receive(), gre(3, packet));
}

TEST_F(OnePlaneTest, WhatTheFilesSayGoesBeforeWhatFollowsFromIt)
{
    core::ConnectionParameters site = simple;
    site.networks = {{base::Prefix::parse("10.0.8.0/24").value(), base::Prefix::parse("10.0.9.0/24").value()}};
    core::ConnectionParameters own = connection("tun7", {path("10.7.0.1", "10.7.0.3")}, 1);
    // From this host's first tunnel address itself to that site: not by the site's connection.
    own.networks = {{base::Prefix::parse("10.0.0.2/32").value(), base::Prefix::parse("10.0.9.0/24").value()}};
    open(*plane, site);
    open(*plane, own);
    const UdpPeer other(endpoint("10.7.0.3", kPort));
    std::string packet = inner_packet(0);
    packet.replace(16, 4, from_hex("0a000905"));
    tunnel->send(packet);
    EXPECT_EQ(other.receive(), gre(0, packet));
}

TEST_F(OnePlaneTest, TakesAPeerWhosePortHasChanged)
{
    open(*plane, simple);
    const UdpPeer moved(endpoint("10.7.0.2", kPort + 1)); // as behind a NAT that has forgotten
    for (std::uint32_t i = 0; i < 5; ++i) {
        moved.send(gre(i, inner_answer(i)), kOwn);
        EXPECT_EQ(tunnel->receive(), inner_answer(i));
    }
    EXPECT_EQ(socket_drops(*plane, "wrong source"), 0U);
}

TEST_F(OnePlaneTest, APeerWhosePortHasChangedLosesNothingWhileOthersAreConnected)
{
    open(*plane, simple);
    const core::ConnectionParameters other = connection("tun7", {path("10.7.0.1", "10.7.0.3")}, 1);
    std::atomic<bool> stops{false};
    std::atomic<std::uint32_t> delivered{0};
    std::thread traffic([&] {
        const UdpPeer moved(endpoint("10.7.0.2", kPort + 1));
        while (!stops && !HasFailure()) {
            moved.send(gre(delivered, inner_answer(delivered)), kOwn);
            EXPECT_EQ(tunnel->receive(), inner_answer(delivered));
            ++delivered;
        }
    });
    for (int round = 0; round < 1000 && !HasFailure(); ++round) {
        open(*plane, other);
        // What was on its way then has been read now, by whichever socket got it.
        wait_until([&, before = delivered.load()] { return delivered >= before + 2; }, "packets");
        plane->remove_connection(other.name);
        EXPECT_TRUE(plane->commit());
    }
    stops = true;
    traffic.join();
    EXPECT_EQ(find(*plane, simple.name)->paths[0].counters.packets_in.get(), delivered.load());
}

TEST_F(OnePlaneTest, ManyPeersOfOnePortAreToldApart)
{
    std::vector<core::ConnectionParameters> connections;
    for (std::uint16_t i = 0; i < 60; ++i) {
        connections.push_back(connection("tun7", {path("10.7.0.1", "10.7.0.2")}, i));
        connections.back().paths[0].remote.port = static_cast<std::uint16_t>(kPort + i);
        plane->set_connection(connections.back());
        ASSERT_TRUE(plane->open_path(connections.back().name, 0));
    }
    commit(*plane, connections.back().name);
    std::size_t connected = 0;
    plane->visit_connections([&](const ConnectionEntry &entry) { connected += entry.links[0].connected ? 1 : 0; });
    EXPECT_GT(connected, 0U);
    EXPECT_LT(connected, 50U) << "the kernel would look through all of them";
    for (const unsigned i : {0U, 1U, 31U, 32U, 33U, 59U}) {
        if (i != 0)
            peer = std::make_unique<UdpPeer>(endpoint("10.7.0.2", static_cast<std::uint16_t>(kPort + i)));
        peer->send(gre(0, inner_answer(7, i)), kOwn);
        EXPECT_EQ(tunnel->receive(), inner_answer(7, i));
        EXPECT_EQ(find(*plane, connections[i].name)->paths[0].counters.packets_in.get(), 1U) << i;
        tunnel->send(inner_packet(8, i));
        EXPECT_EQ(peer->receive(), gre(0, inner_packet(8, i))) << i;
    }
}

// The worker sees each of the versions, or, where nobody waits for it, maybe only the last one.
TEST_F(OnePlaneTest, APathThatMovesAndComesBackGoesOnReceiving)
{
    core::ConnectionParameters elsewhere = simple;
    elsewhere.paths[0].remote = endpoint("10.7.0.3", kPort);
    elsewhere.paths.push_back(path("10.7.0.1", "10.7.0.4")); // by which is seen that the worker has got there
    open(*plane, simple);
    const auto connection = find(*plane, simple.name);
    for (std::uint32_t round = 0; round < 100; ++round) {
        open(*plane, elsewhere);
        if (round % 2 == 0)
            wait_until([&] { return connection->paths[1].status == PathStatus::kUp; }, "the second path");
        open(*plane, simple);
        expect_received(round);
    }
}

TEST_F(OnePlaneTest, ClosedPathsAreOpenedAgain)
{
    open(*plane, simple);
    const UdpPeer moved(endpoint("10.7.0.2", kPort + 1)); // whom the listening socket serves
    for (std::uint32_t round = 0; round < 200; round += 2) {
        EXPECT_TRUE(plane->close_path(simple.name, 0, false, true));
        EXPECT_TRUE(plane->commit());
        if (round % 4 == 0)
            expect_event(*plane, simple.name, 0, PathStatus::kInterfaceDown, StatusReason::kInterface);
        EXPECT_TRUE(plane->open_path(simple.name, 0).value());
        EXPECT_TRUE(plane->commit());
        expect_received(round);
        moved.send(gre(round + 1, inner_answer(round + 1)), kOwn);
        ASSERT_EQ(tunnel->receive(), inner_answer(round + 1));
    }
}

TEST_F(OnePlaneTest, ConnectionsForTheSamePacketsAreRefusedAndChangeNothing)
{
    open(*plane, simple);
    expect_sent(0);
    core::ConnectionParameters same = connection("tun7", {path("10.7.0.1", "10.7.0.3")});
    same.name = "same";
    core::ConnectionParameters good = connection("tun7", {path("10.7.0.1", "10.7.0.4")}, 1);
    for (const auto *parameters : {&same, &good}) {
        plane->set_connection(*parameters);
        EXPECT_TRUE(plane->open_path(parameters->name, 0));
    }
    EXPECT_EQ(plane->commit().error().code, base::ErrorCode::kAlreadyExists);
    EXPECT_EQ(find(*plane, "same"), nullptr);
    tunnel->send(inner_packet(0, 1)); // would be of the good one
    wait_until([&] { return tunnel_drops(*plane, "tun7", "no connection") == 1; }, "a drop");
    expect_sent(1);
    expect_received(0);

    plane->remove_connection("same");
    commit(*plane, good.name);
    const UdpPeer fourth(endpoint("10.7.0.4", kPort));
    tunnel->send(inner_packet(0, 1));
    EXPECT_EQ(fourth.receive(), gre(0, inner_packet(0, 1)));
    expect_sent(2);
}

TEST_F(OnePlaneTest, APortInUseIsToldAndTriedAgain)
{
    {
        const UdpPeer other(kOwn);
        plane->set_connection(simple);
        EXPECT_EQ(plane->open_path(simple.name, 0).error().code, base::ErrorCode::kAddressInUse);
        EXPECT_TRUE(plane->commit());
        expect_event(*plane, simple.name, 0, PathStatus::kDisabled, StatusReason::kSocket);
    }
    EXPECT_TRUE(plane->open_path(simple.name, 0).value());
    EXPECT_TRUE(plane->commit());
    expect_event(*plane, simple.name, 0, PathStatus::kUp, StatusReason::kSocket);
    expect_sent(0);
}

TEST_F(OnePlaneTest, APathLeavesAnInterfaceThatIsNotReadyAtOnce)
{
    ASSERT_EQ(std::system("ip link add v0 type veth peer name v1 && ip link set v1 up && ip link set v0 up && "
                          "ip address add 10.8.0.1/24 dev v0 && "
                          "ip neighbour add 10.8.0.2 lladdr 02:00:00:00:00:01 dev v0 nud permanent"),
              0);
    core::ConnectionParameters two = simple;
    two.paths.push_back(path("10.8.0.1", "10.8.0.2"));
    two.paths[1].interface = "v0";
    open(*plane, two);
    const auto send = [&](std::uint32_t first, std::uint32_t count) {
        for (std::uint32_t i = first; i < first + count; ++i)
            tunnel->send(inner_packet(i));
    };
    send(0, 20);
    wait_until([&] { return packets_out(*plane, two.name, 1) == 10; }, "half of the packets");
    for (int i = 0; i < 10; ++i)
        ASSERT_NE(peer->receive(), "");

    plane->set_interface_ready("v0", false); // nothing is committed
    expect_event(*plane, two.name, 1, PathStatus::kInterfaceDown, StatusReason::kInterface);
    send(20, 20);
    for (std::uint32_t i = 20; i < 40; ++i)
        ASSERT_EQ(peer->receive(), gre(i, inner_packet(i)));
    EXPECT_EQ(packets_out(*plane, two.name, 1), 10U);

    plane->set_interface_ready("v0", true);
    expect_event(*plane, two.name, 1, PathStatus::kUp, StatusReason::kInterface);
    send(40, 20);
    wait_until([&] { return packets_out(*plane, two.name, 1) == 20; }, "half of the packets");
}

TEST_F(OnePlaneTest, SendersLearnOnceASecondThatNoPathIsLeft)
{
    open(*plane, simple);
    plane->set_interface_ready("lo", false);
    expect_event(*plane, simple.name, 0, PathStatus::kInterfaceDown, StatusReason::kInterface);
    const auto begun = std::chrono::steady_clock::now();
    tunnel->send(inner_packet(0));
    const std::string error = tunnel->receive();
    // From the peer's tunnel address to the sender; RFC 792: host unreachable, with the header and 8 octets of the
    // packet.
    ASSERT_GE(error.size(), 20 + 8 + 28U);
    EXPECT_EQ(error.substr(9, 1), from_hex("01"));
    EXPECT_EQ(error.substr(12, 8), from_hex("0a0000030a000002"));
    EXPECT_EQ(error.substr(20, 2), from_hex("0301"));
    EXPECT_EQ(error.substr(28, 28), inner_packet(0).substr(0, 28));

    std::uint32_t sent = 1;
    while (tunnel->has_nothing() && std::chrono::steady_clock::now() - begun < kPatience) {
        tunnel->send(inner_packet(sent++));
        std::this_thread::sleep_for(5ms);
    }
    EXPECT_EQ(tunnel->receive().substr(20, 2), from_hex("0301"));
    EXPECT_GE(std::chrono::steady_clock::now() - begun, 1s);
    wait_until([&] { return connection_drops(*plane, simple.name, "no path") == sent; }, "all are counted");
}

// The keepalives are those of two hosts running the deployed release.
TEST_F(OnePlaneTest, KeepalivesGoOutAndDecideWhetherAPathLives)
{
    core::ConnectionParameters watched = simple;
    watched.paths[0].keepalive = 20ms;
    watched.paths[0].dead = 2s;
    watched.paths[0].status = PathStatus::kDead;
    open(*plane, watched);
    const std::string own = from_hex("00000800a10000000004000000000000000000000000ffff0a000002"
                                     "00000000000000000000ffff0a000003");
    const std::string theirs = from_hex("00000800a10000000004000000000000000000000000ffff0a000003"
                                        "00000000000000000000ffff0a000002");
    for (int i = 0; i < 3; ++i)
        EXPECT_EQ(peer->receive(), own);
    tunnel->send(inner_packet(0));
    wait_until([&] { return connection_drops(*plane, watched.name, "no path") == 1; }, "the path is not used");

    peer->send(theirs, kOwn);
    expect_event(*plane, watched.name, 0, PathStatus::kUp, StatusReason::kKeepalive);
    tunnel->send(inner_packet(1));
    std::string received = own;
    for (int i = 0; received == own && i < 1000; ++i)
        received = peer->receive();
    EXPECT_EQ(received, gre(0, inner_packet(1)));
    expect_event(*plane, watched.name, 0, PathStatus::kDead, StatusReason::kKeepalivesMissed);
    EXPECT_GE(find(*plane, watched.name)->paths[0].since.load() -
                  find(*plane, watched.name)->paths[0].last_keepalive.load(),
              2s);
}

TEST_F(OnePlaneTest, NothingWaitsForAPathThatStartsDead)
{
    core::ConnectionParameters two = connection("tun7", {path("10.7.0.1", "10.7.0.2"), path("10.7.0.1", "10.7.0.3")});
    two.reorder_window = 100;
    two.max_buffer_delay = 60s; // longer than anybody waits here
    two.paths[1].keepalive = 1s;
    two.paths[1].dead = 3s;
    two.paths[1].status = PathStatus::kDead;
    open(*plane, two);
    const auto offer = [&](std::uint32_t number) { peer->send(gre(number, inner_answer(number)), kOwn); };
    expect_received(0);
    for (const std::uint32_t number : {2U, 3U, 4U, 5U})
        offer(number);
    for (const std::uint32_t number : {2U, 3U, 4U, 5U})
        EXPECT_EQ(tunnel->receive(), inner_answer(number));
}

TEST_F(OnePlaneTest, APacketWaitsForAMissingOneUntilItsOwnDeadline)
{
    core::ConnectionParameters ordered = simple;
    ordered.reorder_window = 100;
    ordered.max_buffer_delay = 2s;
    open(*plane, ordered);
    const auto offer = [&](std::uint32_t number) { peer->send(gre(number, inner_answer(number)), kOwn); };
    expect_received(0);
    offer(2);
    wait_until([&] { return find(*plane, ordered.name)->reorder_counters.held_now.get() == 1; }, "a packet waits");
    offer(1);
    EXPECT_EQ(tunnel->receive(), inner_answer(1));
    EXPECT_EQ(tunnel->receive(), inner_answer(2));
    // 3 never comes. The deadline of the packet that waited before is nearer than that of 4.
    const auto begun = std::chrono::steady_clock::now();
    offer(4);
    EXPECT_EQ(tunnel->receive(), inner_answer(4));
    EXPECT_GE(std::chrono::steady_clock::now() - begun, 2s);
    wait_until([&] { return find(*plane, ordered.name)->reorder_counters.lost.get() == 1; }, "3 is lost");
    expect_received(5);
}

} // namespace
} // namespace mpt::plane
