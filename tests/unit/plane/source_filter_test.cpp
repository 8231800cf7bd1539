// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/source_filter.hpp"

#include <gtest/gtest.h>
#include <vector>

namespace mpt::plane {
namespace {

using Verdict = SourceFilter::Verdict;

base::Address address(const char *text)
{
    return base::Address::parse(text).value();
}

core::ForwardingEntry entry(const char *source, const char *destination, std::uint32_t value)
{
    return {base::Prefix::parse(source).value(), base::Prefix::parse(destination).value(), value};
}

// As much of a packet as is looked at.
std::vector<std::byte> packet(const char *source, const char *destination)
{
    const bool v4 = address(source).is_v4();
    std::vector<std::byte> octets(v4 ? 12 : 8);
    octets[0] = v4 ? std::byte{0x45} : std::byte{0x60};
    for (const char *each : {source, destination}) {
        const base::Address made = address(each);
        octets.insert(octets.end(), made.octets().begin(), made.octets().end());
    }
    return octets;
}

class SourceFilterTest : public ::testing::Test {
protected:
    SourceFilterTest()
    {
        // Seen from here: connection 0 to a site, 1 to another one and to the Internet.
        const std::vector<core::ForwardingEntry> entries{entry("10.0.0.2/32", "10.0.0.3/32", 0),
                                                         entry("192.168.1.0/24", "192.168.2.0/24", 0),
                                                         entry("fd01::/64", "fd02::/64", 0),
                                                         entry("10.0.0.2/32", "10.0.0.4/32", 1),
                                                         entry("192.168.1.0/24", "192.168.2.128/25", 1),
                                                         entry("10.0.0.2/32", "0.0.0.0/0", 1)};
        table_ = core::ForwardingTable::build(entries).value();
        filter.follow(table_, 0);
        other.follow(table_, 1);
    }

    SourceFilter filter, other;

private:
    core::ForwardingTable table_;
};

TEST_F(SourceFilterTest, APeerSpeaksForItsAddressAndNetworks)
{
    EXPECT_EQ(filter.check(packet("10.0.0.3", "10.0.0.2")), Verdict::kPass);
    EXPECT_EQ(filter.check(packet("192.168.2.5", "192.168.1.7")), Verdict::kPass);
    EXPECT_EQ(filter.check(packet("fd02::5", "fd01::7")), Verdict::kPass);
    EXPECT_EQ(other.check(packet("203.0.113.1", "10.0.0.2")), Verdict::kPass);
}

TEST_F(SourceFilterTest, AndForNobodyElse)
{
    EXPECT_EQ(filter.check(packet("10.0.0.4", "10.0.0.2")), Verdict::kSpoofed) << "the other peer";
    EXPECT_EQ(filter.check(packet("10.0.0.2", "10.0.0.3")), Verdict::kSpoofed) << "this host";
    EXPECT_EQ(filter.check(packet("192.168.1.7", "192.168.2.5")), Verdict::kSpoofed) << "the network here";
    EXPECT_EQ(filter.check(packet("192.168.2.200", "192.168.1.7")), Verdict::kSpoofed)
        << "what another one knows better";
    EXPECT_EQ(filter.check(packet("203.0.113.1", "10.0.0.2")), Verdict::kSpoofed) << "the Internet is behind the other";
    EXPECT_EQ(filter.check(packet("fd03::5", "fd01::7")), Verdict::kSpoofed);
    EXPECT_EQ(other.check(packet("10.0.0.3", "10.0.0.2")), Verdict::kSpoofed)
        << "its default route does not cover that";
}

TEST_F(SourceFilterTest, RemembersAddressesAndNoHalfOfThem)
{
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(filter.check(packet("10.0.0.3", "10.0.0.2")), Verdict::kPass);
        EXPECT_EQ(filter.check(packet("10.0.0.3", "192.168.9.9")), Verdict::kSpoofed);
        EXPECT_EQ(filter.check(packet("10.0.0.9", "10.0.0.2")), Verdict::kSpoofed);
        EXPECT_EQ(filter.check(packet("fd02::5", "fd01::7")), Verdict::kPass);
        EXPECT_EQ(filter.check(packet("fd02::5", "fd01:0:0:1::7")), Verdict::kSpoofed);
    }
    // Another table forgets what was let through.
    const std::vector<core::ForwardingEntry> entries{entry("10.0.0.2/32", "10.0.0.5/32", 0)};
    const auto table = core::ForwardingTable::build(entries).value();
    filter.follow(table, 0);
    EXPECT_EQ(filter.check(packet("fd02::5", "fd01::7")), Verdict::kSpoofed);
}

TEST_F(SourceFilterTest, TheNoiseOfAnInterfaceIsNoAttack)
{
    EXPECT_EQ(filter.check(packet("fe80::1", "ff02::2")), Verdict::kNoise);   // router solicitation
    EXPECT_EQ(filter.check(packet("::", "ff02::1:ff00:1")), Verdict::kNoise); // duplicate address detection
    EXPECT_EQ(filter.check(packet("fe80::1", "fe80::2")), Verdict::kNoise);
    EXPECT_EQ(filter.check(packet("10.0.0.3", "224.0.0.251")), Verdict::kNoise);
    EXPECT_EQ(filter.check(packet("169.254.3.4", "10.0.0.2")), Verdict::kNoise);
}

TEST(SourceFilter, LetsNothingThroughBeforeItKnowsATable)
{
    SourceFilter filter;
    EXPECT_EQ(filter.check(packet("0.0.0.0", "0.0.0.0")), Verdict::kNoise);
    EXPECT_EQ(filter.check(packet("10.0.0.3", "10.0.0.2")), Verdict::kSpoofed);
}

} // namespace
} // namespace mpt::plane
