// SPDX-License-Identifier: GPL-3.0-or-later
// Peers of authentication type 3 that are elsewhere than a path's packets go.
#include "daemon/plane/connection.hpp"
#include "daemon/proto/session_keepalive.hpp"
#include "daemon/sys/clock.hpp"

#include "tests/unit/plane/loopback.hpp"

#include <array>
#include <poll.h>

namespace mpt::plane {
namespace {

using namespace std::chrono_literals;
using core::PathStatus;

const base::Endpoint kServer = endpoint("10.7.0.1", kPort);
const base::Endpoint kClient = endpoint("10.7.0.2", kPort);

core::ConnectionParameters of_type_3(core::ConnectionParameters parameters)
{
    parameters.keepalive_key = proto::ControlKey::parse(std::string(64, '3')).value();
    for (core::PathParameters &path : parameters.paths) {
        path.keepalive = 20ms;
        path.dead = 10s;
        path.status = PathStatus::kDead;
    }
    return parameters;
}

class RoamingTest : public PlaneTest {
protected:
    void SetUp() override
    {
        PlaneTest::SetUp();
        if (IsSkipped() || HasFatalFailure())
            return;
        plane = start({"tuna"});
        peer = start({"tunb"});
        server = of_type_3(connection("tuna", {path("10.7.0.1", "0.0.0.0")}));
        client = mirrored(of_type_3(connection("tuna", {path("10.7.0.1", "10.7.0.2")})), "tunb");
    }

    // Where the server's worker says that the client is now.
    base::Endpoint moved()
    {
        std::optional<base::Endpoint> to;
        while (!to && !HasFatalFailure()) {
            pollfd ready{plane->events_fd(), POLLIN, 0};
            EXPECT_EQ(poll(&ready, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())), 1) << "no event";
            if (HasFailure())
                return {};
            static_cast<void>(plane->take_events([&](const std::string &, const PathEvent &event) {
                if (const auto *move = std::get_if<PathMoved>(&event.what))
                    to = move->to;
            }));
        }
        return to.value_or(base::Endpoint{});
    }

    // As the control thread does.
    void follow(const base::Endpoint &to)
    {
        server.paths[0].learned = core::LearnedPeer{to, sys::now()};
        open(*plane, server);
        plane->settle();
    }

    const Path &server_path() const { return find(*plane, server.name)->paths[0]; }

    void expect_flow(const char *from, const char *to)
    {
        Flow flow(from, to);
        flow.wait_for(200);
        EXPECT_EQ(flow.stop(), "");
    }

    // What looks like one of the client, without its key.
    static std::string forged(std::uint64_t number)
    {
        proto::SessionKeepalive keepalive;
        keepalive.from = base::Address::parse("10.0.0.3").value();
        keepalive.to = base::Address::parse("10.0.0.2").value();
        base::store_be(keepalive.sender.data(), number);
        keepalive.counter = number;
        proto::SessionKey none;
        std::array<std::byte, proto::kSessionKeepaliveSize> octets;
        proto::encode_session_keepalive(keepalive, none, octets);
        return {reinterpret_cast<const char *>(octets.data()), octets.size()};
    }

