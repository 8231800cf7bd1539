// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/core/reorder_fixture.hpp"

namespace mpt::core {
namespace {

using namespace std::chrono_literals;
using Numbers = ReorderFixture::Numbers;
using Verdict = ReorderBuffer::Verdict;

TEST(ReorderBuffer, InOrderGoesStraightThrough)
{
    ReorderFixture reorder(100, 100ms, 2);
    for (std::uint32_t number = 0; number < 1000; ++number) {
        EXPECT_EQ(reorder.offer(number % 2, number), Numbers{number});
        EXPECT_EQ(reorder.verdict, Verdict::kDelivered);
    }
    EXPECT_EQ(reorder.counters().delivered, 1000U);
    EXPECT_EQ(reorder.counters().reordered, 0U);
    EXPECT_EQ(reorder.counters().held_max, 0U);
    EXPECT_FALSE(reorder.buffer.deadline().has_value());
}

TEST(ReorderBuffer, AMissingNumberIsWaitedForAndReleasesWhatItHeldUp)
{
    ReorderFixture reorder(100, 100ms, 2);
    reorder.offer(0, 0);
    EXPECT_EQ(reorder.offer(1, 2), Numbers{});
    EXPECT_EQ(reorder.verdict, Verdict::kHeld);
    EXPECT_EQ(reorder.offer(1, 3), Numbers{});
    EXPECT_EQ(reorder.counters().held_now, 2U);
    EXPECT_EQ(reorder.offer(0, 1), (Numbers{1, 2, 3}));
    EXPECT_EQ(reorder.counters().held_now, 0U);
    EXPECT_EQ(reorder.counters().held_max, 2U);
    EXPECT_EQ(reorder.counters().reordered, 1U);
    EXPECT_EQ(reorder.counters().lost, 0U);
}

TEST(ReorderBuffer, NothingWaitsLongerThanMaxDelay)
{
    ReorderFixture reorder(100, 100ms, 2);
    reorder.offer(0, 0);
    reorder.offer(0, 2);
    const base::Instant held = reorder.now;
    EXPECT_EQ(reorder.buffer.deadline(), held + 100ms);
    EXPECT_EQ(reorder.wait(60ms), Numbers{});
    reorder.offer(1, 5); // 3 and 4 are missing too
    EXPECT_EQ(reorder.wait(40ms - 1ns), Numbers{});
    EXPECT_EQ(reorder.wait(1ns), Numbers{2}) << "only what has waited so long";
    EXPECT_EQ(reorder.buffer.deadline(), held + 160ms);
    EXPECT_EQ(reorder.wait(60ms), Numbers{5});
    EXPECT_EQ(reorder.counters().lost, 3U);
}

TEST(ReorderBuffer, WhatIsDueTakesWhatIsBelowAndNextToItAlong)
{
    ReorderFixture reorder(100, 100ms, 2);
    reorder.offer(0, 0);
    reorder.offer(1, 5);
    reorder.wait(50ms);
    reorder.offer(0, 2);
    reorder.offer(0, 6);
    reorder.offer(0, 8);
    EXPECT_EQ(reorder.wait(50ms), (Numbers{2, 5, 6})) << "in order, with the younger 2 and 6; 8 waits on";
}

TEST(ReorderBuffer, LateAndDuplicatePacketsAreDroppedAndToldApart)
{
    ReorderFixture reorder(100, 100ms, 2);
    reorder.offer_all(0, numbers_from(0, 200));
    reorder.offer(0, 201);
    reorder.offer(0, 202);
    EXPECT_EQ(reorder.offer(1, 202), Numbers{});
    EXPECT_EQ(reorder.verdict, Verdict::kDuplicate) << "of a held one";
    EXPECT_EQ(reorder.wait(100ms), (Numbers{201, 202}));
    EXPECT_EQ(reorder.counters().lost, 1U);
    EXPECT_EQ(reorder.offer(1, 200), Numbers{});
    EXPECT_EQ(reorder.verdict, Verdict::kLate);
    EXPECT_EQ(reorder.counters().lost, 0U) << "it came after all";
    EXPECT_EQ(reorder.offer(1, 200), Numbers{});
    EXPECT_EQ(reorder.verdict, Verdict::kDuplicate) << "of a late one";
    EXPECT_EQ(reorder.offer(1, 150), Numbers{});
    EXPECT_EQ(reorder.verdict, Verdict::kDuplicate) << "of a delivered one";
    EXPECT_EQ(reorder.counters().late, 1U);
    EXPECT_EQ(reorder.counters().duplicate, 3U);
    EXPECT_EQ(reorder.offer(0, 203), Numbers{203}) << "nothing else changed";
}

TEST(ReorderBuffer, WrapsAround)
{
    ReorderFixture reorder(100, 100ms, 1);
    const std::uint32_t first = UINT32_MAX - 1000;
    EXPECT_EQ(reorder.offer_all(0, numbers_from(first, 1000)).size(), 1000U);
    EXPECT_EQ(reorder.offer_all(0, {UINT32_MAX, 1, 0, 2}), (Numbers{UINT32_MAX, 0, 1, 2}));
    EXPECT_EQ(reorder.offer_all(0, {3, 5}), (Numbers{3}));
    EXPECT_EQ(reorder.wait(100ms), Numbers{5});
    EXPECT_EQ(reorder.counters().lost, 1U);
    EXPECT_EQ(reorder.offer(0, UINT32_MAX), Numbers{});
    EXPECT_EQ(reorder.verdict, Verdict::kDuplicate);
    EXPECT_EQ(reorder.counters().restarts, 0U);
}

TEST(ReorderBuffer, AFullWindowGivesUpTheOldest)
{
    ReorderFixture reorder(10, 100ms, 1);
    reorder.offer(0, 0);
    EXPECT_EQ(reorder.offer(0, 3), Numbers{});
    EXPECT_EQ(reorder.offer(0, 11), Numbers{}) << "1 is given up so that it fits";
    EXPECT_EQ(reorder.offer(0, 1), Numbers{});
    EXPECT_EQ(reorder.verdict, Verdict::kLate);
    EXPECT_EQ(reorder.offer(0, 2), (Numbers{2, 3}));
    EXPECT_EQ(reorder.offer(0, 14), Numbers{}) << "4 is given up";
    EXPECT_EQ(reorder.offer(0, 5), Numbers{5});
    EXPECT_EQ(reorder.counters().held_now, 2U);
    EXPECT_EQ(reorder.counters().lost, 1U); // 4; 1 came late
}

TEST(ReorderBuffer, AWindowOfOneHoldsNothing)
{
    ReorderFixture reorder(1, 100ms, 1);
    EXPECT_EQ(reorder.offer_all(0, {0, 1, 3, 2, 4}), (Numbers{0, 1, 3, 4}));
    EXPECT_EQ(reorder.counters().late, 1U);
    EXPECT_EQ(reorder.counters().held_max, 0U);
}

TEST(ReorderBuffer, WhatMustWaitHasToFitACell)
{
    ReorderFixture reorder(10, 100ms, 1);
    reorder.offer(0, 0);
    EXPECT_EQ(reorder.offer_sized(0, 1, ReorderFixture::kMaxPacket + 1), Numbers{1}) << "not copied, so any size";
    EXPECT_EQ(reorder.offer_sized(0, 3, ReorderFixture::kMaxPacket), Numbers{});
    EXPECT_EQ(reorder.verdict, Verdict::kHeld);
    EXPECT_EQ(reorder.offer_sized(0, 4, ReorderFixture::kMaxPacket + 1), Numbers{});
    EXPECT_EQ(reorder.verdict, Verdict::kTooLarge);
    EXPECT_EQ(reorder.counters().too_large, 1U);
    EXPECT_EQ(reorder.offer(0, 2), (Numbers{2, 3}));
}

TEST(ReorderBuffer, StorageIsUsedAgainAfterRecycleOnly)
{
    ReorderBuffer buffer(ReorderSettings{4, 100ms, 64}, 1);
    std::vector<base::ConstOctets> out;
    const base::Instant now{1s};
    std::uint32_t number = 0;
    std::vector<std::uint32_t> expected;
    const auto offer = [&](std::uint32_t n) { buffer.offer(now, 0, n, std::as_bytes(std::span(&n, 1)), out); };
    while (!buffer.needs_recycle() && number < 1000) { // 1 0 3 2 5 4 ...: each odd one is copied
        offer(number + 1);
        if (!buffer.needs_recycle())
            offer(number);
        number += 2;
    }
    ASSERT_LT(number, 1000U) << "it has no endless storage";
    for (const base::ConstOctets packet : out)
        if (std::uint32_t n = 0; std::memcpy(&n, packet.data(), 4), n % 2 == 1)
            expected.push_back(n);
    for (std::size_t i = 0; i < expected.size(); ++i)
        EXPECT_EQ(expected[i], 2 * i + 1) << "overwritten before it was recycled";
    buffer.recycle();
    EXPECT_FALSE(buffer.needs_recycle());
}

TEST(ReorderBuffer, PacketsWithoutANumberAreOnlyCounted)
{
    ReorderFixture reorder(10, 100ms, 1);
    reorder.buffer.pass_through();
    EXPECT_EQ(reorder.counters().unnumbered, 1U);
    EXPECT_EQ(reorder.counters().delivered, 0U);
}

// ---- giving up early

// Two paths that have been delivering in turn for a while, a packet a millisecond each, and nothing is missing.
ReorderFixture two_busy_paths(std::uint32_t &next, std::size_t rounds = 3000)
{
    ReorderFixture reorder(1000, 100ms, 2);
    next = 0;
    for (std::size_t i = 0; i < rounds; ++i) {
        reorder.offer(0, next++);
        reorder.offer(1, next++);
        reorder.wait(1ms);
    }
    return reorder;
}

TEST(ReorderBuffer, ANumberIsLostWhenEveryPathHasDeliveredThreeHigherOnes)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    // n is lost. Path 0: n+1, n+3, n+5; path 1: n+2, n+4, n+6.
    EXPECT_EQ(reorder.offer(0, n + 1), Numbers{});
    EXPECT_EQ(reorder.offer(1, n + 2), Numbers{});
    EXPECT_EQ(reorder.offer(0, n + 3), Numbers{});
    EXPECT_EQ(reorder.offer(1, n + 4), Numbers{});
    EXPECT_EQ(reorder.offer(0, n + 5), Numbers{}) << "path 1 has delivered two only";
    EXPECT_EQ(reorder.offer(1, n + 6), numbers_from(n + 1, 6));
    EXPECT_EQ(reorder.counters().lost, 1U);
}

TEST(ReorderBuffer, ASlowerPathIsWaitedFor)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    // From now on path 1 is 3 ms later than path 0.
    for (std::uint32_t i = 0; i < 3; ++i) {
        EXPECT_EQ(reorder.offer(0, n + 2 * i), i == 0 ? Numbers{n} : Numbers{});
        reorder.wait(1ms);
    }
    for (std::uint32_t i = 3; i < 500; ++i) {
        reorder.offer(0, n + 2 * i);
        EXPECT_EQ(reorder.offer(1, n + 2 * (i - 3) + 1), numbers_from(n + 2 * (i - 3) + 1, 2));
        reorder.wait(1ms);
    }
    EXPECT_EQ(reorder.counters().lost, 0U);
    EXPECT_EQ(reorder.counters().late, 0U);
}

