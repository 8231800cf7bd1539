// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/service/peers_fixture.hpp"

namespace mpt::service {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

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

TEST_F(Create, ATemplateMayLeaveTheAddressesToBeFound)
{
    std::string &text = b.directory.conf_template;
    const std::string fixed = "public_ipaddr = 10.1.1.3\n";
    text.replace(text.find(fixed), fixed.size(), "private_ipaddr = 0.0.0.0\npublic_ipaddr = 0.0.0.0\n");
    const auto done = create();
    ASSERT_TRUE(done) << done.error().text;
    EXPECT_EQ(a.manager->find("link")->config.paths[0].remote_ipaddr, base::Address::parse("10.1.1.3").value());
    const config::PathConfig &path = b.manager->find("link")->config.paths[0];
    EXPECT_TRUE(path.private_ipaddr.is_unspecified()) << "it may become another one";
    EXPECT_TRUE(path.public_ipaddr.is_unspecified());
}

// The address that a NAT gives path `number` (from 1) is to be found.
void make_automatic(std::string &text, int number)
{
    const std::string fixed = fmt::format("public_ipaddr = 10.{0}.{0}.2\n", number);
    text.replace(text.find(fixed), fixed.size(),
                 fmt::format("private_ipaddr = 10.{0}.{0}.2\npublic_ipaddr = 0.0.0.0\n", number));
}

TEST_F(Create, ThePeerIsToldThePublicAddressThatWasFound)
{
    std::string &text = a.directory.files["link.conf"];
    text = connection_of(2, 3, 0); // complete: it runs before the create
    make_automatic(text, 2);
    ASSERT_TRUE(a.manager->reload("", a.notices));
    for (PathState &state : a.plane.states.at("link"))
        state.status = core::PathStatus::kUp;
    const base::Endpoint outside{base::Address::parse("198.51.100.7").value(), 40000};
    ASSERT_TRUE(a.manager->set_found({base::Address::parse("10.2.2.2").value(), 23456}, "eth2", outside));
    const auto done = create();
    ASSERT_TRUE(done) << done.error().text;
    EXPECT_EQ(b.manager->find("link")->paths[1].parameters.remote.to_string(), "198.51.100.7:23456");
    EXPECT_TRUE(a.manager->find("link")->config.paths[1].public_ipaddr.is_unspecified());
    ASSERT_TRUE(a.manager->save(""));
    EXPECT_THAT(a.directory.files["link.conf"], HasSubstr("public_ipaddr = 0.0.0.0")) << "what was found is not saved";
}

TEST_F(Create, AConnectionThatWaitsTakesWhatAnotherHasFound)
{
    make_automatic(a.directory.files["link.conf"], 1);
    make_automatic(a.directory.files["link.conf"], 2);
    std::string &other = a.directory.files["other.conf"];
    other = connection_of(2, 3, 0);
    make_automatic(other, 2);
    for (const auto &[from, to] : {std::pair{"name = link", "name = other"}, std::pair{"= 10.0.0.3", "= 10.0.0.9"},
                                   std::pair{"local_port = 23456", "local_port = 30000"}})
        other.replace(other.find(from), std::string_view(from).size(), to);
    ASSERT_TRUE(a.manager->reload("", a.notices));
    const base::Endpoint outside{base::Address::parse("198.51.100.7").value(), 40000};
    ASSERT_TRUE(a.manager->set_found({base::Address::parse("10.2.2.2").value(), 30000}, "eth2", outside));
    const auto done = create();
    ASSERT_TRUE(done) << done.error().text;
    EXPECT_EQ(b.manager->find("link")->paths[0].parameters.remote.to_string(), "10.1.1.2:23456") << "its own";
    EXPECT_EQ(b.manager->find("link")->paths[1].parameters.remote.to_string(), "198.51.100.7:23456");
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

TEST_F(Create, ThePeerMayHaveItsSideWhenItsAnswerIsLost)
{
    const auto lose_the_text = [](const Datagram &datagram) {
        return datagram.octets.size() < 100 || datagram.peer.address == *base::Address::parse("10.1.1.3");
    };
    std::optional<base::Result<void>> done;
    a.peers->create(now, "link.conf", [&](base::Result<void> result) { done = std::move(result); });
    carry(lose_the_text);
    wait(24s, lose_the_text);
    EXPECT_FALSE(done) << "it has cmd_timeout to do it in";
    wait(1s, lose_the_text);
    ASSERT_TRUE(done);
    ASSERT_FALSE(*done);
    EXPECT_THAT(done->error().text, HasSubstr("10.1.1.3:60456 does not say whether it has created its side"));
    EXPECT_EQ(b.manager->connections().size(), 1U);
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
