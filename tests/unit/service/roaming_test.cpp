// SPDX-License-Identifier: GPL-3.0-or-later
// Paths that follow their peers.
#include "tests/unit/service/manager_fixture.hpp"

namespace mpt::service {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr base::Instant kStart{std::chrono::seconds(1000)};

base::Endpoint endpoint(const std::string &address, std::uint16_t port)
{
    return {base::Address::parse(address).value(), port};
}

// Two connections of type 3 on one port whose peers may be anywhere.
class RoamingTest : public ManagerTest {
protected:
    RoamingTest()
    {
        for (const auto &[name, octet] : {std::pair("A", 3), std::pair("B", 4)})
            directory.files[file_of(name)] = roaming(connection_file(name, octet, 23456));
    }

    static std::string file_of(const std::string &name) { return name == "A" ? "a.conf" : "b.conf"; }
    static void replace(std::string &text, const std::string &before, const std::string &after)
    {
        ASSERT_NE(text.find(before), text.npos) << before;
        text.replace(text.find(before), before.size(), after);
    }
    static std::string roaming(std::string text)
    {
        replace(text, "auth_type = 0", "auth_type = 3\nauth_key = " + std::string(64, '5'));
        for (const char *path : {"10.1.1.", "10.2.2."}) {
            const std::size_t at = text.find(std::string("remote_ipaddr = ") + path);
            text.replace(at, text.find('\n', at) - at, "remote_ipaddr = 0.0.0.0");
        }
        replace(text, "weight_out = 1", "weight_out = 1\nkeepalive_time = 2");
        return text;
    }