TEST(ReorderBuffer, AnIdlePathDoesNotCount)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    for (int i = 0; i < 50; ++i) { // path 1 falls silent, path 0 goes on
        reorder.offer(0, n++);
        reorder.wait(1ms);
    }
    EXPECT_EQ(reorder.offer_all(0, {n + 1, n + 2, n + 3}), numbers_from(n + 1, 3));
    EXPECT_EQ(reorder.counters().lost, 1U);
}

TEST(ReorderBuffer, APathThatFallsSilentHoldsUpForAFewOfItsGapsOnly)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    // Path 1 is cut: every second number is lost.
    base::Duration silent{0};
    Numbers delivered;
    for (std::uint32_t i = 0; delivered.empty() && i < 100; ++i) {
        delivered = reorder.offer(0, n + 1 + 2 * i);
        const Numbers due = reorder.wait(1ms);
        delivered.insert(delivered.end(), due.begin(), due.end());
        silent += 1ms;
    }
    EXPECT_LT(silent, 50ms) << "max_delay is 100 ms";
    EXPECT_GE(silent, 3ms);
}

TEST(ReorderBuffer, APauseOfAllTrafficMakesNoPathIdle)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    reorder.wait(10s);
    // The first packets after the pause: path 0 is faster and delivers some before path 1 does.
    EXPECT_EQ(reorder.offer_all(0, {n + 1, n + 3, n + 5, n + 7}), Numbers{});
    EXPECT_EQ(reorder.offer_all(1, {n, n + 2, n + 4, n + 6}), numbers_from(n, 8));
    EXPECT_EQ(reorder.counters().late, 0U);
}

