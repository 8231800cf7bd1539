// SPDX-License-Identifier: GPL-3.0-or-later
// Runs with everything at random: paths, links, traffic, windows, cuts, stalls, restarts. MPTD_SIM_SEEDS says how many
// seeds are run (default 48), MPTD_SIM_FIRST_SEED where they begin.
#include "tests/sim/simulation.hpp"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace mpt::sim {
namespace {

using namespace std::chrono_literals;

std::uint64_t from_environment(const char *name, std::uint64_t otherwise)
{
    const char *text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

class Draw {
public:
    explicit Draw(std::uint64_t seed) : random_(seed) {}

    template <typename T> T from(T low, T high)
    {
        return static_cast<T>(std::uniform_int_distribution<std::int64_t>(static_cast<std::int64_t>(low),
                                                                          static_cast<std::int64_t>(high))(random_));
    }
    Duration duration(Duration low, Duration high) { return Duration(from(low.count(), high.count())); }
    bool one_in(int count) { return from(1, count) == 1; }
    template <typename T> T one_of(std::initializer_list<T> choices)
    {
        return *(choices.begin() + from<std::size_t>(0, choices.size() - 1));
    }

private:
    std::mt19937_64 random_;
};

LinkSettings draw_link(Draw &draw)
{
    LinkSettings link;
    link.delay = draw.duration(0ms, 60ms);
    link.jitter = draw.one_of<Duration>({0ms, 100us, 2ms, 10ms});
    link.keeps_order = !draw.one_in(4);
    link.loss = draw.one_of({0.0, 0.0, 0.0001, 0.01, 0.05});
    link.duplicate = draw.one_of({0.0, 0.0, 0.001, 0.02});
    link.packets_per_s = draw.one_of({0.0, 0.0, 5000.0, 1000.0, 300.0});
    link.queue = draw.one_of<Duration>({10ms, 100ms, 500ms});
    return link;
}

HostSettings draw_host(Draw &draw, std::size_t paths)
{
    HostSettings host;
    for (std::size_t path = 0; path < paths; ++path)
        host.weights.push_back(draw.one_of<std::uint16_t>({1, 1, 2, 5, 50, 1000}));
    host.reorder.window = draw.one_of<std::uint16_t>({0, 1, 10, 100, 1000, 1000, 10000});
    host.reorder.max_delay = draw.one_of<Duration>({1ms, 20ms, 100ms, 300ms});
    host.liveness = draw.one_of<core::LivenessSettings>({{0s, 0s, core::PathStatus::kUp},
                                                         {10ms, 30ms, core::PathStatus::kUp},
                                                         {100ms, 300ms, core::PathStatus::kDead},
                                                         {1s, 3s, core::PathStatus::kUp}});
    host.traffic.interval = draw.one_of<Duration>({100us, 300us, 1ms, 5ms});
    host.traffic.batch = draw.one_of({1U, 1U, 4U, 40U});
    if (draw.one_in(2)) {
        host.traffic.on = draw.duration(1ms, 300ms);
        host.traffic.off = draw.duration(1ms, 1s);
    }
    host.first_sequence = draw.one_of<std::uint32_t>({0, 0, 1234567, UINT32_MAX - 5000});
    return host;
}

class Random : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Random, NothingGoesWrong)
{
    Draw draw(GetParam());
    const std::size_t paths = draw.one_of<std::size_t>({1, 2, 2, 2, 3, 5, 20});
    const HostSettings hosts[2] = {draw_host(draw, paths), draw_host(draw, paths)};
    Simulation simulation(GetParam(), hosts[0], hosts[1]);
    simulation.order_is_checked = hosts[0].reorder.window != 0 && hosts[1].reorder.window != 0;
    const bool restarts = draw.one_in(3);
    const Duration length = 20s;
    for (std::size_t path = 0; path < paths; ++path) {
        simulation.link(0, path) = draw_link(draw);
        simulation.link(1, path) = draw_link(draw);
        for (Duration when = draw.duration(0s, 10s); draw.one_in(2) && when < length; when += draw.duration(10ms, 4s)) {
            const bool cut = draw.one_in(2);
            const Duration stall = draw.duration(0ms, 500ms);
            simulation.at(when, [path, cut, stall](Simulation &s) {
                s.set_cut(path, cut);
                s.link(0, path).stall = cut ? stall : 0s;
            });
        }
    }
    for (Duration when = draw.duration(1s, 10s); restarts && when < length; when += draw.duration(2s, 10s)) {
        const auto host = draw.from<std::size_t>(0, 1);
        const Duration down = draw.duration(100ms, 3s);
        simulation.at(when, [host, down](Simulation &s) { s.restart(host, down); });
        when += down;
    }
    simulation.run(length);
    simulation.settle();
    ASSERT_EQ(simulation.failure(), "");
    for (const std::size_t from : {0U, 1U}) {
        const Ledger &ledger = simulation.ledger(from);
        const core::ReorderCounters &counters = simulation.counters(1 - from);
        const auto arrived = static_cast<std::uint64_t>(std::count_if(
            ledger.state.begin(), ledger.state.end(), [](Ledger::State state) { return state >= Ledger::kArrived; }));
        RecordProperty(fmt::format("packets{}", from), static_cast<int>(ledger.state.size()));
        if (restarts)
            continue;
        // A copy that comes very late may be taken for the first one; nothing else is miscounted.
        if (counters.jumps + counters.far + counters.restarts == 0 && hosts[1 - from].reorder.window != 0) {
            EXPECT_GE(counters.delivered + counters.late, arrived);
            EXPECT_LE(counters.lost, ledger.state.size() - ledger.delivered);
        }
    }
}

// Invented numbers of every kind, alone and mixed, from one path's address: whatever they do to the order, the hosts'
// packets are delivered again when they have ended.
TEST_P(Random, ServiceGoesOnAfterAnyFlood)
{
    Draw draw(GetParam());
    HostSettings host;
    host.weights.assign(draw.one_of<std::size_t>({1, 2, 3}), 1);
    host.reorder.window = draw.one_of<std::uint16_t>({0, 100, 1000, 10000});
    host.reorder.max_delay = draw.one_of<Duration>({20ms, 100ms});
    host.first_sequence = draw.one_of<std::uint32_t>({0, 5000000, 3000000000, UINT32_MAX - 3000});
    host.traffic.interval = draw.one_of<Duration>({200us, 1ms, 3ms});
    Simulation simulation(GetParam(), host, host);
    simulation.order_is_checked = false;
    for (std::size_t path = 0; path < host.weights.size(); ++path)
        simulation.link(0, path).delay = draw.duration(1ms, 15ms);
    Duration when = 3s;
    for (int flood = 0; flood < 4; ++flood) {
        const int kind = draw.from(0, 8);
        const auto base = draw.from<std::uint32_t>(0, UINT32_MAX);
        const auto step = draw.one_of<std::uint32_t>({1, 2, 50, 63, 900, 5000, UINT32_MAX});
        const Duration interval = draw.one_of<Duration>({10us, 100us, 1ms, 20ms});
        const auto count = draw.from<std::uint32_t>(1, interval > 1ms ? 50U : 2000U);
        for (std::uint32_t i = 0; i < count; ++i) {
            when += interval;
            simulation.at(when, [=, window = host.reorder.window](Simulation &s) {
                const std::uint32_t sent = s.sent_sequence(0);
                const std::uint32_t noise = (base + i) * 2654435761U;
                const std::uint32_t numbers[] = {noise,
                                                 base + i * step,
                                                 sent + i * step,
                                                 sent + window + noise % 5000,
                                                 sent + noise % (window + 1U),
                                                 sent - noise % 100000,
                                                 i * step,
                                                 base,
                                                 noise % 60};
                s.inject(1, 0, numbers[kind]);
            });
        }
        when += draw.one_of<Duration>({0ms, 50ms, 1s});
    }
    simulation.run(when + 3s);
    const std::uint64_t sent = simulation.ledger(0).state.size();
    const std::uint64_t delivered = simulation.ledger(0).delivered;
    simulation.run(when + 6s);
    simulation.settle();
    EXPECT_EQ(simulation.failure(), "");
    EXPECT_GE(simulation.ledger(0).delivered - delivered, simulation.ledger(0).state.size() - sent - 5);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Random,
                         testing::Range(from_environment("MPTD_SIM_FIRST_SEED", 1),
                                        from_environment("MPTD_SIM_FIRST_SEED", 1) +
                                            from_environment("MPTD_SIM_SEEDS", 48)));

} // namespace
} // namespace mpt::sim