    base::Result<void> move(const std::string &connection, std::size_t path, const base::Endpoint &to,
                            base::Duration when = 0s)
    {
        return manager->on_paths_moved(kStart + when, {{connection, path, to}}, notices);
    }
    const core::PathParameters &parameters(const std::string &connection, std::size_t path)
    {
        return plane.connections.at(connection).paths.at(path);
    }
    const PathRecord &record(const std::string &connection, std::size_t path)
    {
        return manager->find(connection)->paths.at(path);
    }
};

TEST_F(RoamingTest, APathWaitsForItsPeerWithItsSocketOpen)
{
    ASSERT_TRUE(start());
    EXPECT_THAT(plane.open, ElementsAre("A/0", "A/1", "B/0", "B/1"));
    EXPECT_TRUE(parameters("A", 0).peer().address.is_unspecified());
    EXPECT_TRUE(parameters("A", 0).is_proved);
    EXPECT_EQ(parameters("A", 0).status, core::PathStatus::kDead) << "whatever the file says";
    EXPECT_THAT(notices, Not(Contains(says("waits"))));
}

TEST_F(RoamingTest, FollowsAndSaysSo)
{
    ASSERT_TRUE(start());
    notices.clear();
    const int commits = plane.commits;
    ASSERT_TRUE(move("A", 0, endpoint("198.51.100.1", 40000)));
    EXPECT_EQ(plane.commits, commits + 1);
    EXPECT_EQ(parameters("A", 0).peer(), endpoint("198.51.100.1", 40000));
    EXPECT_TRUE(parameters("A", 0).remote.address.is_unspecified()) << "the path is still the file's";
    EXPECT_TRUE(plane.open.contains("A/0"));
    EXPECT_EQ(parameters("A", 0).learned->since, kStart);
    ASSERT_EQ(notices.size(), 1U);
    EXPECT_EQ(notices[0].text, "connection A, path 0 (eth1): the peer is at 198.51.100.1:40000 now");
    EXPECT_EQ(notices[0].level, Notice::Level::kInfo);
    EXPECT_EQ(notices[0].event, Event::kPathMoved);
    EXPECT_EQ(notices[0].connection, "A");
    EXPECT_EQ(notices[0].path, 0U);
    EXPECT_FALSE(manager->find("A")->is_unsaved()) << "it is not for the file";

    // Told again, or of what is not there: nothing.
    ASSERT_TRUE(move("A", 0, endpoint("198.51.100.1", 40000)));
    ASSERT_TRUE(move("A", 7, endpoint("198.51.100.1", 40000)));
    ASSERT_TRUE(move("C", 0, endpoint("198.51.100.1", 40000)));
    EXPECT_EQ(plane.commits, commits + 1);
    EXPECT_EQ(notices.size(), 1U);
}

TEST_F(RoamingTest, ManyMovesAreOneChange)
{
    ASSERT_TRUE(start());
    const int commits = plane.commits;
    ASSERT_TRUE(manager->on_paths_moved(
        kStart, {{"A", 0, endpoint("198.51.100.1", 1)}, {"B", 0, endpoint("198.51.100.1", 2)}}, notices));
    EXPECT_EQ(plane.commits, commits + 1);
    EXPECT_EQ(parameters("B", 0).peer().port, 2);
}

TEST_F(RoamingTest, APeerThatMovesTooOftenDoesNotFillTheLog)
{
    ASSERT_TRUE(start());
    notices.clear();
    for (std::uint16_t n = 1; n <= 100; ++n)
        ASSERT_TRUE(move("A", 0, endpoint("198.51.100.1", n), n * 10ms));
    EXPECT_EQ(notices.size(), 20U);
    EXPECT_THAT(notices.back().text, ::testing::HasSubstr("too often"));
    ASSERT_TRUE(move("A", 0, endpoint("198.51.100.1", 500), 2min));
    EXPECT_EQ(notices.size(), 21U);
}

TEST_F(RoamingTest, WhatWasLearnedOutlivesAReloadUnlessTheFileSaysSomethingElseOfThePeer)
{
    ASSERT_TRUE(start());
    ASSERT_TRUE(move("A", 0, endpoint("198.51.100.1", 40000)));
    ASSERT_TRUE(move("A", 1, endpoint("198.51.100.1", 40001)));
    std::string &text = directory.files["a.conf"];
    replace(text, "weight_out = 3", "weight_out = 4");
    ASSERT_TRUE(manager->reload("", notices));
    EXPECT_EQ(parameters("A", 0).weight, 4);
    EXPECT_EQ(parameters("A", 0).peer(), endpoint("198.51.100.1", 40000));
    ASSERT_TRUE(manager->restart("a.conf", notices));
    EXPECT_EQ(parameters("A", 0).learned, (core::LearnedPeer{endpoint("198.51.100.1", 40000), kStart}));

    replace(text, "ip_remote = 10.0.0.3", "ip_remote = 10.0.0.33");
    ASSERT_TRUE(manager->reload("", notices));
    EXPECT_TRUE(parameters("A", 0).peer().address.is_unspecified()) << "another host";
    ASSERT_TRUE(move("A", 1, endpoint("198.51.100.1", 40001)));
    replace(text, "remote_ipaddr = 0.0.0.0", "remote_ipaddr = 198.51.100.9"); // of path 0
    ASSERT_TRUE(manager->reload("", notices));
    EXPECT_EQ(parameters("A", 0).peer(), endpoint("198.51.100.9", 23456));
    EXPECT_EQ(parameters("A", 1).peer(), endpoint("198.51.100.1", 40001));

    replace(text, "remote_ipaddr = 0.0.0.0", "remote_ipaddr = 198.51.100.8");
    replace(text, "auth_type = 3", "auth_type = 2");
    ASSERT_TRUE(move("A", 0, endpoint("198.51.100.1", 40000)));
    ASSERT_TRUE(manager->reload("", notices));
    EXPECT_EQ(parameters("A", 0).peer(), endpoint("198.51.100.9", 23456));
    ASSERT_TRUE(move("A", 0, endpoint("198.51.100.1", 40000)));
    EXPECT_EQ(parameters("A", 0).peer(), endpoint("198.51.100.9", 23456)) << "types 0 to 2 stay where they are";
}

TEST_F(RoamingTest, APeerThatFallsSilentIsSoughtWhereTheFileSays)
{
    replace(directory.files["a.conf"], "remote_ipaddr = 0.0.0.0", "remote_ipaddr = 198.51.100.9");
    ASSERT_TRUE(start());
    const auto goes_down = [this](std::size_t path, core::StatusReason reason) {
        manager->on_path_status(kStart, "A", path, {core::PathStatus::kUp, core::PathStatus::kDead, reason}, notices);
    };
    for (const std::size_t path : {0U, 1U})
        ASSERT_TRUE(move("A", path, endpoint("203.0.113.7", 40000)));
    goes_down(0, core::StatusReason::kByPeer);
    EXPECT_EQ(parameters("A", 0).peer(), endpoint("203.0.113.7", 40000)) << "which has spoken";
    const int commits = plane.commits;
    for (const std::size_t path : {0U, 1U})
        goes_down(path, core::StatusReason::kKeepalivesMissed);
    EXPECT_EQ(parameters("A", 0).peer(), endpoint("198.51.100.9", 23456));
    EXPECT_EQ(plane.commits, commits + 1);
    EXPECT_FALSE(record("A", 0).parameters.learned);
    EXPECT_EQ(parameters("A", 1).peer(), endpoint("203.0.113.7", 40000)) << "there is nowhere else to look";
}

TEST_F(RoamingTest, APathWhosePeerIsNowhereCannotBeSetUpByHand)
{
    ASSERT_TRUE(start());
    plane.states.at("A")[0].status = core::PathStatus::kDead;
    const auto set = manager->set_path("A", 0, true, false);
    ASSERT_FALSE(set);
    EXPECT_EQ(set.error().code, base::ErrorCode::kConflict);
    EXPECT_THAT(set.error().text, ::testing::HasSubstr("comes up with the first keepalive"));
    EXPECT_FALSE(record("A", 0).by_hand);
    // Down by hand it may be, and up again from that.
    ASSERT_TRUE(manager->set_path("A", 0, false, true));
    ASSERT_TRUE(manager->set_path("A", 0, true, false));
    plane.states.at("A")[0].status = core::PathStatus::kDead;
    ASSERT_TRUE(move("A", 0, endpoint("203.0.113.7", 40000)));
    ASSERT_TRUE(manager->set_path("A", 0, true, false));
}

TEST_F(RoamingTest, WhereAPeerWithAnotherKeyOrTunnelAddressIsNobodyKnows)
{
    ASSERT_TRUE(start());
    std::string &text = directory.files["a.conf"];
    for (const auto &[before, after] :
         {std::pair("auth_key = 5", "auth_key = 6"), std::pair("ip_remote = 10.0.0.3", "ip_remote = 10.0.0.7")}) {
        ASSERT_TRUE(move("A", 0, endpoint("198.51.100.1", 40000)));
        replace(text, before, after);
        ASSERT_TRUE(manager->reload("", notices));
        EXPECT_TRUE(parameters("A", 0).peer().address.is_unspecified()) << after;
        EXPECT_FALSE(record("A", 0).parameters.learned);
    }
}

TEST_F(RoamingTest, ANatsPortIsThatOfTheHostWhichHasItNow)
{
    ASSERT_TRUE(start());
    ASSERT_TRUE(move("A", 0, endpoint("198.51.100.1", 40000)));
    ASSERT_TRUE(move("B", 0, endpoint("198.51.100.1", 40000)));
    EXPECT_EQ(parameters("B", 0).peer(), endpoint("198.51.100.1", 40000));
    EXPECT_TRUE(parameters("A", 0).peer().address.is_unspecified());
    EXPECT_FALSE(record("A", 0).parameters.learned);
    // On another local address it is another one.
    ASSERT_TRUE(move("A", 1, endpoint("198.51.100.1", 40000)));
    EXPECT_EQ(parameters("B", 0).peer(), endpoint("198.51.100.1", 40000));
}

TEST_F(RoamingTest, AnAddressThatAFileNamesIsNobodyElses)
{
    replace(directory.files["b.conf"], "remote_ipaddr = 0.0.0.0", "remote_ipaddr = 198.51.100.9");
    ASSERT_TRUE(start());
    notices.clear();
    ASSERT_TRUE(move("A", 0, endpoint("198.51.100.9", 23456)));
    EXPECT_TRUE(parameters("A", 0).peer().address.is_unspecified());
    EXPECT_EQ(parameters("B", 0).peer(), endpoint("198.51.100.9", 23456));
    EXPECT_THAT(notices, IsEmpty());
}

TEST_F(RoamingTest, APeerThatMayBeAnywhereIsAnsweredByThePathsGateway)
{
    for (const char *file : {"a.conf", "b.conf"})
        replace(directory.files[file], "gateway_ipaddr = 10.1.1.2", "gateway_ipaddr = 10.1.1.1");
    network.gateways = {{"eth2", "10.2.2.1"}};
    replace(directory.files["a.conf"], "gateway_ipaddr = 10.2.2.2", "gateway_ipaddr = 0.0.0.0");
    directory.files.erase("b.conf");
    ASSERT_TRUE(start());
    const auto routes =
        ElementsAre("0.0.0.0 from 10.1.1.2 via 10.1.1.1 dev eth1", "0.0.0.0 from 10.2.2.2 via 10.2.2.1 dev eth2");
    EXPECT_THAT(network.path_routes, routes);
    ASSERT_TRUE(move("A", 0, endpoint("198.51.100.1", 40000)));
    EXPECT_THAT(network.path_routes, routes) << "it may move on";
}

TEST_F(RoamingTest, TheRouteToAnAddressInTheFileFollowsThePeer)
{
    replace(directory.files["a.conf"], "gateway_ipaddr = 10.1.1.2", "gateway_ipaddr = 10.1.1.1");
    replace(directory.files["a.conf"], "remote_ipaddr = 0.0.0.0", "remote_ipaddr = 198.51.100.9");
    ASSERT_TRUE(start());
    EXPECT_THAT(network.path_routes, Contains("198.51.100.9 from 10.1.1.2 via 10.1.1.1 dev eth1"));
    ASSERT_TRUE(move("A", 0, endpoint("203.0.113.7", 1)));
    EXPECT_THAT(network.path_routes, Contains("203.0.113.7 from 10.1.1.2 via 10.1.1.1 dev eth1"));
    EXPECT_THAT(network.path_routes, Not(Contains("198.51.100.9 from 10.1.1.2 via 10.1.1.1 dev eth1")));
}

TEST_F(RoamingTest, WhereAPeerWasBeforeARestartItIsExpectedNow)
{
    replace(directory.files["b.conf"], "remote_ipaddr = 0.0.0.0", "remote_ipaddr = 198.51.100.9");
    const base::Instant since{std::chrono::seconds(900)};
    plane.learned = {{"A/0", {endpoint("198.51.100.1", 40000), since}},
                     {"A/1", {endpoint("198.51.100.1", 40001), since}},
                     {"B/1", {endpoint("198.51.100.1", 40001), since}}};
    ASSERT_TRUE(start());
    EXPECT_EQ(parameters("A", 0).peer(), endpoint("198.51.100.1", 40000));
    EXPECT_EQ(record("A", 0).parameters.learned, plane.learned.at("A/0"));
    EXPECT_EQ(parameters("A", 0).learned, plane.learned.at("A/0"));
    EXPECT_TRUE(plane.open.contains("A/0"));
    EXPECT_EQ(plane.times_set.at("A"), plane.times_set.at("B") + 1) << "once with all that was learned";
    EXPECT_EQ(parameters("A", 1).peer(), endpoint("198.51.100.1", 40001));
    EXPECT_TRUE(parameters("B", 1).peer().address.is_unspecified()) << "one port is not two hosts'";
    // From there it moves on, or is given up, as ever.
    ASSERT_TRUE(move("A", 0, endpoint("198.51.100.2", 40000)));
    EXPECT_EQ(parameters("A", 0).peer(), endpoint("198.51.100.2", 40000));
}

TEST_F(RoamingTest, WhereAFileNamesSomebodyNobodyElseWasBefore)
{
    replace(directory.files["b.conf"], "remote_ipaddr = 0.0.0.0", "remote_ipaddr = 198.51.100.9");
    plane.learned = {{"A/0", {endpoint("198.51.100.9", 23456), base::Instant(900s)}}};
    ASSERT_TRUE(start());
    EXPECT_TRUE(parameters("A", 0).peer().address.is_unspecified());
}

TEST_F(RoamingTest, WhereAFilesPeerIsNoMoreAnotherMayHaveBeen)
{
    replace(directory.files["a.conf"], "remote_ipaddr = 0.0.0.0", "remote_ipaddr = 198.51.100.9");
    plane.learned = {{"A/0", {endpoint("198.51.100.1", 40000), base::Instant(900s)}},
                     {"B/0", {endpoint("198.51.100.9", 23456), base::Instant(900s)}}};
    ASSERT_TRUE(start());
    EXPECT_EQ(parameters("A", 0).peer(), endpoint("198.51.100.1", 40000));
    EXPECT_EQ(parameters("B", 0).peer(), endpoint("198.51.100.9", 23456));
}

TEST_F(RoamingTest, HowThePeerSeesAPathIsKnownWhileItsAddressStays)
{
    ASSERT_TRUE(start());
    manager->on_path_observed("A", 1, endpoint("198.51.100.77", 4000));
    EXPECT_EQ(record("A", 1).observed, endpoint("198.51.100.77", 4000));
    replace(directory.files["a.conf"], "weight_out = 1", "weight_out = 2");
    ASSERT_TRUE(manager->reload("", notices));
    EXPECT_EQ(record("A", 1).observed, endpoint("198.51.100.77", 4000));
    replace(directory.files["a.conf"], "local_port = 23456", "local_port = 23457");
    ASSERT_TRUE(manager->reload("", notices));
    EXPECT_EQ(record("A", 1).observed.port, 0) << "a NAT makes something else of another port";
    manager->on_path_observed("A", 1, endpoint("198.51.100.77", 4001));
    network.interfaces["eth2"] = "10.2.2.99";
    ASSERT_TRUE(manager->on_interfaces_changed({"eth2"}, notices));
    EXPECT_EQ(record("A", 1).observed.port, 0);
}

} // namespace
} // namespace mpt::service
