// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/path_mtu_search.hpp"

#include "tests/unit/core/clock.hpp"

#include <gtest/gtest.h>
#include <vector>

namespace mpt::core {
namespace {

using namespace std::chrono_literals;
using testing::kStart;

constexpr std::uint32_t kBase = 1316;

// A search over a path that carries packets of up to `width` octets, and drops larger ones without a word.
class SearchTest : public ::testing::Test {
protected:
    // What happens until then.
    void run(base::Duration time)
    {
        const base::Instant end = now + time;
        while (now < end) {
            if (search.deadline() && *search.deadline() <= now)
                if (const auto size = search.on_deadline(now, ceiling, kRtt)) {
                    probes.push_back(*size);
                    if (*size > ceiling)
                        search.on_refused();
                    else if (answers && *size <= width)
                        arrivals.emplace_back(now + kRtt, *size);
                }
            now += 10ms;
            while (!arrivals.empty() && arrivals.front().first <= now) {
                search.on_answer(now, arrivals.front().second);
                arrivals.erase(arrivals.begin());
            }
            if (now >= next_keepalive) {
                next_keepalive = now + keepalive;
                if (lives)
                    search.on_alive(now);
            }
        }
    }

    static constexpr base::Duration kRtt = 50ms;

    base::Instant now = kStart;
    std::uint32_t ceiling = 1500;
    std::uint32_t width = 1500;
    base::Duration keepalive = 200ms;
    base::Instant next_keepalive = kStart;
    bool lives = true;   // keepalives of the peer come
    bool answers = true; // the peer knows probes
    std::vector<std::pair<base::Instant, std::uint32_t>> arrivals;
    std::vector<std::uint32_t> probes;
    PathMtuSearch search{kBase};
};

TEST_F(SearchTest, WithoutARouteAndWithRoomForNoProbeItWaits)
{
    run(5s);
    for (const std::uint32_t room : {0U, 68U}) {
        ceiling = room;
        probes.clear();
        lives = false;
        run(2 * PathMtuSearch::kConfirm);
        EXPECT_TRUE(probes.empty()) << room;
        EXPECT_TRUE(!search.deadline() || *search.deadline() > now) << room << ": it would be called at once";
        ceiling = 1500;
        lives = true;
        run(PathMtuSearch::kConfirm);
        EXPECT_FALSE(probes.empty()) << room;
        EXPECT_FALSE(search.found()) << room;
    }
}

TEST_F(SearchTest, AWidePathTakesTwoProbes)
{
    run(5s);
    EXPECT_EQ(search.found(), std::nullopt) << "the kernel knows as much";
    EXPECT_EQ(probes, (std::vector<std::uint32_t>{kBase, 1500}));
    run(10min); // from time to time it is proved again
    EXPECT_EQ(search.found(), std::nullopt);
    EXPECT_GE(probes.size(), 18U);
    EXPECT_LE(probes.size(), 24U);
    EXPECT_EQ(std::count(probes.begin() + 2, probes.end(), 1500U), static_cast<std::ptrdiff_t>(probes.size()) - 2);
}

TEST_F(SearchTest, FindsEveryWidth)
{
    for (width = kBase; width <= 1500; ++width) {
        search.~PathMtuSearch();
        new (&search) PathMtuSearch(kBase);
        probes.clear();
        run(45s);
        EXPECT_EQ(search.found(), width < 1500 ? std::optional(width) : std::nullopt);
        EXPECT_LE(probes.size(), 2U + PathMtuSearch::kMaxProbes * 9);
        ASSERT_FALSE(HasFailure()) << width;
    }
}

TEST_F(SearchTest, ThePathIsUsedAsFarAsIsKnownWhileItIsSearched)
{
    width = 1400;
    run(4s); // three probes of 1500 are lost
    EXPECT_EQ(search.found(), kBase);
}

TEST_F(SearchTest, APathThatGetsNarrowerIsNoticed)
{
    run(5s);
    width = 1372;
    run(PathMtuSearch::kConfirm + 5s);
    EXPECT_EQ(search.found(), kBase);
    run(30s);
    EXPECT_EQ(search.found(), 1372U);
    width = 1340;
    for (int second = 0; second < 35 && search.found() != kBase; ++second)
        run(1s);
    EXPECT_EQ(search.found(), kBase);
    run(30s);
    EXPECT_EQ(search.found(), 1340U);
}

TEST_F(SearchTest, APathThatGetsWiderIsNoticedLater)
{
    width = 1400;
    run(60s);
    width = 1500;
    run(60s);
    EXPECT_EQ(search.found(), 1400U);
    run(PathMtuSearch::kRaise);
    EXPECT_EQ(search.found(), std::nullopt);
}

TEST_F(SearchTest, NothingIsWorseForTryingMore)
{
    width = 1400;
    run(60s);
    for (base::Duration time = 0s; time < 2 * PathMtuSearch::kRaise; time += 100ms) {
        run(100ms);
        ASSERT_EQ(search.found(), 1400U);
    }
}

TEST_F(SearchTest, WhatTheKernelLearnsIsFollowed)
{
    run(5s);
    ceiling = width = 1400;
    run(PathMtuSearch::kConfirm + 1s);
    EXPECT_EQ(search.found(), std::nullopt);
    EXPECT_EQ(probes.back(), 1400U);
    ceiling = 1500; // but the path is as it was
    run(PathMtuSearch::kConfirm + 40s);
    EXPECT_EQ(search.found(), 1400U);
    ceiling = 1300; // less than can be found
    run(5min);
    EXPECT_EQ(search.found(), std::nullopt);
    ceiling = width = 1500;
    run(5min);
    EXPECT_EQ(search.found(), std::nullopt);
    EXPECT_EQ(probes.back(), 1500U);
}

TEST_F(SearchTest, WhatWasLessThanTheBaseMayBecomeMore)
{
    width = 1400;
    run(1min);
    ceiling = 1300;
    run(1min);
    answers = false;
    run(1min);
    ceiling = width = 1500;
    answers = true;
    run(1min);
    EXPECT_EQ(search.found(), std::nullopt);
    EXPECT_EQ(probes.back(), 1500U);
}

TEST_F(SearchTest, BelowTheBaseThereIsNothingToFind)
{
    ceiling = width = 1300;
    run(5min);
    EXPECT_EQ(probes, std::vector<std::uint32_t>{});
    ceiling = width = 1500;
    run(1min);
    EXPECT_EQ(search.found(), std::nullopt);
    EXPECT_EQ(probes.back(), 1500U);
}

TEST_F(SearchTest, APeerThatKnowsNoProbesSaysNothing)
{
    answers = false;
    run(PathMtuSearch::kRaise - 1s);
    EXPECT_EQ(search.found(), std::nullopt);
    EXPECT_EQ(probes.size(), PathMtuSearch::kMaxProbes);
    answers = true; // it was updated
    run(10s);
    EXPECT_EQ(probes.back(), 1500U);
}

TEST_F(SearchTest, ADeadPathSaysNothing)
{
    lives = answers = false;
    run(10min);
    EXPECT_EQ(probes.size(), 0U);
    lives = answers = true;
    run(5s);
    EXPECT_EQ(search.found(), std::nullopt);
    EXPECT_EQ(probes.back(), 1500U);
    // And one that dies when its width is known keeps it.
    width = 1400;
    run(2min);
    lives = answers = false;
    run(10min);
    EXPECT_EQ(search.found(), 1400U);
    lives = true; // in one direction only: the peer is heard, and does not hear
    run(10min);
    EXPECT_EQ(search.found(), 1400U);
    answers = true;
    run(2min);
    EXPECT_EQ(search.found(), 1400U);
}

TEST_F(SearchTest, KeepalivesMayBeRare)
{
    keepalive = 10s;
    width = 1400;
    run(10min);
    EXPECT_EQ(search.found(), 1400U);
}

TEST_F(SearchTest, OnlyTheSizeThatIsWaitedForIsAnswered)
{
    EXPECT_EQ(search.on_deadline(now, ceiling, 0s), std::nullopt) << "the path does not live yet";
    search.on_alive(now);
    ASSERT_EQ(search.on_deadline(now, ceiling, 0s), kBase);
    search.on_answer(now, 1500);
    EXPECT_EQ(search.on_deadline(now, ceiling, 0s), std::nullopt);
    search.on_answer(now, kBase);
    ASSERT_EQ(search.on_deadline(now, ceiling, 0s), 1500U);
    search.on_answer(now, kBase); // once more
    EXPECT_EQ(search.on_deadline(now, ceiling, 0s), std::nullopt);
}

} // namespace
} // namespace mpt::core
