// SPDX-License-Identifier: GPL-3.0-or-later
// The reorder buffer that goes on where one of another process was.
#include "tests/unit/core/reorder_fixture.hpp"

namespace mpt::core {
namespace {

using namespace std::chrono_literals;
using Numbers = ReorderFixture::Numbers;
using Verdict = ReorderBuffer::Verdict;

TEST(ReorderTakeover, GoesOnWhereAnotherOneWas)
{
    for (const std::uint32_t first : {1000U, 0xffffffffU, 7U}) {
        ReorderFixture reorder(100, 10s, 2);
        EXPECT_EQ(reorder.buffer.expected(), std::nullopt);
        reorder.buffer.resume(reorder.now, first);
        EXPECT_EQ(reorder.buffer.expected(), first);
        EXPECT_EQ(reorder.offer(0, first), Numbers{first}); // it waits for nothing
        EXPECT_EQ(reorder.offer(1, first + 2), Numbers{});
        EXPECT_EQ(reorder.offer(0, first + 1), (Numbers{first + 1, first + 2}));
        EXPECT_EQ(reorder.buffer.expected(), first + 3);
        EXPECT_EQ(reorder.counters().lost, 0U);
    }
}

TEST(ReorderTakeover, WhatWasOnItsWayWhenAnotherOneEndedIsStillDeliveredOnce)
{
    ReorderFixture reorder(100, 10s, 2);
    reorder.buffer.resume(reorder.now, 1000);
    EXPECT_EQ(reorder.offer(0, 1000), Numbers{1000});
    EXPECT_EQ(reorder.offer(1, 999), Numbers{999});
    EXPECT_EQ(reorder.offer(1, 900), Numbers{900});
    EXPECT_EQ(reorder.offer(1, 999), Numbers{});
    EXPECT_EQ(reorder.offer(1, 899), Numbers{}); // that far behind nothing is waited for, either
    reorder.wait(2s);
    EXPECT_EQ(reorder.offer(1, 998), Numbers{});
    EXPECT_EQ(reorder.verdict, Verdict::kLate);
    EXPECT_EQ(reorder.offer(0, 1001), Numbers{1001});
}

TEST(ReorderTakeover, NoStragglerIsDeliveredTwiceHoweverManyPacketsCameMeanwhile)
{
    ReorderFixture reorder(100, 10s, 2);
    reorder.buffer.resume(reorder.now, 1000);
    EXPECT_EQ(reorder.offer(1, 999), Numbers{999});
    for (std::uint32_t number = 1000; number < 20000; ++number) { // more than it remembers, in no time
        ASSERT_EQ(reorder.offer(0, number), Numbers{number});
        if (number % 1000 == 0) {
            ASSERT_EQ(reorder.offer(1, 999), Numbers{}) << number;
        }
    }
}

TEST(ReorderTakeover, WhatGotLostBetweenIsGivenUp)
{
    // As many as the kernel could not keep meanwhile.
    for (const std::uint32_t missing : {1U, 50U, 5000U}) {
        ReorderFixture reorder(100, 10s, 2);
        reorder.buffer.resume(reorder.now, 1000);
        Numbers delivered;
        for (std::uint32_t i = 0; i < 40; ++i) {
            const Numbers more = reorder.offer(i % 2, 1000 + missing + i);
            delivered.insert(delivered.end(), more.begin(), more.end());
            reorder.now += 1ms;
        }
        EXPECT_EQ(delivered, numbers_from(1000 + missing, 40)) << missing;
    }
}

TEST(ReorderTakeover, APeerThatBeganAnewMeanwhileIsHeardSoon)
{
    ReorderFixture reorder(100, 100ms, 2);
    reorder.buffer.resume(reorder.now, 1000000);
    Numbers delivered;
    for (std::uint32_t i = 0; i < 20; ++i) {
        const Numbers more = reorder.offer(i % 2, i);
        delivered.insert(delivered.end(), more.begin(), more.end());
        reorder.now += 1ms;
    }
    EXPECT_EQ(delivered, numbers_from(0, 20));
    EXPECT_EQ(reorder.counters().restarts, 1U);
}

TEST(ReorderTakeover, OfNumbersThatBeganAnewAfterATakeoverNoneIsAStragglerOfIt)
{
    ReorderFixture reorder(100, 100ms, 2);
    reorder.buffer.resume(reorder.now, 1000);
    for (std::uint32_t i = 0; i < 1100; ++i) {
        if (i != 950)
            reorder.offer(i % 2, i);
        reorder.now += i < 20 ? 1ms : 0ms;
    }
    ASSERT_EQ(reorder.counters().restarts, 1U);
    EXPECT_EQ(reorder.offer(0, 950), Numbers{}); // both paths have passed it by
    EXPECT_EQ(reorder.verdict, Verdict::kLate);
}

TEST(ReorderTakeover, APeerThatBeginsAnewSoonAfterATakeoverIsHeardFromTheFirst)
{
    // There the low numbers might be some that were on their way.
    ReorderFixture reorder(1000, 100ms, 2);
    reorder.buffer.resume(reorder.now, 500);
    for (std::uint32_t i = 500; i < 600; ++i, reorder.now += 1ms)
        ASSERT_EQ(reorder.offer(i % 2, i), Numbers{i});
    Numbers delivered = reorder.wait(200ms);
    for (std::uint32_t i = 0; i < 800; ++i, reorder.now += 1ms) {
        const Numbers more = reorder.offer(i % 2, i);
        delivered.insert(delivered.end(), more.begin(), more.end());
    }
    EXPECT_EQ(delivered, numbers_from(0, 800));
    EXPECT_EQ(reorder.counters().restarts, 1U);
}

} // namespace
} // namespace mpt::core
