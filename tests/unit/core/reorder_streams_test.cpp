// SPDX-License-Identifier: GPL-3.0-or-later
// The reorder buffer where the numbers begin, begin again, jump, or are invented.
#include "tests/unit/core/reorder_fixture.hpp"

#include <algorithm>

namespace mpt::core {
namespace {

using namespace std::chrono_literals;
using Numbers = ReorderFixture::Numbers;

TEST(ReorderStreams, TheFirstPacketNeedNotBeTheFirstNumber)
{
    ReorderFixture reorder(100, 100ms, 2);
    EXPECT_EQ(reorder.offer(0, 1), Numbers{}) << "0 may come by the other path";
    EXPECT_EQ(reorder.offer(1, 0), (Numbers{0, 1}));
}

TEST(ReorderStreams, JoinsAPeerThatHasBeenRunning)
{
    ReorderFixture reorder(100, 100ms, 2);
    EXPECT_EQ(reorder.offer(0, 123456), Numbers{});
    EXPECT_EQ(reorder.offer(0, 123458), Numbers{});
    EXPECT_EQ(reorder.offer(1, 123455), Numbers{});
    EXPECT_EQ(reorder.offer(1, 123457), Numbers{});
    EXPECT_EQ(reorder.wait(100ms), numbers_from(123455, 4));
    EXPECT_EQ(reorder.offer(1, 123459), Numbers{123459});
    EXPECT_EQ(reorder.counters().lost, 0U) << "what was before is not missing";
}

TEST(ReorderStreams, JoinsAtOnceWithASinglePath)
{
    ReorderFixture reorder(100, 100ms, 1);
    EXPECT_EQ(reorder.offer(0, 123456), Numbers{123456});
}

TEST(ReorderStreams, ARestartedPeerIsRecognisedWithinAFewPacketsAndLosesNone)
{
    for (const std::uint32_t before : {100U, 5000U, 3000000000U, UINT32_MAX - 2000}) {
        SCOPED_TRACE(before);
        ReorderFixture reorder(100, 100ms, 2);
        for (std::uint32_t number = before; number != before + 1000; ++number)
            reorder.offer(number % 2, number);
        reorder.wait(1s);
        Numbers delivered;
        for (std::uint32_t number = 0; number < 8; ++number) {
            const Numbers some = reorder.offer(number % 2, number);
            delivered.insert(delivered.end(), some.begin(), some.end());
        }
        EXPECT_EQ(delivered, numbers_from(0, 8));
        EXPECT_EQ(reorder.offer(0, 8), Numbers{8});
    }
}

TEST(ReorderStreams, ARestartWithoutAnyPauseIsRecognisedToo)
{
    ReorderFixture reorder(100, 100ms, 2);
    for (std::uint32_t number = 0; number < 20000; ++number) {
        reorder.offer(number % 2, number);
        if (number % 2 == 1)
            reorder.wait(1ms);
    }
    Numbers delivered;
    for (std::uint32_t number = 0; number < 100; ++number) {
        const Numbers some = reorder.offer(number % 2, number);
        reorder.wait(1us);
        delivered.insert(delivered.end(), some.begin(), some.end());
        if (number == 15) {
            EXPECT_EQ(delivered, numbers_from(0, 16));
        }
    }
    EXPECT_EQ(delivered, numbers_from(0, 100));
    EXPECT_EQ(reorder.counters().restarts, 1U);
}

TEST(ReorderStreams, ARestartOnOnePathWhileTheOtherWasBusyIsRecognised)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    Numbers delivered;
    for (std::uint32_t number = 0; number < 200; ++number) { // path 1 stays silent
        const Numbers some = reorder.offer(0, number);
        delivered.insert(delivered.end(), some.begin(), some.end());
        reorder.wait(1ms);
    }
    EXPECT_EQ(delivered, numbers_from(0, 200));
}

TEST(ReorderStreams, ARestartWithFewPacketsIsRecognised)
{
    ReorderFixture reorder(100, 100ms, 1);
    reorder.offer_all(0, numbers_from(0, 5000));
    reorder.wait(5s);
    Numbers delivered;
    for (const base::Duration pace : {1000ms, 1500ms}) { // the second time the first one has waited for too long
        for (std::uint32_t number = 0; number < 4; ++number) {
            const Numbers some = reorder.offer(0, number);
            delivered.insert(delivered.end(), some.begin(), some.end());
            const Numbers due = reorder.wait(pace);
            delivered.insert(delivered.end(), due.begin(), due.end());
        }
        reorder.wait(5s);
    }
    EXPECT_EQ(delivered, (Numbers{0, 1, 2, 3, 1, 2, 3}));
}

TEST(ReorderStreams, ARestartWithItsFirstPacketsLostIsRecognised)
{
    ReorderFixture reorder(100, 100ms, 1);
    reorder.offer_all(0, numbers_from(0, 5000));
    reorder.wait(1s);
    const Numbers delivered = reorder.offer_all(0, {3, 4, 6, 7, 8, 9, 10});
    EXPECT_EQ(delivered, (Numbers{3, 4, 6, 7, 8, 9, 10}));
    EXPECT_EQ(reorder.counters().restarts, 1U);
    EXPECT_EQ(reorder.counters().lost, 4U);
}

TEST(ReorderStreams, WhatWasOnItsWayBeforeARestartIsLate)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    reorder.wait(200ms);
    EXPECT_EQ(reorder.offer_all(0, numbers_from(0, 10)), numbers_from(0, 10));
    reorder.wait(150ms);
    EXPECT_EQ(reorder.offer_all(1, numbers_from(n, 10)), Numbers{}) << "by a path slower by that";
    EXPECT_EQ(reorder.wait(150ms), Numbers{});
    EXPECT_EQ(reorder.counters().late, 10U);
    EXPECT_EQ(reorder.offer(0, 10), Numbers{10});
    EXPECT_EQ(reorder.offer(1, 11), Numbers{11});
}