    std::unique_ptr<Plane> plane, peer;
    core::ConnectionParameters server, client;
};

TEST_F(RoamingTest, AnUnknownPeerIsServedOnceItIsFound)
{
    open(*plane, server);
    EXPECT_EQ(server_path().status, PathStatus::kDead);
    open(*peer, client);
    EXPECT_EQ(moved(), kClient);
    const TunEnd tunnel("tuna");
    tunnel.send(inner_packet(0));
    wait_until([&] { return connection_drops(*plane, server.name, "no path") == 1; },
               "nothing leaves before the path follows");
    const auto changes = server_path().changes.get();
    follow(kClient);
    expect_flow("tuna", "tunb");
    EXPECT_EQ(server_path().changes.get(), changes) << "a move is no change of status";
}

TEST_F(RoamingTest, APeerThatMovesIsFollowedAndNothingOfItIsForgotten)
{
    open(*plane, server);
    open(*peer, client);
    follow(moved());
    expect_flow("tuna", "tunb");
    const auto not_fresh = connection_drops(*plane, server.name, "keepalive not fresh"); // before the session
    for (std::uint16_t port = kPort + 1; port <= kPort + 3; ++port) {
        client.paths[0].local.port = port;
        open(*peer, client);
        const base::Endpoint to = endpoint("10.7.0.2", port);
        EXPECT_EQ(moved(), to);
        follow(to);
        expect_flow("tuna", "tunb");
    }
    EXPECT_EQ(server_path().changes.get(), 1U);
    EXPECT_GT(server_path().counters.packets_out.get(), 800U);
    EXPECT_EQ(connection_drops(*plane, server.name, "keepalive not fresh"), not_fresh) << "the session goes on";
}

TEST_F(RoamingTest, WhereAPeerIsIsToldAgainUntilThePathFollows)
{
    open(*plane, server);
    open(*peer, client);
    EXPECT_EQ(moved(), kClient);
    EXPECT_EQ(moved(), kClient);
}

TEST_F(RoamingTest, EachSideLearnsHowTheOtherOneSeesIt)
{
    open(*plane, server);
    open(*peer, client);
    std::optional<base::Endpoint> observed;
    wait_until(
        [&] {
            static_cast<void>(peer->take_events([&](const std::string &, const PathEvent &event) {
                if (const auto *seen = std::get_if<PathObserved>(&event.what))
                    observed = seen->at;
            }));
            return observed.has_value();
        },
        "the client is told");
    EXPECT_EQ(observed, kClient);
}

TEST_F(RoamingTest, ForgedKeepalivesFromElsewhereAreFewAndMoveNothing)
{
    open(*plane, server);
    open(*peer, client);
    follow(moved());
    const UdpPeer stranger(endpoint("10.7.0.3", kPort));
    std::uint64_t sent = 0;
    const auto begun = std::chrono::steady_clock::now();
    const auto dropped = [&](std::string_view reason) { return connection_drops(*plane, server.name, reason); };
    wait_until(
        [&] {
            for (unsigned n = 0; n < 500; ++n) // never more than fit
                stranger.send(forged(++sent), kServer);
            wait_until([&] { return dropped("rate limit") + dropped("wrong MAC") == sent; }, "all are counted");
            return dropped("rate limit") > 1000 || HasFailure();
        },
        "too many are not looked at");
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    EXPECT_GE(dropped("wrong MAC"), 1000U) << "peers that start again are among them";
    EXPECT_LE(static_cast<double>(dropped("wrong MAC")), 1001 + 1000 * took.count());
    pollfd ready{stranger.fd(), POLLIN, 0};
    EXPECT_EQ(poll(&ready, 1, 0), 0) << "nobody is answered";
    expect_flow("tuna", "tunb");
    EXPECT_EQ(server_path().changes.get(), 1U);
}

TEST_F(RoamingTest, PeersBehindOneNatAreToldApartByTheirPorts)
{
    const UdpPeer one(endpoint("10.7.0.2", 5001)), two(endpoint("10.7.0.2", 5002)), other(endpoint("10.7.0.2", 5003));
    for (const unsigned number : {0U, 1U}) {
        core::ConnectionParameters parameters = of_type_3(connection("tuna", {path("10.7.0.1", "0.0.0.0")}, number));
        parameters.paths[0].learned =
            core::LearnedPeer{endpoint("10.7.0.2", static_cast<std::uint16_t>(5001 + number)), sys::now()};
        open(*plane, parameters);
    }
    const TunEnd tunnel("tuna");
    one.send(gre(0, inner_answer(1, 0)), kServer);
    EXPECT_EQ(tunnel.receive(), inner_answer(1, 0));
    two.send(gre(0, inner_answer(2, 1)), kServer);
    EXPECT_EQ(tunnel.receive(), inner_answer(2, 1));
    other.send(gre(1, inner_answer(3, 0)), kServer);
    wait_until([&] { return socket_drops(*plane, "wrong source") == 1; }, "nobody knows whose it is");
    EXPECT_TRUE(tunnel.has_nothing());
}

TEST_F(RoamingTest, AnAddressThatAPeerHasNamedGetsNothingButKeepalivesBeforeItAnswers)
{
    const UdpPeer victim(endpoint("10.7.0.3", kPort));
    server.paths[0].remote = endpoint("10.7.0.3", kPort);
    server.paths[0].is_proved = false;
    server.probes_from = 1280; // nor what would find the MTU
    open(*plane, server);
    open(*peer, client);
    const TunEnd tunnel("tuna");
    EXPECT_EQ(moved(), kClient); // it lives, and does not yet go there
    tunnel.send(inner_packet(0));
    wait_until([&] { return connection_drops(*plane, server.name, "no path") == 1; }, "the packet is dropped");
    follow(kClient);
    expect_flow("tuna", "tunb");
    pollfd ready{victim.fd(), POLLIN, 0};
    while (poll(&ready, 1, 0) == 1)
        EXPECT_EQ(victim.receive().size(), proto::kSessionKeepaliveSize);
}

TEST_F(RoamingTest, AnAddressThatAPeerHasNamedIsUsedOnceItHasAnswered)
{
    server.paths[0].remote = kClient;
    server.paths[0].is_proved = false;
    open(*plane, server);
    open(*peer, client);
    wait_until([&] { return server_path().status == PathStatus::kUp; }, "the path is up");
    expect_flow("tuna", "tunb");
}

} // namespace
} // namespace mpt::plane
