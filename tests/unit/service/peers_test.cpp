// SPDX-License-Identifier: GPL-3.0-or-later
// Two hosts whose control ports are joined in memory.
#include "daemon/service/peers.hpp"

#include "tests/unit/service/manager_fixture.hpp"

#include <deque>

namespace mpt::service {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char *kKey = "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff";

std::string interface_of(int host)
{
    return fmt::format("[general]\ntunnel_num = 1\naccept_remote = {}\ncmdport_local = 60456\ncmd_timeout = 25\n"
                       "[tun_0]\nname = tun0\nmtu = 1440\nipv4_addr = 10.0.0.{}/24\n",
                       host == 3 ? 1 : 0, host);
}

// Figure 3 of the guide, host 2 or 3.
std::string connection_of(int host, int permission, int auth_type)
{
    const int peer = 5 - host;
    std::string text = fmt::format("[connection]\nname = link\npermission = {0}\nip_ver = 4\nip_local = 10.0.0.{1}\n"
                                   "local_port = 23456\nip_remote = 10.0.0.{2}\nremote_port = 23456\n"
                                   "remote_cmd_port = 60456\npath_count = 2\nnetwork_count = 0\nstatus = 0\n"
                                   "reorder_window = 100\nmax_buffdelay_msec = 50\nauth_type = {3}\nauth_key = {4}\n",
                                   permission, host, peer, auth_type, kKey);
    for (int path = 1; path <= 2; ++path)
        text += fmt::format("[path_{0}]\ninterface_name = eth{1}\nip_ver = 4\npublic_ipaddr = 10.{1}.{1}.{2}\n"
                            "remote_ipaddr = 10.{1}.{1}.{3}\ngateway_ipaddr = 10.{1}.{1}.{3}\nweight_out = {1}\n"
                            "weight_in = {4}\ncmd_default = {5}\nkeepalive_time = 1\nstatus = 0\n",
                            path - 1, path, host, peer, 10 + path, path == 1 ? 1 : 0);
    return text;
}

// The guide's conf.template of host 3.
std::string template_of_host_3()
{
    return fmt::format("[connection]\nname = Template\npermission = 3\nip_ver = 4\nip_local = 10.0.0.3\n"
                       "local_port = 65060\npath_count = 2\nnetwork_count = 0\nreorder_window = 2500\n"
                       "max_buffdelay_msec = 300\nstatus = 0\nauth_type = 0\nauth_key = {}\n"
                       "[path_0]\ninterface_name = eth1\nip_ver = 4\npublic_ipaddr = 10.1.1.3\n"
                       "gateway_ipaddr = 10.1.1.2\nstatus = 0\n"
                       "[path_1]\ninterface_name = eth2\nip_ver = 4\npublic_ipaddr = 10.2.2.3\n"
                       "gateway_ipaddr = 10.2.2.2\nstatus = 0\n",
                       kKey);
}

struct Datagram {
    base::Address local;
    base::Endpoint peer;
    std::vector<std::byte> octets;
};

class MemoryPort : public ControlPort {
public:
    base::Result<void> send(const base::Address &local, const std::string &interface, const base::Endpoint &peer,
                            base::ConstOctets octets) override
    {
        interfaces.push_back(interface);
        sent.push_back({local, peer, {octets.begin(), octets.end()}});
        return {};
    }

    std::deque<Datagram> sent;
    std::vector<std::string> interfaces;
};

struct Host {
    explicit Host(int which) : number(which) { directory.interface = interface_of(number); }

    void start()
    {
        network.interfaces = {{"eth1", fmt::format("10.1.1.{}", number)}, {"eth2", fmt::format("10.2.2.{}", number)}};
        auto interface = load_interface(directory, notices);
        ASSERT_TRUE(interface) << interface.error().text;
        manager.emplace(*interface, directory, network, plane);
        ASSERT_TRUE(manager->start(notices));
        for (auto &[name, states] : plane.states)
            for (PathState &state : states)
                state.status = core::PathStatus::kUp;
        peers.emplace(*manager, directory, network, port, [this] {
            proto::RandomNumber drawn{};
            drawn[15] = static_cast<std::byte>(++random);
            drawn[3] = drawn[15];
            return drawn;
        });
    }
    // As the data plane would tell.
    void path_is(base::Instant now, std::size_t path, core::PathStatus status, core::StatusReason reason)
    {
        PathState &state = plane.states.at("link").at(path);
        const core::StatusChange change{std::exchange(state.status, status), status, reason};
        peers->on_path_status(now, "link", path, change);
    }
    core::PathStatus status(std::size_t path) { return plane.states.at("link").at(path).status; }

