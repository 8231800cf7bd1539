// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/stun.hpp"

#include "tests/unit/proto/packets.hpp"

#include <gtest/gtest.h>
#include <vector>

namespace mpt::proto {
namespace {

using StunOctets = std::vector<std::byte>;

StunOctets stun_octets(std::initializer_list<unsigned> values)
{
    StunOctets all;
    for (const unsigned value : values)
        all.push_back(static_cast<std::byte>(value));
    return all;
}

// RFC 5769 section 2.2: from 192.0.2.1 port 32853, with SOFTWARE, MESSAGE-INTEGRITY and FINGERPRINT.
const StunOctets kSampleV4 = stun_octets({
    0x01, 0x01, 0x00, 0x3c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, //
    0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63, //
    0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43, //
    0x00, 0x08, 0x00, 0x14, 0x2b, 0x91, 0xf5, 0x99, 0xfd, 0x9e, 0x90, 0xc3, 0x8c, 0x74, 0x89, 0xf9, //
    0x2a, 0xf9, 0xba, 0x53, 0xf0, 0x6b, 0xe7, 0xd7, 0x80, 0x28, 0x00, 0x04, 0xc0, 0x7d, 0x4c, 0x96,
});

// Section 2.3: from 2001:db8:1234:5678:11:2233:4455:6677 port 32853.
const StunOctets kSampleV6 = stun_octets({
    0x01, 0x01, 0x00, 0x48, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, //
    0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63, //
    0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, //
    0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9, 0x00, 0x08, 0x00, 0x14, //
    0xa3, 0x82, 0x95, 0x4e, 0x4b, 0xe6, 0x7b, 0xf1, 0x17, 0x84, 0xc9, 0x7c, 0x82, 0x92, 0xc2, 0x75, //
    0xbf, 0xe3, 0xed, 0x41, 0x80, 0x28, 0x00, 0x04, 0xc8, 0xfb, 0x0b, 0x4c,
});

const StunTransaction kTransaction{std::byte{0xb7}, std::byte{0xe7}, std::byte{0xa7}, std::byte{0x01},
                                   std::byte{0xbc}, std::byte{0x34}, std::byte{0xd6}, std::byte{0x86},
                                   std::byte{0xfa}, std::byte{0x87}, std::byte{0xdf}, std::byte{0xae}};

base::Endpoint endpoint(const char *address, std::uint16_t port)
{
    return {base::Address::parse(address).value(), port};
}

// An answer of this type with these attributes, and a length that counts them.
StunOctets answer(unsigned type, const StunOctets &attributes)
{
    StunOctets all = stun_octets({type >> 8, type & 0xff, static_cast<unsigned>(attributes.size() >> 8),
                                  static_cast<unsigned>(attributes.size() & 0xff), 0x21, 0x12, 0xa4, 0x42});
    all.insert(all.end(), kTransaction.begin(), kTransaction.end());
    all.insert(all.end(), attributes.begin(), attributes.end());
    return all;
}

StunOctets put_together(std::initializer_list<StunOctets> parts)
{
    StunOctets all;
    for (const StunOctets &part : parts)
        all.insert(all.end(), part.begin(), part.end());
    return all;
}

constexpr unsigned kSuccess = 0x0101;
constexpr unsigned kError = 0x0111;
const StunOctets kMapped = stun_octets({0, 1, 0, 8, 0, 1, 0x12, 0x34, 198, 51, 100, 7}); // 198.51.100.7 port 4660
const StunOctets kXorMapped =
    stun_octets({0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43}); // as in the sample

TEST(Stun, RequestIsTheHeaderAlone)
{
    std::array<std::byte, kStunRequestSize> request;
    encode_stun_request(kTransaction, request);
    StunOctets expected = answer(0x0001, {});
    EXPECT_EQ(StunOctets(request.begin(), request.end()), expected);
    EXPECT_FALSE(is_stun_answer(request));
}

TEST(Stun, ReadsTheSamplesOfRfc5769)
{
    for (const auto &[sample, expected] :
         {std::pair{kSampleV4, endpoint("192.0.2.1", 32853)},
          std::pair{kSampleV6, endpoint("2001:db8:1234:5678:11:2233:4455:6677", 32853)}}) {
        const auto decoded = decode_stun_answer(sample);
        ASSERT_TRUE(decoded);
        EXPECT_EQ(decoded->transaction, kTransaction);
        EXPECT_EQ(decoded->error, 0);
        EXPECT_EQ(decoded->mapped, expected);
        // FINGERPRINT covers every octet before it.
        for (std::size_t at = 8; at < sample.size(); ++at) {
            StunOctets changed = sample;
            changed[at] ^= std::byte{1};
            const auto other = decode_stun_answer(changed);
            // A bit of its own type or length makes it another attribute, or none that fits.
            const bool is_in_its_header = at >= sample.size() - 8 && at < sample.size() - 4;
            EXPECT_TRUE(is_in_its_header || !other) << at;
        }
    }
}

TEST(Stun, AnswersAreToldFromEverythingElse)
{
    EXPECT_TRUE(is_stun_answer(kSampleV4));
    EXPECT_TRUE(is_stun_answer(answer(kError, {})));
    for (std::size_t size = 0; size < kSampleV4.size(); ++size)
        EXPECT_FALSE(is_stun_answer(base::ConstOctets(kSampleV4).first(size))) << size;
    EXPECT_FALSE(is_stun_answer(put_together({kSampleV4, stun_octets({0})})));
    for (std::size_t at = 0; at < 8; ++at) {
        StunOctets changed = kSampleV4;
        changed[at] ^= std::byte{2};
        EXPECT_FALSE(is_stun_answer(changed)) << at;
    }
    EXPECT_FALSE(is_stun_answer(answer(0x0101, StunOctets(3, std::byte{0})))) << "attributes are multiples of 4";
    EXPECT_TRUE(is_stun_answer(answer(0x0101, StunOctets(528, std::byte{0}))));
    EXPECT_FALSE(is_stun_answer(answer(0x0101, StunOctets(532, std::byte{0}))));
    // A data packet whose sequence number happens to be the cookie, with as many octets as its protocol type says.
    StunOctets packet(20 + 0x0800, std::byte{0});
    std::copy_n(stun_octets({0x10, 0x00, 0x08, 0x00, 0x21, 0x12, 0xa4, 0x42}).begin(), 8, packet.begin());
    EXPECT_FALSE(is_stun_answer(packet));
}

TEST(Stun, OldServersSayMappedAddressAlone)
{
    // RFC 3489 section 11.2.1 with SOURCE-ADDRESS and CHANGED-ADDRESS.
    const StunOctets source = stun_octets({0, 4, 0, 8, 0, 1, 0x0d, 0x96, 203, 0, 113, 5});
    const StunOctets changed = stun_octets({0, 5, 0, 8, 0, 1, 0x0d, 0x97, 203, 0, 113, 6});
    EXPECT_EQ(decode_stun_answer(answer(kSuccess, put_together({kMapped, source, changed})))->mapped,
              endpoint("198.51.100.7", 4660));
    for (const StunOctets &both : {put_together({kMapped, kXorMapped}), put_together({kXorMapped, kMapped})})
        EXPECT_EQ(decode_stun_answer(answer(kSuccess, both))->mapped, endpoint("192.0.2.1", 32853))
            << "which no NAT changes on its way";
    EXPECT_EQ(decode_stun_answer(answer(kSuccess, put_together({kXorMapped, kXorMapped})))->mapped,
              endpoint("192.0.2.1", 32853));
}

TEST(Stun, AddressesThatAreNoneAreNotTaken)
{
    for (const StunOctets &bad : {
             stun_octets({0, 0x20, 0, 8, 0, 3, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43}), // family
             stun_octets({0, 0x20, 0, 8, 0, 2, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43}), // IPv6 of 4 octets
             stun_octets({0, 0x20, 0, 4, 0, 1, 0xa1, 0x47}),
             stun_octets({0, 0x20, 0, 0}),
             stun_octets({0, 0x20, 0, 12, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43, 0, 0, 0, 0}),
             stun_octets(
                 {0, 1, 0, 20, 0, 2, 0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 51, 100, 7}), // mapped
             StunOctets(),
         }) {
        const auto decoded = decode_stun_answer(answer(kSuccess, bad));
        ASSERT_TRUE(decoded);
        EXPECT_FALSE(decoded->mapped);
        EXPECT_EQ(decoded->error, 0);
    }
}

TEST(Stun, AttributesMustFit)
{
    EXPECT_FALSE(
        decode_stun_answer(answer(kSuccess, stun_octets({0, 0x20, 0, 9, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43}))));
    EXPECT_FALSE(decode_stun_answer(answer(kSuccess, stun_octets({0, 0x20, 0xff, 0xff}))));
    EXPECT_FALSE(decode_stun_answer(answer(kSuccess, put_together({kXorMapped, stun_octets({0x80, 0x22, 0, 1})}))));
    EXPECT_TRUE(
        decode_stun_answer(answer(kSuccess, put_together({stun_octets({0x80, 0x22, 0, 1, 'x', 0, 0, 0}), kXorMapped})))
            ->mapped)
        << "padding";
}

TEST(Stun, WhatMustBeUnderstoodAndIsNotVoidsASuccess)
{
    EXPECT_FALSE(
        decode_stun_answer(answer(kSuccess, put_together({kXorMapped, stun_octets({0x7f, 0xff, 0, 0})})))->mapped);
    EXPECT_TRUE(
        decode_stun_answer(answer(kSuccess, put_together({kXorMapped, stun_octets({0x80, 0xff, 0, 0})})))->mapped);
}

TEST(Stun, ReadsErrors)
{
    const auto error = [](unsigned hundreds, unsigned rest) {
        return decode_stun_answer(answer(kError, stun_octets({0, 9, 0, 8, 0, 0, hundreds, rest, 'n', 'o', '!', '!'})));
    };
    EXPECT_EQ(error(4, 1)->error, 401);
    EXPECT_EQ(error(3, 0)->error, 300);
    EXPECT_EQ(error(6, 99)->error, 699);
    EXPECT_FALSE(error(2, 0));
    EXPECT_FALSE(error(7, 0));
    EXPECT_FALSE(error(4, 100));
    EXPECT_FALSE(decode_stun_answer(answer(kError, {})));
    const auto both =
        decode_stun_answer(answer(kError, put_together({kXorMapped, stun_octets({0, 9, 0, 4, 0, 0, 5, 0})})));
    EXPECT_EQ(both->error, 500);
    EXPECT_FALSE(both->mapped) << "an error says no address";
}

TEST(Stun, FingerprintIsTheLastAttribute)
{
    StunOctets early(kSampleV4.begin() + 20, kSampleV4.end());
    early.insert(early.end(), kMapped.begin(), kMapped.end());
    EXPECT_FALSE(decode_stun_answer(answer(kSuccess, early)));
}

} // namespace
} // namespace mpt::proto
