// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/control.hpp"

#include "tests/unit/address.hpp"
#include "tests/unit/freed_memory.hpp"
#include "tests/unit/proto/packets.hpp"
#include "tests/unit/proto/recorded_control.hpp"
#include "tests/unit/proto/type3_vectors.hpp"

#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <ostream>
#include <set>

namespace mpt::proto {

// For messages of failed checks.
std::ostream &operator<<(std::ostream &stream, ControlDrop reason)
{
    return stream << to_string(reason);
}

namespace {

using namespace testing;
using config::AuthType;
using mpt::test::address;

ControlKey recorded_key()
{
    return *ControlKey::parse(recorded::kAuthKey);
}

Bytes bytes(std::string_view text)
{
    const auto octets = std::as_bytes(std::span(text));
    return {octets.begin(), octets.end()};
}

TEST(Control, RecordedMessagesDecodeVerifyAndEncodeToTheSameOctets)
{
    for (const recorded::Exchange &exchange : recorded::kExchanges) {
        for (std::size_t n = 0; n < exchange.rounds.size(); ++n) {
            SCOPED_TRACE(std::string(exchange.name) + ", round " + std::to_string(n + 1));
            const Bytes octets = from_hex(exchange.rounds[n]);
            const auto message = decode_control(octets);
            ASSERT_TRUE(message) << message.error();
            EXPECT_EQ(message->round, n + 1);
            EXPECT_EQ(message->version, base::IpVersion::kV4);
            EXPECT_EQ(message->initiator, address("10.0.0.2"));
            EXPECT_EQ(message->responder, address("10.0.0.3"));
            EXPECT_TRUE(has_valid_hash(*message, octets, recorded_key()));
            EXPECT_EQ(encode_control(*message, recorded_key()), octets);
        }
    }
}

TEST(Control, RecordedStatusChangeSaysWhatWasDone)
{
    const recorded::Exchange &down = recorded::kExchanges[4]; // type 2
    const Bytes round1 = from_hex(down.rounds[0]);
    const Bytes round3 = from_hex(down.rounds[2]);
    const Bytes round4 = from_hex(down.rounds[3]);
    EXPECT_EQ(decode_control(round1)->command, ControlCommand::kPathStatus);
    EXPECT_EQ(decode_control(round1)->argument, kPathDown);
    EXPECT_EQ(decode_control(round1)->auth, AuthType::kSha256);
    EXPECT_EQ(decode_control(round1)->random, 0U);
    EXPECT_EQ(decode_control(round1)->body_length, 32U);
    EXPECT_EQ(decode_control(round3)->random, 0x69444611U);
    EXPECT_EQ(decode_path_addresses(decode_control(round3)->body),
              (PathAddresses{address("10.1.1.2"), address("10.1.1.3")}));
    EXPECT_EQ(decode_control(round4)->result(), ControlResult::kDone);
    EXPECT_TRUE(decode_control(round4)->body.empty());
}

TEST(Control, RecordedCreateSaysWhatWasDone)
{
    const recorded::Exchange &create = recorded::kExchanges[6];
    const Bytes round1 = from_hex(create.rounds[0]);
    const Bytes round3 = from_hex(create.rounds[2]);
    EXPECT_EQ(decode_control(round1)->command, ControlCommand::kCreate);
    EXPECT_EQ(decode_control(round1)->body_length, 0x466U); // little-endian
    EXPECT_EQ(decode_control(round3)->body.size(), 0x466U);
    const Bytes refused = from_hex(recorded::kExchanges[7].rounds[3]);
    EXPECT_EQ(decode_control(refused)->result(), ControlResult::kExists);
    ASSERT_EQ(decode_control(refused)->body.size(), 1U);
    EXPECT_EQ(decode_control(refused)->body[0], std::byte{1});
}

TEST(Control, Ipv6AddressesAndMappedOnesGoBothWays)
{
    ControlMessage message;
    message.command = ControlCommand::kPathStatus;
    message.argument = kPathDown;
    message.auth = AuthType::kRandom;
    message.random = 0x01020304;
    message.round = 3;
    message.version = base::IpVersion::kV6;
    message.initiator = address("fec0::2");
    message.responder = address("fec0::3");
    const auto body = encode_path_addresses({address("fd77:1::2"), address("fd77:1::3")});
    message.body = body;
    const Bytes encoded = encode_control(message, {});
    // Written out by the layout of the protocol's section 3, with 4 octets of authentication data.
    EXPECT_EQ(encoded, from_hex("a2800104"
                                "01020304"
                                "03060000"
                                "fec00000000000000000000000000002"
                                "fec00000000000000000000000000003"
                                "fd770001000000000000000000000002"
                                "fd770001000000000000000000000003"));
    const auto decoded = decode_control(encoded);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->initiator, address("fec0::2"));
    EXPECT_EQ(decode_path_addresses(decoded->body), (PathAddresses{address("fd77:1::2"), address("fd77:1::3")}));

