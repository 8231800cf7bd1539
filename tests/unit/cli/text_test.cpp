// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mpt::cli {

namespace {

using namespace std::chrono_literals;
using testing::SizeIs;

std::vector<std::string> texts(const std::vector<Line> &lines)
{
    std::vector<std::string> all;
    for (const Line &line : lines)
        all.push_back(line.to_string(false));
    return all;
}

TEST(Text, NothingButPrintableAsciiRemains)
{
    EXPECT_EQ(printable("a b~"), "a b~");
    EXPECT_EQ(printable(std::string_view("\033[2J\r\n\t\0\x7f", 9)), "?[2J?????");
    EXPECT_EQ(printable("\xc2\x9b"), "??"); // CSI of one octet, as UTF-8
}

TEST(Text, NumbersHaveThreeDigitsAndAUnit)
{
    EXPECT_EQ(short_number(0), "0");
    EXPECT_EQ(short_number(-5), "0");
    EXPECT_EQ(short_number(999), "999");
    EXPECT_EQ(short_number(999.6), "1.00k");
    EXPECT_EQ(short_number(1234), "1.23k");
    EXPECT_EQ(short_number(94'170'000), "94.2M");
    EXPECT_EQ(short_number(942'000'000), "942M");
    EXPECT_EQ(short_number(9'999'000), "10.0M");
    EXPECT_EQ(short_number(999'999'999), "1.00G");
    EXPECT_EQ(short_number(1.5e12), "1.50T");
}

TEST(Text, NumbersTakeFiveColumnsAtMost)
{
    for (double value = 0.1; value < 1e18; value *= 1.01)
        EXPECT_LE(short_number(value).size(), 5U) << value;
}

TEST(Text, AShareThatIsNotZeroIsNotShownAsZero)
{
    EXPECT_EQ(percentage(0, 0), "-");
    EXPECT_EQ(percentage(0, 5), "0%");
    EXPECT_EQ(percentage(1, 1'000'000), "<0.01%");
    EXPECT_EQ(percentage(2, 10'000), "0.02%");
    EXPECT_EQ(percentage(15, 1000), "1.5%");
    EXPECT_EQ(percentage(12, 100), "12%");
    EXPECT_EQ(percentage(7, 7), "100%");
}

TEST(Text, DurationsHaveTwoUnits)
{
    EXPECT_EQ(short_duration(-5s), "0s");
    EXPECT_EQ(short_duration(999ms), "0s");
    EXPECT_EQ(short_duration(59s), "59s");
    EXPECT_EQ(short_duration(60s), "1m00s");
    EXPECT_EQ(short_duration(3h + 5min + 59s), "3h05m");
    EXPECT_EQ(short_duration(24h), "1d00h");
    EXPECT_EQ(short_duration(99 * 24h + 23h), "99d23h");
    EXPECT_EQ(short_duration(400 * 24h), "400d");
}

TEST(Text, TimesAreOfTheTimeZone)
{
    setenv("TZ", "XXX-5:30", 1);
    tzset();
    // date -u -d @1795363133.000973: 2026-11-22 15:58:53
    EXPECT_EQ(timestamp(std::chrono::microseconds(1795363133000973)), "2026-11-22T21:28:53.000973+0530");
    EXPECT_EQ(clock_time(std::chrono::microseconds(1795363133000973)), "21:28:53");
    setenv("TZ", "UTC", 1);
    tzset();
}

TEST(Text, SparklineEndsWithTheNewest)
{
    const std::vector<double> values = {9, 0, 4, 8};
    EXPECT_EQ(sparkline(values, 8, 3, true), "▁▅█");
    EXPECT_EQ(sparkline(values, 8, 6, false), "  #_=#");
    EXPECT_EQ(sparkline(values, 0, 4, false), "____");
    EXPECT_EQ(sparkline({}, 8, 2, true), "  ");
}

TEST(Text, ALineKnowsItsColumns)
{
    Line line("ab", Style::kGood);
    line.add("\033").add_right("7", 3).add_drawing("▁▂", 2).fill(10);
    EXPECT_EQ(line.columns(), 10U);
    EXPECT_EQ(line.to_string(false), "ab?  7▁▂");
    EXPECT_EQ(line.to_string(true), "\033[32mab\033[0m?  7▁▂");
    EXPECT_EQ(line.to_string(false, 4), "ab?");
    EXPECT_EQ(line.to_string(false, 7), "ab?  7") << "half a drawing";
    EXPECT_EQ(line.to_string(false, 8), "ab?  7▁▂");
}

TEST(Text, LongTextIsBrokenAtBlanks)
{
    EXPECT_EQ(texts(wrap("aa bb  cc d", 7, 2)), (std::vector<std::string>{"  aa bb", "  cc d"}));
    EXPECT_EQ(texts(wrap("longer-than-that x", 5, 0)), (std::vector<std::string>{"longer-than-that", "x"}));
    EXPECT_THAT(wrap("", 7, 0), SizeIs(0));
}

TEST(Text, WhatIsNotKnownIsShownAsItIs)
{
    EXPECT_EQ(status_words("address-missing"), "address missing");
    EXPECT_EQ(status_words("new-word"), "new word");
    EXPECT_EQ(reason_words("keepalives-missed"), "no keepalives from the peer");
    EXPECT_EQ(reason_words("new-reason"), "new-reason");
}

} // namespace

} // namespace mpt::cli
