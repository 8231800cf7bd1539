// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/fingerprint.hpp"

#include <gtest/gtest.h>

namespace mpt::proto {
namespace {

using base::as_octets;

TEST(Fingerprint, IsTheBeginningOfASha256)
{
    // By sha256sum(1), of "" and of two fields, "ab" and "c", each behind 8 octets with its length.
    EXPECT_EQ(fingerprint({}), 0xe3b0c44298fc1c14U);
    EXPECT_EQ(fingerprint({as_octets("ab"), as_octets("c")}), 0x601d5476e2ccfe2cU);
}

TEST(Fingerprint, NothingIsTheEndOfOneFieldAndTheBeginningOfAnother)
{
    const auto one = fingerprint({as_octets("ab"), as_octets("c")});
    EXPECT_NE(fingerprint({as_octets("a"), as_octets("bc")}), one);
    EXPECT_NE(fingerprint({as_octets("abc")}), one);
    EXPECT_NE(fingerprint({as_octets("ab"), as_octets("c"), {}}), one);
    EXPECT_NE(fingerprint({as_octets("c"), as_octets("ab")}), one);
}

} // namespace
} // namespace mpt::proto
