// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/session_keepalive.hpp"

#include "tests/unit/address.hpp"
#include "tests/unit/proto/packets.hpp"
#include "tests/unit/proto/recorded.hpp"
#include "tests/unit/proto/type3_vectors.hpp"

#include <array>
#include <gtest/gtest.h>
#include <numeric>

namespace mpt::proto {
namespace {

using namespace testing;
using mpt::test::address;

RandomNumber random_number(int first)
{
    RandomNumber number;
    for (std::size_t i = 0; i < number.size(); ++i)
        number[i] = static_cast<std::byte>(first + static_cast<int>(i));
    return number;
}

SessionKey key_for(const SessionKeepalive &keepalive, std::string_view from, std::string_view to)
{
    return {*ControlKey::parse(type3::kAuthKey),
            {KeyUse::Purpose::kKeepalive, address(from), address(to), keepalive.sender, keepalive.receiver}};
}

Bytes encode(const SessionKeepalive &keepalive, SessionKey key)
{
    std::array<std::byte, kSessionKeepaliveSize> octets{};
    octets.fill(std::byte{0xee});
    encode_session_keepalive(keepalive, key, octets);
    return {octets.begin(), octets.end()};
}

TEST(SessionKeepalive, VectorsDecodeVerifyAndEncodeToTheSameOctets)
{
    struct Vector {
        std::string_view octets;
        std::string_view from;
        std::string_view to;
    };
    for (const Vector &vector :
         {Vector{type3::kKeepalive, "10.0.0.2", "10.0.0.3"}, Vector{type3::kFirst, "10.0.0.2", "10.0.0.3"},
          Vector{type3::kAnswer, "10.0.0.3", "10.0.0.2"}, Vector{type3::kIpv6, "fec0::2", "fec0::3"}}) {
        const Bytes octets = from_hex(vector.octets);
        const auto keepalive = decode_session_keepalive(octets);
        ASSERT_TRUE(keepalive);
        SessionKey key = key_for(*keepalive, vector.from, vector.to);
        EXPECT_TRUE(key.verifies(octets, kSessionKeepaliveMac));
        EXPECT_TRUE(key.verifies(octets, kSessionKeepaliveMac)) << "a key is good for many messages";
        EXPECT_EQ(encode(*keepalive, std::move(key)), octets);
        EXPECT_FALSE(key_for(*keepalive, vector.to, vector.from).verifies(octets, kSessionKeepaliveMac)) << "reflected";
    }
}

TEST(SessionKeepalive, FieldsAreWhereTheySay)
{
    SessionKeepalive expected;
    expected.path = 2;
    expected.highest_sequence = 0xfffffff0;
    expected.from = address("10.0.0.2");
    expected.to = address("10.0.0.3");
    expected.sender = random_number(0x80);
    expected.receiver = random_number(0xa0);
    expected.offer = random_number(0xc0);
    expected.counter = 7;
    expected.sent_at = 1000000000000;
    expected.echo = 500000000000;
    expected.echo_delay = 2500;
    expected.packets_sent = 1000;
    expected.packets_lost = 10;
    expected.challenge = 0x1122334455667788;
    expected.response = 0x99aabbccddeeff00;
    expected.observed = {address("198.51.100.7"), 40001};
    EXPECT_EQ(decode_session_keepalive(from_hex(type3::kKeepalive)), expected);
    EXPECT_FALSE(decode_session_keepalive(from_hex(type3::kFirst))->highest_sequence);
    EXPECT_EQ(decode_session_keepalive(from_hex(type3::kFirst))->observed.port, 0);
    const SessionKeepalive ipv6 = *decode_session_keepalive(from_hex(type3::kIpv6));
    EXPECT_EQ(ipv6.version, base::IpVersion::kV6);
    EXPECT_EQ(ipv6.observed, (base::Endpoint{address("2001:db8::7"), 65535}));
}

TEST(SessionKeepalive, NamesItsPathBeforeAnythingElseOfItIsRead)
{
    const auto name_of = [](const Bytes &octets) { return name_of_session_keepalive(*decode_gre(octets)); };
    const Bytes octets = from_hex(type3::kKeepalive);
    EXPECT_EQ(name_of(octets), (KeepaliveName{address("10.0.0.2"), address("10.0.0.3"), 2}));
    EXPECT_EQ(name_of(from_hex(type3::kIpv6)), (KeepaliveName{address("fec0::2"), address("fec0::3"), 19}));
    Bytes other = octets;
    other.emplace_back();
    EXPECT_FALSE(name_of(other));
    other.resize(octets.size() - 1);
    EXPECT_FALSE(name_of(other));
    other = octets;
    other[kGreSize + 1] = std::byte{2};
    EXPECT_FALSE(name_of(other)) << "another form";
    other = octets;
    other[kGreSize] = std::byte{0xa5};
    EXPECT_FALSE(name_of(other)) << "another message";
    EXPECT_FALSE(name_of(from_hex(recorded::kKeepalives[0].octets)));
}

TEST(SessionKeepalive, LengthIsExactAndTheFormKnown)
{
    Bytes octets = from_hex(type3::kKeepalive);
    EXPECT_EQ(octets.size(), kSessionKeepaliveSize);
    octets.emplace_back();
    EXPECT_EQ(decode_session_keepalive(octets).error(), DropReason::kBadKeepalive);
    for (std::size_t size = octets.size() - 2; size >= kGreSize + 8; --size) {
        octets.resize(size);
        EXPECT_EQ(decode_session_keepalive(Bytes(octets)).error(), DropReason::kBadKeepalive) << size;
    }
    octets.resize(kGreSize + 7);
    EXPECT_EQ(decode_session_keepalive(octets).error(), DropReason::kTooShort);

    const auto with = [](std::size_t at, unsigned value) {
        Bytes changed = from_hex(type3::kKeepalive);
        changed[at] = static_cast<std::byte>(value);
        return decode_session_keepalive(changed);
    };
    EXPECT_EQ(with(kGreSize + 1, 2).error(), DropReason::kBadKeepalive);
    EXPECT_EQ(with(kGreSize, 0xa5).error(), DropReason::kUnknownCommand);
    EXPECT_EQ(with(0, 0x20).error(), DropReason::kUnknownFlags);
    EXPECT_TRUE(with(kGreSize + 3, 0xff)) << "flags of later versions";
    EXPECT_EQ(decode_session_keepalive(from_hex(recorded::kKeepalives[0].octets)).error(), DropReason::kWeakKeepalive);
    Bytes sequenced = from_hex(type3::kKeepalive);
    sequenced.insert(sequenced.begin() + kGreSize, 4, std::byte{0});
    put16(sequenced, 0, 0x1000);
    EXPECT_EQ(decode_session_keepalive(sequenced).error(), DropReason::kUnknownFlags);
}

TEST(SessionKeepalive, EveryBitCounts)
{
    const Bytes right = from_hex(type3::kKeepalive);
    SessionKey key = key_for(*decode_session_keepalive(right), "10.0.0.2", "10.0.0.3");
    for (std::size_t bit = 0; bit < 8 * right.size(); ++bit) {
        Bytes octets = right;
        octets[bit / 8] ^= std::byte{1} << (bit % 8);
        EXPECT_FALSE(key.verifies(octets, kSessionKeepaliveMac)) << bit;
    }
}

TEST(SessionKey, IsBoundToEverythingItIsFor)
{
    const KeyUse use{KeyUse::Purpose::kKeepalive, address("10.0.0.2"), address("10.0.0.3"), random_number(0x80),
                     random_number(0xa0)};
    const ControlKey secret = *ControlKey::parse(type3::kAuthKey);
    const Bytes message = from_hex(type3::kKeepalive);
    const auto verifies = [&](const ControlKey &with, const KeyUse &other) {
        return SessionKey(with, other).verifies(message, kSessionKeepaliveMac);
    };
    ASSERT_TRUE(verifies(secret, use));
    const auto changed = [&](auto change) {
        KeyUse other = use;
        change(other);
        return verifies(secret, other);
    };
    EXPECT_FALSE(changed([](KeyUse &other) { other.purpose = KeyUse::Purpose::kControl; }));
    EXPECT_FALSE(changed([](KeyUse &other) { other.from = address("10.0.0.4"); }));
    EXPECT_FALSE(changed([](KeyUse &other) { other.to = address("10.0.0.4"); }));
    EXPECT_FALSE(changed([](KeyUse &other) { other.sender = random_number(0x81); }));
    EXPECT_FALSE(changed([](KeyUse &other) { other.receiver = random_number(0xa1); }));
    EXPECT_FALSE(changed([](KeyUse &other) { std::swap(other.sender, other.receiver); }));
    std::string digits(type3::kAuthKey);
    digits.back() = 'e';
    EXPECT_FALSE(verifies(*ControlKey::parse(digits), use)) << "the last half counts, too";
    digits = type3::kAuthKey;
    for (char &c : digits)
        c = c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c;
    EXPECT_TRUE(verifies(*ControlKey::parse(digits), use)) << "the octets count, not how they are written";
}

TEST(SessionKey, NoneVerifiesNothing)
{
    Bytes message(kMacSize);
    SessionKey none;
    EXPECT_FALSE(none.verifies(message, 0));
    message.assign(kMacSize, std::byte{0xee});
    none.sign(message, 0);
    EXPECT_EQ(message, Bytes(kMacSize)) << "nothing that was there before leaves";
    EXPECT_FALSE(none.verifies(message, 0));
    SessionKey key = key_for({}, "10.0.0.2", "10.0.0.3");
    key.sign(message, 0);
    EXPECT_TRUE(key.verifies(message, 0));
    none = std::move(key);
    EXPECT_TRUE(none.verifies(message, 0));
}

} // namespace
} // namespace mpt::proto
