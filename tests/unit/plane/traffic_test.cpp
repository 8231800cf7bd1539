// SPDX-License-Identifier: GPL-3.0-or-later
// Two planes, each the other's peer, and traffic between them while they are changed.
#include "daemon/plane/connection.hpp"

#include "tests/unit/plane/loopback.hpp"

#include <net/if.h>
#include <utility>
#include <vector>

namespace mpt::plane {
namespace {

using namespace std::chrono_literals;
using core::PathStatus;
using core::StatusReason;

class TwoPlanesTest : public PlaneTest {
protected:
    void SetUp() override
    {
        PlaneTest::SetUp();
        if (IsSkipped() || HasFatalFailure())
            return;
        a = start({"tuna"});
        b = start({"tunb"});
    }

    // Both ends of a connection.
    void open_both(const core::ConnectionParameters &parameters)
    {
        open(*b, mirrored(parameters, "tunb"));
        open(*a, parameters);
    }

    // By two paths; what is missing is waited for longer than any test lasts.
    static core::ConnectionParameters two_paths(std::uint16_t weight0, std::uint16_t weight1)
    {
        core::ConnectionParameters parameters =
            connection("tuna", {path("10.7.0.1", "10.7.0.2", weight0), path("10.7.0.3", "10.7.0.4", weight1)});
        parameters.reorder_window = 1000;
        parameters.max_buffer_delay = 60s;
        return parameters;
    }

    // By which a connection's paths send.
    static std::vector<const UdpSocket *> sockets(const Plane &plane, const std::string &name)
    {
        std::vector<const UdpSocket *> found;
        plane.visit_connections([&](const ConnectionEntry &entry) {
            for (const PathLink &link : entry.links)
                if (entry.parameters.name == name)
                    found.push_back(link.connected.get());
        });
        return found;
    }

    // Two paths of authentication type 3 that start dead.
    static core::ConnectionParameters authenticated(const std::string &key)
    {
        core::ConnectionParameters parameters = two_paths(1, 1);
        for (core::PathParameters &path : parameters.paths) {
            path.keepalive = 50ms;
            path.dead = 1s;
            path.status = PathStatus::kDead;
        }
        parameters.keepalive_key = proto::ControlKey::parse(key).value();
        return parameters;
    }
    static void expect_both_up(const Plane &plane, const std::string &name)
    {
        wait_until(
            [&] {
                const auto connection = find(plane, name);
                return connection->paths[0].status == PathStatus::kUp && connection->paths[1].status == PathStatus::kUp;
            },
            "both paths are up");
    }

