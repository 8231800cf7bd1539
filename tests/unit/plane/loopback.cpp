// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/plane/loopback.hpp"

#include <cstdlib>
#include <sched.h>
#include <unistd.h>

namespace mpt::plane {

void LoopbackTest::SetUp()
{
    if (geteuid() != 0) {
        if (std::getenv("CI") != nullptr)
            FAIL() << "this test needs root";
        GTEST_SKIP() << "this test needs root";
    }
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    ASSERT_EQ(std::system("ip link set lo mtu 1500 up && ip address add 10.7.0.1/24 dev lo && "
                          "ip address add 10.7.0.2/24 dev lo && ip address add 10.7.0.3/24 dev lo && "
                          "ip address add fd07::1/64 dev lo nodad"),
              0);
}

} // namespace mpt::plane