    // IPv4 paths below an IPv6 tunnel.
    const auto mapped = encode_path_addresses({address("192.0.2.1"), address("192.0.2.2")});
    EXPECT_EQ(Bytes(mapped.begin(), mapped.end()), from_hex("00000000000000000000ffffc0000201"
                                                            "00000000000000000000ffffc0000202"));
    EXPECT_EQ(decode_path_addresses(mapped)->local, address("192.0.2.1"));
}

TEST(Control, OneChangedBitIsAWrongHash)
{
    for (const std::size_t exchange : {4U, 6U}) {
        const Bytes right = from_hex(recorded::kExchanges[exchange].rounds[2]);
        for (std::size_t bit = 0; bit < 8 * right.size(); ++bit) {
            Bytes octets = right;
            octets[bit / 8] ^= std::byte{1} << (bit % 8);
            const auto message = decode_control(octets);
            if (message && message->auth == AuthType::kSha256) {
                EXPECT_FALSE(has_valid_hash(*message, octets, recorded_key())) << bit;
            }
        }
    }
}

TEST(Control, KeyIsTheFirstHalfOfTheDigitsAsTheyAreWritten)
{
    const Bytes octets = from_hex(recorded::kExchanges[4].rounds[0]);
    const ControlMessage message = *decode_control(octets);
    std::string other(recorded::kAuthKey);
    other[63] = '0'; // not part of it
    EXPECT_TRUE(has_valid_hash(message, octets, *ControlKey::parse(other)));
    other[31] = '0';
    EXPECT_FALSE(has_valid_hash(message, octets, *ControlKey::parse(other)));
    std::string lower(recorded::kAuthKey);
    for (char &c : lower)
        c = c >= 'A' ? static_cast<char>(c + 'a' - 'A') : c;
    EXPECT_FALSE(has_valid_hash(message, octets, *ControlKey::parse(lower)));

    EXPECT_FALSE(ControlKey::parse(""));
    EXPECT_FALSE(ControlKey::parse(recorded::kAuthKey.substr(1)));
    EXPECT_FALSE(ControlKey::parse(std::string(recorded::kAuthKey) + "0"));
    other[40] = 'G';
    EXPECT_FALSE(ControlKey::parse(other));
}

TEST(ControlKey, LeavesNothingBehind)
{
    const ControlKey known = recorded_key();
    for (const base::ConstOctets octets : {known.characters(), known.octets()}) {
        const mpt::test::FreedMemory freed(base::as_text(octets.subspan(8, 16)));
        auto key = std::make_unique<ControlKey>(recorded_key());
        auto copy = std::make_unique<ControlKey>(*key);
        std::optional<ControlKey> optional = *copy;
        optional.reset();
        key.reset();
        copy.reset();
        EXPECT_EQ(freed.found(), 0U);
    }
}

// A message of authentication type 0, and where its fields are.
constexpr std::string_view kPlainRound1 =
    "a28000000104000000000000000000000000ffff0a00000200000000000000000000ffff0a00000320000000";

ControlDrop drop_of(Bytes octets)
{
    const auto message = decode_control(octets);
    EXPECT_FALSE(message);
    return message ? ControlDrop{255} : message.error();
}

Bytes with(std::string_view hex, std::size_t at, unsigned value)
{
    Bytes octets = from_hex(hex);
    octets[at] = static_cast<std::byte>(value);
    return octets;
}

TEST(Control, EveryFieldIsChecked)
{
    EXPECT_TRUE(decode_control(from_hex(kPlainRound1)));
    for (const unsigned command : {0x00U, 0xa0U, 0xa1U, 0xa4U, 0xffU})
        EXPECT_EQ(drop_of(with(kPlainRound1, 0, command)), ControlDrop::kUnknownCommand);
    for (const unsigned status : {0x01U, 0x81U, 0x83U, 0xffU})
        EXPECT_EQ(drop_of(with(kPlainRound1, 1, status)), ControlDrop::kArgument);
    for (const unsigned type : {4U, 255U})
        EXPECT_EQ(drop_of(with(kPlainRound1, 2, type)), ControlDrop::kUnknownAuthType);
    for (const unsigned type : {1U, 2U, 3U})
        EXPECT_EQ(drop_of(with(kPlainRound1, 2, type)), ControlDrop::kAuthLength);
    EXPECT_EQ(drop_of(with(kPlainRound1, 3, 4)), ControlDrop::kAuthLength);
    for (const unsigned round : {0U, 5U, 255U})
        EXPECT_EQ(drop_of(with(kPlainRound1, 4, round)), ControlDrop::kUnknownRound);
    for (const unsigned version : {0U, 5U, 6U})
        EXPECT_EQ(drop_of(with(kPlainRound1, 5, version)), ControlDrop::kAddresses);
    EXPECT_EQ(drop_of(with(kPlainRound1, 8, 0xfe)), ControlDrop::kAddresses);  // initiator
    EXPECT_EQ(drop_of(with(kPlainRound1, 24, 0xfe)), ControlDrop::kAddresses); // responder
    EXPECT_EQ(drop_of(with(kPlainRound1, 40, 31)), ControlDrop::kBodyLength);
    EXPECT_EQ(drop_of(with(kPlainRound1, 43, 0x80)), ControlDrop::kBodyLength); // 2 GiB
    EXPECT_TRUE(decode_control(with(kPlainRound1, 6, 0xff))) << "reserved";
}

TEST(Control, LengthsAreChecked)
{
    for (const recorded::Exchange &exchange : recorded::kExchanges) {
        for (const std::string_view round : exchange.rounds) {
            const Bytes whole = from_hex(round);
            const std::size_t fixed = 40 + std::to_integer<std::size_t>(whole[3]);
            for (std::size_t size = 0; size < fixed; ++size)
                EXPECT_EQ(drop_of(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))),
                          ControlDrop::kTruncated)
                    << size;
        }
    }
    const recorded::Exchange &down = recorded::kExchanges[0];
    for (const std::size_t round : {0U, 1U, 2U}) {
        Bytes octets = from_hex(down.rounds[round]);
        octets.emplace_back();
        EXPECT_EQ(drop_of(octets), ControlDrop::kBodyLength) << "round " << round + 1;
        octets.resize(octets.size() - 2);
        EXPECT_NE(drop_of(octets), ControlDrop{255}) << "round " << round + 1;
    }
    for (const std::size_t round : {2U, 3U}) {
        Bytes octets = from_hex(recorded::kExchanges[6].rounds[round]);
        octets.resize(76 + kMaxControlBody);
        EXPECT_TRUE(decode_control(octets));
        octets.resize(76 + kMaxControlBody + 1);
        EXPECT_EQ(drop_of(octets), ControlDrop::kBodyLength) << "round " << round + 1;
        octets.resize(65508);
        EXPECT_EQ(drop_of(octets), ControlDrop::kTooLong) << "round " << round + 1;
        octets.resize(76);
        EXPECT_EQ(decode_control(octets).has_value(), round == 3) << "only an answer may be without body";
    }
}

