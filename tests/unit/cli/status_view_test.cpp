// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/status_view.hpp"
#include "tests/unit/cli/sample.hpp"

#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mpt::cli {

namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Le;
using testing::Not;
using testing::ResultOf;

std::vector<std::string> table(const Snapshot &now, const std::string &only = {}, std::size_t columns = kColumns)
{
    return plain(status_table(now, now, only, columns));
}

const auto size = [](const std::string &line) { return line.size(); };

TEST(StatusTable, AsPeopleSeeIt)
{
    Connection connection = sample_connection("a", {sample_path(0), sample_path(1, "dead")});
    connection.counters = {{"delivered", 9998}, {"lost", 2}, {"octets_in", 1000}};
    Snapshot earlier = sample_snapshot({connection});
    earlier.monotonic -= 1'000'000;
    connection.counters["octets_in"] += 2'500'000;
    connection.paths[0].counters["octets_in"] = 2'500'000;
    EXPECT_THAT(plain(status_table(earlier, sample_snapshot({connection}), "", kColumns)),
                ElementsAre("mptd 1.2.3: 1 connection, 1 of 2 paths up", //
                            "tun0: 10.0.0.1/24, MTU 1452",               //
                            "",                                          //
                            "CONNECTION               STATE       SINCE  WEIGHT    OUT     IN    LOSS",
                            "a                        1 of 2 up                      0  20.0M   0.02%",
                            "  10.0.0.1 to 10.0.0.2 on tun0, a.conf",
                            "  0  eth1  198.51.100.1  up             2s   10000      0  20.0M",
                            "  1  eth2  198.51.100.2  dead           2s   10000      0      0",
                            "     no keepalives from the peer"));
}

TEST(StatusTable, WhatKeepalivesHaveMeasuredStandsBelowThePath)
{
    Path path = sample_path(0);
    path.counters = {{"round_trip_us", 12345}, {"round_trip_variation_us", 678},
                     {"expected_in", 1000},    {"lost_in", 15},
                     {"lost_out", 1},          {"packets_out", 5000}};
    const std::string words = "     round trip 12.3 ms, variation 0.7; lost 1.5% in, 0.02% out";
    EXPECT_THAT(table(sample_snapshot({sample_connection("a", {path})})), Contains(words));
    path.counters["round_trip_us"] = 0;
    EXPECT_THAT(table(sample_snapshot({sample_connection("a", {path})})), Not(Contains(HasSubstr("round trip"))));
}

TEST(StatusTable, WhereAPeerWasFoundStandsBelowThePath)
{
    Path path = sample_path(0);
    path.remote_port = 40001;
    EXPECT_THAT(table(sample_snapshot({sample_connection("a", {path})})), Not(Contains(HasSubstr("learned"))));
    path.remote_learned = 1'600'000'000'000'000;
    path.remote_learned_monotonic = 1'000'000;
    EXPECT_THAT(table(sample_snapshot({sample_connection("a", {path})})),
                Contains("     peer at port 40001, learned 1s ago"));
}

TEST(StatusTable, DetailsSayThePublicAddressAndWhereItIsKnownFrom)
{
    Path path = sample_path(0);
    path.ip_version = 4;
    path.public_address = "203.0.113.7";
    path.public_port = 40000;
    const auto details = [&](const std::string &source) {
        path.public_source = source;
        return table(sample_snapshot({sample_connection("a", {path})}), "a", 200);
    };
    EXPECT_THAT(details("stun"), Contains(HasSubstr("path 0: 192.0.2.1, public 203.0.113.7:40000 (by STUN) to ")));
    EXPECT_THAT(details("peer"), Contains(HasSubstr(", public 203.0.113.7:40000 (by the peer) to ")));
    EXPECT_THAT(details("private"), Contains(HasSubstr(", public address not known to ")));
    EXPECT_THAT(details("configured"), Contains(HasSubstr("path 0: 192.0.2.1, public 203.0.113.7 to ")));
    path.public_address = path.local_address;
    EXPECT_THAT(details("configured"), Not(Contains(HasSubstr("public"))));
    path.ip_version = 6;
    path.public_address = "2001:db8::7";
    EXPECT_THAT(details("stun"), Contains(HasSubstr(", public [2001:db8::7]:40000 (by STUN)")));
}

