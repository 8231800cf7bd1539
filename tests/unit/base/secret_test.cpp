// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/base/secret.hpp"

#include "tests/unit/freed_memory.hpp"

#include <gtest/gtest.h>
#include <memory>
#include <utility>
#include <vector>

namespace mpt::base {
namespace {

constexpr std::string_view kSecret = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
constexpr std::string_view kPartOfSecret = "090a0b0c0d0e"; // memory that is free has its first octets overwritten

TEST(SecretText, LeavesNothingBehind)
{
    const test::FreedMemory freed(kPartOfSecret);
    std::make_unique<std::string>(kSecret).reset();
    ASSERT_EQ(freed.found(), 1U) << "it would be seen";
    {
        SecretText text(kSecret);
        text += std::string(1000, 'x'); // moves to other memory
        SecretText copy = text;
        SecretText moved = std::move(text);
        moved = std::string(2000, 'y');
        copy.clear();
        copy.shrink_to_fit();
        std::vector<SecretText> many;
        for (int i = 0; i < 10; ++i)
            many.emplace_back(kSecret);
        many.erase(many.begin());
    }
    EXPECT_EQ(freed.found(), 1U);
}

} // namespace
} // namespace mpt::base
