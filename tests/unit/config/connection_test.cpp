// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/connection.hpp"

#include "tests/unit/address.hpp"
#include "tests/unit/config/texts.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mpt::config {
namespace {

using test::kEveryKey;
using test::kRecordedCreate;
using test::texts;
using test::with;
using test::without;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;
using mpt::test::address;

Parsed<ConnectionConfig> parse(std::string_view text)
{
    return parse_connection("c.conf", text);
}

ConnectionConfig value(std::string_view text)
{
    const Parsed<ConnectionConfig> parsed = parse(text);
    if (!parsed.value)
        throw std::logic_error(texts(parsed.problems).front());
    return *parsed.value;
}

std::vector<std::string> problems(const Parsed<ConnectionConfig> &parsed)
{
    EXPECT_EQ(parsed.value.has_value(), !has_errors(parsed.problems));
    return texts(parsed.problems);
}

std::vector<std::string> problems(std::string_view text)
{
    return problems(parse(text));
}

TEST(Connection, ReadsTheTextOfTheDeployedRelease)
{
    EXPECT_THAT(problems(kRecordedCreate), IsEmpty());
    const ConnectionConfig c = value(kRecordedCreate);
    EXPECT_EQ(c.file, "c.conf");
    EXPECT_EQ(c.name, "MPT_A");
    EXPECT_EQ(c.permission, 3);
    EXPECT_EQ(c.ip_ver, base::IpVersion::kV4);
    EXPECT_EQ(c.ip_local, address("10.0.0.2"));
    EXPECT_EQ(c.local_port, 23456);
    EXPECT_EQ(c.local_cmd_port, 60456);
    EXPECT_EQ(c.ip_remote, address("10.0.0.3"));
    EXPECT_EQ(c.remote_port, 23456);
    EXPECT_EQ(c.remote_cmd_port, 60456);
    EXPECT_EQ(c.status, 0);
    EXPECT_EQ(c.reorder_window, 100);
    EXPECT_EQ(c.max_buffdelay_msec, 100ms);
    EXPECT_EQ(c.auth_type, AuthType::kNone);
    EXPECT_FALSE(c.has_key());
    EXPECT_TRUE(c.is_complete());
    EXPECT_THAT(c.networks, IsEmpty());
    ASSERT_EQ(c.paths.size(), 2U);
    const PathConfig &path = c.paths[0];
    EXPECT_EQ(path.interface_name, "eth1");
    EXPECT_EQ(path.ip_ver, base::IpVersion::kV4);
    EXPECT_EQ(path.private_ipaddr, address("10.1.1.2"));
    EXPECT_EQ(path.public_ipaddr, address("10.1.1.2"));
    EXPECT_EQ(path.gateway_ipaddr, address("10.1.1.2"));
    EXPECT_EQ(path.remote_ipaddr, address("10.1.1.3"));
    EXPECT_EQ(path.keepalive, 2s);
    EXPECT_EQ(path.dead, 6s);
    EXPECT_EQ(path.weight_in, 1);
    EXPECT_EQ(path.weight_out, 2);
    EXPECT_FALSE(path.cmd_default);
    EXPECT_EQ(path.status, 0);
    EXPECT_EQ(c.paths[1].interface_name, "eth2");
    EXPECT_EQ(c.paths[1].weight_out, 1);
    EXPECT_EQ(c.lines.line("connection", "name"), 4U);
    EXPECT_EQ(c.lines.line("path_1", "gw_ipaddr"), 40U);
    EXPECT_EQ(c.lines.line("path_2", "gw_ipaddr"), 0U);
}

// An answer to a create, as it arrives: cut short inside a comment.
TEST(Connection, ReadsATextThatEndsInsideAComment)
{
    EXPECT_THAT(problems(kRecordedCreate.substr(0, kRecordedCreate.size() - 36)), IsEmpty());
}

TEST(Connection, ClampsTheMssWithNetworksUnlessItSaysOtherwise)
{
    const std::string without_networks = with(std::string(kEveryKey.substr(0, kEveryKey.find("[net 0]"))) +
                                                  std::string(kEveryKey.substr(kEveryKey.find("[connection]"))),
                                              "network_count = 1", "network_count = 0");
    EXPECT_TRUE(value(without(kEveryKey, "mss_clamp")).clamps_mss());
    EXPECT_FALSE(value(kEveryKey).clamps_mss());
    EXPECT_FALSE(value(without(without_networks, "mss_clamp")).clamps_mss());
    EXPECT_TRUE(value(with(without_networks, "mss_clamp = 0", "mss_clamp = 1")).clamps_mss());
}

TEST(Connection, ReadsEveryKeyInAnyOrder)
{
    EXPECT_THAT(problems(kEveryKey), IsEmpty());
    const ConnectionConfig c = value(kEveryKey);
    EXPECT_EQ(c.name, "MPT_conn");
    EXPECT_EQ(c.permission, 1);
    EXPECT_EQ(c.ip_ver, base::IpVersion::kV6);
    EXPECT_EQ(c.ip_local, address("fec0::2"));
    EXPECT_EQ(c.ip_remote, address("fec0::3"));
    EXPECT_EQ(c.remote_port, 23457);
    EXPECT_EQ(c.remote_cmd_port, 60457);
    EXPECT_EQ(c.reorder_window, 900);
    EXPECT_EQ(c.max_buffdelay_msec, 200ms);
    EXPECT_TRUE(c.copy_dscp);
    EXPECT_EQ(c.mss_clamp, false);
    EXPECT_EQ(c.auth_type, AuthType::kSha256);
    EXPECT_EQ(c.auth_key, "A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1d2") << "as written";
    EXPECT_TRUE(c.has_key());
    ASSERT_EQ(c.paths.size(), 1U);
    EXPECT_EQ(c.paths[0].private_ipaddr, address("10.1.1.2"));
    EXPECT_EQ(c.paths[0].public_ipaddr, address("192.0.2.2"));
    EXPECT_EQ(c.paths[0].gateway_ipaddr, address("10.1.1.1"));
    EXPECT_EQ(c.paths[0].remote_ipaddr, address("192.0.2.3"));
    EXPECT_EQ(c.paths[0].keepalive, 5s);
    EXPECT_EQ(c.paths[0].dead, 11s);
    EXPECT_EQ(c.paths[0].weight_out, 3);
    EXPECT_EQ(c.paths[0].weight_in, 4);
    EXPECT_TRUE(c.paths[0].cmd_default);
    EXPECT_EQ(c.paths[0].status, 128);
    ASSERT_EQ(c.networks.size(), 1U);
    EXPECT_EQ(c.networks[0].ip_ver, base::IpVersion::kV4);
    EXPECT_EQ(c.networks[0].src_addr, *base::Prefix::parse("11.1.1.0/24"));
    EXPECT_EQ(c.networks[0].dst_addr, *base::Prefix::parse("21.1.1.0/24"));
}

TEST(Connection, HasDefaults)
{
    std::string text(kEveryKey);
    for (const char *key : {"reorder_window", "max_buffdelay_msec", "local_cmd_port", "dead_time", "weight_in",
                            "cmd_default", "private_ipaddr"})
        text = without(text, key);
    EXPECT_THAT(problems(text), IsEmpty());
    const ConnectionConfig c = value(text);
    EXPECT_EQ(c.reorder_window, 0);
    EXPECT_EQ(c.max_buffdelay_msec, 100ms);
    EXPECT_FALSE(c.local_cmd_port);
    EXPECT_EQ(c.paths[0].dead, 15s) << "3 x keepalive_time";
    EXPECT_EQ(c.paths[0].weight_in, 1);
    EXPECT_FALSE(c.paths[0].cmd_default);
    EXPECT_EQ(c.paths[0].private_ipaddr, address("192.0.2.2")) << "public_ipaddr";
    const ConnectionConfig silent = value(without(text, "keepalive_time"));
    EXPECT_EQ(silent.paths[0].keepalive, 0s);
    EXPECT_EQ(silent.paths[0].dead, 0s);
}

TEST(Connection, NeedsItsKeys)
{
    for (const char *key : {"name", "permission", "ip_ver", "ip_local", "local_port", "path_count", "network_count",
                            "status", "auth_type"})
        EXPECT_THAT(problems(without(kRecordedCreate, key)),
                    ElementsAre(fmt::format("c.conf:3: {}: is missing in [connection]", key)));
    const std::size_t path = kRecordedCreate.find("[path_1]");
    for (const char *key : {"interface_name", "ip_ver", "public_ipaddr", "weight_out", "status"})
        EXPECT_THAT(problems(std::string(kRecordedCreate.substr(0, path)) + without(kRecordedCreate.substr(path), key)),
                    ElementsAre(fmt::format("c.conf:35: {}: is missing in [path_1]", key)));
    EXPECT_THAT(problems(without(kEveryKey, "gateway_ipaddr")),
                ElementsAre("c.conf:1: gw_ipaddr: is missing in [path_0]"));
    const std::size_t net = kEveryKey.find("[net 0]");
    for (const char *key : {"ip_ver", "src_addr", "dst_addr"})
        EXPECT_THAT(problems(std::string(kEveryKey.substr(0, net)) + without(kEveryKey.substr(net), key)),
                    ElementsAre(fmt::format("c.conf:15: {}: is missing in [net_0]", key)));
    EXPECT_THAT(problems(""), ElementsAre("c.conf: there is no section [connection]"));
}

struct ConnectionKey {
    std::string_view key; // with the value that it has in kEveryKey
    std::vector<std::string_view> good;
    std::vector<std::string_view> bad;
};

class ConnectionRange : public testing::TestWithParam<ConnectionKey> {};

TEST_P(ConnectionRange, HasItsEdges)
{
    const ConnectionKey &range = GetParam();
    const std::string name(range.key.substr(0, range.key.find(' ')));
    for (const std::string_view good : range.good)
        EXPECT_THAT(problems(with(kEveryKey, range.key, fmt::format("{} = {}", name, good))), IsEmpty()) << good;
    for (const std::string_view bad : range.bad)
        EXPECT_THAT(problems(with(kEveryKey, range.key, fmt::format("{} = {}", name, bad))),
                    ElementsAre(HasSubstr(fmt::format(": {} = {}: must ", name, bad))))
            << bad;
}

INSTANTIATE_TEST_SUITE_P(
    All, ConnectionRange,
    testing::Values(
        ConnectionKey{"name = MPT_conn", {"a", "a-b.c_d~!;x"}, {"a b", "a/b"}},
        ConnectionKey{"permission = 1", {"0", "3"}, {"4", "-1"}}, //
        ConnectionKey{"local_port = 23456", {"1", "65534"}, {"0", "65535"}},
        ConnectionKey{"remote_port = 23457", {"1", "65534"}, {"0", "65535"}},
        ConnectionKey{"remote_cmd_port = 60457", {"1", "65534"}, {"0", "65535"}},
        ConnectionKey{"local_cmd_port = 60456", {"1", "65534"}, {"0", "65535"}},
        ConnectionKey{"path_count = 1", {"1"}, {"0", "21", "x"}}, //
        ConnectionKey{"network_count = 1", {"1"}, {"21", "-1"}},  //
        ConnectionKey{"reorder_window = 900", {"0", "10000"}, {"10001", "10.000"}},
        ConnectionKey{"max_buffdelay_msec = 200", {"0", "10000"}, {"10001"}},  //
        ConnectionKey{"copy_dscp = 1", {"0", "1"}, {"2", "yes"}},              //
        ConnectionKey{"mss_clamp = 0", {"0", "1"}, {"2", "no"}},               //
        ConnectionKey{"auth_type = 2", {"0", "1", "2", "3"}, {"4", "SHA256"}}, //
        ConnectionKey{"ip_local = fec0::2",
                      {"fec0::4"},
                      {"fec0::2/64", "::", "::1", "ff02::1", "10.0.0.2", "0.0.0.0", "fe80::1%e"}},
        ConnectionKey{"ip_remote = fec0::3", {"fec0::4"}, {"::", "::1", "ff02::1", "10.0.0.2", "fec0::2"}},
        ConnectionKey{"weight_out = 3", {"1", "10000"}, {"0", "10001"}}, //
        ConnectionKey{"weight_in = 4", {"1", "10000"}, {"0", "10001"}},  //
        ConnectionKey{"keepalive_time = 5", {"0", "11"}, {"3601", "-1", "0.5"}},
        ConnectionKey{"dead_time = 11", {"5", "86400"}, {"0", "86401"}}, //
        ConnectionKey{"cmd_default = 1", {"0", "1"}, {"2"}},             //
        ConnectionKey{"interface_name = eth1", {"e", "fifteen-letters"}, {"sixteen-letters-", "eth 1", "../x", "."}},
        ConnectionKey{"private_ipaddr = 10.1.1.2",
                      {"0.0.0.0", "10.1.1.9"},
                      {"::", "fd00::1", "224.0.0.1", "255.255.255.255", "x"}},
        ConnectionKey{"public_ipaddr = 192.0.2.2",
                      {"0.0.0.0", "private_ipaddr"},
                      {"::", "fd00::1", "224.0.0.1", "public_ipaddr"}},
        ConnectionKey{
            "gateway_ipaddr = 10.1.1.1", {"0.0.0.0", "10.1.1.2", "192.0.2.3"}, {"fd00::1", "224.0.0.1", "10.1.1.1/24"}},
        ConnectionKey{
            "remote_ipaddr = 192.0.2.3",
            {"192.0.2.4"},
            {"0.0.0.0", "fd00::1", "224.0.0.1", "255.255.255.255", "127.0.0.1", "10.1.1.2", "private_ipaddr"}},
        ConnectionKey{
            "src_addr = 11.1.1.0/24", {"0.0.0.0/0", "11.1.1.1/32"}, {"11.1.1.0", "fd00::/8", "::/0", "11.1.1.0/33"}},
        ConnectionKey{
            "dst_addr = 21.1.1.0/24", {"0.0.0.0/0", "21.1.1.1/32"}, {"21.1.1.0", "fd00::/8", "::/0", "21.1.1.0/33"}}),
    [](const auto &test) { return std::string(test.param.key.substr(0, test.param.key.find(' '))); });

TEST(Connection, NameHasUpTo127Characters)
{
    const std::string longest(kMaxConnectionName, 'n');
    EXPECT_EQ(value(with(kEveryKey, "MPT_conn", longest)).name, longest);
    EXPECT_THAT(problems(with(kEveryKey, "MPT_conn", longest + "n")), ElementsAre(HasSubstr("c.conf:38: name = n")));
    EXPECT_THAT(problems(with(kEveryKey, "MPT_conn", "n\xc3\xa4me")),
                ElementsAre(HasSubstr("must be a word of 1 to 127")));
}

TEST(Connection, StatusOfConnectionIsKeptAndOfPathIs0Or128)
{
    for (const int status : {0, 128, 255})
        EXPECT_EQ(value(with(kRecordedCreate, "status           = 0", fmt::format("status = {}", status))).status,
                  status);
    EXPECT_THAT(problems(with(kRecordedCreate, "status           = 0", "status = 256")),
                ElementsAre("c.conf:15: status = 256: must be 0 to 255"));
    for (const char *status : {"1", "127", "129", "131", "255"})
        EXPECT_THAT(problems(with(kEveryKey, "status = 128", fmt::format("status = {}", status))),
                    ElementsAre(fmt::format("c.conf:2: status = {}: must be 0 (usable) or 128 (down)", status)));
    EXPECT_EQ(value(with(kEveryKey, "status = 128", "status = 0")).paths[0].status, 0);
}

TEST(Connection, ALoopbackAddressIsAPeerOnLoOnly)
{
    const std::string text = with(kEveryKey, "192.0.2.3", "127.0.0.3");
    EXPECT_THAT(problems(text),
                ElementsAre("c.conf:9: remote_ipaddr = 127.0.0.3: must be a unicast address of the peer: "
                            "a loopback address is this host's own"));
    EXPECT_THAT(problems(with(text, "= eth1", "= lo")), IsEmpty());
}

TEST(Connection, VersionsOfTunnelPathAndNetworkAreIndependent)
{
    // kRecordedCreate is IPv4 over IPv4, kEveryKey IPv6 over IPv4 with an IPv4 network.
    std::string v6(kRecordedCreate);
    for (const char *old : {"10.2.2.2", "10.2.2.2", "10.2.2.2", "10.2.2.3"})
        v6 = with(v6, old, std::string("fd77:2::") + old[7]);
    EXPECT_THAT(
        problems(v6),
        testing::Contains("c.conf:38: private_ipaddr = fd77:2::2: must be of IPv4, as ip_ver = 4 in line 37 says"));
    v6 = with(v6, "eth2\nip_ver           = 4", "eth2\nip_ver = 6");
    EXPECT_THAT(problems(v6), IsEmpty()) << "IPv4 over IPv6 beside IPv4 over IPv4";
    EXPECT_EQ(value(v6).paths[1].ip_ver, base::IpVersion::kV6);
    v6 = with(v6, "ip_ver           = 4", "ip_ver = 6");
    EXPECT_THAT(problems(v6),
                ElementsAre("c.conf:7: ip_local = 10.0.0.2: must be of IPv6, as ip_ver = 6 in line 6 says",
                            "c.conf:10: ip_remote = 10.0.0.3: must be of IPv6, as ip_ver = 6 in line 6 says"));
    v6 = with(with(v6, "10.0.0.2", "fec0::2"), "10.0.0.3", "fec0::3");
    EXPECT_THAT(problems(v6), IsEmpty()) << "IPv6 over both";
    EXPECT_THAT(problems(with(kEveryKey, "src_addr = 11.1.1.0/24\nip_ver = 4", "src_addr = ::/0\nip_ver = 6")),
                ElementsAre("c.conf:16: dst_addr = 21.1.1.0/24: must be of IPv6, as ip_ver = 6 in line 18 says"));
    for (const char *version : {"5", "0", "IPv4", "46"})
        EXPECT_THAT(problems(with(kRecordedCreate, "ip_ver           = 4", fmt::format("ip_ver = {}", version))),
                    ElementsAre(fmt::format("c.conf:6: ip_ver = {}: must be 4 or 6", version)));
}

TEST(Connection, FindsAddressesAutomatically)
{
    std::string text = with(kEveryKey, "private_ipaddr = 10.1.1.2", "private_ipaddr = 0.0.0.0");
    text = with(with(text, "192.0.2.2", "0.0.0.0"), "gateway_ipaddr = 10.1.1.1", "gateway_ipaddr = 0.0.0.0");
    EXPECT_THAT(problems(text), IsEmpty());
    const ConnectionConfig c = value(text);
    EXPECT_TRUE(c.paths[0].private_ipaddr.is_unspecified());
    EXPECT_TRUE(c.paths[0].public_ipaddr.is_unspecified());
    EXPECT_TRUE(c.paths[0].gateway_ipaddr.is_unspecified());
}

TEST(Connection, PublicAddressMayReferToThePrivateOne)
{
    const std::string text = with(kEveryKey, "public_ipaddr = 192.0.2.2", "public_ipaddr = private_ipaddr");
    EXPECT_EQ(value(text).paths[0].public_ipaddr, address("10.1.1.2"));
    EXPECT_THAT(
        problems(without(text, "private_ipaddr")),
        ElementsAre(
            "c.conf:10: public_ipaddr = private_ipaddr: must be an address: [path_0] has no valid private_ipaddr"));
}

TEST(Connection, MillisecondsOverrideSeconds)
{
    const std::string text = without(without(kEveryKey, "keepalive_time"), "dead_time");
    std::string msec =
        with(text, "ip_ver = 4\ninterface", "keepalive_msec = 100\ndead_msec = 300\nip_ver = 4\ninterface");
    EXPECT_THAT(problems(msec), IsEmpty());
    EXPECT_EQ(value(msec).paths[0].keepalive, 100ms);
    EXPECT_EQ(value(msec).paths[0].dead, 300ms);
    EXPECT_EQ(value(without(msec, "dead_msec")).paths[0].dead, 300ms) << "3 x keepalive_msec";
    EXPECT_EQ(value(with(msec, "dead_msec = 300", "dead_time = 1")).paths[0].dead, 1s);
    EXPECT_EQ(value(with(msec, "300", "86400000")).paths[0].dead, 24h);
    EXPECT_EQ(value(with(msec, "keepalive_msec = 100", "keepalive_msec = 10")).paths[0].keepalive, 10ms);

    for (const auto &[from, to] :
         {std::pair("keepalive_msec = 100", "keepalive_msec = 9"),
          std::pair("keepalive_msec = 100", "keepalive_msec = 3600001"), std::pair("dead_msec = 300", "dead_msec = 9"),
          std::pair("dead_msec = 300", "dead_msec = 86400001")})
        EXPECT_THAT(problems(with(msec, from, to)), testing::Contains(HasSubstr(std::string(to) + ": must be 10 to ")));

    const std::string both = with(kEveryKey, "ip_ver = 4\n", "keepalive_msec = 100\ndead_msec = 300\nip_ver = 4\n");
    EXPECT_THAT(
        problems(both),
        ElementsAre("warning: c.conf:6: dead_time = 11: is not used: dead_msec in line 13 overrides it",
                    "warning: c.conf:7: keepalive_time = 5: is not used: keepalive_msec in line 12 overrides it"));
    EXPECT_EQ(value(both).paths[0].keepalive, 100ms);
    EXPECT_EQ(value(both).paths[0].dead, 300ms);
}

TEST(Connection, DeadTimeFitsTheKeepalives)
{
    EXPECT_THAT(
        problems(with(kEveryKey, "dead_time = 11", "dead_time = 4")),
        ElementsAre(HasSubstr("warning: c.conf:6: dead_time = 4: is shorter than the time between keepalives")));
    EXPECT_THAT(
        problems(with(with(kEveryKey, "dead_time = 11", "dead_time = 0"), "keepalive_time = 5", "keepalive_time = 0")),
        IsEmpty());
}

TEST(Connection, CountsItsSections)
{
    EXPECT_THAT(problems(with(kRecordedCreate, "path_count       = 2", "path_count = 3")),
                ElementsAre("c.conf:13: path_count = 3: there is no section [path_2]"));
    EXPECT_THAT(problems(with(kRecordedCreate, "path_count       = 2", "path_count = 1")),
                ElementsAre("c.conf:35: [path_1]: is not counted: path_count in line 13 is 1"));
    EXPECT_THAT(problems(with(kRecordedCreate, "[path_0]", "[path_2]")),
                ElementsAre("c.conf:13: path_count = 2: there is no section [path_0]",
                            "c.conf:22: [path_2]: is not counted: path_count in line 13 is 2"));
    EXPECT_THAT(problems(with(kEveryKey, "network_count = 1", "network_count = 0")),
                ElementsAre("c.conf:15: [net_0]: is not counted: network_count in line 28 is 0"));
    EXPECT_THAT(problems(with(kEveryKey, "network_count = 1", "network_count = 2")),
                ElementsAre("c.conf:28: network_count = 2: there is no section [net_1]"));
    EXPECT_THAT(problems(with(kRecordedCreate, "[path_1]", "[path 01]")),
                ElementsAre("c.conf:13: path_count = 2: there is no section [path_1]",
                            HasSubstr("warning: c.conf:35: [path_01]: is not a known section")));
}

TEST(Connection, HasUpTo20PathsAndNetworks)
{
    std::string text = with(kRecordedCreate, "path_count       = 2", "path_count = 20");
    text = with(text, "network_count    = 0", "network_count = 20");
    const std::string_view path = kRecordedCreate.substr(kRecordedCreate.find("[path_1]"));
    for (int n = 2; n < 20; ++n)
        text += with(path, "[path_1]", fmt::format("[path_{}]", n));
    for (int n = 0; n < 20; ++n)
        text += fmt::format("[net_{0}]\nip_ver=6\nsrc_addr=::/0\ndst_addr=fd00:{0}::/64\n", n);
    EXPECT_THAT(problems(text), IsEmpty());
    EXPECT_EQ(value(text).paths.size(), 20U);
    EXPECT_EQ(value(text).networks[19].dst_addr, *base::Prefix::parse("fd00:19::/64"));
}

// Sections are read for their problems even if it is not known how many there must be.
TEST(Connection, TellsProblemsOfUncountedSections)
{
    EXPECT_THAT(problems(with(with(kRecordedCreate, "path_count       = 2", "path_count = 0"), "= eth2", "= a/b")),
                ElementsAre("c.conf:13: path_count = 0: must be 1 to 20",
                            HasSubstr("c.conf:36: interface_name = a/b: must be the name of an interface")));
}

TEST(Connection, TellsDoubleKeysInBothSpellings)
{
    EXPECT_THAT(problems(with(kRecordedCreate, "weight_in ", "gateway_ipaddr = 10.1.1.2\nweight_in ")),
                ElementsAre("c.conf:31: gateway_ipaddr: is given twice in [path_0]: line 27 has gw_ipaddr"));
    EXPECT_THAT(problems(with(kRecordedCreate, "weight_in ", "dead_time = 6\ndead_time = 6\nweight_in ")),
                ElementsAre("c.conf:31: dead_time: is given twice in [path_0]: line 30 has dead_time",
                            "c.conf:32: dead_time: is given twice in [path_0]: line 30 has dead_time"));
    EXPECT_THAT(problems(std::string(kRecordedCreate) + "[path 0]\n[connection]\n"),
                ElementsAre("c.conf:49: [path_0]: is there twice: first in line 22",
                            "c.conf:50: [connection]: is there twice: first in line 3"));
}

TEST(Connection, TellsUnknownKeysWithTheNearest)
{
    EXPECT_THAT(
        problems(with(kRecordedCreate, "status           = 0", "status = 0\nauth_kev = A0A1\nmax buffdelay msec = 5")),
        ElementsAre("warning: c.conf:16: auth_kev: is not a known key here and is ignored; the nearest is auth_key in "
                    "[connection]",
                    "warning: c.conf:17: max buffdelay msec: is not a known key here and is ignored; the nearest is "
                    "max_buffdelay_msec in [connection]"));
    EXPECT_THAT(
        problems(with(kRecordedCreate, "status           = 0", "status = 0\nkeepalive_time = 5\ngateway_ipadr = 1")),
        ElementsAre(HasSubstr("the nearest is keepalive_time in [path_N]"),
                    HasSubstr("the nearest is gateway_ipaddr in [path_N]")));
}

TEST(Connection, TakesOneDefaultPath)
{
    const std::string one =
        with(kRecordedCreate, "status           = 0\n\n[path_1]", "cmd_default = 1\nstatus = 0\n[path_1]");
    EXPECT_TRUE(value(one).paths[0].cmd_default);
    EXPECT_THAT(problems(one + "[path_1]"), testing::Contains(HasSubstr("is there twice")));
    EXPECT_THAT(problems(with(one, "= eth2", "= eth2\ncmd_default = 1")),
                ElementsAre("c.conf:37: cmd_default = 1: only one path can be the default: line 33 has one already"));
}

TEST(Connection, MayWaitForCreate)
{
    std::string text = without(without(without(kRecordedCreate, "ip_remote"), "remote_port"), "remote_cmd_port");
    const std::size_t second = text.find("[path_1]");
    text = text.substr(0, second) + without(text.substr(second), "remote_ipaddr");
    EXPECT_THAT(problems(text),
                ElementsAre("warning: c.conf:3: the connection waits for 'mpt create': there is no ip_remote "
                            "in [connection], remote_port in [connection], remote_cmd_port in [connection], "
                            "remote_ipaddr in [path_1]"));
    const ConnectionConfig c = value(text);
    EXPECT_FALSE(c.is_complete());
    EXPECT_FALSE(c.ip_remote);
    EXPECT_FALSE(c.remote_port);
    EXPECT_FALSE(c.remote_cmd_port);
    EXPECT_TRUE(c.paths[0].remote_ipaddr);
    EXPECT_FALSE(c.paths[1].remote_ipaddr);
    for (const char *key : {"ip_remote", "remote_port", "remote_cmd_port", "remote_ipaddr"})
        EXPECT_FALSE(value(without(kRecordedCreate, key)).is_complete()) << key;

    EXPECT_THAT(
        problems(without(text, "remote_ipaddr")),
        ElementsAre(
            "c.conf:3: no path has a remote_ipaddr: one is needed even for a connection that waits for create"));
    EXPECT_THAT(
        problems(with(text, "auth_type        = 0", "auth_type = 0\nauth_key = xyz")),
        ElementsAre(HasSubstr("warning: "), "c.conf:16: auth_key: must be 64 hexadecimal digits, or 0 for no key"))
        << "creating uses the key whatever auth_type is";
    EXPECT_THAT(problems(with(text, "auth_type        = 0", "auth_type = 0\nauth_key = 0")),
                ElementsAre(HasSubstr("warning: ")));
}

TEST(Template, SaysNothingAboutAPeer)
{
    std::string text = without(without(without(kRecordedCreate, "ip_remote"), "remote_port"), "remote_cmd_port");
    for (const char *key :
         {"remote_ipaddr", "remote_ipaddr", "keepalive_time", "dead_time", "weight_out", "weight_out", "weight_in"})
        text = without(text, key);
    const Parsed<ConnectionConfig> parsed = parse_template("conf.template", text);
    EXPECT_THAT(problems(parsed), IsEmpty());
    ASSERT_TRUE(parsed.value);
    EXPECT_EQ(parsed.value->paths[1].weight_out, 1);
    EXPECT_FALSE(parsed.value->is_complete());

    EXPECT_THAT(problems(parse_template("conf.template", without(text, "local_port"))),
                ElementsAre("conf.template:3: local_port: is missing in [connection]"));

    const Parsed<ConnectionConfig> peer = parse_template("conf.template", with(kEveryKey, "192.0.2.3", "garbage"));
    EXPECT_THAT(
        problems(peer),
        ElementsAre(
            "warning: conf.template:9: remote_ipaddr = garbage: is ignored: conf.template says nothing about a peer",
            HasSubstr("remote_cmd_port = 60457: is ignored"), HasSubstr("remote_port = 23457: is ignored"),
            HasSubstr("ip_remote = fec0::3: is ignored")));
    EXPECT_FALSE(peer.value->ip_remote);
    EXPECT_FALSE(peer.value->paths[0].remote_ipaddr);
}

TEST(Template, ItsKeyIsAlwaysUsed)
{
    const std::string text = with(kEveryKey, "auth_type = 2", "auth_type = 0");
    EXPECT_TRUE(parse_template("conf.template", text).value);
    EXPECT_TRUE(parse_template("conf.template", without(text, "auth_key")).value);
    EXPECT_FALSE(parse_template("conf.template", with(text, "D1d2", "D1d")).value);
}

TEST(Connection, NetworksLoseTheirHostBits)
{
    const std::string text = with(kEveryKey, "11.1.1.0/24", "11.1.1.5/24");
    EXPECT_THAT(
        problems(text),
        ElementsAre("warning: c.conf:17: src_addr = 11.1.1.5/24: is not a network's address: 11.1.1.0/24 is used"));
    EXPECT_EQ(value(text).networks[0].src_addr, *base::Prefix::parse("11.1.1.0/24"));
}

TEST(Connection, TellsAllProblemsAtOnce)
{
    std::string text = with(kRecordedCreate, "permission       = 3", "permission = 4");
    text = with(text, "ip_remote        = 10.0.0.3", "ip_remote = 10.0.0.2");
    text = with(text, "auth_type        = 0", "auth_type = 9");
    text = with(text, "weight_out       = 2", "weight_out = 0");
    text = with(text, "keepalive_time   = 2", "keepalive_time = soon");
    EXPECT_THAT(problems(text + "garbage\n"),
                ElementsAre("c.conf:5: permission = 4: must be 0 to 3",
                            "c.conf:10: ip_remote = 10.0.0.2: must not be the same as ip_local",
                            "c.conf:18: auth_type = 9: must be 0 to 3",
                            "c.conf:29: keepalive_time = soon: must be 0 to 3600 (seconds)",
                            "c.conf:32: weight_out = 0: must be 1 to 10000",
                            "c.conf:49: is neither '[section]', nor 'key = value', nor a comment"));
}

TEST(Connection, ReadsFilesOfOtherSystems)
{
    std::string crlf;
    for (const char c : kRecordedCreate)
        crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
    crlf.resize(crlf.size() - 2);
    EXPECT_THAT(problems("\xef\xbb\xbf" + crlf), IsEmpty());
    EXPECT_EQ(value("\xef\xbb\xbf" + crlf), value(kRecordedCreate));
}

TEST(Connection, IsEqualOnlyIfAllIs)
{
    const ConnectionConfig c = value(kEveryKey);
    EXPECT_EQ(c, value("; one line more\n" + std::string(kEveryKey)));
    EXPECT_NE(c, *parse_connection("other.conf", kEveryKey).value);
    const std::vector<std::pair<const char *, const char *>> changes{
        {"MPT_conn", "MPT_con"},
        {"permission = 1", "permission = 2"},
        {"ip_local = fec0::2", "ip_local = fec0::4"},
        {"local_port = 23456", "local_port = 23450"},
        {"local_cmd_port = 60456", "local_cmd_port = 60450"},
        {"ip_remote = fec0::3", "ip_remote = fec0::4"},
        {"remote_port = 23457", "remote_port = 23450"},
        {"remote_cmd_port = 60457", "remote_cmd_port = 60450"},
        {"status = 0", "status = 1"},
        {"reorder_window = 900", "reorder_window = 901"},
        {"max_buffdelay_msec = 200", "max_buffdelay_msec = 201"},
        {"copy_dscp = 1", "copy_dscp = 0"},
        {"mss_clamp = 0", "mss_clamp = 1"},
        {"mss_clamp = 0\n", ""},
        {"auth_type = 2", "auth_type = 1"},
        {"D1d2", "D1D2"},
        {"eth1", "eth2"},
        {"10.1.1.2", "10.1.1.3"},
        {"192.0.2.2", "192.0.2.4"},
        {"10.1.1.1", "10.1.1.3"},
        {"192.0.2.3", "192.0.2.4"},
        {"keepalive_time = 5", "keepalive_time = 6"},
        {"dead_time = 11", "dead_time = 12"},
        {"weight_out = 3", "weight_out = 4"},
        {"weight_in = 4", "weight_in = 3"},
        {"cmd_default = 1", "cmd_default = 0"},
        {"status = 128", "status = 0"},
        {"11.1.1.0/24", "11.1.1.0/25"},
        {"21.1.1.0/24", "21.1.2.0/24"},
    };
    for (const auto &[from, to] : changes)
        EXPECT_NE(c, value(with(kEveryKey, from, to))) << to;
}

} // namespace
} // namespace mpt::config
