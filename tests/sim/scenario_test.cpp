// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/simulation.hpp"

#include <gtest/gtest.h>

namespace mpt::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kA = 0; // hosts
constexpr std::size_t kB = 1;

HostSettings host(std::vector<std::uint16_t> weights, std::uint16_t window = 1000, Duration max_delay = 100ms)
{
    HostSettings settings;
    settings.weights = std::move(weights);
    settings.reorder = core::ReorderSettings{window, max_delay, 64};
    return settings;
}

HostSettings silent(HostSettings settings)
{
    settings.traffic.on = 1ns;
    settings.traffic.off = std::chrono::hours(1000);
    return settings;
}

Simulation two_paths(std::uint64_t seed, Traffic traffic, Duration delay0, Duration delay1)
{
    HostSettings a = host({1, 1});
    a.traffic = traffic;
    Simulation simulation(seed, a, silent(host({1, 1})));
    for (const std::size_t from : {kA, kB}) {
        simulation.link(from, 0).delay = delay0;
        simulation.link(from, 1).delay = delay1;
    }
    return simulation;
}

void expect_sound(const Simulation &simulation)
{
    EXPECT_EQ(simulation.failure(), "");
}

TEST(Scenario, UnequalDelaysCostNothingButTheDelay)
{
    Simulation simulation = two_paths(1, Traffic{100us, 1, 0s, 0s}, 20ms, 40ms);
    simulation.run(30s);
    simulation.settle();
    expect_sound(simulation);
    const core::ReorderCounters &counters = simulation.counters(kB);
    EXPECT_EQ(counters.delivered, simulation.ledger(kA).state.size());
    EXPECT_EQ(counters.late, 0U);
    EXPECT_EQ(counters.lost, 0U);
    EXPECT_LE(simulation.ledger(kA).longest_hold, 21ms);
    EXPECT_GE(counters.held_max, 90U) << "20 ms of 5,000 packets a second";
}

TEST(Scenario, BurstsAfterPausesLoseNothing)
{
    Simulation simulation = two_paths(2, Traffic{200us, 1, 50ms, 400ms}, 10ms, 50ms);
    simulation.run(60s);
    simulation.settle();
    expect_sound(simulation);
    EXPECT_EQ(simulation.counters(kB).late, 0U);
    EXPECT_EQ(simulation.counters(kB).delivered, simulation.ledger(kA).state.size());
}

TEST(Scenario, SuperPacketsOnUnequalPaths)
{
    Simulation simulation = two_paths(3, Traffic{5ms, 46, 0s, 0s}, 20ms, 40ms);
    simulation.link(kA, 0).jitter = simulation.link(kA, 1).jitter = 2ms;
    simulation.run(60s);
    simulation.settle();
    expect_sound(simulation);
    EXPECT_EQ(simulation.counters(kB).late, 0U);
}

TEST(Scenario, LossIsNoticedLongBeforeMaxDelay)
{
    Simulation simulation = two_paths(4, Traffic{200us, 1, 0s, 0s}, 20ms, 25ms);
    simulation.link(kA, 0).loss = simulation.link(kA, 1).loss = 0.01;
    simulation.run(60s);
    simulation.settle();
    expect_sound(simulation);
    const core::ReorderCounters &counters = simulation.counters(kB);
    const Ledger &ledger = simulation.ledger(kA);
    EXPECT_EQ(counters.late, 0U);
    EXPECT_EQ(counters.delivered + counters.lost, ledger.state.size());
    // The difference of the paths and three packets of each, after the first second.
    EXPECT_LT(ledger.longest_hold, 100ms + 1ns);
    EXPECT_LT(ledger.longest_gap, 30ms);
}

TEST(Scenario, APathThatReordersWithinItselfLosesLittle)
{
    Simulation simulation = two_paths(5, Traffic{200us, 1, 0s, 0s}, 20ms, 20ms);
    for (const std::size_t path : {0U, 1U}) {
        simulation.link(kA, path).jitter = 3ms; // about seven packets of the path
        simulation.link(kA, path).keeps_order = false;
        simulation.link(kA, path).loss = 0.01;
    }
    simulation.run(60s);
    simulation.settle();
    expect_sound(simulation);
    const std::size_t sent = simulation.ledger(kA).state.size();
    EXPECT_LT(simulation.counters(kB).late, sent / 2000);
    EXPECT_LT(simulation.ledger(kA).longest_gap, 40ms);
}

