// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/checksum.hpp"
#include "daemon/proto/ecn.hpp"

#include <array>
#include <gtest/gtest.h>
#include <optional>
#include <vector>

namespace mpt::proto {
namespace {

constexpr std::uint8_t kDscp = 46 << 2; // expedited forwarding, RFC 3246

// A header alone, with a DSCP; the IPv4 one with a right checksum.
std::vector<std::byte> header(base::IpVersion version, std::uint8_t ecn)
{
    const unsigned traffic_class = kDscp | ecn;
    if (version == base::IpVersion::kV6) {
        std::vector<std::byte> packet(40, std::byte{0x5a});
        packet[0] = static_cast<std::byte>(0x60 | traffic_class >> 4);
        packet[1] = static_cast<std::byte>((traffic_class & 0xf) << 4 | 0xb);
        return packet;
    }
    std::vector<std::byte> packet(20, std::byte{0x5a});
    packet[0] = std::byte{0x45};
    packet[1] = static_cast<std::byte>(traffic_class);
    packet[10] = packet[11] = std::byte{0};
    const std::uint16_t checksum = finish_checksum(sum_octets(packet));
    std::memcpy(&packet[10], &checksum, sizeof checksum);
    return packet;
}

// RFC 6040 figure 4: what the inner packet has afterwards, by inner and outer field; nothing if it is dropped.
constexpr std::array<std::array<std::optional<std::uint8_t>, 4>, 4> kFigure4{{
    // outer Not-ECT, ECT(1), ECT(0), CE
    {0, 0, 0, std::nullopt}, // inner Not-ECT
    {1, 1, 1, 3},            // inner ECT(1)
    {2, 1, 2, 3},            // inner ECT(0)
    {3, 3, 3, 3},            // inner CE
}};

TEST(Ecn, FollowsFigure4OfRfc6040)
{
    for (const base::IpVersion version : {base::IpVersion::kV4, base::IpVersion::kV6})
        for (std::uint8_t inner = 0; inner < 4; ++inner)
            for (std::uint8_t outer = 0; outer < 4; ++outer) {
                std::vector<std::byte> packet = header(version, inner);
                const auto expected = kFigure4[inner][outer];
                EXPECT_EQ(take_ecn(outer | 0xfc, version, packet), expected.has_value()) << +inner << " " << +outer;
                EXPECT_EQ(packet, header(version, expected.value_or(inner))) << +inner << " " << +outer;
            }
}

TEST(Ecn, TrafficClassOfBothVersions)
{
    for (const base::IpVersion version : {base::IpVersion::kV4, base::IpVersion::kV6})
        EXPECT_EQ(traffic_class(version, header(version, kEct0)), kDscp | kEct0);
}

} // namespace
} // namespace mpt::proto
