// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/status_teller.hpp"

#include "tests/unit/core/clock.hpp"

#include <gtest/gtest.h>
#include <vector>

namespace mpt::core {
namespace {

using namespace std::chrono_literals;
using testing::kStart;
using Report = StatusTeller::Report;

TEST(StatusTeller, TellsOneAfterTheOther)
{
    StatusTeller teller;
    EXPECT_FALSE(teller.start(kStart));
    teller.tell(kStart, 3, false);
    teller.tell(kStart + 1ms, 1, true);
    EXPECT_EQ(teller.deadline(), kStart);
    EXPECT_EQ(teller.start(kStart + 1ms), (Report{3, false}));
    EXPECT_FALSE(teller.start(kStart + 1ms)) << "one at a time";
    EXPECT_FALSE(teller.deadline());
    teller.on_answer();
    EXPECT_EQ(teller.start(kStart + 1ms), (Report{1, true}));
    teller.on_answer();
    EXPECT_FALSE(teller.start(kStart + 1h));
    EXPECT_FALSE(teller.deadline());
}

TEST(StatusTeller, FailuresAreTriedAgainEverLater)
{
    StatusTeller teller;
    teller.tell(kStart, 0, false);
    std::vector<base::Duration> waits;
    base::Instant now = kStart;
    for (unsigned n = 0; n < 8; ++n) {
        ASSERT_TRUE(teller.start(now));
        teller.on_failure(now);
        waits.push_back(*teller.deadline() - now);
        EXPECT_FALSE(teller.start(*teller.deadline() - 1ns));
        now = *teller.deadline();
    }
    EXPECT_EQ(waits, (std::vector<base::Duration>{1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s}));
    teller.hurry(now - 1s);
    EXPECT_EQ(teller.start(now - 1s), (Report{0, false}));
}

TEST(StatusTeller, NewsReplaceWhatIsNotToldYet)
{
    StatusTeller teller;
    teller.tell(kStart, 0, false);
    teller.tell(kStart, 0, true);
    EXPECT_EQ(teller.start(kStart), (Report{0, true}));
    teller.on_answer();
    EXPECT_FALSE(teller.deadline());
}

TEST(StatusTeller, NewsDuringAnExchangeAreToldAfterIt)
{
    for (const bool is_answered : {false, true}) {
        StatusTeller teller;
        teller.tell(kStart, 0, false);
        ASSERT_TRUE(teller.start(kStart));
        teller.tell(kStart, 0, true);
        is_answered ? teller.on_answer() : teller.on_failure(kStart);
        EXPECT_EQ(teller.start(kStart), (Report{0, true})) << "and at once";
        teller.on_answer();
        EXPECT_FALSE(teller.deadline());
    }
    // There and back: the peer may have heard either.
    StatusTeller teller;
    teller.tell(kStart, 0, false);
    ASSERT_TRUE(teller.start(kStart));
    teller.tell(kStart, 0, true);
    teller.tell(kStart, 0, false);
    teller.on_answer();
    EXPECT_EQ(teller.start(kStart), (Report{0, false}));
}

TEST(StatusTeller, TheSameNewsDuringItsExchangeAreNoNews)
{
    StatusTeller teller;
    teller.tell(kStart, 0, false);
    ASSERT_TRUE(teller.start(kStart));
    teller.tell(kStart, 0, false);
    teller.on_answer();
    EXPECT_FALSE(teller.deadline());
}

TEST(StatusTeller, WhatIsOutOfDateIsNotTriedAgain)
{
    StatusTeller teller;
    teller.tell(kStart, 0, false);
    ASSERT_TRUE(teller.start(kStart));
    teller.forget(0);
    teller.on_failure(kStart);
    EXPECT_FALSE(teller.deadline());
    EXPECT_FALSE(teller.start(kStart + 1h));
}

TEST(StatusTeller, StatusAndWeightOfAPathGoTogether)
{
    StatusTeller teller;
    teller.tell(kStart, 0, false);
    teller.tell_weight(kStart, 0, 7);
    EXPECT_EQ(teller.start(kStart), (Report{0, false, 7}));
    teller.on_answer();
    EXPECT_FALSE(teller.deadline());

    teller.tell_weight(kStart, 0, 8);
    ASSERT_TRUE(teller.start(kStart));
    teller.tell_weight(kStart, 0, 9); // while the other is told
    teller.on_answer();
    EXPECT_EQ(teller.start(kStart), (Report{0, std::nullopt, 9}));
}

TEST(StatusTeller, AWeightIsStillToldWhenTheStatusIsOutOfDate)
{
    StatusTeller teller;
    teller.tell_weight(kStart, 0, 7);
    teller.tell(kStart, 0, false);
    ASSERT_TRUE(teller.start(kStart));
    teller.forget(0);
    teller.on_failure(kStart);
    EXPECT_EQ(teller.start(kStart), (Report{0, std::nullopt, 7}));
    teller.on_failure(kStart);
    EXPECT_EQ(teller.deadline(), kStart + 1s);
}

} // namespace
} // namespace mpt::core
