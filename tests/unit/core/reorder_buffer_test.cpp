// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/core/reorder_fixture.hpp"

#include <algorithm>
#include <fstream>
#include <unistd.h>

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

// AddressSanitizer keeps books on all memory, in memory. (g++ defines the first, clang++ knows the second.)
#ifdef __SANITIZE_ADDRESS__
#define MPTD_COUNTED_MEMORY
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MPTD_COUNTED_MEMORY
#endif
#endif

#ifndef MPTD_COUNTED_MEMORY
// Octets of this process that are in memory (proc(5), statm).
std::size_t resident()
{
    std::size_t size = 0;
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> size >> pages;
    return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

TEST(ReorderBuffer, TakesNoMemoryForWhatItDoesNotHold)
{
    const std::size_t before = resident();
    std::vector<std::unique_ptr<ReorderBuffer>> buffers;
    for (int i = 0; i < 200; ++i)
        buffers.push_back(std::make_unique<ReorderBuffer>(ReorderSettings{10000, 100ms, 1600}, 2));
    EXPECT_LT(resident() - before, buffers.size() * 64 * 1024);
}
#endif

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

TEST(ReorderBuffer, WhatAPathWouldHaveBroughtIsNotWaitedForOnceThePeerSaysSo)
{
    ReorderFixture reorder(100, 100ms, 2);
    reorder.offer_all(0, {0, 2});
    reorder.offer_all(1, {1, 3});
    EXPECT_EQ(reorder.offer(0, 5), Numbers{});
    EXPECT_EQ(reorder.reached(0, 5), Numbers{}) << "the other path may bring 4";
    EXPECT_EQ(reorder.reached(1, 3), Numbers{}) << "it still may";
    EXPECT_EQ(reorder.reached(1, 5), Numbers{5});
    EXPECT_EQ(reorder.counters().lost, 1U);
    EXPECT_EQ(reorder.counters().held_now, 0U);

    EXPECT_EQ(reorder.offer(1, 7), Numbers{});
    EXPECT_EQ(reorder.offer(0, 6), (Numbers{6, 7})) << "what the peer said before has nothing to do with it";
    EXPECT_EQ(reorder.counters().lost, 1U);
}

TEST(ReorderBuffer, WhatThePeerSaysIsNotBelievedBeyondWhatHasCome)
{
    ReorderFixture reorder(100, 100ms, 1);
    reorder.offer(0, 0);
    EXPECT_EQ(reorder.reached(0, 90), Numbers{});
    EXPECT_EQ(reorder.offer(0, 1), Numbers{1});
    EXPECT_EQ(reorder.offer(0, 3), Numbers{});
    EXPECT_EQ(reorder.reached(0, UINT32_MAX), Numbers{}) << "far behind";
    EXPECT_EQ(reorder.reached(0, 90), Numbers{3}) << "nothing that came up to here is missing any more";
    EXPECT_EQ(reorder.offer(0, 4), Numbers{4}) << "what has not been sent yet is not given up";
    EXPECT_EQ(reorder.counters().lost, 1U); // 2
}

TEST(ReorderBuffer, APathThatReordersSaysNothingWithItsKeepalives)
{
    ReorderFixture reorder(100, 100ms, 1);
    reorder.offer(0, 0);
    for (std::uint32_t first = 1; first < 101; first += 10)
        for (std::uint32_t i = 10; i-- > 0;) // each ten backwards
            reorder.offer(0, first + i);
    ASSERT_EQ(reorder.counters().held_now, 0U);
    EXPECT_EQ(reorder.offer(0, 102), Numbers{});
    EXPECT_EQ(reorder.reached(0, 102), Numbers{}) << "the keepalive may have overtaken 101";
    EXPECT_EQ(reorder.offer(0, 101), (Numbers{101, 102}));
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
    std::vector<std::uint32_t> packets(1002); // they must stay until they are written
    std::iota(packets.begin(), packets.end(), 0U);
    const auto offer = [&](std::uint32_t n) { buffer.offer(now, 0, n, std::as_bytes(std::span(&packets[n], 1)), out); };
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

TEST(ReorderBuffer, ASlowerPathIsWaitedForAfterAPauseToo)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    const std::uint32_t lag = 30; // packets of each path, one a millisecond
    const auto run = [&](std::uint32_t first, std::uint32_t count) {
        for (std::uint32_t i = 0; i < count + lag; ++i) {
            if (i < count)
                reorder.offer(0, first + 2 * i);
            if (i >= lag)
                reorder.offer(1, first + 2 * (i - lag) + 1);
            reorder.wait(1ms);
        }
    };
    run(n, 3000);
    const std::uint64_t late = reorder.counters().late; // when its delay grew at once
    reorder.wait(5s);
    run(n + 6000, 100);
    EXPECT_EQ(reorder.counters().late, late);
    EXPECT_EQ(reorder.counters().lost, 0U);
}

TEST(ReorderBuffer, APathThatDeliversRarelyDoesNotKeepTheWindowShut)
{
    ReorderFixture reorder(50, 100ms, 2);
    std::uint32_t number = 0;
    const auto next = [&] { // every hundredth by path 1
        const Numbers delivered = reorder.offer(number % 100 == 99 ? 1 : 0, number);
        ++number;
        reorder.wait(100us);
        return delivered;
    };
    while (number < 10020)
        next();
    ++number; // lost
    Numbers delivered;
    while (number < 10080) {
        const Numbers some = next();
        delivered.insert(delivered.end(), some.begin(), some.end());
    }
    EXPECT_EQ(delivered, numbers_from(10021, 59)) << "the window was full after 50";
}

TEST(ReorderBuffer, TheEndOfATrainIsNotHeldUpByALossLongerThanThePathsLag)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n); // which have not lagged
    reorder.offer(0, n + 1);                    // n is lost, and nothing more comes
    EXPECT_EQ(reorder.wait(6ms), Numbers{});
    EXPECT_EQ(reorder.wait(1ms), Numbers{n + 1});
    EXPECT_EQ(reorder.counters().lost, 1U);
}

