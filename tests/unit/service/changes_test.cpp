// SPDX-License-Identifier: GPL-3.0-or-later
// What the manager is asked for while it runs.
#include "tests/unit/service/manager_fixture.hpp"

namespace mpt::service {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// Writes down what it is told.
class Diary : public Observer {
public:
    void on_connection_added(const ConnectionRecord &c) override { lines.push_back("added " + c.config.name); }
    void on_connection_removed(const std::string &name) override { lines.push_back("removed " + name); }
    void on_connection_changed(const ConnectionRecord &c) override { lines.push_back("changed " + c.config.name); }
    void on_path_changed(const ConnectionRecord &c, std::size_t path) override
    {
        lines.push_back(fmt::format("path {}/{}", c.config.name, path));
    }
    void on_path_status(const ConnectionRecord &, std::size_t, const core::StatusChange &) override {}
    void on_settings_changed() override { lines.emplace_back("settings"); }

    std::vector<std::string> lines;
};

class Changes : public ManagerTest {
protected:
    Changes()
    {
        directory.files["b.conf"] = connection_file("B", 4, 23457);
        EXPECT_TRUE(start());
        manager->set_observer(&diary);
        notices.clear();
    }

    static void replace(std::string &text, const std::string &before, const std::string &after)
    {
        ASSERT_THAT(text, HasSubstr(before));
        text.replace(text.find(before), before.size(), after);
    }
    std::string reload_error(const std::string &file = "")
    {
        const auto reloaded = manager->reload(file, notices);
        return reloaded ? "" : reloaded.error().text;
    }

