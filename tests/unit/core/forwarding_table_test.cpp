// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/forwarding_table.hpp"

#include "tests/unit/address.hpp"

#include <gtest/gtest.h>
#include <random>
#include <tuple>

namespace mpt::core {
namespace {

using mpt::test::address;

base::Prefix prefix(std::string_view text)
{
    return base::Prefix::parse(text, 32, 128).value();
}

ForwardingEntry entry(std::string_view source, std::string_view destination, std::uint32_t value)
{
    return ForwardingEntry{prefix(source), prefix(destination), value};
}

ForwardingTable build(const std::vector<ForwardingEntry> &entries)
{
    return ForwardingTable::build(entries).value();
}

TEST(ForwardingTable, EmptyFindsNothing)
{
    EXPECT_FALSE(ForwardingTable().find(address("10.0.0.1"), address("10.0.0.2")).has_value());
    EXPECT_FALSE(build({}).find(address("::1"), address("::2")).has_value());
}

TEST(ForwardingTable, PairOfTunnelAddresses)
{
    const ForwardingTable table = build({entry("10.0.0.2", "10.0.0.3", 0), entry("10.0.0.2", "10.0.0.4", 1)});
    EXPECT_EQ(table.find(address("10.0.0.2"), address("10.0.0.3")), 0U);
    EXPECT_EQ(table.find(address("10.0.0.2"), address("10.0.0.4")), 1U);
    EXPECT_FALSE(table.find(address("10.0.0.3"), address("10.0.0.2")).has_value()) << "direction matters";
    EXPECT_FALSE(table.find(address("10.0.0.2"), address("10.0.0.5")).has_value());
}

TEST(ForwardingTable, DestinationLengthCountsBeforeSourceLength)
{
    const ForwardingTable table = build({
        entry("0.0.0.0/0", "0.0.0.0/0", 0),
        entry("11.1.1.0/24", "21.1.0.0/16", 1),
        entry("11.0.0.0/8", "21.1.1.0/24", 2),
        entry("11.1.1.0/24", "21.1.1.0/24", 3),
        entry("11.1.1.1", "21.1.1.1", 4),
    });
    EXPECT_EQ(table.find(address("11.1.1.1"), address("21.1.1.1")), 4U);
    EXPECT_EQ(table.find(address("11.1.1.2"), address("21.1.1.1")), 3U);
    EXPECT_EQ(table.find(address("11.1.2.1"), address("21.1.1.1")), 2U) << "longer destination, shorter source";
    EXPECT_EQ(table.find(address("11.1.1.1"), address("21.1.2.1")), 1U);
    EXPECT_EQ(table.find(address("12.1.1.1"), address("21.1.1.1")), 0U);
}

TEST(ForwardingTable, Ipv6AndIpv4AreApart)
{
    const ForwardingTable table = build({
        entry("0.0.0.0/0", "0.0.0.0/0", 4),
        entry("::/0", "::/0", 6),
        entry("fec0::2", "fec0::3", 7),
        entry("2001:db8:0:1::/64", "2001:db8:1::/48", 8),
        entry("2001:db8:0:1::/64", "2001:db8:1:0:8000::/65", 9),
    });
    EXPECT_EQ(table.find(address("10.0.0.1"), address("10.0.0.2")), 4U);
    EXPECT_EQ(table.find(address("fec0::3"), address("fec0::2")), 6U);
    EXPECT_EQ(table.find(address("fec0::2"), address("fec0::3")), 7U);
    EXPECT_EQ(table.find(address("2001:db8:0:1::5"), address("2001:db8:1::1")), 8U);
    EXPECT_EQ(table.find(address("2001:db8:0:1::5"), address("2001:db8:1:0:8000::1")), 9U);
    EXPECT_FALSE(table.find(address("10.0.0.1"), address("::1")).has_value());
}

TEST(ForwardingTable, HostBitsAreIgnored)
{
    const ForwardingTable table = build({entry("11.1.1.77/24", "21.1.1.99/24", 5)});
    EXPECT_EQ(table.find(address("11.1.1.1"), address("21.1.1.1")), 5U);
}

TEST(ForwardingTable, TheSameTwiceForOneConnectionIsNoConflict)
{
    const ForwardingTable table = build({entry("10.0.0.2", "10.0.0.3", 1), entry("10.0.0.2/32", "10.0.0.3/32", 1)});
    EXPECT_EQ(table.find(address("10.0.0.2"), address("10.0.0.3")), 1U);
}

TEST(ForwardingTable, TheSameForTwoConnectionsIsRefused)
{
    const auto result = ForwardingTable::build(
        std::vector{entry("11.1.1.0/24", "21.1.1.0/24", 1), entry("11.1.1.5/24", "21.1.1.0/24", 2)});
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, base::ErrorCode::kAlreadyExists);
    EXPECT_NE(result.error().text.find("11.1.1.0/24"), std::string::npos) << result.error().text;
    EXPECT_NE(result.error().text.find("21.1.1.0/24"), std::string::npos) << result.error().text;
}

TEST(ForwardingTable, MixedVersionsAreRefused)
{
    const auto result = ForwardingTable::build(std::vector{entry("11.1.1.0/24", "fec0::/64", 1)});
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, base::ErrorCode::kInvalidArgument);
}

// Against a search through all entries with Prefix::contains.
template <typename Draw> void compare_with_a_search(Draw draw, unsigned bits)
{
    std::mt19937 random(3);
    for (int round = 0; round < 30; ++round) {
        std::vector<ForwardingEntry> entries;
        for (std::uint32_t value = 0; value < 60; ++value) {
            const ForwardingEntry one{base::Prefix{draw(random), static_cast<std::uint8_t>(random() % (bits + 1))},
                                      base::Prefix{draw(random), static_cast<std::uint8_t>(random() % (bits + 1))},
                                      value};
            const bool taken = std::any_of(entries.begin(), entries.end(), [&one](const ForwardingEntry &other) {
                return one.source.network() == other.source.network() &&
                       one.destination.network() == other.destination.network();
            });
            if (!taken)
                entries.push_back(one);
        }
        const ForwardingTable table = build(entries);
        for (int i = 0; i < 300; ++i) {
            const base::Address source = draw(random);
            const base::Address destination = draw(random);
            const ForwardingEntry *best = nullptr;
            for (const ForwardingEntry &one : entries)
                if (one.source.contains(source) && one.destination.contains(destination) &&
                    (best == nullptr || std::tuple(one.destination.length, one.source.length) >
                                            std::tuple(best->destination.length, best->source.length)))
                    best = &one;
            ASSERT_EQ(table.find(source, destination),
                      best == nullptr ? std::nullopt : std::optional<std::uint32_t>(best->value));
        }
    }
}

TEST(ForwardingTable, AgreesWithASearchIpv4)
{
    compare_with_a_search(
        [](std::mt19937 &random) {
            std::array<std::byte, 4> octets{};
            for (std::byte &octet : octets)
                octet = static_cast<std::byte>(random() % 4 * 0x55);
            return base::Address::from_octets(std::span<const std::byte, 4>(octets));
        },
        32);
}

TEST(ForwardingTable, AgreesWithASearchIpv6)
{
    compare_with_a_search(
        [](std::mt19937 &random) {
            std::array<std::byte, 16> octets{};
            octets[0] = std::byte{0x20};
            for (std::size_t i = 1; i < 16; i += 3)
                octets[i] = static_cast<std::byte>(random() % 4 * 0x55);
            return base::Address::from_octets(std::span<const std::byte, 16>(octets));
        },
        128);
}

} // namespace
} // namespace mpt::core