TEST(Control, CreateNeedsAHashAndMayLeaveTheResponderOpen)
{
    Bytes plain = with(kPlainRound1, 0, 0xa3);
    plain[1] = {};
    EXPECT_EQ(drop_of(plain), ControlDrop::kWeakCreate);

    Bytes open = from_hex(recorded::kExchanges[6].rounds[0]);
    std::fill(open.begin() + 36 + 24, open.begin() + 36 + 40, std::byte{0});
    ASSERT_TRUE(decode_control(open));
    EXPECT_TRUE(decode_control(open)->responder.is_unspecified());
    EXPECT_EQ(decode_control(encode_control(*decode_control(open), recorded_key()))->responder,
              decode_control(open)->responder)
        << "both addresses are repeated unchanged";

    Bytes status = from_hex(kPlainRound1);
    std::fill(status.begin() + 24, status.begin() + 40, std::byte{0});
    EXPECT_EQ(drop_of(status), ControlDrop::kAddresses);
}

TEST(Control, PathAddressesAreOfOneVersionAndLength)
{
    EXPECT_EQ(decode_path_addresses(bytes("0123456789abcdef0123456789abcde")).error(), ControlDrop::kBodyLength);
    EXPECT_EQ(decode_path_addresses({}).error(), ControlDrop::kBodyLength);
    EXPECT_EQ(decode_path_addresses(encode_path_addresses({address("fd77::1"), address("10.0.0.1")})).error(),
              ControlDrop::kAddresses);
}

