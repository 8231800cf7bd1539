// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/keepalive.hpp"

#include "tests/unit/proto/packets.hpp"
#include "tests/unit/proto/recorded.hpp"

#include <array>
#include <gtest/gtest.h>

namespace mpt::proto {
namespace {

using namespace testing;

tl::expected<Keepalive, DropReason> decode(base::ConstOctets datagram)
{
    const auto packet = decode_gre(datagram);
    if (!packet)
        return tl::unexpected(packet.error());
    return decode_keepalive(*packet);
}

TEST(Keepalive, RecordedOnesDecodeAndEncodeToTheSameOctets)
{
    for (const recorded::KeepaliveMessage &message : recorded::kKeepalives) {
        const Bytes octets = from_hex(message.octets);
        const auto keepalive = decode(octets);
        ASSERT_TRUE(keepalive) << message.octets;
        EXPECT_EQ(keepalive->sender.to_string(), message.sender);
        EXPECT_EQ(keepalive->receiver.to_string(), message.receiver);

        std::array<std::byte, kKeepaliveSize> encoded{};
        encoded.fill(std::byte{0xee});
        encode_keepalive(*keepalive, encoded);
        EXPECT_EQ(Bytes(encoded.begin(), encoded.end()), octets);
    }
}

TEST(Keepalive, LengthIsExact)
{
    for (const recorded::KeepaliveMessage &message : recorded::kKeepalives) {
        Bytes octets = from_hex(message.octets);
        octets.emplace_back();
        EXPECT_EQ(decode(octets).error(), DropReason::kBadKeepalive);
        for (std::size_t size = octets.size() - 2; size >= kGreSize + 8; --size) {
            octets.resize(size);
            EXPECT_EQ(decode(Bytes(octets)).error(), DropReason::kBadKeepalive) << size;
        }
    }
}

TEST(Keepalive, ReservedOctetsAreIgnored)
{
    Bytes octets = from_hex(recorded::kKeepalives[0].octets);
    for (const std::size_t at : {1U, 2U, 3U, 4U, 6U, 7U})
        octets[kGreSize + at] = std::byte{0xff};
    ASSERT_TRUE(decode(octets));
    EXPECT_EQ(decode(octets)->sender.to_string(), recorded::kKeepalives[0].sender);
}

TEST(Keepalive, EverythingSaysTheSameIpVersion)
{
    const Bytes v4 = from_hex(recorded::kKeepalives.front().octets);
    const Bytes v6 = from_hex(recorded::kKeepalives.back().octets);
    const auto with = [](Bytes octets, std::size_t at, unsigned value) {
        put16(octets, at, value);
        return octets;
    };
    EXPECT_EQ(decode(with(v4, 2, 0x86dd)).error(), DropReason::kBadKeepalive); // protocol type
    EXPECT_EQ(decode(with(v6, 2, 0x0800)).error(), DropReason::kBadKeepalive);
    EXPECT_EQ(decode(with(v4, kGreSize + 4, 0x0006)).error(), DropReason::kBadKeepalive); // ip_ver
    EXPECT_EQ(decode(with(v6, kGreSize + 4, 0x0004)).error(), DropReason::kBadKeepalive);
    EXPECT_EQ(decode(with(v4, kGreSize + 4, 0x0000)).error(), DropReason::kBadKeepalive);
    EXPECT_EQ(decode(with(v4, kGreSize + 8, 0xfec0)).error(), DropReason::kBadKeepalive);  // sender
    EXPECT_EQ(decode(with(v4, kGreSize + 24, 0xfec0)).error(), DropReason::kBadKeepalive); // receiver

    Bytes both = with(v4, 2, 0x86dd); // an IPv6 keepalive with mapped addresses
    both[kGreSize + 5] = std::byte{6};
    EXPECT_EQ(decode(both).error(), DropReason::kBadKeepalive);
}

TEST(Keepalive, OtherMessagesAreNotKeepalives)
{
    Bytes octets = from_hex(recorded::kKeepalives[0].octets);
    for (const unsigned command : {0xa0U, 0xa2U, 0xa3U, 0xffU}) {
        octets[kGreSize] = static_cast<std::byte>(command);
        EXPECT_EQ(decode(octets).error(), DropReason::kUnknownCommand) << command;
    }
}

TEST(Keepalive, HasNoSequenceNumber)
{
    Bytes octets = from_hex(recorded::kKeepalives[0].octets);
    octets.insert(octets.begin() + kGreSize, 4, std::byte{0});
    put16(octets, 0, 0x1000);
    EXPECT_EQ(decode(octets).error(), DropReason::kUnknownFlags);
}

} // namespace
} // namespace mpt::proto