TEST(ReorderStreams, AnOldPacketIsNoRestart)
{
    ReorderFixture reorder(100, 100ms, 2);
    reorder.offer_all(0, numbers_from(0, 50000));
    const std::vector<Numbers> stray{{0},     {1, 2, 3}, {40000, 40001, 40002, 40003, 40004, 40005},
                                     {49990}, {20000},   {2, 17, 33, 48}};
    for (const Numbers &old : stray) {
        reorder.wait(11s);
        EXPECT_EQ(reorder.offer_all(1, old), Numbers{});
    }
    for (std::uint32_t number = 50000; number < 50100; ++number) { // old ones between the others
        EXPECT_EQ(reorder.offer(0, number), Numbers{number});
        EXPECT_EQ(reorder.offer(1, number - 50000), Numbers{});
    }
    EXPECT_EQ(reorder.counters().restarts, 0U);
    EXPECT_EQ(reorder.counters().lost, 0U);
    reorder.wait(60s);
    EXPECT_EQ(reorder.counters().aside_now, 0U) << "nothing is kept for ever";
    EXPECT_EQ(reorder.counters().late + reorder.counters().duplicate, 116U);
}

TEST(ReorderStreams, RepeatedPacketsOfAYoungPeerAreNoRestart)
{
    ReorderFixture reorder(100, 100ms, 1);
    reorder.offer_all(0, numbers_from(0, 30));
    reorder.wait(1ms);
    EXPECT_EQ(reorder.offer_all(0, numbers_from(0, 10)), Numbers{}) << "what fits may have arrived at the same time";
    EXPECT_EQ(reorder.offer_all(0, numbers_from(30, 10)), numbers_from(30, 10));
    for (std::uint32_t i = 0; i < 20; ++i) { // each one once more, some time later
        reorder.wait(1ms);
        EXPECT_EQ(reorder.offer(0, 10 + i), Numbers{});
        EXPECT_EQ(reorder.offer(0, 40 + i), Numbers{40 + i});
    }
    reorder.wait(1s);
    EXPECT_EQ(reorder.offer(0, 30), Numbers{});
    reorder.wait(60s);
    EXPECT_EQ(reorder.counters().restarts, 0U);
    EXPECT_EQ(reorder.counters().delivered, 60U);
}

TEST(ReorderStreams, AQueueThatEmptiesSecondsLateIsNoRestart)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    for (std::uint32_t i = 0; i < 500; ++i) { // what went by path 1 does not come
        reorder.offer(0, n + 2 * i + 1);
        reorder.wait(1ms);
    }
    reorder.wait(3s);
    for (std::uint32_t i = 0; i < 500; ++i)
        EXPECT_EQ(reorder.offer(1, n + 2 * i), Numbers{});
    EXPECT_EQ(reorder.counters().late, 500U);
    EXPECT_EQ(reorder.counters().restarts + reorder.counters().jumps, 0U);
}

TEST(ReorderStreams, APeerWhoseNumbersWentBackIsNotShutOutForGood)
{
    ReorderFixture reorder(100, 100ms, 1);
    reorder.offer_all(0, numbers_from(1000000, 1000));
    std::size_t delivered = 0;
    for (std::uint32_t i = 0; i < 400; ++i) {
        delivered += reorder.offer(0, 500000 + i).size();
        reorder.wait(10ms);
    }
    EXPECT_GT(delivered, 150U);
}