// The random number of the receiver of each round.
ControlRandom other_of(std::size_t round)
{
    constexpr std::array kFirst{0, 0x40, 0x60, 0x40};
    RandomNumber number{};
    for (std::size_t i = 0; i < number.size() && round != 1; ++i)
        number[i] = static_cast<std::byte>(kFirst[round - 1] + static_cast<int>(i));
    return number;
}

TEST(Control, Type3VectorsDecodeVerifyAndEncodeToTheSameOctets)
{
    const ControlKey key = *ControlKey::parse(type3::kAuthKey);
    const std::array rounds{type3::kRound1, type3::kRound2, type3::kRound3, type3::kRound4};
    for (std::size_t n = 1; n <= rounds.size(); ++n) {
        SCOPED_TRACE(n);
        const Bytes octets = from_hex(rounds[n - 1]);
        const auto message = decode_control(octets);
        ASSERT_TRUE(message) << message.error();
        EXPECT_EQ(message->auth, AuthType::kHmacSha256);
        EXPECT_EQ(message->round, n);
        EXPECT_TRUE(message->random.is_long());
        EXPECT_TRUE(has_valid_hash(*message, octets, key, other_of(n)));
        EXPECT_EQ(encode_control(*message, key, other_of(n)), octets);
        EXPECT_FALSE(has_valid_hash(*message, octets, key, message->random));
        EXPECT_FALSE(has_valid_hash(*message, octets, recorded_key(), other_of(n)));
        for (std::size_t bit = 0; bit < 8 * octets.size(); ++bit) {
            Bytes changed = octets;
            changed[bit / 8] ^= std::byte{1} << (bit % 8);
            const auto decoded = decode_control(changed);
            EXPECT_FALSE(decoded && decoded->auth == AuthType::kHmacSha256 &&
                         has_valid_hash(*decoded, changed, key, other_of(n)))
                << bit;
        }
    }
    const Bytes round3 = from_hex(type3::kRound3);
    EXPECT_EQ(decode_path_change(decode_control(round3)->body), (PathChange{1, true, 300}));
    const Bytes create = from_hex(type3::kCreateRound1);
    ASSERT_TRUE(decode_control(create));
    EXPECT_TRUE(has_valid_hash(*decode_control(create), create, key));
    EXPECT_EQ(encode_control(*decode_control(create), key), create);
}

TEST(Control, PathChangeIsChecked)
{
    for (const PathChange &change : {PathChange{0, true, {}}, PathChange{19, false, 1}, PathChange{255, true, 10000}})
        EXPECT_EQ(decode_path_change(encode_path_change(change)), change);
    const auto drop = [](std::string_view hex) { return decode_path_change(from_hex(hex)).error(); };
    EXPECT_EQ(drop("0000000000000000"), ControlDrop::kArgument) << "nothing to set";
    EXPECT_EQ(drop("0004000000000000"), ControlDrop::kArgument) << "not known";
    EXPECT_EQ(drop("0003000000000000"), ControlDrop::kArgument) << "weight 0";
    EXPECT_EQ(drop("0002271100000000"), ControlDrop::kArgument) << "weight 10001";
    EXPECT_EQ(drop("00010000000000"), ControlDrop::kBodyLength);
    EXPECT_EQ(drop("000100000000000000"), ControlDrop::kBodyLength);
    EXPECT_EQ(decode_path_change(from_hex("0501ffff01020304")), (PathChange{5, true, {}})) << "reserved";
}

TEST(Control, RandomNumberOfAType)
{
    const ControlRandom whole = other_of(2);
    EXPECT_EQ(whole.of_type(AuthType::kHmacSha256), whole);
    EXPECT_EQ(whole.of_type(AuthType::kSha256), ControlRandom(0x40414243));
    EXPECT_EQ(whole.of_type(AuthType::kRandom).number(), 0x40414243U);
    EXPECT_EQ(whole.of_type(AuthType::kNone), ControlRandom());
    EXPECT_TRUE(whole.is_long());
    EXPECT_FALSE(ControlRandom(0x40414243).is_long());
}

TEST(Control, EveryReasonAndResultHasWordsOfItsOwn)
{
    std::set<std::string> words;
    for (std::size_t n = 0; n < kControlDropCount; ++n)
        words.emplace(to_string(static_cast<ControlDrop>(n)));
    EXPECT_EQ(words.size(), kControlDropCount);
    EXPECT_FALSE(words.contains("unknown"));
    EXPECT_EQ(to_string(ControlResult{17}), "result 17");
    EXPECT_EQ(to_string(ControlResult::kDone), "done");
}

} // namespace
} // namespace mpt::proto