TEST(ReorderBuffer, AForgottenPathDoesNotCount)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    reorder.buffer.forget_path(1);
    EXPECT_EQ(reorder.offer_all(0, {n + 1, n + 2, n + 3}), numbers_from(n + 1, 3));
}

TEST(ReorderBuffer, AnExpectedPathCountsBeforeItDelivers)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    for (int i = 0; i < 300; ++i) {
        reorder.offer(0, n++);
        reorder.wait(1ms);
    }
    reorder.buffer.expect_path(reorder.now, 1);
    EXPECT_EQ(reorder.offer_all(0, {n + 1, n + 3, n + 5, n + 7}), Numbers{});
    reorder.wait(20ms);
    EXPECT_EQ(reorder.offer(1, n), (Numbers{n, n + 1}));
}

TEST(ReorderBuffer, APathThatReordersWithinItselfIsWaitedForLonger)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    reorder.buffer.forget_path(1);
    // Every tenth packet of path 0 comes five places late.
    std::uint64_t late = 0;
    for (int round = 0; round < 200; ++round) {
        reorder.offer_all(0, {n + 1, n + 2, n + 3, n + 4, n + 5, n, n + 6, n + 7, n + 8, n + 9});
        n += 10;
        if (round == 20)
            late = reorder.counters().late;
    }
    EXPECT_GT(late, 0U) << "three higher ones are thought enough at first";
    EXPECT_LE(late, 2U);
    EXPECT_EQ(reorder.counters().late, late);
    // It forgets again, slowly.
    reorder.offer_all(0, numbers_from(n, 3000));
    n += 3000;
    EXPECT_EQ(reorder.offer_all(0, {n + 1, n + 2, n + 3}), numbers_from(n + 1, 3));
}

