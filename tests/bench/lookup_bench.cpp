// SPDX-License-Identifier: GPL-3.0-or-later
// The lookup of a packet's connection: by its pair of tunnel addresses, and by networks, with 1 and with 1,000
// connections configured.
#include "daemon/core/forwarding_table.hpp"

#include <array>
#include <benchmark/benchmark.h>
#include <vector>

namespace {

using mpt::base::Address;
using mpt::base::Prefix;

Address address(unsigned a, unsigned b, unsigned c, unsigned d)
{
    const std::array octets{std::byte(a), std::byte(b), std::byte(c), std::byte(d)};
    return Address::from_octets(std::span<const std::byte, 4>(octets));
}

Address peer(std::uint32_t index)
{
    return address(10, 0, index >> 8, index & 0xff);
}

const Address kOwn = address(10, 255, 255, 254);

void lookup(benchmark::State &state, const std::vector<mpt::core::ForwardingEntry> &entries,
            Address (*destination)(std::uint32_t))
{
    const auto table = mpt::core::ForwardingTable::build(entries).value();
    const auto count = static_cast<std::uint32_t>(state.range(0));
    std::uint32_t index = 0;
    for (auto _ : state) {
        index = (index * 1664525 + 1013904223) % count; // visits all, in no order that a cache could foresee
        benchmark::DoNotOptimize(table.find(kOwn, destination(index)));
    }
}

void pairs(benchmark::State &state)
{
    std::vector<mpt::core::ForwardingEntry> entries;
    for (std::uint32_t i = 0; i < state.range(0); ++i)
        entries.push_back({Prefix{kOwn, 32}, Prefix{peer(i), 32}, i});
    lookup(state, entries, peer);
}

void networks(benchmark::State &state)
{
    std::vector<mpt::core::ForwardingEntry> entries;
    for (std::uint32_t i = 0; i < state.range(0); ++i) {
        entries.push_back({Prefix{kOwn, 32}, Prefix{peer(i), 32}, i});
        entries.push_back({Prefix{address(0, 0, 0, 0), 0}, Prefix{address(20, i >> 8, i & 0xff, 0), 24}, i});
    }
    lookup(state, entries, [](std::uint32_t i) { return address(20, i >> 8, i & 0xff, 7); });
}

BENCHMARK(pairs)->Arg(1)->Arg(1000);
BENCHMARK(networks)->Arg(1)->Arg(1000);

} // namespace

BENCHMARK_MAIN();
