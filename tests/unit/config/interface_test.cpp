// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/interface.hpp"

#include "tests/unit/config/texts.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mpt::config {
namespace {

using test::kGuideInterface;
using test::texts;
using test::with;
using test::without;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Parsed<InterfaceConfig> read_interface(std::string_view text)
{
    return parse_interface("i.conf", text);
}

std::vector<std::string> interface_problems(std::string_view text)
{
    const Parsed<InterfaceConfig> parsed = read_interface(text);
    EXPECT_EQ(parsed.value.has_value(), !has_errors(parsed.problems));
    return texts(parsed.problems);
}

TEST(Interface, ReadsTheGuidesSample)
{
    const Parsed<InterfaceConfig> parsed = read_interface(kGuideInterface);
    ASSERT_TRUE(parsed.value);
    EXPECT_THAT(texts(parsed.problems), IsEmpty());
    const InterfaceConfig &config = *parsed.value;
    EXPECT_TRUE(config.accept_remote);
    EXPECT_EQ(config.cmdport_local, 60456);
    EXPECT_EQ(config.cmd_timeout, std::chrono::seconds(25));
    EXPECT_EQ(config.workers, 1);
    ASSERT_EQ(config.tunnels.size(), 1U);
    EXPECT_EQ(config.tunnels[0].name, "tun0");
    EXPECT_EQ(config.tunnels[0].mtu, 1440);
    EXPECT_EQ(config.tunnels[0].ipv4_addr, *base::Prefix::parse("10.0.0.2/24"));
    EXPECT_EQ(config.tunnels[0].ipv6_addr, *base::Prefix::parse("fec0::2/64"));
    EXPECT_TRUE(config.tunnels[0].has_address(*base::Address::parse("10.0.0.2")));
    EXPECT_TRUE(config.tunnels[0].has_address(*base::Address::parse("fec0::2")));
    EXPECT_FALSE(config.tunnels[0].has_address(*base::Address::parse("10.0.0.3")));
}

TEST(Interface, ReadsSeveralTunnels)
{
    const Parsed<InterfaceConfig> parsed = read_interface("[tun 1]\nname=b\nmtu=1280\nipv6_addr=fd00::1/64\n"
                                                          "[general]\ntunnel_num=2\ncmdport_local=1\nworkers=64\n"
                                                          "[tun_0]\nname=a\nmtu=576\nipv4_addr=10.0.0.1/32\n");
    ASSERT_TRUE(parsed.value);
    EXPECT_THAT(texts(parsed.problems), IsEmpty());
    EXPECT_EQ(parsed.value->tunnels[0].name, "a");
    EXPECT_FALSE(parsed.value->tunnels[0].ipv6_addr);
    EXPECT_EQ(parsed.value->tunnels[1].name, "b");
    EXPECT_FALSE(parsed.value->tunnels[1].ipv4_addr);
    EXPECT_FALSE(parsed.value->accept_remote);
    EXPECT_EQ(parsed.value->cmd_timeout, std::chrono::seconds(25));
    EXPECT_EQ(parsed.value->workers, 64);
}

TEST(Interface, NeedsItsKeys)
{
    for (const char *key : {"tunnel_num", "cmdport_local"})
        EXPECT_THAT(interface_problems(without(kGuideInterface, key)),
                    ElementsAre(fmt::format("i.conf:1: {}: is missing in [general]", key)));
    for (const char *key : {"name", "mtu"})
        EXPECT_THAT(interface_problems(without(kGuideInterface, key)),
                    ElementsAre(fmt::format("i.conf:8: {}: is missing in [tun_0]", key)));
    for (const char *key : {"accept_remote", "cmd_timeout", "ipv4_addr", "ipv6_addr"})
        EXPECT_THAT(interface_problems(without(kGuideInterface, key)), IsEmpty()) << key;
    EXPECT_THAT(interface_problems(without(without(kGuideInterface, "ipv4_addr"), "ipv6_addr")),
                ElementsAre("i.conf:8: [tun_0] has no address: ipv4_addr, ipv6_addr or both are needed"));
    EXPECT_THAT(interface_problems(without(kGuideInterface, "[general]")),
                testing::Contains("i.conf: there is no section [general]"));
    EXPECT_THAT(interface_problems(""), ElementsAre("i.conf: there is no section [general]"));
}

TEST(Interface, ReadsStunServersInTheirOrder)
{
    const auto read = [](std::string_view value) {
        return parse_interface("i.conf",
                               with(kGuideInterface, "cmd_timeout = 25", fmt::format("stun_servers = {}", value)))
            .value->stun_servers;
    };
    EXPECT_THAT(read("stun.example.net:19302, [2001:db8::1]:3479, 192.0.2.1"),
                ElementsAre(StunServer{"stun.example.net", 19302}, StunServer{"2001:db8::1", 3479},
                            StunServer{"192.0.2.1", 3478}));
    EXPECT_THAT(read("2001:db8::1"), ElementsAre(StunServer{"2001:db8::1", 3478}));
    EXPECT_THAT(read_interface(kGuideInterface).value->stun_servers, IsEmpty());
    const std::string label(63, 'a');
    EXPECT_THAT(read(label), ElementsAre(StunServer{label, 3478}));
    EXPECT_THAT(interface_problems(with(kGuideInterface, "cmd_timeout = 25", fmt::format("stun_servers = {}a", label))),
                ElementsAre(HasSubstr(": must be ")));
    EXPECT_EQ((StunServer{"2001:db8::1", 3479}.to_string()), "[2001:db8::1]:3479");
    EXPECT_EQ((StunServer{"2001:db8::1", 3478}.to_string()), "2001:db8::1");
    EXPECT_EQ((StunServer{"a", 1}.to_string()), "a:1");
}

struct InterfaceKey {
    std::string_view from; // in the guide's sample
    std::string_view key;
    std::vector<std::string_view> good;
    std::vector<std::string_view> bad;
};

class InterfaceRange : public testing::TestWithParam<InterfaceKey> {};

TEST_P(InterfaceRange, HasItsEdges)
{
    const InterfaceKey &range = GetParam();
    for (const std::string_view value : range.good)
        EXPECT_THAT(interface_problems(with(kGuideInterface, range.from, fmt::format("{} = {}", range.key, value))),
                    IsEmpty());
    for (const std::string_view value : range.bad)
        EXPECT_THAT(interface_problems(with(kGuideInterface, range.from, fmt::format("{} = {}", range.key, value))),
                    ElementsAre(HasSubstr(fmt::format(": {} = {}: must be ", range.key, value))));
}

INSTANTIATE_TEST_SUITE_P(
    All, InterfaceRange,
    testing::Values(
        InterfaceKey{"tunnel_num = 1", "tunnel_num", {"1", "01"}, {"0", "101", "-1", "x", "1 2", "1.0", "+1", "0x1"}},
        InterfaceKey{"accept_remote = 1", "accept_remote", {"0", "1"}, {"2", "-1", "yes"}},
        InterfaceKey{"cmdport_local = 60456", "cmdport_local", {"1", "65534"}, {"0", "65535", "65536", "4294967297"}},
        InterfaceKey{"cmd_timeout = 25", "cmd_timeout", {"1", "3600"}, {"0", "3601"}},
        InterfaceKey{"cmd_timeout = 25", "workers", {"1", "64"}, {"0", "65"}},
        InterfaceKey{"mtu = 1440", "mtu", {"1280", "65499", "auto"}, {"0", "575", "1279", "65500", "automatic"}},
        InterfaceKey{"cmd_timeout = 25",
                     "stun_servers",
                     {"stun.example.net", "stun.example.net.", "a_b.c:1", "192.0.2.1", "192.0.2.1:65535", "2001:db8::1",
                      "[2001:db8::1]", "[2001:db8::1]:3478", "a, b, c, d", "a,b", "a b", "a:1, a:2"},
                     {"a, b, c, d, e",
                      "a, a",
                      "a, a:3478",
                      "a:0",
                      "a:65536",
                      "a:",
                      "a:b",
                      "a:1:2",
                      "256.1.1.1",
                      "0.0.0.0",
                      "224.0.0.1",
                      "[192.0.2.1]",
                      "[a]",
                      "[2001:db8::1",
                      "[2001:db8::1]3478",
                      "[]",
                      ".",
                      "a..b",
                      "-a",
                      "a-",
                      "a/b",
                      "::ffff:192.0.2.1",
                      ","}},
        InterfaceKey{"name = tun0",
                     "name",
                     {"t", "fifteen-letters", "a.b", "..."},
                     {"sixteen-letters-", "a/b", "a b", ".", "..", "a:b", "tun%d"}},
        InterfaceKey{"ipv4_addr = 10.0.0.2/24",
                     "ipv4_addr",
                     {"10.0.0.2/1", "10.0.0.2/32"},
                     {"10.0.0.2/0", "10.0.0.2/33", "10.0.0.2", "fec0::3/64", "0.0.0.0/24", "224.0.0.1/24",
                      "127.0.0.1/8", "255.255.255.255/24"}},
        InterfaceKey{"ipv6_addr = fec0::2/64",
                     "ipv6_addr",
                     {"fec0::2/1", "fec0::2/128"},
                     {"fec0::2/0", "fec0::2/129", "fec0::2", "10.0.0.3/24", "::/64", "ff02::1/64", "::1/128"}}),
    [](const auto &test) { return std::string(test.param.key); });

TEST(Interface, NameIsAscii)
{
    EXPECT_FALSE(is_interface_name("t\xc3\xbcn"));
    EXPECT_FALSE(is_interface_name(""));
    EXPECT_FALSE(is_interface_name(std::string_view("a\0b", 3)));
}

TEST(Interface, MtuMayFollowThePaths)
{
    const Parsed<InterfaceConfig> parsed = read_interface(with(kGuideInterface, "mtu = 1440", "mtu = auto"));
    ASSERT_TRUE(parsed.value);
    EXPECT_TRUE(parsed.value->tunnels[0].has_auto_mtu());
    EXPECT_FALSE(read_interface(kGuideInterface).value->tunnels[0].has_auto_mtu());
}

TEST(Interface, MtuMayBeSmallWithoutIpv6)
{
    const std::string text = without(kGuideInterface, "ipv6_addr");
    EXPECT_THAT(interface_problems(with(text, "mtu = 1440", "mtu = 576")), IsEmpty());
    EXPECT_THAT(interface_problems(with(text, "mtu = 1440", "mtu = 575")),
                ElementsAre("i.conf:10: mtu = 575: must be 576 to 65499, or auto"));
    EXPECT_THAT(interface_problems(with(kGuideInterface, "mtu = 1440", "mtu = 1279")),
                ElementsAre("i.conf:10: mtu = 1279: must be at least 1280, as IPv6 needs for ipv6_addr"));
}

TEST(Interface, CountsItsTunnels)
{
    EXPECT_THAT(interface_problems(with(kGuideInterface, "tunnel_num = 1", "tunnel_num = 3")),
                ElementsAre("i.conf:2: tunnel_num = 3: there is no section [tun_1]",
                            "i.conf:2: tunnel_num = 3: there is no section [tun_2]"));
    EXPECT_THAT(interface_problems(with(kGuideInterface, "[tun_0]", "[tun_1]")),
                ElementsAre("i.conf:2: tunnel_num = 1: there is no section [tun_0]",
                            "i.conf:8: [tun_1]: is not counted: tunnel_num in line 2 is 1"));
}

TEST(Interface, TellsDoubleTunnels)
{
    const std::string two = with(kGuideInterface, "tunnel_num = 1", "tunnel_num = 2");
    EXPECT_THAT(interface_problems(two + "[tun_1]\nname = tun0\nmtu = 1400\nipv4_addr = 10.0.0.2/30\n"),
                ElementsAre("i.conf:14: name = tun0: is the name of another tunnel too, in line 9",
                            "i.conf:16: ipv4_addr = 10.0.0.2/30: is the address of another tunnel too, in line 11"));
    EXPECT_THAT(
        interface_problems(two + "[tun_1]\nname = tun1\nmtu = 1400\nipv4_addr = 10.0.0.1/30\n"),
        ElementsAre("warning: i.conf:16: ipv4_addr = 10.0.0.1/30: overlaps 10.0.0.2/24 of another tunnel, in line 11"));
    EXPECT_THAT(interface_problems(two + "[tun_1]\nname = tun1\nmtu = 1400\nipv4_addr = 10.0.9.1/16\n"),
                ElementsAre(HasSubstr("ipv4_addr = 10.0.9.1/16: overlaps 10.0.0.2/24 of another tunnel, in line 11")));
    EXPECT_THAT(interface_problems(
                    two + "[tun_1]\nname = tun1\nmtu = 1400\nipv4_addr = 10.0.1.2/24\nipv6_addr = fec0:0:0:1::2/64\n"),
                IsEmpty());
}

TEST(Interface, TellsUnknownKeysAndSections)
{
    EXPECT_THAT(
        interface_problems(std::string(kGuideInterface) + "mtuu = 5\ncmdport = 7\n[tun]\nx = 1\n[path_0]\n[tun_00]\n"),
        ElementsAre(
            "warning: i.conf:13: mtuu: is not a known key here and is ignored; the nearest is mtu in [tun_N]",
            "warning: i.conf:14: cmdport: is not a known key here and is ignored; the nearest is "
            "cmdport_local in [general]",
            "warning: i.conf:15: [tun]: is not a known section and is ignored; known are [general], [tun_N]",
            "warning: i.conf:17: [path_0]: is not a known section and is ignored; known are [general], [tun_N]",
            "warning: i.conf:18: [tun_00]: is not a known section and is ignored; known are [general], [tun_N]"));
}

TEST(Interface, TellsDoubleKeysAndSections)
{
    EXPECT_THAT(interface_problems(with(kGuideInterface, "mtu = 1440", "mtu = 1440\nmtu = 1440")),
                ElementsAre("i.conf:11: mtu: is given twice in [tun_0]: line 10 has mtu"));
    EXPECT_THAT(interface_problems(std::string(kGuideInterface) + "[general]\n[tun 0]\n"),
                ElementsAre("i.conf:13: [general]: is there twice: first in line 1",
                            "i.conf:14: [tun_0]: is there twice: first in line 8"));
}

TEST(Interface, TellsAllProblemsAtOnce)
{
    EXPECT_THAT(interface_problems(
                    "[general]\ntunnel_num = x\ncmdport_local = 0\nworkers =\nfoo = 1\n[tun_0]\nmtu = 5\ngarbage\n"),
                ElementsAre("i.conf:2: tunnel_num = x: must be 1 to 100",
                            "i.conf:3: cmdport_local = 0: must be 1 to 65534", "i.conf:4: workers: has no value",
                            HasSubstr("warning: i.conf:5: foo: is not a known key"),
                            "i.conf:6: name: is missing in [tun_0]",
                            "i.conf:6: [tun_0] has no address: ipv4_addr, ipv6_addr or both are needed",
                            "i.conf:7: mtu = 5: must be 576 to 65499, or auto",
                            "i.conf:8: is neither '[section]', nor 'key = value', nor a comment"));
}

TEST(Interface, AnErrorBehindManyWarningsStillCounts)
{
    std::string text(kGuideInterface);
    for (int i = 0; i < 300; ++i)
        text += "foo = 1\n";
    EXPECT_TRUE(read_interface(text).value);
    const Parsed<InterfaceConfig> parsed = read_interface(text + "garbage\n");
    EXPECT_FALSE(parsed.value);
    EXPECT_TRUE(has_errors(parsed.problems));
}

TEST(Interface, IsEqualOnlyIfAllIs)
{
    const InterfaceConfig config = *read_interface(kGuideInterface).value;
    EXPECT_EQ(config, *read_interface("; another comment\n" + std::string(kGuideInterface)).value);
    const std::vector<std::pair<const char *, const char *>> changes{{"accept_remote = 1", "accept_remote = 0"},
                                                                     {"60456", "60457"},
                                                                     {"cmd_timeout = 25", "cmd_timeout = 26"},
                                                                     {"cmd_timeout = 25", "workers = 2"},
                                                                     {"tun0", "tun1"},
                                                                     {"1440", "1441"},
                                                                     {"10.0.0.2/24", "10.0.0.2/25"},
                                                                     {"fec0::2/64", "fec0::3/64"}};
    for (const auto &[from, to] : changes)
        EXPECT_NE(config, *read_interface(with(kGuideInterface, from, to)).value) << to;
}

} // namespace
} // namespace mpt::config