    int number;
    std::uint8_t random = 100;
    MemoryDirectory directory;
    MemoryNetwork network;
    MemoryPlane plane;
    MemoryPort port;
    Notices notices;
    std::optional<Manager> manager;
    std::optional<Peers> peers;
};

class PeersTest : public ::testing::Test {
protected:
    void both(int permission_of_b = 3, int auth_type = 0)
    {
        a.directory.files["link.conf"] = connection_of(2, 3, auth_type);
        b.directory.files["link.conf"] = connection_of(3, permission_of_b, auth_type);
        a.start();
        b.start();
    }
    // Carries what is sent until nothing more is; `keep` says which datagrams arrive.
    void carry(const std::function<bool(const Datagram &)> &keep = [](const Datagram &) { return true; })
    {
        for (bool any = true; any;) {
            any = false;
            for (auto [from, to] : {std::pair{&a, &b}, std::pair{&b, &a}}) {
                while (!from->port.sent.empty()) {
                    const Datagram datagram = from->port.sent.front();
                    from->port.sent.pop_front();
                    any = true;
                    if (keep(datagram))
                        to->peers->on_datagram(now, {datagram.local, 60456}, datagram.peer.address, datagram.octets,
                                               to->notices);
                }
            }
        }
    }
    // Time passes, with what is due in it.
    void wait(
        base::Duration duration,
        const std::function<bool(const Datagram &)> &keep = [](const Datagram &) { return true; })
    {
        const base::Instant end = now + duration;
        for (;;) {
            std::optional<base::Instant> next;
            for (Host *host : {&a, &b})
                if (const auto deadline = host->peers->deadline(); deadline && (!next || *deadline < *next))
                    next = deadline;
            if (!next || *next > end)
                break;
            now = std::max(now, *next);
            for (Host *host : {&a, &b})
                host->peers->on_deadline(now, host->notices);
            carry(keep);
        }
        now = end;
    }

    base::Instant now{1000s};
    Host a{2};
    Host b{3};
};

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
    for (const std::size_t path : {0, 1})
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
    for (int i = 0; i < 1000; ++i)
        send(forged);
    EXPECT_GT(drops(proto::ControlDrop::kRateLimit), 500U);
    EXPECT_THAT(b.port.sent, IsEmpty());
    EXPECT_THAT(b.notices, IsEmpty()) << "nobody fills the log from outside";
}

class Create : public PeersTest {
protected:
    Create()
    {
        b.directory.conf_template = template_of_host_3();
        std::string text = connection_of(2, 3, 0);
        for (const std::string peers : {"ip_remote = 10.0.0.3\n", "remote_port = 23456\n", "remote_cmd_port = 60456\n",
                                        "remote_ipaddr = 10.2.2.3\n"})
            text.erase(text.find(peers), peers.size());
        a.directory.files["link.conf"] = text;
        a.start();
        b.start();
    }
    base::Result<void> create(const std::function<bool(const Datagram &)> &keep = [](const Datagram &) { return true; })
    {
        std::optional<base::Result<void>> done;
        a.peers->create(now, "link.conf", [&](base::Result<void> result) { done = std::move(result); });
        carry(keep);
        wait(20s, keep);
        EXPECT_TRUE(done.has_value());
        return done.value_or(base::Result<void>{});
    }
};

TEST_F(Create, MakesThePeersSideAndCompletesOwn)
{
    const auto done = create();
    ASSERT_TRUE(done) << done.error().text;
    const ConnectionRecord *peer = b.manager->find("link");
    ASSERT_NE(peer, nullptr);
    EXPECT_EQ(peer->config.file, "peer_10_0_0_2.conf");
    EXPECT_EQ(peer->created_by, "10.1.1.2:60456");
    EXPECT_EQ(peer->config.reorder_window, 2500) << "the larger of both";
    EXPECT_EQ(peer->config.paths[1].weight_out, 12) << "what we want to get";
    EXPECT_EQ(peer->paths[1].parameters.remote.to_string(), "10.2.2.2:23456");
    EXPECT_EQ(peer->paths[1].parameters.status, core::PathStatus::kDead) << "nothing is sent before it is heard";
    EXPECT_FALSE(b.directory.files.contains("peer_10_0_0_2.conf"));
    const ConnectionRecord *own = a.manager->find("link");
    ASSERT_NE(own, nullptr);
    EXPECT_EQ(own->config.ip_remote->to_string(), "10.0.0.3");
    EXPECT_EQ(own->config.remote_port, 65060);
    EXPECT_EQ(own->config.paths[1].remote_ipaddr->to_string(), "10.2.2.3");
    EXPECT_TRUE(own->is_unsaved());

    ASSERT_THAT(a.manager->save("").value(), ElementsAre("link.conf"));
    ASSERT_THAT(b.manager->save("").value(), ElementsAre("peer_10_0_0_2.conf"));
    EXPECT_EQ(b.manager->find("link")->created_by, "");
    Notices again;
    EXPECT_TRUE(a.manager->reload("", again));
    EXPECT_TRUE(b.manager->reload("", again));
    EXPECT_THAT(again, IsEmpty()) << "the files say what runs";
}

