// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/connection.hpp"
#include "daemon/config/interface.hpp"

#include "tests/unit/address.hpp"
#include "tests/unit/config/texts.hpp"

#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mpt::config {
namespace {

using test::kEveryKey;
using test::kGuideInterface;
using test::kRecordedCreate;
using test::texts;
using test::with;
using test::without;
using testing::HasSubstr;
using namespace std::chrono_literals;
using mpt::test::address;

// A file as people write them: comments everywhere, odd spacing, an unknown key and section, a comment that looks like
// a key, sections out of order.
constexpr std::string_view kLivedIn = R"(# my tunnel   
  ; weight_out = 9

[path 1]   ; the slow one
	interface_name=eth2
ip_ver:4
private_ipaddr = 10.2.2.2
public_ipaddr  =   private_ipaddr     ; no NAT
  gateway_ipaddr = 0.0.0.0   # DHCP
remote_ipaddr = 10.2.2.3
keepalive_msec = 100 ;fast
color = green
weight_out = 05 ; see path 0
status = 0

[somewhere]
weight_out = 8

[connection]
; who
name = A
permission = 3
ip_ver = 4
ip_local = 10.0.0.2
local_port = 23456
ip_remote = 10.0.0.3
remote_port = 23456
remote_cmd_port = 60456
path_count = 2
network_count = 0
status = 0
auth_type = 0

[path_0]
interface_name = eth1
ip_ver = 4
public_ipaddr = 10.1.1.2
gw_ipaddr = 10.1.1.1
remote_ipaddr = 10.1.1.3
keepalive_time = 5	; seconds
weight_out = 10
status = 0
; the end)";

std::string edited(std::string_view text, const std::function<void(ConnectionConfig &)> &change)
{
    const Parsed<ConnectionConfig> parsed = parse_connection("c.conf", text);
    if (!parsed.value)
        throw std::logic_error(texts(parsed.problems).front());
    ConnectionConfig config = *parsed.value;
    change(config);
    const auto result = edit(text, config);
    if (!result)
        throw std::runtime_error(result.error().text);
    EXPECT_EQ(*parse_connection("c.conf", *result).value, config);
    return std::string(*result);
}

std::string lived_in()
{
    return std::string(kLivedIn);
}

TEST(Edit, WithoutAChangeKeepsEveryOctet)
{
    for (const std::string &text :
         {lived_in(), std::string(kRecordedCreate), std::string(kEveryKey), "\xef\xbb\xbf" + std::string(kEveryKey)})
        EXPECT_EQ(edited(text, [](ConnectionConfig &) {}), text);
}

TEST(Edit, ReplacesOnlyTheValue)
{
    EXPECT_EQ(edited(lived_in(), [](ConnectionConfig &c) { c.paths[1].weight_out = 77; }),
              with(lived_in(), "weight_out = 05 ; see path 0", "weight_out = 77 ; see path 0"));
    EXPECT_EQ(edited(lived_in(), [](ConnectionConfig &c) { c.paths[1].gateway_ipaddr = address("10.2.2.254"); }),
              with(lived_in(), "  gateway_ipaddr = 0.0.0.0   # DHCP", "  gateway_ipaddr = 10.2.2.254   # DHCP"));
    EXPECT_EQ(edited(lived_in(), [](ConnectionConfig &c) { c.paths[1].interface_name = "wlan0"; }),
              with(lived_in(), "\tinterface_name=eth2", "\tinterface_name=wlan0"));
    EXPECT_EQ(edited(lived_in(), [](ConnectionConfig &c) { c.name = "longer"; }),
              with(lived_in(), "name = A", "name = longer"));
    EXPECT_EQ(edited(lived_in(), [](ConnectionConfig &c) { c.status = 128; }),
              with(lived_in(), "network_count = 0\nstatus = 0", "network_count = 0\nstatus = 128"));
    EXPECT_EQ(edited(lived_in(), [](ConnectionConfig &c) { c.paths[0].status = 128; }),
              with(lived_in(), "status = 0\n; the end", "status = 128\n; the end"));
}

TEST(Edit, ChangesSeveralValuesAtOnce)
{
    std::string expected = with(kRecordedCreate, "remote_port      = 23456", "remote_port      = 65060");
    expected = with(expected, "reorder_window   = 100", "reorder_window   = 900");
    expected = with(expected, "10.2.2.3", "192.0.2.3");
    EXPECT_EQ(edited(kRecordedCreate,
                     [](ConnectionConfig &c) {
                         c.remote_port = 65060;
                         c.reorder_window = 900;
                         c.paths[1].remote_ipaddr = address("192.0.2.3");
                     }),
              expected);
}

