// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/service/manager_fixture.hpp"

namespace mpt::service {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(ManagerTest, StartsWhatTheFilesSay)
{
    ASSERT_TRUE(start());
    EXPECT_THAT(notices, IsEmpty());
    EXPECT_THAT(plane.tunnels, ElementsAre("tun7"));
    EXPECT_THAT(network.tunnels, ElementsAre("tun7"));
    EXPECT_THAT(network.routes, ElementsAre("10.0.0.3/32 dev tun7 src 10.0.0.2"));
    EXPECT_THAT(plane.open, ElementsAre("A/0", "A/1"));
    EXPECT_EQ(plane.commits, 1);
    const core::ConnectionParameters &a = plane.connections.at("A");
    EXPECT_EQ(a.tunnel, "tun7");
    EXPECT_EQ(a.mtu, 1440U);
    EXPECT_EQ(a.reorder_window, 100);
    EXPECT_EQ(a.max_buffer_delay, std::chrono::milliseconds(50));
    ASSERT_EQ(a.paths.size(), 2U);
    EXPECT_EQ(a.paths[0].local.to_string(), "10.1.1.2:23456");
    EXPECT_EQ(a.paths[0].remote.to_string(), "10.1.1.3:23456");
    EXPECT_EQ(a.paths[0].weight, 3);
    EXPECT_EQ(a.paths[0].keepalive, std::chrono::seconds(2));
    EXPECT_EQ(a.paths[0].dead, std::chrono::seconds(6)); // guide: 3 x keepalive_time
    EXPECT_EQ(a.paths[0].status, core::PathStatus::kUp);
    EXPECT_EQ(a.paths[1].local.to_string(), "10.2.2.2:23456"); // 0.0.0.0: the interface's first address
    EXPECT_EQ(a.paths[1].status, core::PathStatus::kDead);
}

TEST_F(ManagerTest, TouchesNothingIfInterfaceConfIsWrong)
{
    directory.interface = "[general]\ntunnel_num = 1\ncmdport_local = 70000\n[tun_0]\nname = tun7\nmtu = x\n";
    const auto started = start();
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code, base::ErrorCode::kInvalidConfig);
    EXPECT_THAT(notices, Contains(error("interface.conf:3: cmdport_local = 70000")));
    EXPECT_THAT(notices, Contains(error("interface.conf:6: mtu = x")));
    EXPECT_THAT(plane.tunnels, IsEmpty());
}

TEST_F(ManagerTest, LeavesOutAWrongFileAndStartsTheOthers)
{
    directory.files["b.conf"] = connection_file("B", 4, 23457);
    std::string &a = directory.files["a.conf"];
    a.replace(a.find("weight_out = 3"), 14, "weight_out = 0");
    ASSERT_TRUE(start());
    EXPECT_THAT(notices, Contains(error("weight_out = 0")));
    EXPECT_THAT(notices, Contains(error("connections/a.conf is left out")));
    EXPECT_THAT(plane.open, ElementsAre("B/0", "B/1"));
}

TEST_F(ManagerTest, LeavesOutTheSecondOfTwoThatExcludeEachOther)
{
    directory.files["b.conf"] = connection_file("A", 4, 23457); // the same name
    ASSERT_TRUE(start());
    EXPECT_THAT(notices, Contains(error("connections/b.conf is left out")));
    EXPECT_THAT(plane.open, ElementsAre("A/0", "A/1"));
    EXPECT_EQ(plane.connections.at("A").remote.to_string(), "10.0.0.3");
}

TEST_F(ManagerTest, WaitsForAnInterfaceAndItsAddress)
{
    network.interfaces.erase("eth2");
    network.interfaces["eth1"] = "10.9.9.9";
    ASSERT_TRUE(start());
    EXPECT_THAT(plane.open, IsEmpty());
    EXPECT_THAT(notices, Contains(says("path 0 (eth1) waits: eth1 does not have the address 10.1.1.2")));
    EXPECT_THAT(notices, Contains(says("path 1 (eth2) waits: there is no interface eth2")));

    notices.clear();
    network.interfaces["eth2"] = "10.2.2.77";
    ASSERT_TRUE(manager->on_interfaces_changed({"eth2"}, notices));
    EXPECT_THAT(plane.open, ElementsAre("A/1"));
    EXPECT_EQ(plane.connections.at("A").paths[1].local.to_string(), "10.2.2.77:23456");
    EXPECT_EQ(plane.commits, 2);

    notices.clear();
    ASSERT_TRUE(manager->on_interfaces_changed({"eth2", "lo"}, notices));
    EXPECT_EQ(plane.commits, 2); // nothing is new
    EXPECT_THAT(notices, IsEmpty());
}

TEST_F(ManagerTest, ClosesAPathThatLosesCarrierAndOpensItAgain)
{
    ASSERT_TRUE(start());
    network.without_carrier.insert("eth1");
    ASSERT_TRUE(manager->on_interfaces_changed({"eth1"}, notices));
    EXPECT_THAT(plane.open, ElementsAre("A/1"));
    EXPECT_THAT(notices, Contains(says("eth1 is down or has no carrier")));
    network.without_carrier.clear();
    ASSERT_TRUE(manager->on_interfaces_changed({"eth1"}, notices));
    EXPECT_THAT(plane.open, ElementsAre("A/0", "A/1"));
}

