// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/stun.hpp"

#include "tests/unit/service/manager_fixture.hpp"

#include <algorithm>
#include <set>

namespace mpt::service {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

base::Endpoint endpoint(const char *address, std::uint16_t port)
{
    return {base::Address::parse(address).value(), port};
}

const base::Endpoint kServer = endpoint("203.0.113.1", 3478);
const base::Endpoint kOther = endpoint("203.0.113.2", 3479);

class MemoryResolver : public Resolver {
public:
    base::Result<void> resolve(const std::vector<std::string> &names) override
    {
        asked.push_back(names);
        return {};
    }

    std::vector<std::vector<std::string>> asked;
};

// A success or, with an error, a refusal; `from` is what a NAT has made of the request's source.
std::vector<std::byte> answer_to(const std::vector<std::byte> &request, const base::Endpoint &from,
                                 std::uint16_t error = 0)
{
    std::vector<std::byte> answer(32);
    base::Writer writer(answer);
    writer.write(static_cast<std::uint16_t>(error == 0 ? 0x0101 : 0x0111)).write(std::uint16_t{12});
    writer.put(base::ConstOctets(request).subspan(4, 16));
    writer.write(static_cast<std::uint16_t>(error == 0 ? 0x0001 : 0x0009)).write(std::uint16_t{8});
    if (error != 0)
        writer.write(static_cast<std::uint32_t>(error / 100 << 8 | error % 100)).zeros(4);
    else
        writer.write(std::uint16_t{1}).write(from.port).put(from.address.octets());
    return answer;
}

// Path 1 (eth2) of the connection looks for its public address.
class StunTest : public ManagerTest {
protected:
    StunTest()
    {
        directory.files["a.conf"] = automatic(directory.files["a.conf"], "10.2.2.2");
        set_servers("203.0.113.1, 203.0.113.2:3479");
    }
    static std::string automatic(std::string text, const std::string &address)
    {
        const std::string from = "public_ipaddr = " + address;
        return text.replace(text.find(from), from.size(), "public_ipaddr = 0.0.0.0");
    }
    void set_servers(const std::string &servers)
    {
        directory.interface = kInterface;
        const std::string key = "cmd_timeout = 25\n";
        directory.interface.insert(directory.interface.find(key), "stun_servers = " + servers + "\n");
    }
    void run()
    {
        ASSERT_TRUE(start());
        stun.emplace(*manager, plane, resolver, [this] {
            proto::RandomNumber number{};
            number[0] = static_cast<std::byte>(++drawn >> 8);
            number[1] = static_cast<std::byte>(drawn);
            return number;
        });
        notices.clear();
        stun->update(now, notices);
    }
    // Lets so much time pass, with what is due in it.
    void wait(base::Duration duration)
    {
        const base::Instant end = now + duration;
        for (auto next = stun->deadline(); next && *next <= end; next = stun->deadline()) {
            now = std::max(now, *next);
            stun->on_deadline(now, notices);
        }
        now = end;
    }
    // The server answers the request that was sent last.
    void answer(const base::Endpoint &from, std::uint16_t error = 0)
    {
        ASSERT_FALSE(plane.sent.empty());
        const MemoryPlane::Sent request = plane.sent.back();
        plane.sent.clear();
        stun->on_answer(now, request.to, answer_to(request.datagram, from, error), notices);
    }
    PublicAddress public_of(std::size_t path) { return public_address(*manager->find("A"), path); }
    std::vector<std::string> told() const
    {
        std::vector<std::string> texts;
        for (const Notice &notice : notices)
            texts.push_back(notice.text);
        return texts;
    }

