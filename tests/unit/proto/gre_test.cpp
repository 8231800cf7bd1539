// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/gre.hpp"
#include "daemon/proto/inner.hpp"

#include "tests/unit/proto/packets.hpp"
#include "tests/unit/proto/recorded.hpp"

#include <array>
#include <gtest/gtest.h>
#include <set>
#include <string>

namespace mpt::proto {
namespace {

using namespace testing;

base::IpVersion ip_version(unsigned number)
{
    return number == 4 ? base::IpVersion::kV4 : base::IpVersion::kV6;
}

// Why decode_gre() drops this; fails the test if it does not.
DropReason reason(base::ConstOctets datagram)
{
    const auto packet = decode_gre(datagram);
    EXPECT_FALSE(packet);
    return packet ? DropReason{0xff} : packet.error();
}

TEST(Gre, RecordedDataDecodesAndEncodesToTheSameOctets)
{
    for (const recorded::Data &data : recorded::kData) {
        const Bytes octets = from_hex(data.octets);
        const auto packet = decode_gre(octets);
        ASSERT_TRUE(packet) << data.octets;
        EXPECT_EQ(packet->has_sequence, data.has_sequence);
        EXPECT_EQ(packet->sequence, data.sequence);
        EXPECT_EQ(packet->version, ip_version(data.ip_version));
        EXPECT_FALSE(packet->is_control);

        const InnerAddresses addresses = inner_addresses(packet->version, packet->payload);
        EXPECT_EQ(addresses.source.to_string(), data.source);
        EXPECT_EQ(addresses.destination.to_string(), data.destination);

        std::array<std::byte, kGreSequencedSize> header{};
        const std::size_t size = data.has_sequence ? kGreSequencedSize : kGreSize;
        if (data.has_sequence)
            encode_gre(packet->version, packet->sequence, header);
        else
            encode_gre(packet->version, std::span(header).first<kGreSize>());
        Bytes encoded(header.begin(), header.begin() + static_cast<std::ptrdiff_t>(size));
        encoded.insert(encoded.end(), packet->payload.begin(), packet->payload.end());
        EXPECT_EQ(encoded, octets);
    }
}

TEST(Gre, SequenceNumberIsInNetworkOrder)
{
    std::array<std::byte, kGreSequencedSize> header{};
    encode_gre(base::IpVersion::kV6, 0xfedcba98U, header);
    EXPECT_EQ(Bytes(header.begin(), header.end()), from_hex("100086ddfedcba98"));
    Bytes datagram = from_hex(recorded::kData[0].octets);
    put32(datagram, 4, 0xfedcba98U);
    EXPECT_EQ(decode_gre(datagram)->sequence, 0xfedcba98U);
}

TEST(Gre, AnyCutOfADatagramIsRefused)
{
    for (const recorded::Data &data : {recorded::kData.front(), recorded::kData.back(), recorded::kData[8]}) {
        const Bytes octets = from_hex(data.octets);
        const std::size_t gre_size = data.has_sequence ? 8 : 4;
        const std::size_t ip_header = data.ip_version == 4 ? 20 : 40;
        for (std::size_t size = 0; size < octets.size(); ++size) {
            const DropReason expected = size < gre_size               ? DropReason::kTruncated
                                        : size < gre_size + 8         ? DropReason::kTooShort
                                        : size < gre_size + ip_header ? DropReason::kInnerHeader
                                                                      : DropReason::kInnerLength;
            // A copy of exactly that size, so that a memory checker sees a look beyond the end.
            const Bytes cut(octets.begin(), octets.begin() + static_cast<std::ptrdiff_t>(size));
            EXPECT_EQ(reason(cut), expected) << size;
        }
        Bytes longer = octets;
        longer.emplace_back();
        EXPECT_EQ(reason(longer), DropReason::kInnerLength);
    }
}

TEST(Gre, EveryBitOfTheFlagsButSIsRefused)
{
    for (const std::size_t index : {std::size_t{0}, std::size_t{8}}) { // with and without S
        const Bytes octets = from_hex(recorded::kData[index].octets);
        for (unsigned bit = 0; bit < 16; ++bit) {
            if (bit == 12)
                continue;
            Bytes changed = octets;
            put16(changed, 0, get16(octets, 0) ^ (1U << bit));
            EXPECT_EQ(reason(changed), bit < 3 ? DropReason::kUnknownVersion : DropReason::kUnknownFlags) << bit;
        }
    }
}

TEST(Gre, UnknownProtocolTypesAreRefused)
{
    Bytes octets = from_hex(recorded::kData[0].octets);
    for (const unsigned type : {0x0000U, 0x0801U, 0x0008U, 0x6558U, 0x86deU, 0xdd86U, 0xffffU}) {
        put16(octets, 2, type);
        EXPECT_EQ(reason(octets), DropReason::kUnknownProtocol) << type;
    }
}

TEST(Gre, InnerVersionMustBeTheProtocolTypes)
{
    Bytes v4 = from_hex(recorded::kData.front().octets);
    put16(v4, 2, 0x86dd);
    EXPECT_EQ(reason(v4), DropReason::kInnerVersion);
    Bytes v6 = from_hex(recorded::kData.back().octets);
    put16(v6, 2, 0x0800);
    EXPECT_EQ(reason(v6), DropReason::kInnerVersion);
    Bytes octets = from_hex(recorded::kData.front().octets);
    for (const unsigned first : {0x05U, 0x35U, 0x55U, 0x95U, 0x9fU}) {
        octets[8] = static_cast<std::byte>(first);
        EXPECT_EQ(reason(octets), DropReason::kInnerVersion) << first;
    }
}

TEST(Gre, InnerHeaderLengthMustBePossible)
{
    Bytes octets = from_hex(recorded::kData.front().octets);
    octets[8] = std::byte{0x44};
    EXPECT_EQ(reason(octets), DropReason::kInnerHeader);
    octets[8] = std::byte{0x4f}; // 60 octets of 84: possible
    EXPECT_TRUE(decode_gre(octets));
    // 24 octets of packet, which says so, with a header of 28
    Bytes small(octets.begin(), octets.begin() + 8 + 24);
    put16(small, 8 + 2, 24);
    small[8] = std::byte{0x47};
    EXPECT_EQ(reason(small), DropReason::kInnerHeader);
    small[8] = std::byte{0x46};
    EXPECT_TRUE(decode_gre(small));
}

TEST(Gre, InnerLengthMustBeWhatIsThere)
{
    Bytes v4 = from_hex(recorded::kData.front().octets);
    for (const unsigned length : {0U, 20U, 83U, 85U, 0xffffU}) {
        put16(v4, 8 + 2, length);
        EXPECT_EQ(reason(v4), DropReason::kInnerLength) << length;
    }
    Bytes v6 = from_hex(recorded::kData.back().octets);
    for (const unsigned length : {0U, 63U, 65U, 0xffffU}) {
        put16(v6, 8 + 4, length);
        EXPECT_EQ(reason(v6), DropReason::kInnerLength) << length;
    }
}

TEST(Gre, TheSmallestPacketsPass)
{
    Bytes v4 = from_hex("0000080045000014000040004001000001020304050607ff");
    EXPECT_TRUE(decode_gre(v4));
    Bytes v6 = from_hex("100086dd00000001600000000000");
    v6.resize(8 + 40);
    EXPECT_TRUE(decode_gre(v6));
}

TEST(Gre, ControlMessagesAreToldFromData)
{
    for (const unsigned command : {0xa0U, 0xa1U, 0xa2U, 0xffU}) {
        Bytes message = from_hex("000086dd0000000000000000");
        message[4] = static_cast<std::byte>(command);
        const auto packet = decode_gre(message);
        ASSERT_TRUE(packet) << command;
        EXPECT_TRUE(packet->is_control);
        EXPECT_EQ(packet->version, base::IpVersion::kV6);
        EXPECT_EQ(packet->payload.size(), 8U);
        message.pop_back();
        EXPECT_EQ(reason(message), DropReason::kTooShort);
    }
}

TEST(Inner, ChecksWhatTheTunHandsOut)
{
    EXPECT_EQ(check_inner({}).error(), DropReason::kTooShort);
    EXPECT_EQ(check_inner(from_hex("50")).error(), DropReason::kInnerVersion);
    EXPECT_EQ(check_inner(from_hex("45")).error(), DropReason::kInnerHeader);
    EXPECT_EQ(check_inner(from_hex("60")).error(), DropReason::kInnerHeader);
    EXPECT_EQ(*check_inner(build({})), base::IpVersion::kV4);
    Description v6;
    v6.ip_version = 6;
    EXPECT_EQ(*check_inner(build(v6)), base::IpVersion::kV6);
}

TEST(DropReason, EachHasANameOfItsOwn)
{
    std::set<std::string> names;
    for (std::size_t i = 0; i < kDropReasonCount; ++i)
        names.emplace(to_string(static_cast<DropReason>(i)));
    EXPECT_EQ(names.size(), kDropReasonCount);
    EXPECT_FALSE(names.contains("unknown"));
    EXPECT_EQ(to_string(static_cast<DropReason>(kDropReasonCount)), "unknown"); // none is left out of the count
}

} // namespace
} // namespace mpt::proto