TEST_F(ManagerTest, ATunnelSetDownAndUpGetsBackItsAddressesAndRoutes)
{
    ASSERT_TRUE(start());
    network.interfaces["tun7"] = "10.0.0.2";
    ASSERT_TRUE(manager->on_interfaces_changed({"tun7"}, notices));
    EXPECT_THAT(network.addressed_again,
                IsEmpty()); // an address taken away from an interface that stays up is somebody's wish
    network.without_carrier.insert("tun7");
    ASSERT_TRUE(manager->on_interfaces_changed({"tun7"}, notices));
    EXPECT_THAT(network.routes, IsEmpty());
    network.without_carrier.clear();
    ASSERT_TRUE(manager->on_interfaces_changed({"tun7"}, notices));
    EXPECT_THAT(network.addressed_again, ElementsAre("tun7"));
    EXPECT_THAT(network.routes, ElementsAre("10.0.0.3/32 dev tun7 src 10.0.0.2"));
}

TEST_F(ManagerTest, DoesNotStartIfAPortIsInUseAndNoPathIsOpen)
{
    plane.port_in_use = true;
    for (const char *missing : {"eth1", "eth2"}) {
        EXPECT_EQ(start().error().code, base::ErrorCode::kAddressInUse);
        network.interfaces.erase(missing);
    }
    EXPECT_TRUE(start()) << "all paths wait for their interfaces";
}

TEST_F(ManagerTest, StartsIfAPortOfAPathIsInUse)
{
    directory.files["b.conf"] = connection_file("B", 4, 23457);
    for (const std::set<std::string> &taken : {std::set<std::string>{"A/0"}, {"B/1"}, {"A/0", "A/1", "B/0"}}) {
        plane = MemoryPlane();
        plane.ports_in_use = taken;
        notices.clear();
        ASSERT_TRUE(start());
        EXPECT_EQ(plane.open.size(), 4 - taken.size());
        EXPECT_EQ(notices.size(), taken.size());
        EXPECT_THAT(notices, Each(error("is disabled: port in use")));
        plane.ports_in_use.clear();
        notices.clear();
        EXPECT_TRUE(manager->retry(notices));
        EXPECT_EQ(plane.open.size(), 4U);
    }
}

TEST_F(ManagerTest, SurvivesAPortInUseLater)
{
    network.interfaces.erase("eth2");
    ASSERT_TRUE(start());
    plane.port_in_use = true;
    network.interfaces["eth2"] = "10.2.2.2";
    notices.clear();
    EXPECT_TRUE(manager->on_interfaces_changed({"eth2"}, notices));
    EXPECT_THAT(notices, Contains(error("path 1 (eth2) is disabled: port in use")));
    notices.clear();
    EXPECT_TRUE(manager->retry(notices));
    EXPECT_THAT(notices, IsEmpty()); // it is told once
    plane.port_in_use = false;
    EXPECT_TRUE(manager->retry(notices));
    EXPECT_THAT(plane.open, Contains("A/1"));
}

TEST_F(ManagerTest, AnInterfaceFileThatMayNotBeReadIsNotABrokenOne)
{
    directory.refusal = base::ErrorCode::kNotPermitted;
    EXPECT_EQ(start().error().code, base::ErrorCode::kNotPermitted);
    EXPECT_THAT(start().error().text, HasSubstr("reading interface.conf (run mptd as root"));
    directory.refusal = base::ErrorCode::kNotFound;
    EXPECT_EQ(start().error().code, base::ErrorCode::kInvalidConfig);
}

TEST_F(ManagerTest, WarnsOfAKeyThatEverybodyMayRead)
{
    directory.readable_by_all = {"a.conf"};
    ASSERT_TRUE(start());
    EXPECT_THAT(notices, IsEmpty()) << "there is none";
    std::string &a = directory.files["a.conf"];
    a.replace(a.find("auth_type = 0"), 13, "auth_type = 2\nauth_key = " + std::string(64, 'a'));
    ASSERT_TRUE(start());
    EXPECT_THAT(notices, Contains(says("connections/a.conf has a key, and every user may read it")));
}

TEST_F(ManagerTest, TellsWhyAPathChangedItsStatus)
{
    ASSERT_TRUE(start());
    const base::Instant now{1000s};
    const core::StatusChange dead{core::PathStatus::kUp, core::PathStatus::kDead,
                                  core::StatusReason::kKeepalivesMissed};
    manager->on_path_status(now, "A", 1, dead, notices);
    EXPECT_THAT(notices, ElementsAre(AllOf(Field(&Notice::level, Notice::Level::kWarning),
                                           says("connection A, path 1 (eth2) is dead (no keepalive came"))));
    notices.clear();
    manager->on_path_status(now, "gone", 0, {}, notices); // the connection ended while the event was on its way
    EXPECT_THAT(notices, IsEmpty());

    for (int i = 0; i < 1000; ++i)
        manager->on_path_status(now + i * 25ms, "A", 1, dead, notices);
    EXPECT_LT(notices.size(), 30U) << "whoever makes a path flap does not fill the log";
    EXPECT_THAT(notices.back().text, ::testing::HasSubstr("too often"));
    notices.clear();
    manager->on_path_status(now + 26s, "A", 0, dead, notices);
    manager->on_path_status(now + 61s, "A", 1, dead, notices);
    EXPECT_EQ(notices.size(), 2U) << "other paths, and later";
}

TEST_F(ManagerTest, WhatWasSetByHandLastsOverARestart)
{
    plane.set_by_hand = {{"A/0", false}, {"A/1", true}};
    plane.states["A"].resize(2, {core::PathStatus::kDead});
    ASSERT_TRUE(start());
    EXPECT_EQ(plane.path_state("A", 0).status, core::PathStatus::kSetDown);
    EXPECT_EQ(manager->find("A")->paths[0].by_hand, false);
    // What is not down need not be set up, which would take a dead path for one that lives.
    EXPECT_EQ(plane.path_state("A", 1).status, core::PathStatus::kDead);
    EXPECT_EQ(manager->find("A")->paths[1].by_hand, true);
}

} // namespace
} // namespace mpt::service
