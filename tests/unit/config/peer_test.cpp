// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/connection.hpp"
#include "daemon/config/peer.hpp"

#include "tests/unit/address.hpp"
#include "tests/unit/config/texts.hpp"

#include <gtest/gtest.h>

namespace mpt::config {
namespace {

using namespace std::chrono_literals;
using mpt::test::address;
using test::kRecordedCreate;

std::string replaced(std::string_view text, std::string_view from, std::string_view to)
{
    std::string result(text);
    const std::size_t at = result.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return result.replace(at, from.size(), to);
}

TEST(Peer, RecordedTextIsUnderstood)
{
    const auto peer = parse_peer(kRecordedCreate);
    EXPECT_TRUE(peer.problems.empty());
    ASSERT_TRUE(peer.value);
    const PeerPath path0{base::IpVersion::kV4, address("10.1.1.2"), 2s, 6s, 2, 1};
    const PeerPath path1{base::IpVersion::kV4, address("10.2.2.2"), 2s, 6s, 1, 1};
    const PeerConnection expected{"MPT_A", base::IpVersion::kV4, address("10.0.0.2"), 23456, 60456, 0,
                                  100,     AuthType::kNone,      {path0, path1}};
    EXPECT_EQ(*peer.value, expected);
}

TEST(Peer, TextThatIsCutShortIsUnderstoodUpToItsLastWholeLine)
{
    const std::string text = replaced(kRecordedCreate, "network_count    = 0", "network_count    = 1") +
                             "\n[net_0]\nip_ver = 4\nsrc_addr = 0.0.0.0/0\ndst_addr = 10.0.0.3/32\n";
    const std::size_t paths_end = text.find("####################### NETWORKS");
    for (std::size_t size = paths_end; size <= text.size(); ++size) {
        const auto peer = parse_peer(text.substr(0, size));
        ASSERT_TRUE(peer.value) << size << ": " << peer.problems.at(0).to_string();
        EXPECT_EQ(peer.value->network_count, 1);
        EXPECT_EQ(peer.value->paths.size(), 2U);
    }
}

TEST(Peer, KeysThatAreTheReadersAffairAreSkippedWhateverTheySay)
{
    std::string text(kRecordedCreate);
    for (const auto &[from, to] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
             {"interface_name   = eth1", "interface_name   = ../../etc/passwd and more"},
             {"private_ipaddr   = 10.1.1.2", "private_ipaddr   = nowhere"},
             {"gw_ipaddr        = 10.1.1.2", "gw_ipaddr        = 300.1.1.1"},
             {"remote_ipaddr    = 10.1.1.3", "remote_ipaddr    = 127.0.0.1"},
             {"permission       = 3", "permission       = 99"},
             {"remote_port      = 23456", "remote_port      = x"},
             {"max_buffdelay_msec = 100", "no_such_key = 1"}})
        text = replaced(text, from, to);
    const auto peer = parse_peer(text);
    EXPECT_TRUE(peer.problems.empty());
    EXPECT_EQ(peer.value, parse_peer(kRecordedCreate).value);
}

TEST(Peer, ValuesAreValidatedAsInAFile)
{
    for (const auto &[from, to] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
             {"name             = MPT_A\n", ""},
             {"ip_ver           = 4", "ip_ver           = 5"},
             {"ip_ver           = 4", "ip_ver           = 6"}, // ip_local is not
             {"ip_local         = 10.0.0.2", "ip_local         = 224.0.0.1"},
             {"ip_local         = 10.0.0.2", "ip_local         = 127.0.0.1"},
             {"local_port       = 23456", "local_port       = 0"},
             {"local_port       = 23456", "local_port       = 65535"},
             {"local_cmd_port   = 60456\n", ""},
             {"path_count       = 2", "path_count       = 21"},
             {"path_count       = 2", "path_count       = 3"},
             {"path_count       = 2", "path_count       = 1"},
             {"network_count    = 0", "network_count    = 21"},
             {"reorder_window   = 100", "reorder_window   = 10001"},
             {"auth_type        = 0", "auth_type        = 99"},
             {"public_ipaddr    = 10.1.1.2", "public_ipaddr    = 0.0.0.0"},
             {"public_ipaddr    = 10.1.1.2", "public_ipaddr    = 255.255.255.255"},
             {"public_ipaddr    = 10.1.1.2", "public_ipaddr    = fd77:1::2"},
             {"public_ipaddr    = 10.1.1.2\n", ""},
             {"keepalive_time   = 2", "keepalive_time   = 3601"},
             {"dead_time        = 6", "dead_time        = 0"},
             {"weight_in        = 1", "weight_in        = 0"},
             {"weight_out       = 2", "weight_out       = 10001"},
             {"weight_out       = 2\n", "weight_out       = 2\nweight_out       = 3\n"},
             {"[connection]", "[nothing]"}}) {
        EXPECT_FALSE(parse_peer(replaced(kRecordedCreate, from, to)).value) << from << " -> " << to;
    }
    EXPECT_FALSE(parse_peer("").value);
    EXPECT_FALSE(parse_peer(std::string(kRecordedCreate) + std::string("\0\n", 2)).value);
}

