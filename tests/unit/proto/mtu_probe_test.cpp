// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/mtu_probe.hpp"

#include "tests/unit/address.hpp"
#include "tests/unit/proto/packets.hpp"
#include "tests/unit/proto/type3_vectors.hpp"

#include <gtest/gtest.h>

namespace mpt::proto {
namespace {

using testing::Bytes;
using testing::from_hex;

// 16 octets that count up, as in the vectors.
RandomNumber counting_from(unsigned first)
{
    RandomNumber number;
    for (std::byte &octet : number)
        octet = static_cast<std::byte>(first++);
    return number;
}

SessionKey key_of(const MtuProbe &probe, std::string_view from, std::string_view to)
{
    return {*ControlKey::parse(type3::kAuthKey),
            {KeyUse::Purpose::kKeepalive, test::address(from), test::address(to), probe.sender, probe.receiver}};
}

constexpr std::uint64_t kNumber = 0x0123456789abcdef;

TEST(MtuProbe, VectorsDecodeVerifyAndEncodeToTheSameOctets)
{
    const MtuProbe probe{base::IpVersion::kV4, 2, std::nullopt, counting_from(0x80), counting_from(0xa0), kNumber};
    const MtuProbe answer{base::IpVersion::kV4, 2, 112, counting_from(0xa0), counting_from(0x80), kNumber};
    for (const auto &[said, text, from, to] : {std::tuple{probe, type3::kProbe, "10.0.0.2", "10.0.0.3"},
                                               std::tuple{answer, type3::kProbeAnswer, "10.0.0.3", "10.0.0.2"}}) {
        const Bytes octets = from_hex(text);
        EXPECT_EQ(decode_mtu_probe(octets), said);
        SessionKey key = key_of(said, from, to);
        EXPECT_TRUE(key.verifies(octets, kMtuProbeMac));
        Bytes made(octets.size(), std::byte{0xee});
        encode_mtu_probe(said, key, made);
        EXPECT_EQ(made, octets);
        EXPECT_FALSE(key_of(said, to, from).verifies(octets, kMtuProbeMac)) << "reflected";
    }
}

TEST(MtuProbe, OfEverySize)
{
    const MtuProbe probe{base::IpVersion::kV6, 19, std::nullopt, counting_from(1), counting_from(2), 1};
    for (std::size_t size = kMtuProbeSize; size <= 9000; size += size < 200 ? 1 : 100) {
        Bytes octets(size, std::byte{0xee});
        SessionKey key = key_of(probe, "fec0::2", "fec0::3");
        encode_mtu_probe(probe, key, octets);
        EXPECT_EQ(decode_mtu_probe(octets), probe);
        EXPECT_TRUE(key.verifies(octets, kMtuProbeMac));
        octets.push_back(std::byte{0}); // the size is what it is about
        EXPECT_FALSE(key.verifies(octets, kMtuProbeMac));
        octets.resize(size);
        octets.back() ^= std::byte{1};
        EXPECT_FALSE(key.verifies(octets, kMtuProbeMac));
    }
}

TEST(MtuProbe, WhatIsNone)
{
    const Bytes good = from_hex(type3::kProbe);
    const auto with = [&](std::size_t at, unsigned value) {
        Bytes octets = good;
        octets[at] = static_cast<std::byte>(value);
        return decode_mtu_probe(octets);
    };
    const auto fails = [](DropReason reason) { return tl::unexpected(reason); };
    EXPECT_EQ(with(4, 0xa4), fails(DropReason::kUnknownCommand));
    EXPECT_EQ(with(4, 0x45), fails(DropReason::kInnerLength)) << "a data packet";
    EXPECT_EQ(with(5, 2), fails(DropReason::kBadKeepalive)) << "another form";
    EXPECT_EQ(with(7, 2), fails(DropReason::kBadKeepalive)) << "neither probe nor answer";
    for (std::size_t size = 0; size < kMtuProbeSize; ++size) {
        const auto cut = decode_mtu_probe(base::ConstOctets(good).first(size));
        ASSERT_FALSE(cut) << size;
        EXPECT_EQ(cut.error(), size < kGreSize       ? DropReason::kTruncated
                               : size < kGreSize + 8 ? DropReason::kTooShort
                                                     : DropReason::kBadKeepalive);
    }
    EXPECT_TRUE(decode_mtu_probe(base::ConstOctets(good).first(kMtuProbeSize)));
    Bytes numbered = good;
    numbered.insert(numbered.begin() + 4, 4, std::byte{0});
    numbered[0] = std::byte{0x10};
    EXPECT_EQ(decode_mtu_probe(numbered), fails(DropReason::kUnknownFlags));
}

} // namespace
} // namespace mpt::proto
