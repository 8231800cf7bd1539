// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/top_view.hpp"
#include "tests/unit/cli/sample.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mpt::cli {

namespace {

using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

constexpr std::size_t kRows = 24;

class Top : public testing::Test {
protected:
    // `octets` counted after that many seconds.
    void measure(std::vector<Connection> connections, std::uint64_t seconds, std::uint64_t octets)
    {
        for (Connection &connection : connections) {
            connection.counters["octets_out"] = octets;
            connection.paths[0].counters["octets_out"] = octets;
        }
        Snapshot snapshot = sample_snapshot(std::move(connections));
        snapshot.monotonic = seconds * 1'000'000;
        view_.add(std::move(snapshot));
    }

    std::vector<std::string> frame(std::size_t columns = kColumns, std::size_t rows = kRows)
    {
        std::vector<std::string> lines;
        for (const Line &line : view_.frame(columns, rows, 1795363133000973, 3'000'000))
            lines.push_back(line.to_string(false, columns));
        return lines;
    }

    TopView view_{false};
};

std::vector<Connection> many(std::size_t number)
{
    std::vector<Connection> connections;
    for (std::size_t i = 0; i < number; ++i)
        connections.push_back(sample_connection("c" + std::to_string(100 + i), {sample_path(0)}));
    return connections;
}

TEST_F(Top, ShowsRatesOfPaths)
{
    const std::vector<Connection> connections = {sample_connection("a", {sample_path(0), sample_path(1, "dead")})};
    measure(connections, 1, 0);
    EXPECT_THAT(frame(), Contains(AllOf(HasSubstr("eth1"), HasSubstr("     -      -"))));
    measure(connections, 2, 125'000); // 1 Mbit in a second
    measure(connections, 4, 625'000); // 2 Mbit/s
    const auto lines = frame();
    EXPECT_THAT(lines[0], AllOf(StartsWith("mptd 1.2.3: 1 connection, 1 of 2 paths up"), HasSubstr("15:58:53")));
    EXPECT_THAT(lines[3], AllOf(HasSubstr("0  eth1  198.51.100.1"), HasSubstr("2.00M      0"), HasSubstr("=#")));
    EXPECT_THAT(lines[4], AllOf(HasSubstr("1  eth2  198.51.100.2"), HasSubstr("dead"), HasSubstr("    0      0"),
                                HasSubstr("__")));
}

TEST_F(Top, FillsTheScreenAndNoMore)
{
    for (const std::size_t number : {0U, 1U, 8U, 100U}) {
        measure(many(number), 1, 0);
        for (const std::size_t rows : {1U, 2U, 3U, 5U, 24U, 60U}) {
            for (const std::size_t columns : {1U, 20U, 80U, 300U}) {
                const auto lines = frame(columns, rows);
                EXPECT_THAT(lines, SizeIs(rows));
                EXPECT_THAT(lines, Each(SizeIs(testing::Le(columns))));
            }
        }
        view_.add_event(1, "an event");
    }
}

TEST_F(Top, LongNamesAreCutAtEightyColumns)
{
    Path path = sample_path(0, "address-missing");
    path.interface = "abcdefghijklmno";
    path.remote_address = "2001:db8:1234:5678:9abc:def0:1234:5678";
    measure({sample_connection(std::string(127, 'x'), {path})}, 1, 0);
    EXPECT_THAT(frame()[2], HasSubstr("x~  0 of 1 up"));
    EXPECT_THAT(frame()[3],
                AllOf(HasSubstr("abcdefghijklmno"), Not(HasSubstr("2001:db8")), HasSubstr("address missing")));
    EXPECT_THAT(frame(200)[3], HasSubstr("2001:db8:1234:5678:9abc:def0:1234:5678  address missing"));
}

TEST_F(Top, ScrollsAsFarAsThereIsSomething)
{
    measure(many(100), 1, 0); // 200 lines, 21 of them seen
    EXPECT_THAT(frame()[2], StartsWith("c100"));
    view_.press(Key::kUp, kRows);
    EXPECT_THAT(frame()[2], StartsWith("c100"));
    view_.press(Key::kDown, kRows);
    view_.press(Key::kDown, kRows);
    EXPECT_THAT(frame()[2], StartsWith("c101"));
    view_.press(Key::kPageDown, kRows);
    EXPECT_THAT(frame()[3], StartsWith("c112"));
    view_.press(Key::kEnd, kRows);
    EXPECT_THAT(frame()[21], StartsWith("c199"));
    EXPECT_THAT(frame().back(), HasSubstr("lines 180-200 of 200"));
    view_.press(Key::kUp, kRows);
    EXPECT_THAT(frame()[22], StartsWith("c199"));
    view_.press(Key::kHome, kRows);
    EXPECT_THAT(frame()[2], StartsWith("c100"));
}

TEST_F(Top, Sorts)
{
    std::vector<Connection> connections = {sample_connection("a", {sample_path(0)}),
                                           sample_connection("b", {sample_path(0, "dead"), sample_path(1, "dead")}),
                                           sample_connection("c", {sample_path(0), sample_path(1, "dead")})};
    measure(connections, 1, 0);
    Snapshot busy = sample_snapshot(connections);
    busy.monotonic = 2'000'000;
    busy.connections[2].counters["octets_in"] = 1000;
    view_.add(busy);
    const auto order = [&] {
        std::string names;
        for (const std::string &line : frame())
            if (line.find(" up ") != std::string::npos && line.find(" of ") != std::string::npos && line.size() > 20 &&
                line[1] == ' ')
                names += line[0];
        return names;
    };
    EXPECT_EQ(order(), "abc");
    view_.press(Key::kSort, kRows);
    EXPECT_EQ(order(), "cab") << "by rate";
    view_.press(Key::kSort, kRows);
    EXPECT_EQ(order(), "bca") << "worst first";
    EXPECT_THAT(frame().back(), HasSubstr("by status"));
    view_.press(Key::kSort, kRows);
    EXPECT_EQ(order(), "abc");
}

TEST_F(Top, StateChangesAreSeenAtOnce)
{
    measure({sample_connection("a", {sample_path(0)})}, 1, 0);
    view_.set_status("/org/mptd1/connection/a/path/0", "interface-down", "interface", 2'000'000);
    view_.add_event(1795363133000973, "a path 0 (eth1): \033 down");
    EXPECT_THAT(frame(), Contains(AllOf(HasSubstr("eth1"), HasSubstr("interface down"), HasSubstr("1s"))));
    EXPECT_THAT(frame(), Contains("15:58:53 a path 0 (eth1): ? down"));
}

TEST_F(Top, ADaemonThatHasEndedLeavesNothing)
{
    measure({sample_connection("a", {sample_path(0)})}, 1, 0);
    view_.clear();
    EXPECT_THAT(frame()[0], StartsWith("mptd does not run"));
    EXPECT_THAT(frame(), Not(Contains(HasSubstr("eth1"))));
    measure({sample_connection("a", {sample_path(0)})}, 9, 1000);
    EXPECT_THAT(frame(), Contains(AllOf(HasSubstr("eth1"), HasSubstr("     -      -")))) << "no rate over the gap";
}

TEST(Keys, OfAllTerminals)
{
    EXPECT_THAT(parse_keys("\033[A\033OBsq"), ElementsAre(Key::kUp, Key::kDown, Key::kSort, Key::kQuit));
    EXPECT_THAT(parse_keys("\033[5~\033[6~\033[H\033[4~"),
                ElementsAre(Key::kPageUp, Key::kPageDown, Key::kHome, Key::kEnd));
    EXPECT_THAT(parse_keys("\033[1;5Aq"), ElementsAre(Key::kQuit)) << "Ctrl-Up is another key, not 'A' and so on";
    EXPECT_THAT(parse_keys("\033[15~x\033\033["), IsEmpty());
}

} // namespace

} // namespace mpt::cli