// ---- the first packets, restarts

TEST(ReorderBuffer, TheFirstPacketNeedNotBeTheFirstNumber)
{
    ReorderFixture reorder(100, 100ms, 2);
    EXPECT_EQ(reorder.offer(0, 1), Numbers{}) << "0 may come by the other path";
    EXPECT_EQ(reorder.offer(1, 0), (Numbers{0, 1}));
}

TEST(ReorderBuffer, JoinsAPeerThatHasBeenRunning)
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

TEST(ReorderBuffer, JoinsAtOnceWithASinglePath)
{
    ReorderFixture reorder(100, 100ms, 1);
    EXPECT_EQ(reorder.offer(0, 123456), Numbers{123456});
}

TEST(ReorderBuffer, ARestartedPeerIsRecognisedWithinAFewPacketsAndLosesNone)
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

TEST(ReorderBuffer, ARestartWithoutAnyPauseIsRecognisedToo)
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
        delivered.insert(delivered.end(), some.begin(), some.end());
        if (number == 15) {
            EXPECT_EQ(delivered, numbers_from(0, 16));
        }
    }
    EXPECT_EQ(delivered, numbers_from(0, 100));
    EXPECT_EQ(reorder.counters().restarts, 1U);
}

TEST(ReorderBuffer, ARestartOnOnePathWhileTheOtherWasBusyIsRecognised)
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

TEST(ReorderBuffer, ARestartWithItsFirstPacketsLostIsRecognised)
{
    ReorderFixture reorder(100, 100ms, 1);
    reorder.offer_all(0, numbers_from(0, 5000));
    const Numbers delivered = reorder.offer_all(0, {3, 4, 6, 7, 8, 9, 10});
    EXPECT_EQ(delivered, (Numbers{3, 4, 6, 7, 8, 9, 10}));
    EXPECT_EQ(reorder.counters().restarts, 1U);
    EXPECT_EQ(reorder.counters().lost, 4U);
}