TEST(StatusTable, FitsIntoEightyColumns)
{
    Path path = sample_path(19, "address-missing");
    path.interface = "abcdefghijklmno"; // as long as an interface's name can be
    path.local_address = path.remote_address = "2001:db8:1234:5678:9abc:def0:1234:5678";
    path.waits_for = "abcdefghijklmno does not have the address 2001:db8:1234:5678:9abc:def0:1234:5678 yet";
    path.status_since_monotonic = 1;
    Connection connection = sample_connection("a-connection-with-a-long-name-of-forty-one", {path, sample_path(0)});
    connection.local_address = connection.remote_address = path.local_address;
    connection.unsaved = true;
    connection.counters = {{"delivered", 1}, {"lost", 1}, {"drop_unknown_GRE_protocol_type", 18446744073709551615U}};
    Snapshot now = sample_snapshot({connection});
    now.monotonic = 99ULL * 86400 * 1000000;
    now.problems = {"connections/a.conf:12: weight_out = 0: must be 1 to 10000, and so on until the line is full"};
    EXPECT_THAT(table(now), Each(ResultOf(size, Le(kColumns))));
    EXPECT_THAT(table(now, connection.name), Each(ResultOf(size, Le(kColumns))));
    EXPECT_THAT(table(now), Contains(HasSubstr("     2001:db8:1234:5678:9abc:def0:1234:5678")));
    EXPECT_THAT(table(now, "", 200),
                Contains(AllOf(HasSubstr("abcdefghijklmno  2001:db8:"), HasSubstr("address missing"))));
}

TEST(StatusTable, NamesAreNeverCut)
{
    const std::string name(127, 'x');
    EXPECT_THAT(table(sample_snapshot({sample_connection(name, {sample_path(0)})})), Contains(name));
}

TEST(StatusTable, NothingReachesTheTerminalAsItCame)
{
    Connection connection = sample_connection("a\033[2J", {sample_path(0, "x\033y")});
    connection.file = "\r";
    connection.paths[0].waits_for = "w\033w";
    Snapshot now = sample_snapshot({connection});
    now.version = "\007";
    now.problems = {"p\nq"};
    now.tunnels[0].name = "\x9b";
    const auto is_printable = [](const std::string &line) {
        return std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c <= '~'; });
    };
    EXPECT_THAT(table(now), Each(ResultOf(is_printable, true)));
    EXPECT_THAT(table(now, connection.name), Each(ResultOf(is_printable, true)));
    EXPECT_THAT(table(now), Contains(HasSubstr("p?q")));
}

TEST(StatusTable, TellsWhatIsOutOfOrder)
{
    Connection gone = sample_connection("gone", {sample_path(0)});
    gone.file_present = false;
    Connection created = sample_connection("created", {sample_path(0)});
    created.file_present = false;
    created.created_by = "192.0.2.1:60456";
    Connection unsaved = sample_connection("unsaved", {sample_path(0)});
    unsaved.unsaved = true;
    unsaved.paths[0].held_back = true;
    const auto lines = table(sample_snapshot({created, gone, unsaved}));
    EXPECT_THAT(lines, Contains(HasSubstr("created by 192.0.2.1:60456; mpt save keeps it")));
    EXPECT_THAT(lines, Contains(HasSubstr("its file is gone")));
    EXPECT_THAT(lines, Contains(HasSubstr("mpt save writes the changes")));
    EXPECT_THAT(lines, Contains(HasSubstr("held back")));
}

TEST(StatusTable, MeteredPaths)
{
    Connection connection = sample_connection("a", {sample_path(0), sample_path(1)});
    connection.paths[1].metered = true;
    EXPECT_THAT(table(sample_snapshot({connection})).back(), HasSubstr("metered"));
}

TEST(StatusTable, WithoutConnections)
{
    EXPECT_THAT(table(sample_snapshot({})), ElementsAre("mptd 1.2.3: no connections", "tun0: 10.0.0.1/24, MTU 1452"));
}

TEST(StatusTable, SaysWhereAnMtuComesFrom)
{
    Snapshot now = sample_snapshot({});
    now.tunnels[0].mtu_reason = "a, path 1 (eth2): path MTU 1400";
    EXPECT_THAT(table(now), Contains("tun0: 10.0.0.1/24, MTU 1452 (a, path 1 (eth2): path MTU 1400)"));
}

TEST(StatusTable, ProblemsAreSeenEvenWithoutConnections)
{
    Snapshot now = sample_snapshot({});
    now.problems = {"connections/a.conf:1: x"};
    EXPECT_THAT(table(now), Contains("  connections/a.conf:1: x"));
    EXPECT_THAT(table(now).front(), HasSubstr("1 problem"));
}

TEST(StatusTable, OneConnectionAlone)
{
    Connection b = sample_connection("b", {sample_path(0)});
    b.counters = {{"late", 5}, {"far", 0}};
    const auto lines = table(sample_snapshot({sample_connection("a", {sample_path(0)}), b}), "b");
    EXPECT_THAT(lines, Contains(HasSubstr("late 5")));
    EXPECT_THAT(lines, Not(Contains(AnyOf(HasSubstr("far"), HasSubstr("a.conf")))));
}

TEST(StatusJson, RatesOnlyIfMeasured)
{
    const Snapshot now = sample_snapshot({sample_connection("a", {sample_path(0)})});
    EXPECT_THAT(status_json(nullptr, now, ""), AllOf(HasSubstr("\"schema\": 1,"), Not(HasSubstr("rates"))));
    EXPECT_THAT(status_json(&now, now, ""), HasSubstr("\"bits_out\": 0.000"));
    EXPECT_THAT(status_json(nullptr, now, "b"), HasSubstr("\"connections\": []"));
}

} // namespace

} // namespace mpt::cli
