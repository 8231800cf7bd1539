// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/manager.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

namespace mpt::service {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char *kInterface = R"(
[general]
tunnel_num = 1
accept_remote = 0
cmdport_local = 60456
cmd_timeout = 25
[tun_0]
name = tun7
mtu = 1440
ipv4_addr = 10.0.0.2/24
ipv6_addr = fec0::2/64
)";

std::string connection_file(const std::string &name, int last_octet, int port)
{
    return fmt::format(R"(
[connection]
name = {0}
permission = 3
ip_ver = 4
ip_local = 10.0.0.2
local_port = {2}
ip_remote = 10.0.0.{1}
remote_port = 23456
remote_cmd_port = 60456
path_count = 2
network_count = 0
status = 0
reorder_window = 100
max_buffdelay_msec = 50
auth_type = 0
[path_0]
interface_name = eth1
ip_ver = 4
public_ipaddr = 10.1.1.2
remote_ipaddr = 10.1.1.{1}
gateway_ipaddr = 10.1.1.2
keepalive_time = 2
weight_out = 3
status = 0
[path_1]
interface_name = eth2
ip_ver = 4
private_ipaddr = 0.0.0.0
public_ipaddr = 10.2.2.2
remote_ipaddr = 10.2.2.{1}
gateway_ipaddr = 10.2.2.2
weight_out = 1
status = 128
)",
                       name, last_octet, port);
}

class MemoryDirectory : public ConfigDirectory {
public:
    base::Result<std::string> read_interface() override { return interface; }
    base::Result<std::vector<std::string>> list_connections() override
    {
        std::vector<std::string> names;
        for (const auto &[name, text] : files)
            names.push_back(name);
        return names;
    }
    base::Result<std::string> read_connection(const std::string &file) override { return files.at(file); }

    std::string interface = kInterface;
    std::map<std::string, std::string> files;
};

class MemoryNetwork : public Network {
public:
    base::Result<void> set_up_tunnel(const config::TunnelConfig &tunnel) override
    {
        tunnels.push_back(tunnel.name);
        return {};
    }
    base::Result<void> add_addresses(const config::TunnelConfig &tunnel) override
    {
        addresses.push_back(tunnel.name);
        return {};
    }
    base::Result<void> add_peer_route(const std::string &tunnel, const base::Address &local,
                                      const base::Address &remote) override
    {
        routes.push_back(fmt::format("{} dev {} src {}", remote.to_string(), tunnel, local.to_string()));
        return {};
    }
    bool interface_exists(const std::string &name) override { return interfaces.contains(name); }
    bool interface_ready(const std::string &name) override
    {
        return interfaces.contains(name) && !without_carrier.contains(name);
    }
    bool has_address(const std::string &name, const base::Address &address) override
    {
        return interfaces.contains(name) && interfaces[name] == address.to_string();
    }
    std::optional<base::Address> first_address(const std::string &name, base::IpVersion) override
    {
        if (!interfaces.contains(name) || interfaces[name].empty())
            return std::nullopt;
        return base::Address::parse(interfaces[name]).value();
    }

    std::map<std::string, std::string> interfaces; // name to its address
    std::set<std::string> without_carrier;
    std::vector<std::string> tunnels;
    std::vector<std::string> routes;
    std::vector<std::string> addresses; // tunnels that were given theirs again
};

class MemoryPlane : public DataPlane {
public:
    base::Result<void> add_tunnel(const std::string &name) override
    {
        tunnels.push_back(name);
        return {};
    }
    void set_connection(const core::ConnectionParameters &parameters) override
    {
        connections[parameters.name] = parameters;
    }
    base::Result<bool> open_path(const std::string &connection, std::size_t path) override
    {
        if (port_in_use && !open.contains(fmt::format("{}/{}", connection, path)))
            return base::fail(base::ErrorCode::kAddressInUse, "port in use");
        return open.insert(fmt::format("{}/{}", connection, path)).second;
    }
    bool close_path(const std::string &connection, std::size_t path, bool, bool) override
    {
        return open.erase(fmt::format("{}/{}", connection, path)) > 0;
    }
    base::Result<void> commit() override
    {
        ++commits;
        return {};
    }

    std::vector<std::string> tunnels;
    std::map<std::string, core::ConnectionParameters> connections;
    std::set<std::string> open;
    bool port_in_use = false;
    int commits = 0;
};

class ManagerTest : public ::testing::Test {
protected:
    ManagerTest()
    {
        directory.files["a.conf"] = connection_file("A", 3, 23456);
        network.interfaces = {{"eth1", "10.1.1.2"}, {"eth2", "10.2.2.2"}};
    }

    base::Result<void> start()
    {
        auto interface = load_interface(directory, notices);
        if (!interface)
            return base::Failure(interface.error());
        manager.emplace(*interface, directory, network, plane);
        return manager->start(notices);
    }
    static auto error(const std::string &text)
    {
        return AllOf(Field(&Notice::level, Notice::Level::kError), Field(&Notice::text, HasSubstr(text)));
    }
    static auto says(const std::string &text) { return Field(&Notice::text, HasSubstr(text)); }

    MemoryDirectory directory;
    MemoryNetwork network;
    MemoryPlane plane;
    Notices notices;
    std::optional<Manager> manager;
};

TEST_F(ManagerTest, StartsWhatTheFilesSay)
{
    ASSERT_TRUE(start());
    EXPECT_THAT(notices, IsEmpty());
    EXPECT_THAT(plane.tunnels, ElementsAre("tun7"));
    EXPECT_THAT(network.tunnels, ElementsAre("tun7"));
    EXPECT_THAT(network.routes, ElementsAre("10.0.0.3 dev tun7 src 10.0.0.2"));
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
    EXPECT_THAT(network.addresses,
                IsEmpty()); // an address taken away from an interface that stays up is somebody's wish
    network.without_carrier.insert("tun7");
    ASSERT_TRUE(manager->on_interfaces_changed({"tun7"}, notices));
    network.without_carrier.clear();
    ASSERT_TRUE(manager->on_interfaces_changed({"tun7"}, notices));
    EXPECT_THAT(network.addresses, ElementsAre("tun7"));
    EXPECT_EQ(network.routes.size(), 2U);
}

TEST_F(ManagerTest, DoesNotStartWithAPortInUseButSurvivesItLater)
{
    plane.port_in_use = true;
    const auto started = start();
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code, base::ErrorCode::kAddressInUse);

    plane = MemoryPlane();
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

TEST_F(ManagerTest, TellsWhyAPathChangedItsStatus)
{
    ASSERT_TRUE(start());
    manager->on_path_status(
        "A", 1, {core::PathStatus::kUp, core::PathStatus::kDead, core::StatusReason::kKeepalivesMissed}, notices);
    EXPECT_THAT(notices, ElementsAre(AllOf(Field(&Notice::level, Notice::Level::kWarning),
                                           says("connection A, path 1 (eth2) is dead (no keepalive came"))));
    notices.clear();
    manager->on_path_status("gone", 0, {}, notices); // the connection ended while the event was on its way
    EXPECT_THAT(notices, IsEmpty());
}

} // namespace
} // namespace mpt::service