TEST(Peer, TextForAPeerIsTheRecordedOne)
{
    const auto connection = parse_connection("a.conf", kRecordedCreate);
    ASSERT_TRUE(connection.value);
    EXPECT_EQ(serialise_for_peer(*connection.value, PeerText::kPadded), ";;;;" + std::string(kRecordedCreate));
}

TEST(Peer, TextForAPeerHasNoKeyAndBeginsWithAComment)
{
    ConnectionConfig connection = *parse_connection("a.conf", test::kEveryKey).value;
    ASSERT_TRUE(connection.has_key());
    ConnectionConfig with_file = connection;
    with_file.set_key({});
    with_file.auth_key_file = "/etc/mpt/b.key";
    EXPECT_EQ(serialise_for_peer(with_file, PeerText::kPadded), serialise_for_peer(connection, PeerText::kPadded))
        << "where the key is, is nobody's business either";
    for (const PeerText layout : {PeerText::kPadded, PeerText::kCompact}) {
        const std::string text = serialise_for_peer(connection, layout);
        EXPECT_EQ(text.find("auth_key"), std::string::npos);
        EXPECT_EQ(text.find(connection.auth_key), std::string::npos);
        EXPECT_EQ(text.find("copy_dscp"), std::string::npos);
        EXPECT_EQ(text.find("mss_clamp"), std::string::npos);
        EXPECT_EQ(text.find("cmd_default"), std::string::npos);
        EXPECT_EQ(text.substr(0, 8), layout == PeerText::kPadded ? ";;;;;;;#" : ";;;;;;;;");
        const auto peer = parse_peer(text);
        ASSERT_TRUE(peer.value);
        EXPECT_EQ(peer.value->name, connection.name);
        EXPECT_EQ(peer.value->paths.at(0).public_ipaddr, connection.paths.at(0).public_ipaddr);
        EXPECT_EQ(peer.value->paths.at(0).weight_in, 4);
    }
}

TEST(Peer, TimesBelowASecondAreTheSameForUsAndRoundedForOthers)
{
    ConnectionConfig connection = *parse_connection("a.conf", kRecordedCreate).value;
    connection.paths[0].keepalive = 100ms;
    connection.paths[0].dead = 2300ms;
    connection.paths[1].keepalive = 0s;
    const std::string text = serialise_for_peer(connection, PeerText::kPadded);
    EXPECT_NE(text.find("keepalive_time   = 1\ndead_time        = 3\n"), std::string::npos) << text;
    EXPECT_NE(text.find("keepalive_time   = 0\n"), std::string::npos) << "none is none";
    const auto peer = parse_peer(text);
    ASSERT_TRUE(peer.value);
    EXPECT_EQ(peer.value->paths[0].keepalive, 100ms);
    EXPECT_EQ(peer.value->paths[0].dead, 2300ms);
    EXPECT_EQ(peer.value->paths[1].keepalive, 0ms);
    EXPECT_EQ(peer.value->paths[1].dead, 6s);
}

TEST(Peer, DeadTimeThatIsMissingIsThreeKeepalives)
{
    const auto peer = parse_peer(replaced(kRecordedCreate, "dead_time        = 6\n", ""));
    ASSERT_TRUE(peer.value);
    EXPECT_EQ(peer.value->paths[0].dead, 6s);
    const auto longer = parse_peer(replaced(replaced(kRecordedCreate, "dead_time        = 6\n", ""),
                                            "keepalive_time   = 2", "keepalive_time   = 7"));
    EXPECT_EQ(longer.value->paths[0].dead, 21s);
}

TEST(Peer, NamesAreMadeSafe)
{
    EXPECT_EQ(safe_name("MPT_A"), "MPT_A");
    EXPECT_EQ(safe_name("../a b\n\x7f\xc3\xa9"), ".._a_b____");
    const auto peer = parse_peer(replaced(kRecordedCreate, "= MPT_A", "= MPT connection 10.0.0.2"));
    ASSERT_TRUE(peer.value);
    EXPECT_EQ(safe_name(peer.value->name), "MPT_connection_10.0.0.2");
}

} // namespace
} // namespace mpt::config