    Diary diary;
};

TEST_F(Changes, ReloadOfUnchangedFilesTouchesNothing)
{
    const int commits = plane.commits;
    EXPECT_TRUE(manager->reload("", notices));
    EXPECT_EQ(plane.commits, commits);
    EXPECT_THAT(diary.lines, ElementsAre("settings"));
    EXPECT_THAT(notices, IsEmpty());
}

TEST_F(Changes, ReloadStartsANewConnectionAndAppliesAChangedOneInPlace)
{
    directory.files["c.conf"] = connection_file("C", 5, 23458);
    replace(directory.files["a.conf"], "weight_out = 3", "weight_out = 7");
    replace(directory.files["a.conf"], "reorder_window = 100", "reorder_window = 200");
    ASSERT_EQ(reload_error(), "");
    EXPECT_EQ(plane.connections.at("A").paths[0].weight, 7);
    EXPECT_EQ(plane.connections.at("A").reorder_window, 200);
    EXPECT_THAT(plane.open, ElementsAre("A/0", "A/1", "B/0", "B/1", "C/0", "C/1")); // none was closed: same fixture
    EXPECT_THAT(network.routes, Contains("10.0.0.5/32 dev tun7 src 10.0.0.2"));
    EXPECT_THAT(diary.lines, Contains("added C"));
    EXPECT_THAT(diary.lines, Contains("changed A"));
    EXPECT_THAT(diary.lines, Not(Contains("changed B")));
}

TEST_F(Changes, ReloadOfOneFileIgnoresTheOthers)
{
    replace(directory.files["a.conf"], "weight_out = 3", "weight_out = 7");
    replace(directory.files["b.conf"], "weight_out = 3", "weight_out = 0");
    EXPECT_EQ(reload_error("a.conf"), "");
    EXPECT_EQ(plane.connections.at("A").paths[0].weight, 7);
    EXPECT_THAT(reload_error("none.conf"), HasSubstr("there is no file connections/none.conf"));
}

TEST_F(Changes, AWrongFileLeavesItsConnectionAsItIsAndTheOthersAreApplied)
{
    replace(directory.files["a.conf"], "weight_out = 3", "weight_out = 0");
    replace(directory.files["b.conf"], "weight_out = 3", "weight_out = 9");
    EXPECT_THAT(reload_error(), HasSubstr("connections/a.conf:24: weight_out = 0"));
    EXPECT_EQ(plane.connections.at("A").paths[0].weight, 3);
    EXPECT_EQ(plane.connections.at("B").paths[0].weight, 9);
    EXPECT_THAT(manager->problems(), ElementsAre(HasSubstr("weight_out = 0")));
    EXPECT_THAT(notices, Contains(error("connections/a.conf is not applied: its connection goes on as it was")));
    replace(directory.files["a.conf"], "weight_out = 0", "weight_out = 3");
    EXPECT_EQ(reload_error(), "");
    EXPECT_THAT(manager->problems(), IsEmpty());
}

TEST_F(Changes, ANewFileDoesNotPushOutARunningConnection)
{
    directory.files["0.conf"] = connection_file("B", 5, 23458); // comes first, with a name that is taken
    EXPECT_THAT(reload_error(), HasSubstr("0.conf"));
    EXPECT_EQ(plane.connections.at("B").remote.to_string(), "10.0.0.4");
    EXPECT_EQ(plane.connections.size(), 2U);
}

TEST_F(Changes, WhatHarmsARunningConnectionIsLeftOutAlone)
{
    directory.files["c.conf"] = connection_file("C", 5, 23458);
    ASSERT_EQ(reload_error(), "");
    directory.files["0.conf"] = connection_file("C", 6, 23459); // comes first, with a name that is taken
    directory.files["a.conf"] = connection_file("B", 3, 23456);
    directory.files["b.conf"] = connection_file("A", 4, 23457);
    const std::string error = reload_error();
    EXPECT_THAT(error, HasSubstr("0.conf"));
    EXPECT_THAT(error, Not(::testing::AnyOf(HasSubstr("a.conf"), HasSubstr("b.conf"))));
    EXPECT_EQ(plane.connections.at("C").remote.to_string(), "10.0.0.5");
    EXPECT_EQ(plane.connections.at("A").remote.to_string(), "10.0.0.4") << "the two have swapped their names";
    EXPECT_EQ(plane.connections.at("B").remote.to_string(), "10.0.0.3");
    EXPECT_THAT(notices, Contains(says("connections/0.conf is left out")));
}

TEST_F(Changes, ChainsOfChangesAreTakenOrRefusedTogether)
{
    directory.files["c.conf"] = connection_file("C", 5, 23458);
    ASSERT_EQ(reload_error(), "");
    directory.files["a.conf"] = connection_file("C", 3, 23456); // C's name, which goes on
    directory.files["b.conf"] = connection_file("A", 4, 23457); // A's name, which A then keeps
    EXPECT_NE(reload_error(), "");
    EXPECT_EQ(plane.connections.at("A").remote.to_string(), "10.0.0.3");
    EXPECT_EQ(plane.connections.at("B").remote.to_string(), "10.0.0.4");
    EXPECT_EQ(plane.connections.at("C").remote.to_string(), "10.0.0.5");
    directory.files["c.conf"] = connection_file("B", 5, 23458);
    EXPECT_EQ(reload_error(), "");
    EXPECT_EQ(plane.connections.at("C").remote.to_string(), "10.0.0.3");
    EXPECT_EQ(plane.connections.at("A").remote.to_string(), "10.0.0.4");
    EXPECT_EQ(plane.connections.at("B").remote.to_string(), "10.0.0.5");
}

TEST_F(Changes, TwoConnectionsSwapTheirNames)
{
    directory.files["a.conf"] = connection_file("B", 3, 23456);
    directory.files["b.conf"] = connection_file("A", 4, 23457);
    ASSERT_EQ(reload_error(), "");
    EXPECT_EQ(plane.connections.at("A").remote.to_string(), "10.0.0.4");
    EXPECT_EQ(plane.connections.at("B").remote.to_string(), "10.0.0.3");
    EXPECT_THAT(plane.open, ElementsAre("A/0", "A/1", "B/0", "B/1"));
    EXPECT_EQ(network.routes.size(), 2U);
}

TEST_F(Changes, AnotherPeerAddressMovesTheRoute)
{
    replace(directory.files["a.conf"], "ip_remote = 10.0.0.3", "ip_remote = 10.0.0.9");
    ASSERT_EQ(reload_error(), "");
    EXPECT_THAT(network.routes, Contains("10.0.0.9/32 dev tun7 src 10.0.0.2"));
    EXPECT_THAT(network.routes, Not(Contains("10.0.0.3/32 dev tun7 src 10.0.0.2")));
}

TEST_F(Changes, AFileThatIsGoneLeavesItsConnectionRunning)
{
    directory.files.erase("a.conf");
    EXPECT_EQ(reload_error(), "");
    EXPECT_TRUE(plane.connections.contains("A"));
    EXPECT_FALSE(manager->find("A")->file_present);
    EXPECT_THAT(manager->problems(), ElementsAre(HasSubstr("connections/a.conf is gone; connection A goes on")));
    EXPECT_THAT(reload_error("a.conf"), HasSubstr("its connection goes on"));
    ASSERT_THAT(manager->save("a.conf").value(), ElementsAre("a.conf"));
    EXPECT_THAT(manager->problems(), IsEmpty());
    EXPECT_EQ(reload_error(), "");
    EXPECT_EQ(*config::parse_connection("a.conf", directory.files["a.conf"]).value, manager->find("A")->config);
}

TEST_F(Changes, WhatOfInterfaceConfNeedsARestartIsSaid)
{
    replace(directory.interface, "accept_remote = 0", "accept_remote = 1");
    replace(directory.interface, "cmd_timeout = 25", "cmd_timeout = 5");
    EXPECT_EQ(reload_error(), "");
    EXPECT_THAT(notices, IsEmpty());
    EXPECT_TRUE(manager->interface().accept_remote);
    EXPECT_EQ(manager->interface().cmd_timeout, std::chrono::seconds(5));
    replace(directory.interface, "mtu = 1440", "mtu = 1400");
    EXPECT_EQ(reload_error(), "");
    EXPECT_THAT(notices, Contains(says("what it says of the tunnels needs a restart of mptd")));
    replace(directory.interface, "mtu = 1400", "mtu = x");
    EXPECT_THAT(reload_error(), HasSubstr("mtu = x"));
    EXPECT_THAT(manager->problems(), ElementsAre(HasSubstr("mtu = x")));
}

TEST_F(Changes, AGatewayThatWasFoundIsTold)
{
    replace(directory.files["a.conf"], "remote_ipaddr = 10.1.1.3", "remote_ipaddr = 203.0.113.9");
    replace(directory.files["a.conf"], "gateway_ipaddr = 10.1.1.2", "gateway_ipaddr = 0.0.0.0");
    ASSERT_EQ(reload_error(), "");
    diary.lines.clear();
    network.gateways["eth1"] = "10.1.1.1";
    ASSERT_TRUE(manager->on_interfaces_changed({"eth1"}, notices));
    EXPECT_THAT(diary.lines, ElementsAre("path A/0"));
    ASSERT_TRUE(manager->on_interfaces_changed({"eth1"}, notices));
    EXPECT_THAT(diary.lines, ElementsAre("path A/0"));
}

TEST_F(Changes, FileNamesAreNames)
{
    for (const char *name : {"../x.conf", "/etc/x.conf", ".x.conf", ".conf", "x", "x.conf.disabled", "a b.conf"}) {
        EXPECT_EQ(manager->reload(name, notices).error().code, base::ErrorCode::kInvalidArgument) << name;
        EXPECT_EQ(manager->remove(name).error().code, base::ErrorCode::kInvalidArgument) << name;
        EXPECT_FALSE(manager->save(name)) << name;
    }
    EXPECT_FALSE(check_file_name(std::string(5000, 'x') + ".conf"));
    EXPECT_TRUE(check_file_name("to-host-b.conf"));
}

TEST_F(Changes, DeleteEndsTheConnectionAndDisablesItsFile)
{
    ASSERT_TRUE(manager->remove("a.conf"));
    EXPECT_THAT(directory.disabled, ElementsAre("a.conf"));
    EXPECT_FALSE(plane.connections.contains("A"));
    EXPECT_THAT(plane.open, ElementsAre("B/0", "B/1"));
    EXPECT_THAT(network.routes, ElementsAre("10.0.0.4/32 dev tun7 src 10.0.0.2"));
    EXPECT_THAT(diary.lines, ElementsAre("removed A", "settings"));
    EXPECT_EQ(manager->remove("a.conf").error().code, base::ErrorCode::kNotFound);
    EXPECT_EQ(reload_error(), "");
    EXPECT_EQ(manager->connections().size(), 1U);
}

TEST_F(Changes, DeleteThatCannotRenameChangesNothing)
{
    directory.read_only = true;
    EXPECT_FALSE(manager->remove("a.conf"));
    EXPECT_TRUE(plane.connections.contains("A"));
    EXPECT_THAT(diary.lines, IsEmpty());
}

TEST_F(Changes, RestartKeepsWhatWasSetDownByHand)
{
    ASSERT_TRUE(manager->set_path("A", 1, false, false));
    ASSERT_TRUE(manager->restart("a.conf", notices));
    EXPECT_EQ(manager->path_state("A", 1).status, core::PathStatus::kSetDown);
    EXPECT_THAT(plane.open, ElementsAre("A/0", "A/1", "B/0", "B/1"));
    EXPECT_EQ(manager->restart("none.conf", notices).error().code, base::ErrorCode::kNotFound);
    EXPECT_TRUE(manager->restart("", notices));
}

TEST_F(Changes, WhatWasSetByHandLastsUntilItIsSetOtherwise)
{
    // Path 1 starts at 128, which here waits for its peer.
    ASSERT_TRUE(manager->set_path("A", 0, false, true));
    ASSERT_TRUE(manager->set_path("A", 1, true, false));
    ASSERT_TRUE(manager->restart("", notices));
    EXPECT_EQ(manager->path_state("A", 0).status, core::PathStatus::kSetDown);
    EXPECT_EQ(manager->path_state("A", 1).status, core::PathStatus::kUp);

    replace(directory.files["a.conf"], "name = A", "name = Z");
    ASSERT_EQ(reload_error(), "");
    EXPECT_EQ(manager->path_state("Z", 0).status, core::PathStatus::kSetDown);
    EXPECT_EQ(manager->path_state("Z", 1).status, core::PathStatus::kUp);

    ASSERT_TRUE(manager->set_path("Z", 0, true, false));
    replace(directory.files["a.conf"], "interface_name = eth2", "interface_name = eth3");
    ASSERT_EQ(reload_error(), "");
    ASSERT_TRUE(manager->restart("a.conf", notices));
    EXPECT_EQ(manager->path_state("Z", 0).status, core::PathStatus::kUp);
    EXPECT_NE(manager->path_state("Z", 1).status, core::PathStatus::kUp) << "another path";
}

TEST_F(Changes, TwoConnectionsOfDifferentWorkersSwapTheirPorts)
{
    plane.own_workers = true;
    directory.files["a.conf"] = connection_file("A", 3, 23457);
    directory.files["b.conf"] = connection_file("B", 4, 23456);
    ASSERT_EQ(reload_error(), "");
    EXPECT_THAT(plane.open, ElementsAre("A/0", "A/1", "B/0", "B/1"));
    EXPECT_EQ(manager->find("A")->paths[0].waits_for, "");
    EXPECT_THAT(notices, Not(Contains(error(""))));
    EXPECT_EQ(plane.connections.at("A").paths[0].local.port, 23457);
}

TEST_F(Changes, TheLastPathThatIsUpIsNotSetDownUnlessForced)
{
    for (auto &state : plane.states["A"])
        state.status = core::PathStatus::kUp;
    EXPECT_TRUE(manager->set_path("A", 0, false, false));
    EXPECT_EQ(manager->set_path("A", 1, false, false).error().code, base::ErrorCode::kConflict);
    EXPECT_EQ(manager->path_state("A", 1).status, core::PathStatus::kUp);
    EXPECT_TRUE(manager->set_path("A", 0, false, false)) << "it carries nothing already";
    EXPECT_TRUE(manager->set_path("A", 1, false, true));
    EXPECT_TRUE(manager->set_path("A", 1, true, false));
    EXPECT_EQ(manager->set_path("A", 2, true, false).error().code, base::ErrorCode::kNotFound);
    EXPECT_EQ(manager->set_path("Z", 0, true, false).error().code, base::ErrorCode::kNotFound);
}

TEST_F(Changes, WhatACreateHasCompletedTakesEffectAndIsTold)
{
    const config::ConnectionConfig filed = manager->find("A")->filed;
    config::ConnectionConfig config = filed;
    config.reorder_window = 700;
    ASSERT_TRUE(manager->complete(filed, config, notices));
    EXPECT_EQ(plane.connections.at("A").reorder_window, 700);
    EXPECT_TRUE(manager->find("A")->is_unsaved());
    EXPECT_THAT(diary.lines, ElementsAre("changed A", "path A/0", "path A/1", "settings"));
    diary.lines.clear();
    config.name = "Z"; // another connection takes the place of the one that ran
    ASSERT_TRUE(manager->complete(filed, config, notices));
    EXPECT_THAT(diary.lines, ::testing::IsSupersetOf({"removed A", "added Z", "settings"}));
    EXPECT_THAT(plane.open, ElementsAre("B/0", "B/1", "Z/0", "Z/1"));
    EXPECT_THAT(network.routes, ::testing::UnorderedElementsAre("10.0.0.3/32 dev tun7 src 10.0.0.2",
                                                                "10.0.0.4/32 dev tun7 src 10.0.0.2"));
}

TEST_F(Changes, AWeightIsSetAndSaved)
{
    EXPECT_EQ(manager->set_weight("A", 0, 0).error().code, base::ErrorCode::kInvalidArgument);
    EXPECT_EQ(manager->set_weight("A", 0, 10001).error().code, base::ErrorCode::kInvalidArgument);
    EXPECT_FALSE(manager->find("A")->is_unsaved());
    ASSERT_TRUE(manager->set_weight("A", 0, 55));
    EXPECT_EQ(plane.connections.at("A").paths[0].weight, 55);
    EXPECT_TRUE(manager->find("A")->is_unsaved());
    EXPECT_EQ(reload_error(), "");
    EXPECT_EQ(plane.connections.at("A").paths[0].weight, 55) << "the file has not changed";

    const std::string before = directory.files["a.conf"];
    EXPECT_THAT(manager->save("").value(), ElementsAre("a.conf"));
    std::string wanted = before;
    replace(wanted, "weight_out = 3", "weight_out = 55");
    EXPECT_EQ(directory.files["a.conf"], wanted) << "nothing else";
    EXPECT_FALSE(manager->find("A")->is_unsaved());
    EXPECT_THAT(manager->save("").value(), IsEmpty());
}

TEST_F(Changes, AFileThatSomebodyHasEditedIsNotOverwritten)
{
    ASSERT_TRUE(manager->set_weight("A", 0, 55));
    replace(directory.files["a.conf"], "reorder_window = 100", "reorder_window = 300");
    const std::string edited = directory.files["a.conf"];
    EXPECT_EQ(manager->save("").error().code, base::ErrorCode::kConflict);
    EXPECT_EQ(directory.files["a.conf"], edited);
    EXPECT_EQ(reload_error(), "");
    EXPECT_EQ(plane.connections.at("A").paths[0].weight, 3);
    EXPECT_EQ(plane.connections.at("A").reorder_window, 300);
}

TEST_F(Changes, ASaveThatFailsSaysSoAndIsStillToBeDone)
{
    ASSERT_TRUE(manager->set_weight("A", 0, 55));
    directory.read_only = true;
    EXPECT_THAT(manager->save("").error().text, HasSubstr("a.conf"));
    EXPECT_TRUE(manager->find("A")->is_unsaved());
}

TEST_F(Changes, KnowsWhichInterfacesAreUsed)
{
    EXPECT_TRUE(manager->uses_interface("eth1"));
    EXPECT_TRUE(manager->uses_interface("tun7"));
    EXPECT_FALSE(manager->uses_interface("eth3"));
}

TEST_F(Changes, MeteredInterfacesAreToldToTheirPathsOnce)
{
    EXPECT_TRUE(manager->set_metered("eth2", true));
    EXPECT_THAT(diary.lines, ElementsAre("path A/1", "path B/1"));
    EXPECT_TRUE(manager->set_metered("eth2", true));
    EXPECT_TRUE(manager->set_metered("eth1", false));
    EXPECT_EQ(diary.lines.size(), 2U) << "as it was before";
    EXPECT_TRUE(manager->is_metered("eth2"));
    EXPECT_FALSE(manager->is_metered("eth1"));
    EXPECT_TRUE(manager->set_metered("eth2", false));
    EXPECT_EQ(diary.lines.size(), 4U);
    EXPECT_FALSE(manager->is_metered("eth2"));
}

TEST_F(Changes, InterfacesThatAreNotThereAreNotMetered)
{
    EXPECT_EQ(manager->set_metered("eth9", true).error().code, base::ErrorCode::kNotFound);
    EXPECT_TRUE(manager->set_metered("eth2", true));
    network.interfaces.erase("eth2");
    EXPECT_TRUE(manager->set_metered("eth2", false)) << "it is told when it goes";
    EXPECT_FALSE(manager->is_metered("eth2"));
}

} // namespace
} // namespace mpt::service
