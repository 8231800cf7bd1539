// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/base/address.hpp"

#include <gtest/gtest.h>

namespace mpt::base {
namespace {

Address address(std::string_view text)
{
    return Address::parse(text).value();
}

TEST(Address, ParsesAndPrintsBothVersions)
{
    EXPECT_EQ(address("10.0.0.2").to_string(), "10.0.0.2");
    EXPECT_TRUE(address("10.0.0.2").is_v4());
    EXPECT_EQ(address("fec0:0:0::2").to_string(), "fec0::2");
    EXPECT_FALSE(address("fec0::2").is_v4());
    EXPECT_EQ(address("0.0.0.0"), Address());
}

TEST(Address, RefusesWhatIsNotOneAddress)
{
    for (const char *text : {"", "10.0.0", "10.0.0.256", "10.0.0.2/24", "fe80::1%eth0", "[::1]", "localhost",
                             " 10.0.0.2", "10.0.0.2 ", "::ffff:10.0.0.2", "010.0.0.1"})
        EXPECT_FALSE(Address::parse(text)) << text;
    EXPECT_FALSE(Address::parse(std::string_view("10.0.0.2\0", 9)));
    EXPECT_FALSE(Address::parse(std::string_view("::1\0", 4)));
}

TEST(Address, HasTheMappedFormOfRfc4291)
{
    const std::array<std::byte, 16> mapped = address("10.0.0.2").mapped();
    EXPECT_EQ(mapped[9], std::byte{0});
    EXPECT_EQ(mapped[10], std::byte{0xff});
    EXPECT_EQ(mapped[11], std::byte{0xff});
    EXPECT_EQ(mapped[12], std::byte{10});
    EXPECT_EQ(mapped[15], std::byte{2});
    EXPECT_EQ(Address::from_octets(std::span<const std::byte, 16>(mapped)), address("10.0.0.2"));
    EXPECT_EQ(address("10.0.0.2").octets().size(), 4U);
    EXPECT_EQ(address("fec0::2").octets().size(), 16U);
}

TEST(Address, KnowsItsKind)
{
    EXPECT_TRUE(address("0.0.0.0").is_unspecified());
    EXPECT_TRUE(address("::").is_unspecified());
    EXPECT_FALSE(address("::1").is_unspecified());
    EXPECT_TRUE(address("::1").is_loopback());
    EXPECT_TRUE(address("127.8.0.1").is_loopback());
    EXPECT_FALSE(address("128.0.0.1").is_loopback());
    EXPECT_TRUE(address("224.0.0.1").is_multicast());
    EXPECT_TRUE(address("ff02::1").is_multicast());
    EXPECT_FALSE(address("223.0.0.1").is_multicast());
    EXPECT_TRUE(address("169.254.3.4").is_link_local());
    EXPECT_TRUE(address("fe80::1").is_link_local());
    EXPECT_FALSE(address("fec0::1").is_link_local());
}

TEST(Prefix, ParsesWithAndWithoutLength)
{
    EXPECT_EQ(Prefix::parse("10.0.0.2/24")->to_string(), "10.0.0.2/24");
    EXPECT_EQ(Prefix::parse("::/0")->to_string(), "::/0");
    EXPECT_EQ(Prefix::parse("10.0.0.2", 24, 64)->length, 24);
    EXPECT_EQ(Prefix::parse("fec0::2", 24, 64)->length, 64);
    EXPECT_EQ(Prefix::parse("fec0::2/128", 24, 64)->length, 128);
    for (const char *text : {"10.0.0.2", "10.0.0.2/", "10.0.0.2/33", "10.0.0.2/-1", "10.0.0.2/+1", "10.0.0.2/8x",
                             "fec0::2/129", "/24", "10.0.0.2/24/24", "10.0.0.2/ 24", "10.0.0.2/4294967300"})
        EXPECT_FALSE(Prefix::parse(text)) << text;
}

TEST(Prefix, ContainsWhatSharesItsBits)
{
    EXPECT_EQ(Prefix::parse("10.1.2.3/20")->network().to_string(), "10.1.0.0/20");
    EXPECT_EQ(Prefix::parse("2001:db8:ffff::1/33")->network().to_string(), "2001:db8:8000::/33");
    EXPECT_TRUE(Prefix::parse("10.0.0.2/24")->contains(address("10.0.0.255")));
    EXPECT_FALSE(Prefix::parse("10.0.0.2/24")->contains(address("10.0.1.0")));
    EXPECT_TRUE(Prefix::parse("0.0.0.0/0")->contains(address("255.1.2.3")));
    EXPECT_FALSE(Prefix::parse("::/0")->contains(address("10.0.0.1")));
    EXPECT_FALSE(Prefix::parse("0.0.0.0/0")->contains(address("fec0::1")));
    EXPECT_TRUE(Prefix::parse("10.0.0.0/8")->contains(*Prefix::parse("10.9.0.0/16")));
    EXPECT_FALSE(Prefix::parse("10.9.0.0/16")->contains(*Prefix::parse("10.0.0.0/8")));
}

TEST(Endpoint, PrintsBracketsAroundIpv6)
{
    EXPECT_EQ((Endpoint{address("192.0.2.1"), 23456}.to_string()), "192.0.2.1:23456");
    EXPECT_EQ((Endpoint{address("2001:db8::1"), 1}.to_string()), "[2001:db8::1]:1");
}

} // namespace
} // namespace mpt::base
