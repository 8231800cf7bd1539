// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/mss.hpp"

#include "tests/unit/proto/packets.hpp"

#include <gtest/gtest.h>
#include <initializer_list>
#include <optional>

namespace mpt::proto {
namespace {

using testing::Bytes;
using testing::Description;

constexpr unsigned kSyn = 0x02;
constexpr std::size_t kMtu = 1400;

base::IpVersion version_of(const Description &description)
{
    return description.ip_version == 4 ? base::IpVersion::kV4 : base::IpVersion::kV6;
}

Bytes option_octets(std::initializer_list<unsigned> values)
{
    Bytes all;
    for (const unsigned value : values)
        all.push_back(static_cast<std::byte>(value));
    return all;
}

Description syn(unsigned ip_version, Bytes options)
{
    Description description;
    description.ip_version = ip_version;
    description.flags = kSyn;
    description.tcp_options = std::move(options);
    return description;
}

// The packet of the description, clamped. Wherever the checksum was right it is so afterwards.
Bytes clamped(const Description &description, std::size_t mtu = kMtu)
{
    Bytes packet = build(description);
    clamp_mss(version_of(description), packet, mtu);
    EXPECT_EQ(testing::fault(packet), "");
    EXPECT_TRUE(may_announce_mss(version_of(description), packet) || packet == build(description));
    return packet;
}

void expect_untouched(const Description &description)
{
    EXPECT_EQ(clamped(description), build(description));
}

// `at`: of the option's value, from the start of the options.
void expect_mss(const Description &description, std::size_t at, unsigned mss, std::size_t mtu = kMtu)
{
    Bytes expected = build(description);
    const std::size_t options = description.ip_header_size() + 20;
    testing::put16(expected, options + at, mss);
    testing::fix_checksums(expected);
    EXPECT_EQ(clamped(description, mtu), expected);
}

TEST(Mss, IsLoweredToWhatFitsTheTunnel)
{
    for (const unsigned flags : {kSyn, kSyn | testing::kAck, kSyn | testing::kEce | testing::kCwr}) {
        for (const unsigned version : {4U, 6U}) {
            Description description = syn(version, option_octets({2, 4, 0x05, 0xb4})); // 1460
            description.flags = static_cast<std::uint8_t>(flags);
            expect_mss(description, 2, version == 4 ? 1360 : 1340);
            // One that is right already, and one that is less.
            description.tcp_options = option_octets({2, 4, 0x05, version == 4 ? 0x50U : 0x3cU});
            expect_untouched(description);
            description.tcp_options = option_octets({2, 4, 0x05, version == 4 ? 0x51U : 0x3dU});
            expect_mss(description, 2, version == 4 ? 1360 : 1340);
            description.tcp_options = option_octets({2, 4, 0x02, 0x18});
            expect_untouched(description);
            description.tcp_options = option_octets({2, 4, 0xff, 0xff});
            expect_mss(description, 2, version == 4 ? 1360 : 1340);
        }
    }
}

TEST(Mss, IsFoundAtEveryPlace)
{
    // As Linux sends it: SACK permitted, timestamps, no-operation, window scale.
    expect_mss(syn(4, option_octets({2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7})), 2, 1360);
    for (unsigned before = 0; before <= 36; ++before) { // as odd as even
        Bytes options(before, std::byte{1});
        for (const unsigned value : {2U, 4U, 0x23U, 0xf0U})
            options.push_back(static_cast<std::byte>(value));
        options.resize((options.size() + 3) / 4 * 4);
        expect_mss(syn(4, options), before + 2, 1360);
        expect_mss(syn(6, options), before + 2, 1340);
    }
    // Of two both: which one counts is for the receiver to say.
    const Bytes twice = clamped(syn(4, option_octets({2, 4, 0x10, 0, 2, 4, 0x20, 0})));
    EXPECT_EQ(testing::get16(twice, 42), 1360);
    EXPECT_EQ(testing::get16(twice, 46), 1360);
    // Behind IPv4 options, and behind extension headers.
    Description options = syn(4, option_octets({2, 4, 0x05, 0xb4}));
    options.extension = option_octets({1, 1, 1, 1});
    expect_mss(options, 2, 1360);
    Description extensions = syn(6, option_octets({2, 4, 0x05, 0xb4}));
    extensions.extension_type = 0;
    extensions.extension = option_octets({60, 0, 1, 4, 0, 0, 0, 0, 6, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    expect_mss(extensions, 2, 1340);
}

TEST(Mss, IsOfSynOnly)
{
    const Bytes option = option_octets({2, 4, 0x05, 0xb4});
    for (const unsigned flags : {0x10U, 0x18U, 0x01U, 0x04U, 0x00U, 0xd0U}) {
        Description description = syn(4, option);
        description.flags = static_cast<std::uint8_t>(flags);
        expect_untouched(description);
    }
    Description udp; // with the octets of a SYN behind the header
    udp.is_tcp = false;
    udp.payload = Bytes(24, std::byte{2});
    expect_untouched(udp);
    udp.ip_version = 6;
    expect_untouched(udp);
    for (const unsigned fragment : {0x2000U, 0x0001U, 0x2001U}) { // the first, the last, one between
        Description description = syn(4, option);
        description.fragment = static_cast<std::uint16_t>(fragment);
        Bytes packet = build(description);
        clamp_mss(base::IpVersion::kV4, packet, kMtu);
        EXPECT_EQ(packet, build(description));
    }
    Description fragment = syn(6, option);
    fragment.extension_type = 44;
    fragment.extension = option_octets({6, 0, 0, 1, 0, 0, 0, 1});
    Bytes packet = build_partial(fragment);
    clamp_mss(base::IpVersion::kV6, packet, kMtu);
    EXPECT_EQ(packet, build_partial(fragment));
}

TEST(Mss, MostPacketsAreToldAtAGlance)
{
    for (const unsigned version : {4U, 6U}) {
        Description description;
        description.ip_version = version;
        for (const unsigned flags : {0x10U, 0x18U, 0x11U, 0x04U}) {
            description.flags = static_cast<std::uint8_t>(flags);
            EXPECT_FALSE(may_announce_mss(version_of(description), build(description)));
        }
        description.flags = kSyn;
        EXPECT_TRUE(may_announce_mss(version_of(description), build(description)));
        description.is_tcp = false;
        EXPECT_FALSE(may_announce_mss(version_of(description), build(description)));
        description.is_tcp = true;
        Bytes short_one = build(description);
        short_one.resize(version == 4 ? 33 : 53); // without its flags
        EXPECT_FALSE(may_announce_mss(version_of(description), short_one));
    }
}

TEST(Mss, MalformedOptionsAreLeftAlone)
{
    expect_untouched(syn(4, {}));
    for (const auto &options : {
             option_octets({0, 2, 4, 0x23, 0xf0, 0, 0, 0}),   // behind the end of the options
             option_octets({2, 3, 0x23, 0xf0}),               // another length than the option has
             option_octets({2, 5, 0x23, 0xf0, 1, 0, 0, 0}),   //
             option_octets({2, 0, 0x23, 0xf0}),               //
             option_octets({1, 1, 1, 2}),                     // cut short
             option_octets({1, 1, 2, 4}),                     //
             option_octets({1, 2, 4, 0x23}),                  //
             option_octets({9, 0, 2, 4, 0x23, 0xf0, 0, 0}),   // nothing behind an option without a length can be found
             option_octets({9, 1, 2, 4, 0x23, 0xf0, 0, 0}),   //
             option_octets({9, 40, 2, 4, 0x23, 0xf0, 0, 0}),  // nor behind one that is too long
             option_octets({253, 6, 2, 4, 0x23, 0xf0, 0, 0}), // in another option
             option_octets({1, 1, 1, 1, 1, 1, 253, 2, 0, 2, 4, 0x23}),
         })
        expect_untouched(syn(4, options));
    // What is well-formed before the fault is understood by who receives it.
    expect_mss(syn(4, option_octets({2, 4, 0x23, 0xf0, 9, 0, 0, 0})), 2, 1360);

    // A header that is longer than the packet, and one that is too short. The octets behind the packet are ours, too.
    for (const unsigned offset : {0xf0U, 0x40U, 0x00U}) {
        Bytes packet = build(syn(4, option_octets({2, 4, 0x23, 0xf0})));
        packet[20 + 12] = static_cast<std::byte>(offset);
        const Bytes before = packet;
        clamp_mss(base::IpVersion::kV4, packet, kMtu);
        EXPECT_EQ(packet, before) << offset;
    }
    // Packets that end at every place, as whole packets of that length.
    const Bytes whole = build(syn(4, option_octets({1, 2, 4, 0x23, 0xf0, 0, 0, 0})));
    for (std::size_t size = 20; size < whole.size(); ++size) {
        Bytes packet(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        const Bytes before = packet;
        clamp_mss(base::IpVersion::kV4, packet, kMtu);
        EXPECT_EQ(packet, before) << size;
    }
    // IPv6 extension headers that lead out of the packet.
    Description extension = syn(6, option_octets({2, 4, 0x23, 0xf0}));
    extension.extension_type = 0;
    extension.extension = option_octets({6, 0, 1, 4, 0, 0, 0, 0});
    for (const unsigned length : {3U, 4U, 255U}) {
        Bytes packet = build(extension);
        packet[41] = static_cast<std::byte>(length);
        const Bytes before = packet;
        clamp_mss(base::IpVersion::kV6, packet, kMtu);
        EXPECT_EQ(packet, before) << length;
    }
    Bytes bare = build(extension);
    bare.resize(41);
    const Bytes before = bare;
    clamp_mss(base::IpVersion::kV6, bare, kMtu);
    EXPECT_EQ(bare, before);
}

// Every value over every other, so that no carry is forgotten: RFC 1624 section 3 shows one that was.
TEST(Mss, ChecksumIsRightForEveryValue)
{
    Description description = syn(4, option_octets({1, 2, 4, 0, 0, 2, 4, 0, 0, 0, 0, 0}));
    for (unsigned mss = 0; mss <= 0xffff; mss += 7) {
        description.tcp_options[3] = description.tcp_options[7] = static_cast<std::byte>(mss / 256);
        description.tcp_options[4] = description.tcp_options[8] = static_cast<std::byte>(mss % 256);
        description.sequence = mss * 65537U;
        const Bytes packet = clamped(description, 576 + mss % 9000);
        EXPECT_EQ(testing::get16(packet, 43), std::min<std::size_t>(mss, 536 + mss % 9000));
        EXPECT_EQ(testing::get16(packet, 47), std::min<std::size_t>(mss, 536 + mss % 9000));
    }
}

} // namespace
} // namespace mpt::proto
