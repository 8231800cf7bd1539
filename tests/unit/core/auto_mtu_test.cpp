// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/auto_mtu.hpp"

#include "tests/unit/core/clock.hpp"

#include <gtest/gtest.h>

namespace mpt::core {
namespace {

using namespace std::chrono_literals;

using testing::kStart;

TEST(AutoMtu, RoomInsideTheOuterHeaders)
{
    // IPv4 20 or IPv6 40, UDP 8 (RFC 768), GRE 4 and sequence number 4 (RFC 2890).
    EXPECT_EQ(inner_mtu(base::IpVersion::kV4, 1500), 1464U);
    EXPECT_EQ(inner_mtu(base::IpVersion::kV6, 1500), 1444U);
    EXPECT_EQ(inner_mtu(base::IpVersion::kV4, 1492), 1456U);
    EXPECT_EQ(inner_mtu(base::IpVersion::kV4, 36), 0U);
    EXPECT_EQ(inner_mtu(base::IpVersion::kV6, 20), 0U);
}

TEST(AutoMtu, BeginsWithWhatThereIsAndGoesDownAtOnce)
{
    AutoMtu mtu;
    EXPECT_EQ(mtu.mtu(), 0U);
    EXPECT_TRUE(mtu.update(kStart, 1464));
    EXPECT_EQ(mtu.mtu(), 1464U);
    EXPECT_FALSE(mtu.update(kStart, 1464));
    EXPECT_TRUE(mtu.update(kStart, 1364));
    EXPECT_TRUE(mtu.update(kStart, 1280));
    EXPECT_EQ(mtu.mtu(), 1280U);
}

TEST(AutoMtu, GoesUpWhenThereWasRoomForAWhile)
{
    AutoMtu mtu;
    mtu.update(kStart, 1364);
    EXPECT_FALSE(mtu.update(kStart, 1464));
    EXPECT_FALSE(mtu.update(kStart + AutoMtu::kHold - 1ms, 1464));
    EXPECT_EQ(mtu.mtu(), 1364U);
    EXPECT_TRUE(mtu.update(kStart + AutoMtu::kHold, 1464));
    EXPECT_EQ(mtu.mtu(), 1464U);
}

TEST(AutoMtu, WhatComesAndGoesKeepsItDown)
{
    AutoMtu mtu;
    mtu.update(kStart, 1364);
    for (int second = 0; second < 100; ++second) // another path, every four seconds
        EXPECT_FALSE(mtu.update(kStart + 1s * second, second % 4 == 0 ? 1364 : 1464)) << second;
    EXPECT_EQ(mtu.mtu(), 1364U);
}

TEST(AutoMtu, GoesUpToTheLeastOfThatTime)
{
    AutoMtu mtu;
    mtu.update(kStart, 1300);
    mtu.update(kStart, 1464);
    mtu.update(kStart + 5s, 1400);
    mtu.update(kStart + 6s, 1464);
    EXPECT_TRUE(mtu.update(kStart + AutoMtu::kHold, 1464));
    EXPECT_EQ(mtu.mtu(), 1400U);
    EXPECT_FALSE(mtu.update(kStart + AutoMtu::kHold, 1464));
    EXPECT_TRUE(mtu.update(kStart + 2 * AutoMtu::kHold, 1464));
    EXPECT_EQ(mtu.mtu(), 1464U);
}

} // namespace
} // namespace mpt::core