TEST(Edit, KeepsTheReferenceToThePrivateAddressWhileItHolds)
{
    const auto move_both = [](ConnectionConfig &c) {
        c.paths[1].private_ipaddr = c.paths[1].public_ipaddr = address("10.2.2.9");
    };
    EXPECT_EQ(edited(lived_in(), move_both), with(lived_in(), "10.2.2.2", "10.2.2.9"));
    EXPECT_EQ(edited(lived_in(), [](ConnectionConfig &c) { c.paths[1].public_ipaddr = address("192.0.2.1"); }),
              with(lived_in(), "  private_ipaddr     ; no NAT", "  192.0.2.1     ; no NAT"));
    EXPECT_EQ(
        edited(lived_in(), [](ConnectionConfig &c) { c.paths[1].private_ipaddr = address("10.2.2.9"); }),
        with(with(lived_in(), "10.2.2.2", "10.2.2.9"), "  private_ipaddr     ; no NAT", "  10.2.2.2     ; no NAT"));
}

TEST(Edit, AddsWhatTheFileDoesNotSay)
{
    EXPECT_EQ(edited(lived_in(), [](ConnectionConfig &c) { c.paths[0].weight_in = 3; }),
              with(lived_in(), "status = 0\n; the end", "status = 0\nweight_in = 3\n; the end"));
    EXPECT_EQ(edited(lived_in(), [](ConnectionConfig &c) { c.paths[0].private_ipaddr = address("10.1.1.9"); }),
              with(lived_in(), "status = 0\n; the end", "status = 0\nprivate_ipaddr = 10.1.1.9\n; the end"));
    EXPECT_EQ(edited(lived_in(), [](ConnectionConfig &c) { c.reorder_window = 100, c.max_buffdelay_msec = 50ms; }),
              with(lived_in(), "auth_type = 0\n", "auth_type = 0\nreorder_window = 100\nmax_buffdelay_msec = 50\n"));
    EXPECT_EQ(edited(lived_in(), [](ConnectionConfig &c) { c.paths[1].cmd_default = true; }),
              with(lived_in(), "status = 0\n\n[some", "status = 0\ncmd_default = 1\n\n[some"));
    const std::string waits = without(kRecordedCreate, "remote_port");
    EXPECT_EQ(edited(waits, [](ConnectionConfig &c) { c.remote_port = 65060; }),
              with(waits, "auth_type        = 0\n", "auth_type        = 0\nremote_port = 65060\n"));
    EXPECT_EQ(edited(lived_in(),
                     [](ConnectionConfig &c) { c.auth_type = AuthType::kSha256, c.auth_key = std::string(64, 'a'); }),
              with(lived_in(), "auth_type = 0\n", "auth_type = 2\nauth_key = " + std::string(64, 'a') + "\n"));
}

TEST(Edit, RemovesWhatTheFileMustNotSay)
{
    EXPECT_EQ(edited(kRecordedCreate, [](ConnectionConfig &c) { c.remote_port.reset(); }),
              without(kRecordedCreate, "remote_port"));
    EXPECT_EQ(edited(kEveryKey, [](ConnectionConfig &c) { c.paths[0].cmd_default = false; }),
              with(kEveryKey, "cmd_default = 1", "cmd_default = 0"));
}

TEST(Edit, TimesKeepOneUnit)
{
    const auto keepalive = [](std::size_t path, base::Duration time) {
        return [=](ConnectionConfig &c) { c.paths[path].keepalive = time, c.paths[path].dead = 3 * time; };
    };
    EXPECT_EQ(edited(lived_in(), keepalive(0, 7s)), with(lived_in(), "keepalive_time = 5\t;", "keepalive_time = 7\t;"));
    EXPECT_EQ(edited(lived_in(), keepalive(0, 70ms)),
              with(lived_in(), "keepalive_time = 5\t;", "keepalive_msec = 70\t;"));
    EXPECT_EQ(edited(lived_in(), keepalive(1, 70ms)),
              with(lived_in(), "keepalive_msec = 100 ;", "keepalive_msec = 70 ;"));
    EXPECT_EQ(edited(lived_in(), keepalive(1, 2s)), with(lived_in(), "keepalive_msec = 100 ;", "keepalive_time = 2 ;"));
    EXPECT_EQ(edited(lived_in(), [](ConnectionConfig &c) { c.paths[0].dead = 11s; }),
              with(lived_in(), "status = 0\n; the end", "status = 0\ndead_time = 11\n; the end"));

    const std::string both = with(lived_in(), "keepalive_msec", "keepalive_time = 3\nkeepalive_msec");
    EXPECT_EQ(edited(both, [](ConnectionConfig &c) { c.name = "B"; }), with(both, "name = A", "name = B"));
    EXPECT_EQ(edited(both, keepalive(1, 70ms)), with(lived_in(), "= 100 ;", "= 70 ;"));
    EXPECT_EQ(edited(both, keepalive(1, 3s)), with(lived_in(), "keepalive_msec = 100 ;", "keepalive_time = 3 ;"));
}

TEST(Edit, RemovesSectionsButNoComment)
{
    std::string expected = lived_in();
    for (const char *line : {"[path 1]", "\tinterface_name", "ip_ver:4", "private_ipaddr", "public_ipaddr",
                             "  gateway_ipaddr", "remote_ipaddr", "keepalive_msec", "color", "weight_out", "status"})
        expected = without(expected, line);
    EXPECT_EQ(edited(lived_in(), [](ConnectionConfig &c) { c.paths.pop_back(); }),
              with(expected, "path_count = 2", "path_count = 1"));
    const std::string commented = with(kRecordedCreate, "[path_1]\n", "[path_1]\n; comment\n");
    EXPECT_THAT(edited(commented, [](ConnectionConfig &c) { c.paths.pop_back(); }), HasSubstr("\n; comment\n"));
}