// ---- jumps and floods

TEST(ReorderStreams, AJumpAheadIsBelievedAfterAFewPackets)
{
    ReorderFixture reorder(100, 100ms, 1);
    reorder.offer_all(0, numbers_from(0, 1000));
    EXPECT_EQ(reorder.offer_all(0, numbers_from(500000, 5)), numbers_from(500000, 5));
    EXPECT_EQ(reorder.counters().jumps, 1U);
    EXPECT_EQ(reorder.counters().lost, 499000U);
}

TEST(ReorderStreams, WhatAnAgreedJumpPassedOverIsLate)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    reorder.wait(1s);
    reorder.offer_all(0, numbers_from(n + 100000, 5));
    reorder.offer_all(1, numbers_from(n + 100005, 5)); // the other path says so too
    reorder.wait(3s);
    EXPECT_EQ(reorder.counters().jumps, 1U);
    EXPECT_EQ(reorder.offer_all(1, numbers_from(n + 50000, 20)), Numbers{});
    EXPECT_EQ(reorder.offer(0, n + 100010).size(), 1U);
}

TEST(ReorderStreams, ALonePacketAheadIsBelievedAfterMaxDelay)
{
    ReorderFixture reorder(100, 100ms, 2);
    reorder.offer_all(0, numbers_from(0, 1000));
    reorder.wait(1s);
    EXPECT_EQ(reorder.offer(0, 500000), Numbers{});
    EXPECT_EQ(reorder.wait(100ms), Numbers{500000});
}

TEST(ReorderStreams, ALonePacketAheadIsNotBelievedAgainstTheOthers)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    EXPECT_EQ(reorder.offer(0, n + 500000), Numbers{});
    for (int i = 0; i < 1000; ++i) {
        EXPECT_EQ(reorder.offer(1, n), Numbers{n});
        EXPECT_EQ(reorder.wait(1ms), Numbers{});
        ++n;
    }
    EXPECT_EQ(reorder.counters().far, 1U);
    EXPECT_EQ(reorder.counters().lost, 0U);
}

// What path 1 delivers, in order, while path 0 sends what an adversary chose between each two packets, and afterwards.
void flood(const std::vector<std::uint32_t> &chosen, std::size_t between, std::uint16_t window = 1000)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n, window);
    std::size_t next = 0;
    std::size_t honest = 0;
    for (std::uint32_t i = 0; i < 1000; ++i) {
        for (std::size_t k = 0; k < between; ++k) {
            reorder.offer(0, n + i + chosen[next]);
            next = (next + 1) % chosen.size();
        }
        const Numbers delivered = reorder.offer(1, n + i);
        honest += std::count(delivered.begin(), delivered.end(), n + i) != 0 ? 1 : 0;
        reorder.wait(1ms);
        ASSERT_LT(reorder.counters().held_now, window);
        ASSERT_LE(reorder.counters().aside_now, 1000U);
    }
    EXPECT_GE(honest, 990U) << "the other path is served all the time";
    EXPECT_EQ(reorder.counters().restarts, 0U);
    honest = 0;
    for (std::uint32_t i = 1000; i < 1100; ++i) {
        const Numbers delivered = reorder.offer(1, n + i);
        honest += delivered.size();
        reorder.wait(1ms);
    }
    EXPECT_GE(honest, 99U);
}

std::vector<std::uint32_t> noise(std::size_t count)
{
    std::vector<std::uint32_t> numbers(count);
    std::uint32_t state = 12345;
    for (std::uint32_t &number : numbers) {
        state = state * 1664525 + 1013904223;
        number = state;
    }
    return numbers;
}

TEST(ReorderStreams, FloodOfRandomNumbers)
{
    flood(noise(5000), 10);
}

TEST(ReorderStreams, FloodOfConsecutiveNumbersFarAhead)
{
    flood(numbers_from(2000000, 20000), 10);
}

TEST(ReorderStreams, FloodOfNumbersJustBeyondTheWindow)
{
    flood(numbers_from(1000, 3000), 1);
    flood(numbers_from(1100, 20000, 7), 10);
    flood({40}, 1, 32); // so near that no confirmation is asked for
}

TEST(ReorderStreams, FloodOfEqualNumbers)
{
    flood({1000000}, 10);
}

TEST(ReorderStreams, FloodOfDescendingNumbers)
{
    flood(numbers_from(4000000, 20000, static_cast<std::uint32_t>(-3)), 10);
}