TEST(ReorderBuffer, AnOldPacketIsNoRestart)
{
    ReorderFixture reorder(100, 100ms, 2);
    reorder.offer_all(0, numbers_from(0, 50000));
    const std::vector<Numbers> stray{{0}, {1, 2, 3}, {40000, 40001, 40002, 40003, 40004, 40005}, {49990}, {20000}};
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
    EXPECT_EQ(reorder.counters().late + reorder.counters().duplicate, 112U);
}

TEST(ReorderBuffer, AQueueThatEmptiesSecondsLateIsNoRestart)
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

TEST(ReorderBuffer, APeerWhoseNumbersWentBackIsNotShutOutForGood)
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

TEST(ReorderBuffer, AJumpAheadIsBelievedAfterAFewPackets)
{
    ReorderFixture reorder(100, 100ms, 1);
    reorder.offer_all(0, numbers_from(0, 1000));
    EXPECT_EQ(reorder.offer_all(0, numbers_from(500000, 5)), numbers_from(500000, 5));
    EXPECT_EQ(reorder.counters().jumps, 1U);
    EXPECT_EQ(reorder.counters().lost, 499000U);
}

TEST(ReorderBuffer, ALonePacketAheadIsBelievedAfterMaxDelay)
{
    ReorderFixture reorder(100, 100ms, 2);
    reorder.offer_all(0, numbers_from(0, 1000));
    reorder.wait(1s);
    EXPECT_EQ(reorder.offer(0, 500000), Numbers{});
    EXPECT_EQ(reorder.wait(100ms), Numbers{500000});
}

TEST(ReorderBuffer, ALonePacketAheadIsNotBelievedAgainstTheOthers)
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
void flood(const std::vector<std::uint32_t> &chosen, std::size_t between)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    std::size_t next = 0;
    std::size_t honest = 0;
    for (std::uint32_t i = 0; i < 1000; ++i) {
        for (std::size_t k = 0; k < between; ++k) {
            reorder.offer(0, n + i + chosen[next]);
            next = (next + 1) % chosen.size();
        }
        const Numbers delivered = reorder.offer(1, n + i);
        honest += std::count(delivered.begin(), delivered.end(), n + i);
        reorder.wait(1ms);
        ASSERT_LE(reorder.counters().held_now, 1000U);
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

TEST(ReorderBuffer, FloodOfRandomNumbers)
{
    flood(noise(5000), 10);
}

TEST(ReorderBuffer, FloodOfConsecutiveNumbersFarAhead)
{
    flood(numbers_from(2000000, 20000), 10);
}

TEST(ReorderBuffer, FloodOfNumbersJustBeyondTheWindow)
{
    flood(numbers_from(1000, 3000), 1);
    flood(numbers_from(1100, 20000, 7), 10);
}

TEST(ReorderBuffer, FloodOfEqualNumbers)
{
    flood({1000000}, 10);
}

TEST(ReorderBuffer, FloodOfDescendingNumbers)
{
    flood(numbers_from(4000000, 20000, static_cast<std::uint32_t>(-3)), 10);
}

TEST(ReorderBuffer, FloodOfNumbersFarBehind)
{
    flood(numbers_from(static_cast<std::uint32_t>(-100000), 20000, static_cast<std::uint32_t>(-1)), 10);
}

// A flood while the honest path is silent: it goes on as soon as the flood has ended.
void flood_alone(const std::vector<std::uint32_t> &chosen, base::Duration pace)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    for (const std::uint32_t number : chosen) {
        reorder.offer(0, n + number);
        reorder.wait(pace);
    }
    Numbers honest;
    for (std::uint32_t i = 0; i < 200; ++i) {
        const Numbers delivered = reorder.offer(1, n + i);
        honest.insert(honest.end(), delivered.begin(), delivered.end());
        reorder.wait(1ms);
    }
    const auto count = std::count_if(honest.begin(), honest.end(), [n](std::uint32_t h) { return h - n < 200; });
    EXPECT_GE(count, 190);
}