TEST(Edit, AddsSections)
{
    const auto add_network = [](ConnectionConfig &c) {
        c.networks.push_back({base::IpVersion::kV6, *base::Prefix::parse("::/0"), *base::Prefix::parse("fd00:1::/64")});
    };
    EXPECT_EQ(edited(lived_in(), add_network), with(lived_in(), "network_count = 0", "network_count = 1") +
                                                   "\n\n[net_0]\nip_ver           = 6\nsrc_addr         = ::/0\n"
                                                   "dst_addr         = fd00:1::/64\n");
    EXPECT_THAT(edited(kRecordedCreate, [](ConnectionConfig &c) { c.paths.push_back(c.paths[0]); }),
                HasSubstr("\n[path_2]\ninterface_name   = eth1\n"));
}

TEST(Edit, KeepsLineEnds)
{
    std::string crlf;
    for (const char c : lived_in())
        crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
    EXPECT_EQ(edited(crlf, [](ConnectionConfig &c) { c.paths[0].weight_in = 3, c.name = "B"; }),
              with(with(crlf, "name = A", "name = B"), "status = 0\r\n; the end",
                   "status = 0\r\nweight_in = 3\r\n; the end"));
    const std::string unended = with(lived_in(), "\n; the end", "");
    EXPECT_EQ(edited(unended, [](ConnectionConfig &c) { c.paths[0].weight_in = 3; }), unended + "\nweight_in = 3\n");
}

TEST(Edit, RefusesATextWithErrors)
{
    const ConnectionConfig config = *parse_connection("c.conf", kRecordedCreate).value;
    const auto result = edit(with(kRecordedCreate, "path_count       = 2", "path_count = 3"), config);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, base::ErrorCode::kInvalidConfig);
    EXPECT_EQ(result.error().text, "c.conf cannot be changed: it has an error, correct that first "
                                   "(c.conf:13: path_count = 3: there is no section [path_2])");
}

TEST(Edit, RefusesWhatNoFileCanSay)
{
    const ConnectionConfig good = *parse_connection("c.conf", kRecordedCreate).value;
    const std::vector<std::function<void(ConnectionConfig &)>> changes{
        [](ConnectionConfig &c) { c.name = "a\nb"; },
        [](ConnectionConfig &c) { c.name = "; x"; },
        [](ConnectionConfig &c) { c.name.clear(); },
        [](ConnectionConfig &c) { c.paths.clear(); },
        [](ConnectionConfig &c) { c.paths.resize(21, c.paths[0]); },
        [](ConnectionConfig &c) { c.paths[0].weight_out = 0; },
        [](ConnectionConfig &c) { c.paths[0].keepalive = 1500us; },
        [](ConnectionConfig &c) { c.paths[0].dead = 15500us; },
        [](ConnectionConfig &c) { c.paths[0].interface_name = "eth1\nstatus = 128"; },
        [](ConnectionConfig &c) { c.auth_key = std::string(190, 'a'); },
        [](ConnectionConfig &c) { c.ip_ver = base::IpVersion::kV6; },
    };
    for (std::size_t i = 0; i < changes.size(); ++i) {
        ConnectionConfig config = good;
        changes[i](config);
        EXPECT_FALSE(edit(kRecordedCreate, config)) << i;
    }
}

TEST(Edit, InterfaceFile)
{
    const std::string text = with(kGuideInterface, "[tun_0]", "# the tunnel\n[tun 0]") + "; the end\n";
    InterfaceConfig config = *parse_interface("i.conf", text).value;
    EXPECT_EQ(edit("i.conf", text, config).value(), text);
    config.accept_remote = false;
    config.workers = 2;
    config.tunnels[0].ipv6_addr.reset();
    config.tunnels[0].mtu = 1400;
    std::string expected = with(with(text, "accept_remote = 1", "accept_remote = 0"), "mtu = 1440", "mtu = 1400");
    expected = without(with(expected, "cmd_timeout = 25\n", "cmd_timeout = 25\nworkers = 2\n"), "ipv6_addr");
    EXPECT_EQ(edit("i.conf", text, config).value(), expected);
    config.tunnels.push_back({"tun1", 1400, *base::Prefix::parse("10.9.0.1/24"), {}});
    expected = with(expected, "tunnel_num = 1", "tunnel_num = 2") +
               "\n[tun_1]\nname = tun1\nmtu = 1400\nipv4_addr = 10.9.0.1/24\n";
    EXPECT_EQ(edit("i.conf", text, config).value(), expected);
    config.tunnels[1].ipv4_addr.reset();
    EXPECT_FALSE(edit("i.conf", text, config));
}

} // namespace
} // namespace mpt::config