TEST(Scenario, ASilentCutIsBridgedAndThePathIsUsedAgain)
{
    HostSettings a = host({1, 1});
    a.traffic = Traffic{1ms, 1, 0s, 0s};
    a.liveness = core::LivenessSettings{100ms, 300ms, core::PathStatus::kUp};
    HostSettings b = host({1, 1});
    b.liveness = a.liveness;
    Simulation simulation(6, a, b);
    simulation.run(2s);
    const std::uint64_t before = simulation.sent_by(kA, 1);
    simulation.set_cut(1, true);
    simulation.run(2s + 420ms);
    EXPECT_EQ(simulation.liveness(kA, 1).status(), core::PathStatus::kDead);
    EXPECT_EQ(simulation.liveness(kB, 1).status(), core::PathStatus::kDead);
    EXPECT_LE(simulation.sent_by(kA, 1) - before, 215U) << "half of what was sent until it was dead";
    EXPECT_LE(simulation.ledger(kA).longest_gap, 100ms) << "the other path went on";
    const std::uint64_t dead = simulation.sent_by(kA, 1);
    simulation.run(5s);
    EXPECT_EQ(simulation.sent_by(kA, 1), dead);
    simulation.set_cut(1, false);
    simulation.run(6s);
    EXPECT_NEAR(static_cast<double>(simulation.sent_by(kA, 1) - dead), 450, 70);
    simulation.settle();
    expect_sound(simulation);
    EXPECT_EQ(simulation.counters(kB).late, 0U);
}

TEST(Scenario, AllPathsDownDropsAndComesBack)
{
    HostSettings a = host({1, 1});
    a.liveness = core::LivenessSettings{100ms, 300ms, core::PathStatus::kUp};
    Simulation simulation(7, a, a);
    for (const std::size_t path : {0U, 1U}) {
        simulation.at(2s, [path](Simulation &s) { s.set_cut(path, true); });
        simulation.at(4s, [path](Simulation &s) { s.set_cut(path, false); });
    }
    simulation.run(10s);
    simulation.settle();
    expect_sound(simulation);
    EXPECT_NEAR(static_cast<double>(simulation.unsendable(kA)), 1700, 150);
    EXPECT_LT(simulation.ledger(kA).longest_gap, 2s + 250ms);
}

TEST(Scenario, AFlappingPathIsHeldBack)
{
    HostSettings a = host({1, 1});
    a.liveness = core::LivenessSettings{20ms, 60ms, core::PathStatus::kUp};
    Simulation simulation(8, a, a);
    for (int i = 0; i < 100; ++i) {
        simulation.at(1s + i * 400ms, [](Simulation &s) { s.set_cut(1, true); });
        simulation.at(1s + i * 400ms + 200ms, [](Simulation &s) { s.set_cut(1, false); });
    }
    simulation.run(41s);
    simulation.settle();
    expect_sound(simulation);
    EXPECT_LT(simulation.sent_by(kA, 1), simulation.sent_by(kA, 0) / 10);
    EXPECT_GT(simulation.liveness(kA, 1).changes(), 150U) << "its status follows all the same";
}

TEST(Scenario, ARestartedPeerLosesNothing)
{
    for (const Duration down : {Duration(0ms), Duration(50ms), Duration(5s)}) {
        SCOPED_TRACE(down.count());
        // With no pause at all, what was sent before is still on its way on the slower path.
        Simulation simulation = two_paths(9, Traffic{500us, 1, 0s, 0s}, 20ms, down == 0ms ? 20ms : 40ms);
        simulation.at(5s, [down](Simulation &s) { s.restart(kA, down); });
        simulation.run(15s);
        simulation.settle();
        expect_sound(simulation);
        EXPECT_EQ(simulation.counters(kB).restarts, 1U);
        EXPECT_EQ(simulation.counters(kB).delivered, simulation.ledger(kA).state.size());
    }
}

TEST(Scenario, ARestartedReceiverJoinsTheStream)
{
    Simulation simulation = two_paths(10, Traffic{500us, 1, 0s, 0s}, 20ms, 40ms);
    simulation.at(5s, [](Simulation &s) { s.restart(kB, 100ms); });
    simulation.run(10s);
    simulation.settle();
    expect_sound(simulation);
    const core::ReorderCounters &counters = simulation.counters(kB);
    EXPECT_LE(counters.late, 2U);
    EXPECT_GE(counters.delivered, 9700U);
}