    unsigned drawn = 0;
    base::Instant now{1000s};
    MemoryResolver resolver;
    std::optional<Stun> stun;
};

TEST_F(StunTest, AsksFromThePathsOwnPort)
{
    run();
    ASSERT_THAT(plane.sent, SizeIs(1)) << "the other path knows its address";
    EXPECT_EQ(plane.sent[0].local, endpoint("10.2.2.2", 23456));
    EXPECT_EQ(plane.sent[0].interface, "eth2");
    EXPECT_EQ(plane.sent[0].to, kServer);
    EXPECT_THAT(plane.stun_servers, ElementsAre(kServer, kOther));
    EXPECT_GT(plane.commits, 1) << "the workers let its answer through";
    EXPECT_EQ(public_of(0).source, PublicSource::kConfigured);
    EXPECT_EQ(public_of(0).endpoint, endpoint("10.1.1.2", 23456));
    EXPECT_EQ(public_of(1).source, PublicSource::kPrivate);
    EXPECT_EQ(public_of(1).endpoint, endpoint("10.2.2.2", 23456));

    answer(endpoint("198.51.100.7", 40000));
    EXPECT_EQ(public_of(1).source, PublicSource::kStun);
    EXPECT_EQ(public_of(1).endpoint, endpoint("198.51.100.7", 40000));
    EXPECT_THAT(told(), ElementsAre("UDP 10.2.2.2:23456 on eth2 is 198.51.100.7:40000 to others, as the STUN server "
                                    "203.0.113.1:3478 says"));
    wait(25s);
    EXPECT_THAT(plane.sent, SizeIs(1)) << "the binding is kept";
}

TEST_F(StunTest, IsToldOncePerTroubleAndKeepsTheLastGoodAddress)
{
    run();
    answer(endpoint("198.51.100.7", 40000));
    notices.clear();
    wait(59min);
    EXPECT_THAT(told(), ElementsAre("UDP 10.2.2.2:23456 on eth2: the STUN server 203.0.113.1:3478 does not answer: the "
                                    "public address stays 198.51.100.7:40000",
                                    "UDP 10.2.2.2:23456 on eth2: the STUN server 203.0.113.2:3479 does not answer: the "
                                    "public address stays 198.51.100.7:40000"));
    EXPECT_EQ(public_of(1).endpoint, endpoint("198.51.100.7", 40000));
    notices.clear();
    plane.sent.clear();
    wait(26s);
    for (int i = 0; i < 50; ++i) {
        answer(endpoint("127.0.0.1", 40000));
        wait(26s);
    }
    EXPECT_THAT(told(),
                UnorderedElementsAre("UDP 10.2.2.2:23456 on eth2: the STUN server 203.0.113.1:3478 says that the "
                                     "public address is 127.0.0.1:40000, which cannot be: the public address "
                                     "stays 198.51.100.7:40000",
                                     "UDP 10.2.2.2:23456 on eth2: the STUN server 203.0.113.2:3479 says that the "
                                     "public address is 127.0.0.1:40000, which cannot be: the public address "
                                     "stays 198.51.100.7:40000"));
    EXPECT_EQ(public_of(1).endpoint, endpoint("198.51.100.7", 40000));
    notices.clear();
    answer({}, 401);
    EXPECT_THAT(told(), ElementsAre(::testing::HasSubstr("refuses, with error 401")));
}

TEST_F(StunTest, AFloodOfWrongAnswersChangesNothing)
{
    run();
    const MemoryPlane::Sent request = plane.sent.back();
    std::vector<std::byte> other = request.datagram;
    other[8] ^= std::byte{1};
    const auto due = stun->deadline();
    for (int i = 0; i < 1000; ++i) {
        stun->on_answer(now, kServer, answer_to(other, endpoint("198.51.100.9", 1)), notices);
        stun->on_answer(now, kOther, answer_to(request.datagram, endpoint("198.51.100.9", 1)), notices);
        stun->on_answer(now, kServer, std::vector<std::byte>(20), notices);
    }
    EXPECT_EQ(stun->deadline(), due);
    EXPECT_EQ(public_of(1).source, PublicSource::kPrivate);
    EXPECT_THAT(told(), IsEmpty());
}

TEST_F(StunTest, FollowsTheAddressOfThePath)
{
    run();
    answer(endpoint("198.51.100.7", 40000));
    wait(1s);
    network.interfaces["eth2"] = "";
    ASSERT_TRUE(manager->on_interfaces_changed({"eth2"}, notices));
    stun->update(now, notices);
    EXPECT_EQ(public_of(1).endpoint, endpoint("198.51.100.7", 40000)) << "the peer knows the path by it still";
    EXPECT_FALSE(stun->deadline()) << "there is no port to ask from";
    network.interfaces["eth2"] = "10.9.9.2";
    ASSERT_TRUE(manager->on_interfaces_changed({"eth2"}, notices));
    EXPECT_EQ(public_of(1).endpoint, endpoint("10.9.9.2", 23456)) << "what was found is not that one's";
    EXPECT_EQ(public_of(1).source, PublicSource::kPrivate);
    EXPECT_THAT(plane.sent, IsEmpty());
    stun->update(now, notices);
    ASSERT_THAT(plane.sent, SizeIs(1)) << "at once";
    EXPECT_EQ(plane.sent[0].local, endpoint("10.9.9.2", 23456));
    answer(endpoint("198.51.100.8", 40001));
    EXPECT_EQ(public_of(1).endpoint, endpoint("198.51.100.8", 40001));
}

TEST_F(StunTest, PathsThatShareAPortAskOnce)
{
    directory.files["b.conf"] = automatic(connection_file("B", 4, 23456), "10.2.2.2");
    run();
    EXPECT_THAT(plane.sent, SizeIs(1));
    answer(endpoint("198.51.100.7", 40000));
    EXPECT_EQ(public_address(*manager->find("B"), 1).endpoint, endpoint("198.51.100.7", 40000));
}

TEST_F(StunTest, ManyPortsDoNotAskAtTheSameMoment)
{
    for (int i = 0; i < 50; ++i)
        directory.files[fmt::format("c{}.conf", i)] =
            automatic(connection_file(fmt::format("C{}", i), 10 + i, 30000 + i), "10.2.2.2");
    run();
    EXPECT_THAT(plane.sent, SizeIs(1));
    wait(499ms);
    EXPECT_THAT(plane.sent, SizeIs(25));
    wait(1s);
    std::set<std::uint16_t> ports;
    for (const MemoryPlane::Sent &sent : plane.sent)
        ports.insert(sent.local.port);
    EXPECT_THAT(ports, SizeIs(51));
}

TEST_F(StunTest, ReloadAppliesOtherServers)
{
    run();
    answer(endpoint("198.51.100.7", 40000));
    set_servers("203.0.113.2:3479");
    ASSERT_TRUE(manager->reload("", notices));
    stun->update(now, notices);
    wait(20ms);
    ASSERT_THAT(plane.sent, SizeIs(1)) << "at once";
    EXPECT_EQ(plane.sent[0].to, kOther);
    EXPECT_THAT(plane.stun_servers, ElementsAre(kOther));
    EXPECT_EQ(public_of(1).source, PublicSource::kStun) << "until there is another answer";
    directory.interface = kInterface;
    ASSERT_TRUE(manager->reload("", notices));
    stun->update(now, notices);
    EXPECT_EQ(public_of(1).source, PublicSource::kPrivate) << "nobody says so any more";
    EXPECT_THAT(plane.stun_servers, IsEmpty());
    EXPECT_FALSE(stun->deadline());
}

TEST_F(StunTest, WithoutServersThePeerKnows)
{
    directory.interface = kInterface;
    run();
    manager->on_path_observed("A", 1, endpoint("2001:db8::1", 40000));
    EXPECT_EQ(public_of(1).source, PublicSource::kPrivate) << "of another version";
    manager->on_path_observed("A", 1, endpoint("224.0.0.1", 40000));
    EXPECT_EQ(public_of(1).source, PublicSource::kPrivate);
    manager->on_path_observed("A", 0, endpoint("198.51.100.6", 40000));
    EXPECT_EQ(public_of(0).source, PublicSource::kConfigured);
    manager->on_path_observed("A", 1, endpoint("198.51.100.7", 40000));
    EXPECT_EQ(public_of(1).source, PublicSource::kPeer);
    EXPECT_EQ(public_of(1).endpoint, endpoint("198.51.100.7", 40000));
    set_servers("203.0.113.1");
    ASSERT_TRUE(manager->reload("", notices));
    stun->update(now, notices);
    answer(endpoint("198.51.100.8", 40001));
    EXPECT_EQ(public_of(1).source, PublicSource::kStun) << "which asks from the port itself, whoever the peer is";
    EXPECT_EQ(public_of(1).endpoint, endpoint("198.51.100.8", 40001));
}

TEST_F(StunTest, NamesAreLookedUp)
{
    set_servers("stun.example.net:3479, 203.0.113.1");
    run();
    EXPECT_THAT(resolver.asked, ElementsAre(ElementsAre("stun.example.net")));
    ASSERT_THAT(plane.sent, SizeIs(1)) << "the other server does not wait for that";
    EXPECT_EQ(plane.sent[0].to, kServer);
    wait(5s);
    EXPECT_THAT(resolver.asked, SizeIs(1)) << "it is under way";
    stun->on_resolved(now, {{"stun.example.net", {}, "no such host"}}, notices);
    wait(14s);
    EXPECT_THAT(resolver.asked, SizeIs(1));
    wait(1s);
    ASSERT_THAT(resolver.asked, SizeIs(2));
    stun->on_resolved(now, {{"stun.example.net", {}, "no such host"}}, notices);
    EXPECT_THAT(told(),
                ElementsAre("the STUN server stun.example.net has no address: no such host; it is looked up again "
                            "every 15 s"));
    wait(15s);
    plane.sent.clear();
    stun->on_resolved(now, {{"stun.example.net", {kOther.address, endpoint("2001:db8::1", 0).address}, ""}}, notices);
    EXPECT_THAT(plane.stun_servers, ElementsAre(kOther, endpoint("2001:db8::1", 3479), kServer));
    ASSERT_THAT(plane.sent, SizeIs(1));
    EXPECT_EQ(plane.sent[0].to, kOther);
    answer(endpoint("127.0.0.1", 1));
    EXPECT_THAT(told().back(), ::testing::HasSubstr("the STUN server stun.example.net (203.0.113.2:3479) says"));
    wait(9min);
    EXPECT_THAT(resolver.asked, SizeIs(3));
    wait(1min);
    EXPECT_THAT(resolver.asked, SizeIs(4)) << "now and then again";
    stun->on_resolved(now, {{"stun.example.net", {}, "name server gone"}}, notices);
    EXPECT_THAT(plane.stun_servers, SizeIs(3)) << "what was known is still tried";
}

TEST_F(StunTest, NobodyIsAskedWhereNobodyWantsToKnow)
{
    directory.files["a.conf"] = connection_file("A", 3, 23456);
    set_servers("stun.example.net, 203.0.113.1");
    run();
    EXPECT_THAT(plane.sent, IsEmpty());
    EXPECT_THAT(resolver.asked, IsEmpty());
    EXPECT_THAT(plane.stun_servers, IsEmpty());
    EXPECT_FALSE(stun->deadline());
}

TEST_F(StunTest, ServersAreReachedByThePathsOwnGateway)
{
    std::string &text = directory.files["a.conf"];
    const std::string gateway = "gateway_ipaddr = 10.2.2.2";
    text.replace(text.find(gateway), gateway.size(), "gateway_ipaddr = 10.2.2.1");
    run();
    EXPECT_THAT(network.path_routes, ::testing::IsSupersetOf({"203.0.113.1 from 10.2.2.2 via 10.2.2.1 dev eth2",
                                                              "203.0.113.2 from 10.2.2.2 via 10.2.2.1 dev eth2"}));
    set_servers("203.0.113.1, 10.2.2.77");
    ASSERT_TRUE(manager->reload("", notices));
    stun->update(now, notices);
    EXPECT_THAT(network.path_routes, ::testing::Contains("203.0.113.1 from 10.2.2.2 via 10.2.2.1 dev eth2"));
    EXPECT_THAT(network.path_routes, ::testing::Not(::testing::Contains(::testing::HasSubstr("203.0.113.2"))));
    EXPECT_THAT(network.path_routes, ::testing::Not(::testing::Contains(::testing::HasSubstr("10.2.2.77"))))
        << "it is on the interface's network";
    directory.interface = kInterface;
    ASSERT_TRUE(manager->reload("", notices));
    stun->update(now, notices);
    EXPECT_THAT(network.path_routes, ::testing::Not(::testing::Contains(::testing::HasSubstr("203.0.113"))));
}

} // namespace
} // namespace mpt::service