TEST(ReorderBuffer, AQuietTrainWaitsForASlowerPath)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    // Trains of six packets, path 1 brings its three 30 ms later.
    const auto train = [&](bool complete) {
        Numbers delivered = reorder.offer_all(0, {n, n + 2, n + 4});
        const Numbers due = reorder.wait(30ms);
        delivered.insert(delivered.end(), due.begin(), due.end());
        const Numbers rest = reorder.offer_all(1, complete ? Numbers{n + 1, n + 3, n + 5} : Numbers{n + 1});
        delivered.insert(delivered.end(), rest.begin(), rest.end());
        return delivered;
    };
    for (int i = 0; i < 20; ++i, n += 6) {
        if (i == 0)
            train(true); // whose lag is news
        else
            EXPECT_EQ(train(true), numbers_from(n, 6)) << i;
        reorder.wait(300ms);
    }
    const std::uint64_t late = reorder.counters().late;
    EXPECT_EQ(train(false), (Numbers{n, n + 1, n + 2}));
    EXPECT_EQ(reorder.wait(100ms), Numbers{n + 4}) << "n + 3 is lost";
    EXPECT_EQ(reorder.counters().late, late);
}

TEST(ReorderBuffer, AfterALatePacketTheWaitIsMaxDelayAgain)
{
    std::uint32_t n = 0;
    ReorderFixture reorder = two_busy_paths(n);
    reorder.offer(0, n + 1);
    reorder.wait(20ms);
    reorder.offer(1, n);
    ASSERT_EQ(reorder.counters().late, 1U);
    reorder.offer(0, n + 3);
    EXPECT_EQ(reorder.wait(95ms), Numbers{});
    EXPECT_EQ(reorder.wait(5ms), Numbers{n + 3});
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

TEST(ReorderBuffer, WindowZeroFollowsAJump)
{
    ReorderFixture reorder(0, 100ms, 1);
    reorder.offer_all(0, numbers_from(0, 100));
    reorder.offer_all(0, numbers_from(500, 10));
    EXPECT_EQ(reorder.counters().jumps, 1U);
    EXPECT_EQ(reorder.counters().lost, 400U);
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