TEST(Scenario, NumbersWrapAround)
{
    HostSettings a = host({2, 1});
    a.traffic = Traffic{200us, 1, 0s, 0s};
    a.first_sequence = UINT32_MAX - 20000;
    Simulation simulation(11, a, silent(host({2, 1})));
    simulation.link(kA, 1).delay = 35ms;
    simulation.run(10s);
    simulation.settle();
    expect_sound(simulation);
    EXPECT_EQ(simulation.counters(kB).delivered, simulation.ledger(kA).state.size());
    EXPECT_EQ(simulation.counters(kB).restarts + simulation.counters(kB).jumps, 0U);
}

TEST(Scenario, WeightsChangeUnderTraffic)
{
    Simulation simulation = two_paths(12, Traffic{200us, 1, 0s, 0s}, 20ms, 30ms);
    simulation.run(5s);
    const std::uint64_t first = simulation.sent_by(kA, 0);
    simulation.set_weights(kA, {9, 1});
    simulation.run(10s);
    EXPECT_NEAR(static_cast<double>(simulation.sent_by(kA, 0) - first), 22500, 10);
    simulation.settle();
    expect_sound(simulation);
    EXPECT_EQ(simulation.counters(kB).late, 0U);
}

TEST(Scenario, AStallThatFlushesLateOnOnePath)
{
    Simulation simulation = two_paths(13, Traffic{1ms, 1, 0s, 0s}, 20ms, 20ms);
    simulation.at(5s, [](Simulation &s) { s.link(kA, 1).stall = 2s; });
    simulation.at(5s + 500ms, [](Simulation &s) { s.link(kA, 1).stall = 0s; });
    simulation.run(20s);
    simulation.settle();
    expect_sound(simulation); // order above all: what comes two seconds late is dropped
    const core::ReorderCounters &counters = simulation.counters(kB);
    EXPECT_EQ(counters.restarts + counters.jumps, 0U);
    EXPECT_EQ(counters.delivered + counters.late, simulation.ledger(kA).state.size());
    EXPECT_GE(counters.late, 200U);
    EXPECT_LT(simulation.ledger(kA).longest_gap, 101ms);
}

// An adversary sends by path 0, from the right address, ten times as many packets as the hosts.
void flood(std::uint32_t (*invent)(std::uint32_t sent, std::uint32_t count), std::uint64_t seed)
{
    Simulation simulation = two_paths(seed, Traffic{1ms, 1, 0s, 0s}, 20ms, 30ms);
    simulation.order_is_checked = false;
    simulation.run(5s);
    const std::uint64_t before = simulation.ledger(kA).delivered;
    for (std::uint32_t i = 0; i < 50000; ++i)
        simulation.at(5s + i * 100us, [invent, i](Simulation &s) { s.inject(kB, 0, invent(s.sent_sequence(kA), i)); });
    simulation.run(10s);
    const std::uint64_t during = simulation.ledger(kA).delivered - before;
    EXPECT_GE(during, 4800U) << "of 5,000";
    const std::uint64_t sent = simulation.ledger(kA).state.size();
    const std::uint64_t delivered = simulation.ledger(kA).delivered;
    simulation.run(15s);
    EXPECT_GE(simulation.ledger(kA).delivered - delivered, simulation.ledger(kA).state.size() - sent - 20);
    simulation.settle();
    expect_sound(simulation);
    EXPECT_EQ(simulation.counters(kB).restarts, 0U);
}

TEST(Scenario, FloodOfRandomNumbers)
{
    flood([](std::uint32_t, std::uint32_t count) { return count * 2654435761U; }, 21);
}

TEST(Scenario, FloodOfConsecutiveNumbersFarAhead)
{
    flood([](std::uint32_t, std::uint32_t count) { return 100000000 + count; }, 22);
}

TEST(Scenario, FloodOfNumbersBeyondTheWindow)
{
    flood([](std::uint32_t sent, std::uint32_t count) { return sent + 1100 + count % 900; }, 23);
}

TEST(Scenario, FloodOfEqualNumbers)
{
    flood([](std::uint32_t, std::uint32_t) { return 1000000000U; }, 24);
}

TEST(Scenario, FloodOfDescendingNumbers)
{
    flood([](std::uint32_t, std::uint32_t count) { return 2000000000 - count; }, 25);
}

TEST(Scenario, FloodOfNumbersFromTheBeginning)
{
    flood([](std::uint32_t, std::uint32_t count) { return count % 4000; }, 26);
}

} // namespace
} // namespace mpt::sim
