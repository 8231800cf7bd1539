// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/source_limiter.hpp"

#include "tests/unit/core/clock.hpp"

#include <gtest/gtest.h>
#include <string>

namespace mpt::core {
namespace {

using namespace std::chrono_literals;
using testing::kStart;

unsigned allowed(SourceLimiter &limiter, base::Instant now, std::string_view source, unsigned offered)
{
    unsigned count = 0;
    for (unsigned n = 0; n < offered; ++n)
        count += limiter.allow(now, *base::Address::parse(source)) ? 1 : 0;
    return count;
}

TEST(SourceLimiter, AllowsABurstAndThenTheRate)
{
    SourceLimiter limiter(100, 20, 1);
    EXPECT_EQ(allowed(limiter, kStart, "192.0.2.1", 1000), 20U);
    EXPECT_EQ(allowed(limiter, kStart + 50ms, "192.0.2.1", 1000), 5U);
    EXPECT_EQ(allowed(limiter, kStart + 1h, "192.0.2.1", 1000), 20U);
}

TEST(SourceLimiter, SourcesDoNotShare)
{
    SourceLimiter limiter(100, 20, 1);
    allowed(limiter, kStart, "192.0.2.1", 1000);
    allowed(limiter, kStart, "2001:db8::1", 1000);
    // By accident a few may, of 4096 places.
    unsigned refused = 0;
    for (unsigned n = 2; n < 250; ++n) {
        refused += limiter.allow(kStart, *base::Address::parse("192.0.2." + std::to_string(n))) ? 0 : 1;
        refused += limiter.allow(kStart, *base::Address::parse("2001:db8::1:" + std::to_string(n))) ? 0 : 1;
    }
    EXPECT_LE(refused, 2U);
}

TEST(SourceLimiter, WhoSharesDependsOnTheSecret)
{
    SourceLimiter first(1, 1, 1);
    SourceLimiter second(1, 1, 2);
    unsigned different = 0;
    for (unsigned n = 0; n < 65536; ++n) {
        const std::string source = "10.9." + std::to_string(n / 256) + "." + std::to_string(n % 256);
        different +=
            first.allow(kStart, *base::Address::parse(source)) != second.allow(kStart, *base::Address::parse(source));
    }
    EXPECT_GT(different, 0U);
}

} // namespace
} // namespace mpt::core
