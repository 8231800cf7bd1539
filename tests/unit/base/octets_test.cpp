// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/base/octets.hpp"
#include "daemon/base/sequence.hpp"

#include <array>
#include <gtest/gtest.h>

namespace mpt::base {
namespace {

TEST(Reader, ReadsNetworkOrderAndStopsAtTheEnd)
{
    const std::array<std::byte, 7> octets{std::byte{0x12}, std::byte{0x34}, std::byte{0x56}, std::byte{0x78},
                                          std::byte{0x9a}, std::byte{0xbc}, std::byte{0xde}};
    Reader reader(octets);
    EXPECT_EQ(reader.read<std::uint8_t>(), 0x12);
    EXPECT_EQ(reader.read<std::uint32_t>(), 0x3456789aU);
    EXPECT_EQ(reader.read<std::uint32_t>(), std::nullopt); // only two octets are left, and they stay
    EXPECT_EQ(reader.read<std::uint16_t>(), 0xbcde);
    EXPECT_FALSE(reader.take(1));
    EXPECT_TRUE(reader.take(0));
}

TEST(Octets, OfATextAndBack)
{
    const std::string_view text("a\0\xff", 3);
    ASSERT_EQ(as_octets(text).size(), 3);
    EXPECT_EQ(as_octets(text)[2], std::byte{0xff});
    EXPECT_EQ(as_text(as_octets(text)), text);
}

TEST(Writer, WritesNetworkOrderAndRefusesWhatDoesNotFit)
{
    std::array<std::byte, 5> octets{};
    Writer writer(octets);
    writer.write<std::uint16_t>(0xa1b2).zeros(1);
    EXPECT_TRUE(writer.ok());
    writer.write<std::uint32_t>(1);
    EXPECT_FALSE(writer.ok());
    EXPECT_EQ(writer.size(), 3U);
    writer.write<std::uint8_t>(1); // would fit, but what came before is missing
    EXPECT_EQ(writer.size(), 3U);
    EXPECT_EQ(octets[0], std::byte{0xa1});
    EXPECT_EQ(octets[1], std::byte{0xb2});
}

TEST(Sequence, IsOrderedAcrossTheWrap)
{
    EXPECT_TRUE(sequence_before(1, 2));
    EXPECT_FALSE(sequence_before(2, 2));
    EXPECT_TRUE(sequence_before(0xffffffffU, 0));
    EXPECT_FALSE(sequence_before(0, 0xffffffffU));
    EXPECT_EQ(sequence_distance(0xfffffff0U, 0x10), 0x20);
    EXPECT_EQ(sequence_distance(0x10, 0xfffffff0U), -0x20);
}

} // namespace
} // namespace mpt::base