TEST(ReorderStreams, FloodOfNumbersFarBehind)
{
    flood(numbers_from(static_cast<std::uint32_t>(-100000), 20000, static_cast<std::uint32_t>(-1)), 10);
}

// A flood while the honest path is silent; how many of its packets are delivered when it goes on after that.
std::size_t delivered_after(const Numbers &flood, base::Duration pace, std::size_t honest_path, base::Duration skipped)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    for (const std::uint32_t number : flood) {
        reorder.offer(0, n + number);
        reorder.wait(pace);
    }
    std::uint32_t next = n;
    for (const base::Instant end = reorder.now + skipped; reorder.now < end; reorder.wait(1ms))
        reorder.offer(honest_path, next++);
    Numbers honest;
    const std::uint32_t first = next;
    for (; next < first + 200; reorder.wait(1ms)) {
        const Numbers delivered = reorder.offer(honest_path, next++);
        honest.insert(honest.end(), delivered.begin(), delivered.end());
    }
    return static_cast<std::size_t>(
        std::count_if(honest.begin(), honest.end(), [first](std::uint32_t h) { return h - first < 200; }));
}

const std::vector<Numbers> &floods()
{
    static const std::vector<Numbers> kinds{
        noise(3000),
        numbers_from(5000, 3000),
        numbers_from(5000, 500, 5000),
        numbers_from(1 << 29, 3000, static_cast<std::uint32_t>(-1)),
        Numbers(3000, 777777),
    };
    return kinds;
}

TEST(ReorderStreams, GoesOnAtOnceAfterABurstOfInventedNumbers)
{
    for (std::size_t kind = 0; kind < floods().size(); ++kind) {
        SCOPED_TRACE(kind);
        EXPECT_GE(delivered_after(floods()[kind], 0ms, 1, 0ms), 195U);
    }
}

TEST(ReorderStreams, GoesOnAfterALongFloodThatNothingContradicted)
{
    for (std::size_t kind = 0; kind < floods().size(); ++kind) {
        SCOPED_TRACE(kind);
        // By the path of the flood at once; by another path what was passed over might still be on its way.
        EXPECT_GE(delivered_after(floods()[kind], 1ms, 0, 0ms), 175U);
        EXPECT_GE(delivered_after(floods()[kind], 1ms, 1, 2100ms), 195U);
    }
}

TEST(ReorderStreams, OvertakingIsNotTakenForAJumpThatWasNone)
{
    ReorderFixture reorder(10, 100ms, 1);
    reorder.offer_all(0, numbers_from(0, 1000));
    EXPECT_EQ(reorder.offer_all(0, numbers_from(1200, 10)), numbers_from(1200, 10));
    reorder.wait(5ms);
    EXPECT_EQ(reorder.offer_all(0, numbers_from(1100, 16)), Numbers{}) << "overtaken by a hundred";
    reorder.wait(5ms);
    EXPECT_EQ(reorder.offer(0, 1210), Numbers{1210});
}

TEST(ReorderStreams, LongAfterAJumpWhatWasPassedOverIsBelievedAtOnce)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    reorder.wait(1s);
    reorder.offer_all(0, numbers_from(n + 500000, 20));
    reorder.wait(1s);
    ASSERT_EQ(reorder.counters().jumps, 1U);
    EXPECT_EQ(reorder.offer_all(1, numbers_from(n, 20)), Numbers{}) << "it may have been on its way";
    reorder.wait(2s);
    EXPECT_EQ(reorder.offer_all(1, numbers_from(n + 20, 20)).back(), n + 39);
}

TEST(ReorderStreams, MemoryAndWorkAreBoundedWhateverComes)
{
    const std::vector<std::uint32_t> chosen = noise(300000);
    ReorderFixture reorder(64, 10ms, 3);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
        // Random numbers, and from time to time some that lie near each other.
        const std::uint32_t number = i % 7 < 4 ? chosen[i / 1000] + chosen[i] % 300 : chosen[i];
        reorder.offer(chosen[i] % 3, number);
        ASSERT_LT(reorder.counters().held_now, 64U);
        ASSERT_LE(reorder.counters().aside_now, 3 * 21U);
        if (i % 11 == 0)
            reorder.wait(1ms);
    }
    reorder.wait(60s);
    const ReorderCounters &counters = reorder.counters();
    EXPECT_EQ(counters.held_now + counters.aside_now, 0U);
    EXPECT_EQ(counters.delivered + counters.late + counters.duplicate + counters.far + counters.too_large,
              chosen.size());
}

} // namespace
} // namespace mpt::core
