// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/service/peers_fixture.hpp"

namespace mpt::service {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(PeersTest, APathThatIsSetDownIsToldAndObeyed)
{
    for (const int auth_type : {0, 1, 2, 3}) {
        both(3, auth_type);
        a.path_is(now, 0, core::PathStatus::kSetDown, core::StatusReason::kByHand);
        EXPECT_THAT(a.port.interfaces, ElementsAre("eth2")) << "over the other path";
        a.port.interfaces.clear();
        carry();
        EXPECT_EQ(b.status(0), core::PathStatus::kDead) << auth_type;
        EXPECT_EQ(b.status(1), core::PathStatus::kUp);
        a.path_is(now, 0, core::PathStatus::kUp, core::StatusReason::kByHand);
        carry();
        EXPECT_EQ(b.status(0), core::PathStatus::kUp) << auth_type;
        a.port.interfaces.clear();
        EXPECT_THAT(a.notices, IsEmpty());
    }
}

TEST_F(PeersTest, WhatIsToldOfAPathWhoseInterfaceIsDownHoldsAfterwards)
{
    both();
    b.plane.states.at("link").at(0).status = core::PathStatus::kInterfaceDown;
    a.path_is(now, 0, core::PathStatus::kSetDown, core::StatusReason::kByHand);
    carry();
    EXPECT_THAT(b.plane.by_peer, ElementsAre("link/0 down"));
}

TEST_F(PeersTest, TheDefaultPathIsTheFirstToTellBy)
{
    for (const int by_default : {1, 2}) {
        a.port.interfaces.clear();
        both();
        std::string &file = a.directory.files["link.conf"];
        file.replace(file.find("path_count = 2"), 14, "path_count = 3");
        file.erase(file.find("cmd_default = 1"), 15);
        file += "[path_2]\ninterface_name = eth3\nip_ver = 4\npublic_ipaddr = 10.3.3.2\nremote_ipaddr = 10.3.3.3\n"
                "gateway_ipaddr = 10.3.3.3\nweight_out = 1\nstatus = 0\n";
        const std::string path = fmt::format("[path_{}]\n", by_default);
        file.insert(file.find(path) + path.size(), by_default == 2 ? "cmd_default = 1\n" : "");
        a.start();
        a.path_is(now, 0, core::PathStatus::kSetDown, core::StatusReason::kByHand);
        EXPECT_THAT(a.port.interfaces, ElementsAre(by_default == 2 ? "eth3" : "eth2"));
        a.port.sent.clear();
        a.path_is(now, 2, core::PathStatus::kSetDown, core::StatusReason::kByHand);
        wait(4s, [](const Datagram &) { return false; });
        wait(20s, [&](const Datagram &datagram) { return datagram.local != *base::Address::parse("10.3.3.2"); });
        EXPECT_EQ(a.port.interfaces.back(), "eth2") << "the default path is down";
    }
}

// As the peer's kernel chooses it where several of its addresses are on one interface.
TEST_F(PeersTest, AnswersMayComeFromAnotherAddressOfThePeer)
{
    for (const int auth_type : {0, 1}) {
        both(3, auth_type);
        a.path_is(now, 0, core::PathStatus::kSetDown, core::StatusReason::kByHand);
        for (int round = 0; round < 2; ++round) {
            const Datagram question = a.port.sent.front();
            a.port.sent.clear();
            b.peers->on_datagram(now, {question.local, 60456}, question.peer.address, question.octets, b.notices);
            a.peers->on_datagram(now, {*base::Address::parse("10.1.1.3"), 60456}, question.local,
                                 b.port.sent.front().octets, a.notices);
            b.port.sent.clear();
        }
        EXPECT_EQ(b.status(0), core::PathStatus::kDead);
        EXPECT_EQ(a.peers->deadline(), std::nullopt) << "it has been told";
    }
}

// The peer names a path by the address that a NAT gives us, which we do not know if it is to be found automatically.
TEST_F(PeersTest, AnAutomaticAddressMayBeAnotherOneForThePeer)
{
    both();
    std::string &file = b.directory.files["link.conf"];
    const auto make_automatic = [&](const std::string &fixed) {
        file.replace(file.find(fixed), fixed.size(), "private_ipaddr = 0.0.0.0\npublic_ipaddr = 0.0.0.0\n");
        ASSERT_TRUE(b.manager->reload("", b.notices));
    };
    std::string &asker = a.directory.files["link.conf"];
    asker.replace(asker.find("remote_ipaddr = 10.1.1.3"), 24, "remote_ipaddr = 192.0.2.7");
    ASSERT_TRUE(a.manager->reload("", a.notices));
    const auto tell = [&] {
        a.path_is(now, 0, core::PathStatus::kUp, core::StatusReason::kByHand);
        carry();
        a.path_is(now, 0, core::PathStatus::kSetDown, core::StatusReason::kByHand);
        carry();
        return b.status(0);
    };
    EXPECT_EQ(tell(), core::PathStatus::kUp) << "10.1.1.3 is what is configured here";
    make_automatic("public_ipaddr = 10.1.1.3\n");
    EXPECT_EQ(tell(), core::PathStatus::kDead);

    // Two of them to the same address of the peer cannot be told apart.
    b.plane.states.at("link").at(0).status = core::PathStatus::kUp;
    make_automatic("public_ipaddr = 10.2.2.3\n");
    file.replace(file.find("remote_ipaddr = 10.2.2.2"), 24, "remote_ipaddr = 10.1.1.2");
    ASSERT_TRUE(b.manager->reload("", b.notices));
    EXPECT_EQ(tell(), core::PathStatus::kUp);
    EXPECT_EQ(b.status(1), core::PathStatus::kUp);
}

// Whoever sends messages must not make us ask the kernel for each.
TEST_F(PeersTest, AutomaticAddressesAreToldAsTheyAreInUse)
{
    both();
    std::string &file = a.directory.files["link.conf"];
    const std::string fixed = "public_ipaddr = 10.1.1.2\n";
    file.replace(file.find(fixed), fixed.size(), "private_ipaddr = 0.0.0.0\npublic_ipaddr = 0.0.0.0\n");
    ASSERT_TRUE(a.manager->reload("", a.notices));
    const int before = a.network.look_ups;
    a.path_is(now, 0, core::PathStatus::kSetDown, core::StatusReason::kByHand);
    carry();
    EXPECT_EQ(b.status(0), core::PathStatus::kDead);
    b.path_is(now, 0, core::PathStatus::kUp, core::StatusReason::kByHand);
    carry();
    EXPECT_EQ(a.status(0), core::PathStatus::kUp);
    EXPECT_EQ(a.network.look_ups, before);
}

TEST_F(PeersTest, AnAutomaticAddressThatIsGoneIsToldAsItWas)
{
    both();
    std::string &file = a.directory.files["link.conf"];
    const std::string fixed = "public_ipaddr = 10.1.1.2\n";
    file.replace(file.find(fixed), fixed.size(), "private_ipaddr = 0.0.0.0\npublic_ipaddr = 0.0.0.0\n");
    ASSERT_TRUE(a.manager->reload("", a.notices));
    a.network.interfaces["eth1"].clear();
    ASSERT_TRUE(a.manager->on_interfaces_changed({"eth1"}, a.notices));
    a.path_is(now, 0, core::PathStatus::kAddressMissing, core::StatusReason::kAddress);
    carry();
    EXPECT_EQ(b.status(0), core::PathStatus::kDead);
    EXPECT_TRUE(a.manager->find("link")->paths[0].parameters.local.address.is_unspecified());
    // The other end may turn it on again by the same name.
    b.path_is(now, 0, core::PathStatus::kUp, core::StatusReason::kByHand);
    carry();
    EXPECT_EQ(a.status(0), core::PathStatus::kUp);
}

TEST_F(PeersTest, WhoMayDoWhat)
{
    for (int permission_a = 0; permission_a <= 3; ++permission_a)
        for (int permission_b = 0; permission_b <= 3; ++permission_b) {
            a.directory.files["link.conf"] = connection_of(2, permission_a, 1);
            b.directory.files["link.conf"] = connection_of(3, permission_b, 1);
            a.start();
            b.start();
            a.path_is(now, 1, core::PathStatus::kDead, core::StatusReason::kKeepalivesMissed);
            carry();
            // guide Table 2
            const bool sends = permission_a == 1 || permission_a == 3;
            const bool obeys = permission_b == 2 || permission_b == 3;
            EXPECT_EQ(b.status(1), sends && obeys ? core::PathStatus::kDead : core::PathStatus::kUp)
                << permission_a << permission_b;
            EXPECT_EQ(!a.notices.empty(), sends && !obeys) << "the peer refuses";
            a.notices.clear();
        }
}

TEST_F(PeersTest, WhatComesByKeepaliveOrFromThePeerIsNotToldBack)
{
    both();
    a.path_is(now, 0, core::PathStatus::kDead, core::StatusReason::kByPeer);
    a.path_is(now, 0, core::PathStatus::kUp, core::StatusReason::kKeepalive);
    EXPECT_THAT(a.port.sent, IsEmpty());
}

TEST_F(PeersTest, WithoutAPathItIsToldWhenOneIsBack)
{
    both();
    a.path_is(now, 1, core::PathStatus::kInterfaceDown, core::StatusReason::kInterface);
    carry([](const Datagram &) { return false; });
    a.path_is(now, 0, core::PathStatus::kInterfaceDown, core::StatusReason::kInterface);
    wait(20s, [](const Datagram &) { return false; });
    EXPECT_EQ(b.status(0), core::PathStatus::kUp);
    a.path_is(now, 0, core::PathStatus::kUp, core::StatusReason::kInterface);
    wait(2s);
    EXPECT_EQ(b.status(0), core::PathStatus::kUp);
    EXPECT_EQ(b.status(1), core::PathStatus::kDead);
}

TEST_F(PeersTest, WhatIsNoLongerSoIsNotTold)
{
    both();
    a.path_is(now, 1, core::PathStatus::kInterfaceDown, core::StatusReason::kInterface);
    a.path_is(now, 0, core::PathStatus::kSetDown, core::StatusReason::kByHand);
    a.plane.states.at("link").at(0).status = core::PathStatus::kUp; // as after a restart, which is no event
    carry();
    wait(20s);
    EXPECT_EQ(b.status(1), core::PathStatus::kDead);
    a.path_is(now, 1, core::PathStatus::kUp, core::StatusReason::kInterface);
    carry();
    wait(20s);
    EXPECT_EQ(b.status(0), core::PathStatus::kUp);
    EXPECT_EQ(b.status(1), core::PathStatus::kUp);
}

TEST_F(PeersTest, WhatIsToBeToldOutlivesAnotherName)
{
    both();
    ASSERT_TRUE(a.manager->set_path("link", 0, false, false));
    a.path_is(now, 0, core::PathStatus::kSetDown, core::StatusReason::kByHand);
    wait(2s, [](const Datagram &) { return false; });
    std::string &file = a.directory.files["link.conf"];
    file.replace(file.find("link"), 4, "tie");
    ASSERT_TRUE(a.manager->reload("", a.notices));
    a.plane.states.at("tie").at(1).status = core::PathStatus::kUp;
    wait(60s);
    EXPECT_EQ(b.status(0), core::PathStatus::kDead);
    EXPECT_EQ(a.peers->deadline(), std::nullopt) << "all is told";
}

TEST_F(PeersTest, ToAPeerThatIsGoneNothingIsTold)
{
    both();
    int sent = 0;
    const auto count = [&](const Datagram &) { return ++sent, false; };
    a.path_is(now, 0, core::PathStatus::kSetDown, core::StatusReason::kByHand);
    std::string &file = a.directory.files["link.conf"];
    file.replace(file.find("ip_remote = 10.0.0.3"), 20, "ip_remote = 10.0.0.4");
    ASSERT_TRUE(a.manager->reload("", a.notices));
    a.port.sent.clear();
    wait(60s, count);
    EXPECT_EQ(sent, 0) << "another peer";
    EXPECT_EQ(a.peers->deadline(), std::nullopt);

    a.path_is(now, 0, core::PathStatus::kUp, core::StatusReason::kByHand);
    wait(1s, count);
    ASSERT_GT(sent, 0);
    ASSERT_TRUE(a.manager->remove("link.conf"));
    sent = 0;
    wait(60s, count);
    EXPECT_EQ(sent, 0);
    EXPECT_EQ(a.peers->deadline(), std::nullopt);
}

TEST_F(PeersTest, AnAnswerForAConnectionThatIsGoneDoesNotKeepTheNextOneSilent)
{
    both();
    a.path_is(now, 0, core::PathStatus::kSetDown, core::StatusReason::kByHand);
    std::optional<Datagram> round4;
    carry([&](const Datagram &datagram) {
        if (datagram.octets[4] == std::byte{4})
            round4 = datagram;
        return !round4;
    });
    ASSERT_TRUE(round4);
    ASSERT_TRUE(a.manager->remove("link.conf"));
    a.peers->on_datagram(now, {round4->local, 60456}, round4->peer.address, round4->octets, a.notices);
    EXPECT_EQ(a.peers->deadline(), std::nullopt);
    a.directory.files["link.conf"] = connection_of(2, 3, 0);
    ASSERT_TRUE(a.manager->reload("", a.notices));
    for (PathState &state : a.plane.states.at("link"))
        state.status = core::PathStatus::kUp;
    a.path_is(now, 1, core::PathStatus::kSetDown, core::StatusReason::kByHand);
    carry();
    EXPECT_EQ(b.status(1), core::PathStatus::kDead);
}

// When so much changes at once that not everything is told.
TEST_F(PeersTest, ARefreshTellsWhatIsSoNow)
{
    both();
    PathState &state = a.plane.states.at("link").at(0);
    state = {core::PathStatus::kInterfaceDown, core::StatusReason::kInterface, {}, false};
    a.peers->refresh(now);
    carry();
    EXPECT_EQ(b.status(0), core::PathStatus::kDead);
    EXPECT_EQ(b.status(1), core::PathStatus::kUp);
    a.peers->refresh(now);
    carry();
    EXPECT_EQ(b.status(0), core::PathStatus::kDead);
    state = {core::PathStatus::kUp, core::StatusReason::kInterface, {}, false};
    a.peers->refresh(now);
    carry();
    EXPECT_EQ(b.status(0), core::PathStatus::kUp);
    wait(60s);
    EXPECT_EQ(a.peers->deadline(), std::nullopt);
}

TEST_F(PeersTest, AnswersLeaveByThePathsInterface)
{
    both();
    a.path_is(now, 0, core::PathStatus::kSetDown, core::StatusReason::kByHand);
    carry();
    EXPECT_THAT(b.port.interfaces, ElementsAre("eth2", "eth2"));
}

TEST_F(PeersTest, LossOnlyDelaysAgreement)
{
    std::uint32_t dice = 1;
    const auto lossy = [&dice](const Datagram &) {
        dice = dice * 1664525 + 1013904223;
        return (dice >> 16) % 5 != 0; // 20 %
    };
    both(3, 2);
    for (int i = 0; i < 200; ++i) {
        const bool up = i % 2 == 1;
        a.path_is(now, 0, up ? core::PathStatus::kUp : core::PathStatus::kSetDown, core::StatusReason::kByHand);
        carry(lossy);
        wait(15s, lossy);
        ASSERT_EQ(b.status(0), up ? core::PathStatus::kUp : core::PathStatus::kDead) << i;
    }
}

TEST_F(PeersTest, BetweenHostsOfOursPathsAreNamedByNumber)
{
    for (const int auth_type : {0, 3}) {
        both(3, auth_type);
        std::string &file = b.directory.files["link.conf"]; // a translator stands between
        file.replace(file.find("remote_ipaddr = 10.2.2.2"), 24, "remote_ipaddr = 192.0.2.9");
        ASSERT_TRUE(b.manager->reload("", b.notices));
        a.path_is(now, 1, core::PathStatus::kSetDown, core::StatusReason::kByHand);
        carry();
        EXPECT_EQ(b.status(1), auth_type == 3 ? core::PathStatus::kDead : core::PathStatus::kUp);
    }
}

TEST_F(PeersTest, NothingWeakerIsObeyed)
{
    both(3, 3);
    std::string &file = a.directory.files["link.conf"];
    file.replace(file.find("auth_type = 3"), 13, "auth_type = 2");
    ASSERT_TRUE(a.manager->reload("", a.notices));
    a.path_is(now, 1, core::PathStatus::kSetDown, core::StatusReason::kByHand);
    wait(20s);
    EXPECT_EQ(b.status(1), core::PathStatus::kUp);
    EXPECT_GE(b.peers->drops()[static_cast<std::size_t>(proto::ControlDrop::kWrongAuthType)], 6U);
}

TEST_F(PeersTest, ThePeerIsToldItsWeight)
{
    both(3, 3);
    for (Host *host : {&a, &b})
        host->peers->on_settings(now);
    EXPECT_THAT(a.port.sent, IsEmpty()) << "nothing is new";
    ASSERT_TRUE(a.manager->set_weight_in("link", 1, 77));
    a.peers->on_settings(now);
    carry();
    EXPECT_EQ(b.manager->find("link")->config.paths[1].weight_out, 77);
    EXPECT_EQ(b.plane.connections.at("link").paths[1].weight, 77);
    EXPECT_EQ(b.manager->find("link")->config.paths[0].weight_out, 1) << "the other path";
    EXPECT_EQ(b.status(1), core::PathStatus::kUp);

    // As long as no path is up it cannot be told; then with the status of the path.
    for (std::size_t path = 0; path < 2; ++path)
        a.path_is(now, path, core::PathStatus::kInterfaceDown, core::StatusReason::kInterface);
    a.port.sent.clear();
    ASSERT_TRUE(a.manager->set_weight_in("link", 0, 33));
    a.peers->on_settings(now);
    wait(10s, [](const Datagram &) { return false; });
    EXPECT_EQ(b.manager->find("link")->config.paths[0].weight_out, 1);
    a.path_is(now, 0, core::PathStatus::kUp, core::StatusReason::kKeepalive);
    wait(10s);
    EXPECT_EQ(b.manager->find("link")->config.paths[0].weight_out, 33);
    EXPECT_EQ(b.status(0), core::PathStatus::kUp) << "a keepalive has said so, not we";

    std::string &file = a.directory.files["link.conf"];
    file.replace(file.find("weight_in = 12"), 14, "weight_in = 99");
    ASSERT_TRUE(a.manager->reload("link.conf", a.notices));
    a.peers->on_settings(now);
    wait(10s);
    EXPECT_EQ(b.manager->find("link")->config.paths[1].weight_out, 99);
}

TEST_F(PeersTest, AWeightThatIsToldAgainChangesNothing)
{
    both(3, 3);
    a.peers->on_settings(now);
    ASSERT_TRUE(a.manager->set_weight_in("link", 1, 77));
    a.peers->on_settings(now);
    int answers = 0;
    const auto lose = [&](const Datagram &datagram) {
        return datagram.octets[4 + 48] != std::byte{4} || ++answers > 3 * static_cast<int>(core::kHandshakeTries);
    };
    carry(lose);
    wait(60s, lose);
    EXPECT_EQ(answers, 3 * static_cast<int>(core::kHandshakeTries) + 1) << "three exchanges, and one with an answer";
    EXPECT_EQ(b.manager->find("link")->config.paths[1].weight_out, 77);
    EXPECT_EQ(std::count_if(b.notices.begin(), b.notices.end(),
                            [](const Notice &notice) { return notice.text.find("weight") != notice.text.npos; }),
              1);
}

TEST_F(PeersTest, AWeightIsToldToWhomItCanBeToldAlone)
{
    both(3, 2);
    EXPECT_EQ(a.manager->set_weight_in("link", 1, 77).error().code, base::ErrorCode::kNotSupported);
    both(1, 3); // it may not receive
    for (Host *host : {&a, &b})
        host->peers->on_settings(now);
    EXPECT_EQ(a.manager->set_weight_in("link", 1, 0).error().code, base::ErrorCode::kInvalidArgument);
    EXPECT_EQ(a.manager->set_weight_in("link", 2, 1).error().code, base::ErrorCode::kNotFound);
    ASSERT_TRUE(a.manager->set_weight_in("link", 1, 77));
    a.peers->on_settings(now);
    carry();
    EXPECT_EQ(b.manager->find("link")->config.paths[1].weight_out, 2);
    ASSERT_EQ(a.notices.size(), 1U);
    EXPECT_THAT(a.notices[0].text, HasSubstr("the weight 77 for path 1: not permitted"));
}

TEST_F(PeersTest, ForeignMessagesAreCountedAndNotAnswered)
{
    both(3, 2);
    a.path_is(now, 0, core::PathStatus::kSetDown, core::StatusReason::kByHand);
    Datagram forged = a.port.sent.front();
    forged.octets[8] ^= std::byte{1}; // of the hash
    a.port.sent.clear();
    const auto send = [&](const Datagram &datagram) {
        b.peers->on_datagram(now, {datagram.local, 60456}, datagram.peer.address, datagram.octets, b.notices);
    };
    const auto drops = [&](proto::ControlDrop reason) { return b.peers->drops()[static_cast<std::size_t>(reason)]; };
    send(forged);
    EXPECT_EQ(drops(proto::ControlDrop::kWrongHash), 1U);
    send({forged.local, forged.peer, {}});
    EXPECT_EQ(drops(proto::ControlDrop::kTruncated), 1U);
    for (int i = 0; i < 5000; ++i)
        send(forged);
    EXPECT_GT(drops(proto::ControlDrop::kRateLimit), 2500U);
    EXPECT_THAT(b.port.sent, IsEmpty());
    EXPECT_THAT(b.notices, IsEmpty()) << "nobody fills the log from outside";
}

// A thousand datagrams a second, with the address of the peer.
TEST_F(PeersTest, AFloodInThePeersNameDoesNotKeepItOut)
{
    both(3, 2);
    a.path_is(now, 0, core::PathStatus::kSetDown, core::StatusReason::kByHand);
    Datagram forged = a.port.sent.front();
    forged.octets[8] ^= std::byte{1}; // of the hash
    a.port.sent.clear();
    for (int i = 0; i < 10000; ++i) {
        now += 1ms;
        b.peers->on_datagram(now, {forged.local, 60456}, forged.peer.address, forged.octets, b.notices);
    }
    wait(1s);
    EXPECT_EQ(b.status(0), core::PathStatus::kDead);
}

} // namespace
} // namespace mpt::service