// On both sides, and written to no file.
TEST_F(Create, KeysMayStandInFilesOfTheirOwn)
{
    const auto refer = [](std::string &text) {
        text.replace(text.find(fmt::format("auth_key = {}", kKey)), 75, "auth_key_file = /etc/mpt/create.key");
    };
    refer(a.directory.files["link.conf"]);
    refer(b.directory.conf_template);
    EXPECT_THAT(create().error().text, HasSubstr("auth_key_file = /etc/mpt/create.key: reading"));
    a.directory.keys["/etc/mpt/create.key"] = kKey;
    EXPECT_FALSE(create()) << "the peer has none";
    b.directory.keys["/etc/mpt/create.key"] = kKey;
    wait(2s);
    const auto done = create();
    ASSERT_TRUE(done) << done.error().text;
    ASSERT_TRUE(a.manager->save(""));
    ASSERT_TRUE(b.manager->save(""));
    EXPECT_THAT(a.directory.files["link.conf"], HasSubstr("auth_key_file = /etc/mpt/create.key\n"));
    EXPECT_THAT(b.directory.files["peer_10_0_0_2.conf"], Not(HasSubstr("auth_key"))) << "which is for creates alone";
}

TEST_F(Create, OnceMoreIsRefused)
{
    ASSERT_TRUE(create());
    for (PathState &state : a.plane.states.at("link"))
        state.status = core::PathStatus::kUp;
    const auto again = create();
    ASSERT_FALSE(again);
    EXPECT_THAT(again.error().text, HasSubstr("a connection between these tunnel addresses exists"));
    EXPECT_EQ(b.manager->connections().size(), 1U);
}

TEST_F(Create, NobodyAnswers)
{
    const auto done = create([](const Datagram &) { return false; });
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().text, HasSubstr("10.1.1.3:60456 does not answer"));
}

TEST_F(Create, AnotherKeyIsNotAnswered)
{
    std::string &conf_template = b.directory.conf_template;
    conf_template.replace(conf_template.find(kKey), 64, std::string(64, 'b'));
    EXPECT_FALSE(create());
    EXPECT_THAT(b.manager->connections(), IsEmpty());
    EXPECT_EQ(b.peers->drops()[static_cast<std::size_t>(proto::ControlDrop::kWrongHash)], 6U);
}

TEST_F(Create, WithTypeThreeOnBothSides)
{
    for (std::string *text : {&a.directory.files["link.conf"], &b.directory.conf_template})
        text->replace(text->find("auth_type = 0"), 13, "auth_type = 3");
    const auto done = create();
    ASSERT_TRUE(done) << done.error().text;
    for (Host *host : {&a, &b}) {
        const ConnectionRecord *record = host->manager->find("link");
        ASSERT_NE(record, nullptr);
        EXPECT_EQ(record->config.auth_type, config::AuthType::kHmacSha256);
        EXPECT_TRUE(host->plane.connections.at("link").keepalive_key.has_value());
    }
    EXPECT_EQ(a.plane.connections.at("link").keepalive_key, b.plane.connections.at("link").keepalive_key);
}

TEST_F(Create, ATemplateOfTypeThreeTakesNothingWeaker)
{
    std::string &conf_template = b.directory.conf_template;
    conf_template.replace(conf_template.find("auth_type = 0"), 13, "auth_type = 3");
    EXPECT_FALSE(create());
    EXPECT_THAT(b.manager->connections(), IsEmpty());
    EXPECT_EQ(b.peers->drops()[static_cast<std::size_t>(proto::ControlDrop::kWrongAuthType)], 6U);
}

TEST_F(Create, OnlyWhereItIsAllowed)
{
    b.directory.interface.replace(b.directory.interface.find("accept_remote = 1"), 17, "accept_remote = 0");
    ASSERT_TRUE(b.manager->reload("", b.notices));
    EXPECT_FALSE(create());
    EXPECT_THAT(b.manager->connections(), IsEmpty());
}

TEST_F(Create, NoMoreThanSo)
{
    b.directory.interface.insert(b.directory.interface.find("[tun_0]"), "max_peer_connections = 0\n");
    ASSERT_TRUE(b.manager->reload("", b.notices));
    EXPECT_THAT(create().error().text, HasSubstr("does not create the connection"));
    EXPECT_THAT(b.manager->connections(), IsEmpty());
}

} // namespace
} // namespace mpt::service
