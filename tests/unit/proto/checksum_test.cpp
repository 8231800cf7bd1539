// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/checksum.hpp"

#include "tests/unit/proto/packets.hpp"

#include <gtest/gtest.h>

namespace mpt::proto {
namespace {

using namespace testing;

// A sum as RFC 1071 writes it: of words in network order.
std::uint16_t network_sum(PartialSum sum)
{
    return base::network_order(fold(sum));
}

TEST(Checksum, IsTheExampleOfRfc1071)
{
    const Bytes octets = from_hex("0001f203f4f5f6f7"); // section 3
    EXPECT_EQ(network_sum(sum_octets(octets)), 0xddf2);
    EXPECT_EQ(base::network_order(finish_checksum(sum_octets(octets))), 0x220d);
}

TEST(Checksum, EqualsThePlainSumForAnySizeAndAlignment)
{
    const Bytes octets = noise(700, 1);
    for (std::size_t start = 0; start < 9; ++start) {
        for (std::size_t size = 0; size + start <= octets.size(); ++size) {
            const auto piece = base::ConstOctets(octets).subspan(start, size);
            ASSERT_EQ(network_sum(sum_octets(piece)), plain_sum(piece)) << start << "+" << size;
        }
    }
}

TEST(Checksum, KeepsEveryCarry)
{
    const Bytes ones(65535, std::byte{0xff});
    for (const std::size_t size : {1U, 2U, 7U, 8U, 63U, 64U, 65U, 191U, 1400U, 65535U}) {
        const auto piece = base::ConstOctets(ones).first(size);
        EXPECT_EQ(network_sum(sum_octets(piece)), plain_sum(piece)) << size;
    }
    EXPECT_EQ(fold(~PartialSum{0}), 0xffff);
    EXPECT_EQ(fold(0xffffffff00000001U), 0x0001); // 0xffff + 0xffff + 0 + 1, where 0xffff is 0
    EXPECT_EQ(fold(0), 0);
}

TEST(Checksum, AddsUpOverPiecesOfOddLength)
{
    const Bytes octets = noise(301, 2);
    const base::ConstOctets all(octets);
    for (std::size_t cut = 0; cut <= all.size(); ++cut) {
        const PartialSum tail = sum_octets(all.subspan(cut));
        const PartialSum sum = sum_octets(all.first(cut)) + (cut % 2 == 0 ? tail : at_odd_offset(tail));
        ASSERT_EQ(network_sum(sum), plain_sum(all)) << cut;
    }
}

TEST(Checksum, IsUpdatedForAChangedField)
{
    Bytes octets = noise(20, 3);
    put16(octets, 10, 0);
    std::uint16_t checksum = finish_checksum(sum_octets(octets));
    for (const unsigned value : {0x0000U, 0xffffU, 0x0001U, 0xfffeU, 0x5dcU, 0x8000U}) {
        const std::uint16_t before = get16(octets, 2);
        put16(octets, 2, value);
        checksum = update_checksum(checksum, base::network_order(before),
                                   base::network_order(static_cast<std::uint16_t>(value)));
        EXPECT_EQ(checksum, finish_checksum(sum_octets(octets))) << value;
    }
}

TEST(Checksum, UpdateIsTheExampleOfRfc1624)
{
    // Section 4: a checksum of 0xdd2f, a field that changes from 0x5555 to 0x3285; 0xffff would be wrong.
    EXPECT_EQ(update_checksum(0xdd2f, 0x5555, 0x3285), 0x0000);
}

// Packets made by scapy 2.5.
constexpr std::string_view kScapyTcp4 =
    "4502005afffe40003f0627990a0000020a0000039c401451fffffff011223344801001f50d5b00000101080a010203040506"
    "07086d756c7469706174682074756e6e656c207061796c6f6164206f66206f6464206c656e677468";
constexpr std::string_view kScapyUdp4 = "4500001f00070000401166c30a0000020a00000304d20035000b226a616263";
constexpr std::string_view kScapyTcp6 =
    "603123450025063cfec00000000000000000000000000002fec000000000000000000000000000039c401451000000010000"
    "0002801801f572ba00000101080a010203040506070868656c6c6f";
constexpr std::string_view kScapyUdp6 = "60000000000c1140fec00000000000000000000000000002fec0000000000000000000000000"
                                        "000304d20035000c388261626364";

TEST(Checksum, VerifiesTcpAndUdp)
{
    struct Case {
        std::string_view packet;
        std::uint8_t protocol;
        std::size_t addresses, addresses_size, transport;
    };
    for (const Case &c : {Case{kScapyTcp4, 6, 12, 8, 20}, Case{kScapyUdp4, 17, 12, 8, 20},
                          Case{kScapyTcp6, 6, 8, 32, 40}, Case{kScapyUdp6, 17, 8, 32, 40}}) {
        Bytes packet = from_hex(c.packet);
        EXPECT_EQ(fault(packet), ""); // the plain implementation, too, agrees with scapy
        const auto valid = [&](std::uint8_t protocol) {
            const base::ConstOctets octets(packet);
            return transport_checksum_valid(octets.subspan(c.addresses, c.addresses_size), protocol,
                                            octets.subspan(c.transport));
        };
        EXPECT_TRUE(valid(c.protocol)) << c.packet;
        EXPECT_FALSE(valid(static_cast<std::uint8_t>(23 - c.protocol))) << c.packet;
        for (std::size_t i = c.addresses; i < packet.size(); ++i) {
            packet[i] ^= std::byte{0x10};
            EXPECT_FALSE(valid(c.protocol)) << i;
            packet[i] ^= std::byte{0x10};
            if (i + 1 == c.addresses + c.addresses_size)
                i = c.transport - 1;
        }
    }
}

TEST(Checksum, OfUdpIsNeverZero)
{
    EXPECT_EQ(finish_checksum(0xffff), 0);
    EXPECT_EQ(finish_udp_checksum(0xffff), 0xffff);
    EXPECT_EQ(finish_udp_checksum(0x1234), 0xedcb);
}

} // namespace
} // namespace mpt::proto
