// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/reorder_path.hpp"

#include "tests/unit/core/clock.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace mpt::core {
namespace {

using namespace std::chrono_literals;
using testing::kStart;

constexpr base::Duration kMaxDelay = 100ms;

TEST(ReorderPath, TheFrontierIsTheThirdHighestNumber)
{
    ReorderPath path;
    path.begin(kStart, kMaxDelay);
    path.arrived(kStart, kStart, 10, 0ms);
    path.arrived(kStart, kStart, 12, 0ms);
    EXPECT_FALSE(path.frontier().has_value());
    path.arrived(kStart, kStart, 11, 0ms);
    EXPECT_EQ(path.frontier(), 10U);
    path.arrived(kStart, kStart, 20, 0ms);
    EXPECT_EQ(path.frontier(), 11U);
    path.arrived(kStart, kStart, 20, 0ms); // a repeated one tells nothing
    EXPECT_EQ(path.frontier(), 11U);
}

TEST(ReorderPath, TheFrontierGoesAcrossTheWrap)
{
    ReorderPath path;
    path.begin(kStart, kMaxDelay);
    for (const std::uint32_t number : {UINT32_MAX - 1, 0U, UINT32_MAX, 2U, 1U})
        path.arrived(kStart, kStart, number, 0ms);
    EXPECT_EQ(path.frontier(), 0U);
}

// Against the definition: the d-th highest of all numbers, with the d that the largest overtaking so far asks for.
TEST(ReorderPath, AgreesWithTheDefinitionUnderAnyReordering)
{
    std::mt19937 random(5);
    for (unsigned round = 0; round < 50; ++round) {
        ReorderPath path;
        path.begin(kStart, kMaxDelay);
        std::vector<std::uint32_t> all;
        const unsigned spread = 1 + round % 12; // overtaking stays far below the 64 numbers that are kept
        for (std::uint32_t i = 0; i < 200; ++i) {
            const std::uint32_t number = 1000 + i * 4 + static_cast<std::uint32_t>(random() % (4 * spread));
            if (std::find(all.begin(), all.end(), number) != all.end())
                continue;
            all.push_back(number);
            path.arrived(kStart, kStart, number, 0ms);
            std::sort(all.begin(), all.end(), std::greater<>());
            if (!path.frontier())
                continue;
            const auto place = std::find(all.begin(), all.end(), *path.frontier()) - all.begin() + 1;
            ASSERT_GE(place, 3);
            ASSERT_LE(place, std::max<std::ptrdiff_t>(3, spread + 1));
        }
    }
}

TEST(ReorderPath, OneOldPacketHardlyChangesD)
{
    ReorderPath path;
    path.begin(kStart, kMaxDelay);
    for (std::uint32_t number = 100; number < 200; ++number)
        path.arrived(kStart, kStart, number, 0ms);
    path.arrived_late(kStart, kMaxDelay, 105); // overtaken by more than is kept
    EXPECT_EQ(path.frontier(), 197U);
}

TEST(ReorderPath, DIsDoubledAtMostAtATime)
{
    ReorderPath path;
    path.begin(kStart, kMaxDelay);
    for (std::uint32_t number = 100; number < 300; number += 2)
        path.arrived(kStart, kStart, number, 0ms);
    EXPECT_EQ(path.frontier(), 294U);
    path.arrived(kStart, kStart, 201, 0ms); // overtaken by 49
    EXPECT_EQ(path.frontier(), 288U) << "the sixth highest";
}

TEST(ReorderPath, IsActiveForAFewOfItsGaps)
{
    ReorderPath path;
    path.begin(kStart, kMaxDelay);
    EXPECT_TRUE(path.active(kStart + 100ms, kMaxDelay)) << "nothing is known yet: for max_delay";
    EXPECT_FALSE(path.active(kStart + 100ms + 1ns, kMaxDelay));
    base::Instant now = kStart;
    for (std::uint32_t number = 0; number < 10000; ++number)
        path.arrived(now, now, number, 0ms), now += 10ms;
    now -= 10ms;
    EXPECT_TRUE(path.active(now + 30ms, kMaxDelay));
    EXPECT_FALSE(path.active(now + 32ms, kMaxDelay));
    path.lagged(25ms);
    EXPECT_TRUE(path.active(now + 75ms, kMaxDelay));
    EXPECT_FALSE(path.active(now + 76ms, kMaxDelay));
    path.arrived_late(now, kMaxDelay, 0);
    EXPECT_TRUE(path.active(now + 100ms, kMaxDelay));
    path.forget();
    EXPECT_FALSE(path.active(now, kMaxDelay));
    path.expect(now, kMaxDelay);
    EXPECT_TRUE(path.active(now + 100ms, kMaxDelay));
}

TEST(ReorderPath, BurstsDoNotShortenItsGaps)
{
    ReorderPath path;
    path.begin(kStart, kMaxDelay);
    base::Instant now = kStart;
    std::uint32_t number = 0;
    for (int burst = 0; burst < 1000; ++burst) {
        for (int i = 0; i < 40; ++i)
            path.arrived(now, now, number++, 0ms);
        now += 15ms;
    }
    EXPECT_TRUE(path.active(now + 15ms, kMaxDelay));
    for (int burst = 0; burst < 1000; ++burst, now += 15ms)
        for (int i = 0; i < 20; ++i, now += 50us) // not quite at once
            path.arrived(now, now, number++, 0ms);
    EXPECT_TRUE(path.active(now + 15ms, kMaxDelay));
}

TEST(ReorderPath, ConfirmsTheStreamOnlyWithANumberOfIt)
{
    ReorderPath path;
    path.begin(kStart, kMaxDelay);
    EXPECT_FALSE(path.confirms(kStart, kMaxDelay));
    path.arrived_late(kStart, kMaxDelay, 5);
    EXPECT_FALSE(path.confirms(kStart, kMaxDelay));
    path.arrived(kStart, kStart, 6, 0ms);
    EXPECT_TRUE(path.confirms(kStart, kMaxDelay));
    path.begin(kStart, kMaxDelay);
    EXPECT_FALSE(path.confirms(kStart, kMaxDelay));
}

} // namespace
} // namespace mpt::core