TEST(ReorderBuffer, GoesOnAfterAFloodThatNothingContradicted)
{
    flood_alone(noise(10000), 0ms);
    flood_alone(noise(1000), 1ms);
    flood_alone(numbers_from(5000, 10000), 0ms);
    flood_alone(numbers_from(5000, 3000), 1ms);
    flood_alone(numbers_from(5000, 500, 5000), 1ms);
    flood_alone(numbers_from(1 << 29, 10000, static_cast<std::uint32_t>(-1)), 0ms);
    flood_alone(Numbers(10000, 777777), 0ms);
    flood_alone(Numbers(1000, 777777), 1ms);
}

TEST(ReorderBuffer, MemoryAndWorkAreBoundedWhateverComes)
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

// ---- without a window

TEST(ReorderBuffer, WindowZeroNeverWaitsAndCounts)
{
    ReorderFixture reorder(0, 100ms, 2);
    EXPECT_EQ(reorder.offer_all(0, {0, 1, 3, 2, 3, 6}), (Numbers{0, 1, 3, 2, 3, 6}));
    EXPECT_FALSE(reorder.buffer.deadline().has_value());
    EXPECT_FALSE(reorder.buffer.needs_recycle());
    EXPECT_EQ(reorder.counters().delivered, 6U);
    EXPECT_EQ(reorder.counters().late, 1U);
    EXPECT_EQ(reorder.counters().reordered, 1U);
    EXPECT_EQ(reorder.counters().duplicate, 1U);
    EXPECT_EQ(reorder.counters().lost, 2U);
}

TEST(ReorderBuffer, WindowZeroFollowsARestart)
{
    ReorderFixture reorder(0, 100ms, 1);
    reorder.offer_all(0, numbers_from(100000, 1000));
    EXPECT_EQ(reorder.offer_all(0, numbers_from(0, 1000)).size(), 1000U);
    EXPECT_EQ(reorder.counters().restarts, 1U);
    EXPECT_EQ(reorder.counters().lost, 0U);
    reorder.offer(0, 1001);
    EXPECT_EQ(reorder.counters().lost, 1U);
}

// ---- new settings

TEST(ReorderBuffer, ANewWindowReleasesInOrderAndGoesOn)
{
    ReorderFixture reorder(100, 100ms, 2);
    reorder.offer_all(0, {0, 1, 5, 3});
    std::vector<base::ConstOctets> out;
    reorder.buffer.reconfigure(reorder.now, ReorderSettings{50, 20ms, ReorderFixture::kMaxPacket}, 3, out);
    ASSERT_EQ(out.size(), 2U);
    EXPECT_EQ(std::to_integer<int>(out[0][0]), 3);
    EXPECT_EQ(std::to_integer<int>(out[1][0]), 5);
    reorder.buffer.recycle();
    EXPECT_EQ(reorder.offer(2, 6), Numbers{6});
    EXPECT_EQ(reorder.offer(2, 8), Numbers{});
    EXPECT_EQ(reorder.wait(20ms), Numbers{8});
    reorder.buffer.reconfigure(reorder.now, ReorderSettings{0, 20ms, ReorderFixture::kMaxPacket}, 3, out);
    EXPECT_EQ(reorder.offer(2, 10), Numbers{10});
    reorder.buffer.reconfigure(reorder.now, ReorderSettings{50, 20ms, ReorderFixture::kMaxPacket}, 3, out);
    EXPECT_EQ(reorder.offer(2, 11), Numbers{11});
}

TEST(ReorderBuffer, ANewDelayLeavesWhatIsHeld)
{
    ReorderFixture reorder(100, 100ms, 2);
    reorder.offer_all(0, {0, 2});
    std::vector<base::ConstOctets> out;
    reorder.buffer.reconfigure(reorder.now, ReorderSettings{100, 20ms, ReorderFixture::kMaxPacket}, 2, out);
    EXPECT_TRUE(out.empty());
    EXPECT_EQ(reorder.wait(20ms), Numbers{2});
}

} // namespace
} // namespace mpt::core
