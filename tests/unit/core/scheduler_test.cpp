// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/scheduler.hpp"

#include <gtest/gtest.h>
#include <map>
#include <numeric>
#include <random>
#include <vector>

namespace mpt::core {
namespace {

Scheduler usable(const std::vector<std::uint16_t> &weights)
{
    Scheduler scheduler(weights);
    for (std::size_t path = 0; path < weights.size(); ++path)
        scheduler.set_usable(path, true);
    return scheduler;
}

std::vector<std::size_t> take(Scheduler &scheduler, std::size_t count)
{
    std::vector<std::size_t> paths;
    for (std::size_t i = 0; i < count; ++i)
        paths.push_back(scheduler.next().value());
    return paths;
}

std::map<std::size_t, std::size_t> counts(const std::vector<std::size_t> &paths)
{
    std::map<std::size_t, std::size_t> count;
    for (const std::size_t path : paths)
        ++count[path];
    return count;
}

// The rule as it is written, from the start, for a set of paths that does not change: the reference.
std::vector<std::size_t> by_the_rule(const std::vector<std::uint16_t> &weights, const std::vector<bool> &used,
                                     std::size_t count)
{
    std::vector<std::uint64_t> sent(weights.size(), 0);
    std::vector<std::size_t> paths;
    std::uint64_t cycle = 0;
    for (std::size_t path = 0; path < weights.size(); ++path)
        cycle += used[path] ? weights[path] : 0;
    for (std::size_t i = 0; i < count; ++i) {
        std::size_t best = weights.size();
        for (std::size_t path = 0; path < weights.size(); ++path)
            if (used[path] &&
                (best == weights.size() || (sent[path] + 1) * weights[best] < (sent[best] + 1) * weights[path]))
                best = path;
        ++sent[best];
        paths.push_back(best);
        if ((i + 1) % cycle == 0)
            std::fill(sent.begin(), sent.end(), 0);
    }
    return paths;
}

TEST(Scheduler, FollowsTheRule)
{
    Scheduler scheduler = usable({5, 2, 3});
    const std::vector<std::size_t> cycle{0, 2, 0, 1, 0, 2, 0, 0, 1, 2};
    EXPECT_EQ(take(scheduler, 10), cycle);
    EXPECT_EQ(take(scheduler, 10), cycle);
}

TEST(Scheduler, ACycleIsTheSumOfTheWeights)
{
    Scheduler scheduler = usable({12, 18, 15}); // the example of guide 2.6.3.2
    for (int i = 0; i < 3; ++i)
        EXPECT_EQ(counts(take(scheduler, 45)), (std::map<std::size_t, std::size_t>{{0, 12}, {1, 18}, {2, 15}}));
}

TEST(Scheduler, LargestWeightsDoNotOverflow)
{
    const std::vector<std::uint16_t> weights{10000, 9999, 1, 10000};
    Scheduler scheduler = usable(weights);
    EXPECT_EQ(take(scheduler, 60000), by_the_rule(weights, {true, true, true, true}, 60000));
}

TEST(Scheduler, NothingWithoutAUsablePath)
{
    Scheduler scheduler(std::vector<std::uint16_t>{1, 2});
    EXPECT_FALSE(scheduler.next().has_value());
    EXPECT_FALSE(scheduler.any_usable());
    scheduler.set_usable(1, true);
    EXPECT_EQ(take(scheduler, 3), (std::vector<std::size_t>{1, 1, 1}));
    scheduler.set_usable(1, false);
    EXPECT_FALSE(scheduler.next().has_value());
}

TEST(Scheduler, APathThatLeavesTakesItsShareWithIt)
{
    Scheduler scheduler = usable({5, 2, 3});
    take(scheduler, 4); // 0 2 0 1
    scheduler.set_usable(2, false);
    // What the other two would have got of a cycle of their own, 0 0 1 0 0 0 1, from where they are: 0 0 1 are sent.
    EXPECT_EQ(take(scheduler, 4), (std::vector<std::size_t>{0, 0, 0, 1}));
    EXPECT_EQ(take(scheduler, 7), by_the_rule({5, 2, 3}, {true, true, false}, 7));
}

TEST(Scheduler, APathThatComesBackCatchesNothingUp)
{
    Scheduler scheduler = usable({100, 100});
    scheduler.set_usable(1, false);
    take(scheduler, 50);
    scheduler.set_usable(1, true);
    for (int i = 0; i < 25; ++i) {
        const std::vector<std::size_t> pair = take(scheduler, 2);
        EXPECT_NE(pair[0], pair[1]) << "burst at " << i;
    }
}

TEST(Scheduler, AFlappingPathGetsNoMoreThanItsShare)
{
    Scheduler scheduler = usable({10, 10, 10});
    std::vector<std::size_t> all;
    for (int i = 0; i < 300; ++i) {
        all.push_back(scheduler.next().value());
        scheduler.set_usable(2, false);
        scheduler.set_usable(2, true);
    }
    EXPECT_EQ(counts(all), (std::map<std::size_t, std::size_t>{{0, 100}, {1, 100}, {2, 100}}));
}

TEST(Scheduler, WeightsChangeWhileRunning)
{
    Scheduler scheduler = usable({1, 1});
    take(scheduler, 1001);
    scheduler.reconfigure(std::vector<std::uint16_t>{3, 1});
    EXPECT_EQ(counts(take(scheduler, 400))[0], 300U);
    scheduler.reconfigure(std::vector<std::uint16_t>{3, 1, 4}); // the new path is not usable yet
    EXPECT_EQ(counts(take(scheduler, 400))[0], 300U);
    scheduler.set_usable(2, true);
    const auto three = counts(take(scheduler, 800));
    EXPECT_NEAR(static_cast<double>(three.at(0)), 300, 1);
    EXPECT_NEAR(static_cast<double>(three.at(2)), 400, 1);
    scheduler.reconfigure(std::vector<std::uint16_t>{3});
    EXPECT_EQ(counts(take(scheduler, 5))[0], 5U);
}

TEST(Scheduler, ASmallerWeightKeepsThePlaceInTheCycle)
{
    Scheduler scheduler = usable({100, 1});
    take(scheduler, 50);
    scheduler.reconfigure(std::vector<std::uint16_t>{10, 1});
    EXPECT_EQ(take(scheduler, 6), (std::vector<std::size_t>{0, 0, 0, 0, 0, 1})) << "half of the cycle is left";
    EXPECT_EQ(counts(take(scheduler, 110)), (std::map<std::size_t, std::size_t>{{0, 100}, {1, 10}}));
}

TEST(Scheduler, SettingTheSameWeightsChangesNothing)
{
    Scheduler scheduler = usable({5, 2, 3});
    std::vector<std::size_t> all;
    for (int i = 0; i < 10; ++i) {
        all.push_back(scheduler.next().value());
        scheduler.reconfigure(std::vector<std::uint16_t>{5, 2, 3});
    }
    EXPECT_EQ(all, by_the_rule({5, 2, 3}, {true, true, true}, 10));
}

// Whatever comes and goes: as long as a set of paths stays, no path is more than a packet away from its share of what
// was sent since, in the D'Hondt sense: sent_i / w_i never exceeds (sent_k + 1) / w_k by more than the place where they
// were at the change. Checked over the stretch between changes with the exact bound of one packet for each path.
TEST(Scheduler, SharesHoldThroughChanges)
{
    std::mt19937 random(7);
    for (int round = 0; round < 200; ++round) {
        const std::size_t paths = 2 + random() % 5;
        std::vector<std::uint16_t> weights(paths);
        for (auto &weight : weights)
            weight = static_cast<std::uint16_t>(1 + random() % (round % 2 == 0 ? 12 : 10000));
        Scheduler scheduler = usable(weights);
        std::vector<bool> used(paths, true);
        for (int change = 0; change < 20; ++change) {
            const std::size_t stretch = random() % 400;
            std::vector<std::uint64_t> sent(paths, 0);
            for (std::size_t i = 0; i < stretch; ++i)
                ++sent[scheduler.next().value()];
            std::uint64_t sum = 0;
            for (std::size_t path = 0; path < paths; ++path)
                sum += used[path] ? weights[path] : 0;
            for (std::size_t path = 0; path < paths; ++path) {
                const double share =
                    used[path] ? static_cast<double>(stretch) * weights[path] / static_cast<double>(sum) : 0.0;
                EXPECT_LE(static_cast<double>(sent[path]), share + static_cast<double>(paths) + 1) << "path " << path;
                EXPECT_GE(static_cast<double>(sent[path]), share - static_cast<double>(paths) - 1) << "path " << path;
            }
            const std::size_t one = random() % paths;
            if (used[one] && std::count(used.begin(), used.end(), true) == 1)
                continue;
            used[one] = !used[one];
            scheduler.set_usable(one, used[one]);
        }
    }
}

// A path that was away for a while sends, after its return, exactly what it would have sent then without leaving.
TEST(Scheduler, ReturnsToTheSamePlaceOfTheCycle)
{
    std::mt19937 random(11);
    for (int round = 0; round < 500; ++round) {
        const std::size_t paths = 2 + random() % 4;
        std::vector<std::uint16_t> weights(paths);
        for (auto &weight : weights)
            weight = static_cast<std::uint16_t>(1 + random() % 20);
        Scheduler steady = usable(weights);
        Scheduler flapping = usable(weights);
        const std::size_t before = random() % 30;
        ASSERT_EQ(take(steady, before), take(flapping, before));
        const std::size_t path = random() % paths;
        flapping.set_usable(path, false);
        flapping.set_usable(path, true);
        ASSERT_EQ(take(steady, 60), take(flapping, 60));
    }
}

} // namespace
} // namespace mpt::core