    std::unique_ptr<Plane> a, b;
};

const std::string kKey(64, '3');
const std::string kOtherKey(64, '4');

TEST_F(TwoPlanesTest, NewWeightsTakeEffectAndNothingIsLost)
{
    open_both(two_paths(3, 1));
    const auto opened = sockets(*b, "connection0");
    Flow flow("tuna", "tunb");
    for (std::uint16_t weight = 20; weight >= 1; --weight) {
        flow.wait_for(200);
        open_both(two_paths(weight, 4));
    }
    flow.wait_for(1000); // the worker has turned to the new weights since
    EXPECT_EQ(flow.stop(), "");
    EXPECT_EQ(sockets(*b, "connection0"), opened);

    const std::uint64_t before[] = {packets_out(*a, "connection0", 0), packets_out(*a, "connection0", 1)};
    Flow measured("tuna", "tunb");
    measured.wait_for(10000);
    EXPECT_EQ(measured.stop(), "");
    const auto by_path0 = static_cast<double>(packets_out(*a, "connection0", 0) - before[0]);
    const auto by_path1 = static_cast<double>(packets_out(*a, "connection0", 1) - before[1]);
    EXPECT_NEAR(by_path1 / by_path0, 4, 0.04);
    EXPECT_EQ(find(*b, "connection0")->reorder_counters.lost.get(), 0U);
}

TEST_F(TwoPlanesTest, AConnectionComesAndGoesBesideAnother)
{
    open_both(two_paths(1, 1));
    Flow flow("tuna", "tunb");
    const core::ConnectionParameters other = connection("tuna", {path("10.7.0.1", "10.7.0.4")}, 1);
    const TunEnd in("tuna");
    for (int round = 0; round < 10; ++round) {
        open_both(other);
        Flow second("tuna", "tunb", 1);
        second.wait_for(100);
        EXPECT_EQ(second.stop(), "");

        // It goes with packets on their way; then they belong to nobody.
        const auto sender = find(*a, other.name);
        const std::uint64_t drops = tunnel_drops(*a, "tuna", "no connection");
        for (std::uint32_t i = 0; i < 50; ++i)
            in.send(inner_packet(i, 1));
        a->remove_connection(other.name);
        ASSERT_TRUE(a->commit());
        wait_until(
            [&] {
                in.send(inner_packet(0, 1));
                return tunnel_drops(*a, "tuna", "no connection") > drops;
            },
            "packets of no connection");
        wait_until(
            [&] {
                return find(*b, other.name)->reorder_counters.delivered.get() ==
                       sender->paths[0].counters.packets_out.get();
            },
            "all are delivered");
        b->remove_connection(other.name);
        ASSERT_TRUE(b->commit());
    }
    EXPECT_EQ(flow.stop(), "");
}

TEST_F(TwoPlanesTest, ATunnelComesAndGoesBesideAnother)
{
    open_both(two_paths(1, 1));
    Flow flow("tuna", "tunb");
    const core::ConnectionParameters other = connection("tunc", {path("10.7.0.1", "10.7.0.4")}, 1);
    for (int round = 0; round < 5; ++round) {
        add_tunnel(*a, "tunc");
        add_tunnel(*b, "tund");
        open(*b, mirrored(other, "tund"));
        open(*a, other);
        Flow second("tunc", "tund", 1);
        second.wait_for(100);
        EXPECT_EQ(second.stop(), "");
        for (const auto &[plane, tunnel] : {std::pair{a.get(), "tunc"}, std::pair{b.get(), "tund"}}) {
            plane->remove_connection(other.name);
            plane->remove_tunnel(tunnel);
            ASSERT_TRUE(plane->commit());
            wait_until([name = tunnel] { return if_nametoindex(name) == 0; }, "the interface goes away");
        }
        flow.wait_for(100);
    }
    EXPECT_EQ(flow.stop(), "");
}

TEST_F(TwoPlanesTest, SeveralTunnelsShareTwoWorkers)
{
    a.reset();
    b.reset();
    a = start({"tuna", "tunc", "tune"}, 2);
    b = start({"tunb", "tund", "tunf"}, 2);
    std::vector<std::unique_ptr<Flow>> flows;
    const std::pair<const char *, const char *> tunnels[] = {{"tuna", "tunb"}, {"tunc", "tund"}, {"tune", "tunf"}};
    for (unsigned i = 0; i < 3; ++i) {
        core::ConnectionParameters parameters = connection(tunnels[i].first, {path("10.7.0.1", "10.7.0.2")}, i);
        parameters.paths[0].local.port = parameters.paths[0].remote.port = static_cast<std::uint16_t>(kPort + i);
        open(*b, mirrored(parameters, tunnels[i].second));
        open(*a, parameters);
        flows.push_back(std::make_unique<Flow>(tunnels[i].first, tunnels[i].second, i));
    }
    for (const auto &flow : flows)
        flow->wait_for(3000);
    for (const auto &flow : flows)
        EXPECT_EQ(flow->stop(), "");

    // All packets of a socket are read by one worker.
    core::ConnectionParameters wrong = connection("tunc", {path("10.7.0.1", "10.7.0.4")}, 3);
    a->set_connection(wrong);
    EXPECT_EQ(a->open_path(wrong.name, 0).error().code, base::ErrorCode::kInvalidConfig);
}

TEST_F(TwoPlanesTest, PathsComeUpByEachOthersKeepalivesAndDieWithThePeer)
{
    core::ConnectionParameters parameters = two_paths(1, 1);
    for (core::PathParameters &path : parameters.paths) {
        path.keepalive = 50ms;
        path.dead = 1s;
        path.status = PathStatus::kDead;
    }
    open_both(parameters);
    for (Plane *plane : {a.get(), b.get()})
        expect_both_up(*plane, parameters.name);
    Flow flow("tuna", "tunb");
    flow.wait_for(1000);
    EXPECT_EQ(flow.stop(), "");
    b.reset();
    expect_event(*a, parameters.name, 0, PathStatus::kDead, StatusReason::kKeepalivesMissed);
    wait_until([&] { return find(*a, parameters.name)->paths[1].status == PathStatus::kDead; },
               "the other path is dead");
}

TEST_F(TwoPlanesTest, AuthenticatedKeepalivesBringPathsUpAndMeasureThem)
{
    const core::ConnectionParameters parameters = authenticated(kKey);
    open_both(parameters);
    for (Plane *plane : {a.get(), b.get()}) {
        expect_both_up(*plane, parameters.name);
        const auto connection = find(*plane, parameters.name);
        wait_until([&] { return connection->paths[0].measure.rtt.get() != 0; }, "the round trip is known");
        EXPECT_LT(connection->paths[0].measure.rtt.get(), 20'000'000U);
    }
    Flow flow("tuna", "tunb");
    flow.wait_for(1000);
    EXPECT_EQ(flow.stop(), "");
    const auto at_b = find(*b, parameters.name);
    wait_until([&] { return at_b->paths[1].measure.expected.get() >= 500; }, "the packets of a path are known");
    EXPECT_EQ(at_b->paths[1].measure.lost_in.get(), 0U);
    EXPECT_EQ(at_b->reorder_counters.lost.get(), 0U);
}

TEST_F(TwoPlanesTest, APeerThatBeginsAnewIsHeardAgain)
{
    const core::ConnectionParameters parameters = authenticated(kKey);
    open_both(parameters);
    expect_both_up(*a, parameters.name);
    b.reset();
    wait_until([&] { return find(*a, parameters.name)->paths[0].status == PathStatus::kDead; }, "the path is dead");
    b = start({"tunb"});
    open(*b, mirrored(parameters, "tunb"));
    for (Plane *plane : {a.get(), b.get()})
        expect_both_up(*plane, parameters.name);
}

TEST_F(TwoPlanesTest, NothingWithoutTheKeyBringsAPathUp)
{
    core::ConnectionParameters parameters = authenticated(kKey);
    open(*a, parameters);
    core::ConnectionParameters other = mirrored(authenticated(kOtherKey), "tunb");
    open(*b, other);
    wait_until([&] { return connection_drops(*a, parameters.name, "wrong MAC") > 3; }, "another key is noticed");
    other.keepalive_key.reset();
    b->set_connection(other);
    commit(*b, other.name);
    wait_until([&] { return connection_drops(*a, parameters.name, "keepalive without MAC") > 3; },
               "keepalives without MAC are noticed");
    EXPECT_EQ(find(*a, parameters.name)->paths[0].status, PathStatus::kDead);
    EXPECT_EQ(find(*a, parameters.name)->paths[0].counters.keepalives_in.get(), 0U);
    EXPECT_EQ(find(*b, other.name)->paths[0].status, PathStatus::kDead);

    other.keepalive_key = parameters.keepalive_key;
    b->set_connection(other);
    commit(*b, other.name);
    for (Plane *plane : {a.get(), b.get()})
        expect_both_up(*plane, parameters.name);
}

} // namespace
} // namespace mpt::plane
