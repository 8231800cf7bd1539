// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/checksum.hpp"
#include "daemon/proto/headers.hpp"
#include "daemon/proto/icmp.hpp"
#include "daemon/proto/inner.hpp"

#include <array>
#include <gtest/gtest.h>
#include <vector>

namespace mpt::proto {
namespace {

const base::Address kPeer = base::Address::parse("10.0.0.3").value();
const base::Address kPeerV6 = base::Address::parse("fec0::3").value();

std::vector<std::byte> octets(std::initializer_list<int> values)
{
    std::vector<std::byte> made;
    for (const int value : values)
        made.push_back(static_cast<std::byte>(value));
    return made;
}

// A UDP packet from 10.0.0.2 to 10.0.0.3 with `size` octets behind its IP header.
std::vector<std::byte> packet_v4(std::size_t size, int protocol = kProtocolUdp)
{
    auto packet = octets({0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 2, 10, 0, 0, 3});
    packet.resize(20 + size, std::byte{0x11});
    base::store_be(packet.data() + ipv4::kTotalLength, static_cast<std::uint16_t>(packet.size()));
    return packet;
}

std::vector<std::byte> packet_v6(std::size_t size, int next_header = kProtocolUdp)
{
    std::vector<std::byte> packet(40 + size, std::byte{0x11});
    base::Writer writer(packet);
    writer.write<std::uint32_t>(0x60000000).write(static_cast<std::uint16_t>(size));
    writer.write(static_cast<std::uint8_t>(next_header)).write<std::uint8_t>(64);
    writer.put(base::Address::parse("fec0::2")->octets()).put(kPeerV6.octets());
    return packet;
}

base::ConstOctets answer(base::ConstOctets packet, const base::Address &from = kPeer)
{
    static std::array<std::byte, kMaxIcmpError> buffer;
    return write_unreachable(packet, from, buffer);
}

TEST(Unreachable, QuotesTheIpv4PacketInAWholeOneOfItsOwn)
{
    const auto packet = packet_v4(8);
    const base::ConstOctets error = answer(packet);
    ASSERT_EQ(error.size(), 20U + 8 + packet.size());
    EXPECT_EQ(check_inner(error), base::IpVersion::kV4);
    const InnerAddresses addresses = inner_addresses(base::IpVersion::kV4, error);
    EXPECT_EQ(addresses.source, kPeer);
    EXPECT_EQ(addresses.destination.to_string(), "10.0.0.2");
    EXPECT_EQ(fold(sum_octets(error.first(20))), 0xffff); // RFC 1071: a right checksum sums up to that
    EXPECT_EQ(fold(sum_octets(error.subspan(20))), 0xffff);
    EXPECT_EQ(error[9], std::byte{1});  // RFC 792: ICMP
    EXPECT_EQ(error[20], std::byte{3}); // destination unreachable
    EXPECT_EQ(error[21], std::byte{1}); // host
    EXPECT_TRUE(std::equal(packet.begin(), packet.end(), error.begin() + 28));
}

TEST(Unreachable, QuotesTheIpv6Packet)
{
    const auto packet = packet_v6(8);
    const base::ConstOctets error = answer(packet, kPeerV6);
    ASSERT_EQ(error.size(), 40U + 8 + packet.size());
    EXPECT_EQ(check_inner(error), base::IpVersion::kV6);
    EXPECT_EQ(inner_addresses(base::IpVersion::kV6, error).destination.to_string(), "fec0::2");
    EXPECT_TRUE(transport_checksum_valid(error.subspan(8, 32), 58, error.subspan(40)));
    EXPECT_EQ(error[40], std::byte{1}); // RFC 4443 section 3.1
    EXPECT_EQ(error[41], std::byte{3}); // address unreachable
}

TEST(Unreachable, IsNoLongerThanAHostMustTake)
{
    EXPECT_EQ(answer(packet_v4(1400)).size(), 576U);
    EXPECT_EQ(answer(packet_v6(1400), kPeerV6).size(), 1280U);
}

TEST(Unreachable, IsNotSentAboutErrorsFragmentsAndGroups)
{
    for (const int type : {3, 4, 5, 11, 12}) {
        auto packet = packet_v4(8, 1);
        packet[20] = static_cast<std::byte>(type);
        EXPECT_TRUE(answer(packet).empty()) << type;
    }
    auto echo = packet_v4(8, 1);
    echo[20] = std::byte{8};
    EXPECT_FALSE(answer(echo).empty());
    EXPECT_TRUE(answer(packet_v4(0, 1)).empty()) << "its type is not there";

    auto later_fragment = packet_v4(8);
    later_fragment[7] = std::byte{1};
    EXPECT_TRUE(answer(later_fragment).empty());
    auto first_fragment = packet_v4(8);
    first_fragment[6] = std::byte{0x20};
    EXPECT_FALSE(answer(first_fragment).empty());

    for (const int first_octet : {224, 239, 0}) {
        auto packet = packet_v4(8);
        packet[16] = static_cast<std::byte>(first_octet);
        if (first_octet == 0)
            packet[19] = std::byte{0};
        EXPECT_TRUE(answer(packet).empty()) << first_octet;
    }
    auto from_nobody = packet_v4(8);
    from_nobody[12] = from_nobody[15] = std::byte{0};
    EXPECT_TRUE(answer(from_nobody).empty());

    auto error_v6 = packet_v6(8, 58);
    error_v6[40] = std::byte{1};
    EXPECT_TRUE(answer(error_v6, kPeerV6).empty());
    error_v6[40] = std::byte{128};
    EXPECT_FALSE(answer(error_v6, kPeerV6).empty());
}

base::ConstOctets too_big(base::ConstOctets packet, std::uint32_t mtu, const base::Address &from = kPeer)
{
    static std::array<std::byte, kMaxIcmpError> buffer;
    return write_too_big(packet, from, mtu, buffer);
}

TEST(TooBig, SaysWhatFits)
{
    auto packet = packet_v4(1400);
    packet[6] = std::byte{0x40}; // must not be fragmented
    // The first octets are enough.
    for (const std::size_t known : {packet.size(), std::size_t{1280}}) {
        const base::ConstOctets error = too_big(base::ConstOctets(packet).first(known), 1364);
        ASSERT_EQ(error.size(), 576U);
        EXPECT_EQ(check_inner(error), base::IpVersion::kV4);
        EXPECT_EQ(inner_addresses(base::IpVersion::kV4, error).source, kPeer);
        EXPECT_EQ(fold(sum_octets(error.first(20))), 0xffff);
        EXPECT_EQ(fold(sum_octets(error.subspan(20))), 0xffff);
        EXPECT_EQ(error[20], std::byte{3}); // RFC 1191 section 4
        EXPECT_EQ(error[21], std::byte{4});
        EXPECT_EQ(base::load_be<std::uint32_t>(error.data() + 24), 1364U);
        EXPECT_TRUE(std::equal(error.begin() + 28, error.end(), packet.begin()));
    }
    const base::ConstOctets error = too_big(packet_v6(1400), 1364, kPeerV6);
    ASSERT_EQ(error.size(), 1280U);
    EXPECT_EQ(check_inner(error), base::IpVersion::kV6);
    EXPECT_TRUE(transport_checksum_valid(error.subspan(8, 32), 58, error.subspan(40)));
    EXPECT_EQ(error[40], std::byte{2}); // RFC 4443 section 3.2
    EXPECT_EQ(error[41], std::byte{0});
    EXPECT_EQ(base::load_be<std::uint32_t>(error.data() + 44), 1364U);
}

TEST(TooBig, IsNotSaidWhereItDoesNotHelp)
{
    EXPECT_TRUE(too_big(packet_v4(1400), 1364).empty()) << "it may be fragmented";
    EXPECT_TRUE(too_big(packet_v6(1400), 1279, kPeerV6).empty()) << "RFC 8200 section 5";
    EXPECT_FALSE(too_big(packet_v6(1400), 1280, kPeerV6).empty());
    auto error_v4 = packet_v4(1400, 1);
    error_v4[6] = std::byte{0x40};
    error_v4[20] = std::byte{3};
    EXPECT_TRUE(too_big(error_v4, 1364).empty());
    error_v4[20] = std::byte{8};
    EXPECT_FALSE(too_big(error_v4, 1364).empty());
}

} // namespace
} // namespace mpt::proto
