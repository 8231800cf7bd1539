// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/service.hpp"

#include <gtest/gtest.h>

namespace mpt::cli {
namespace {

using namespace std::chrono_literals;

TEST(Patience, IsLongerThanAllThatTheDaemonMayWaitFor)
{
    // polkit has the time for a command, then the peer has it.
    EXPECT_GT(patience(false, 25s, Work::kHere), 25s);
    EXPECT_GT(patience(false, 25s, Work::kPeer), 50s);
    EXPECT_GT(patience(false, 100s, Work::kPeer), 200s);
    // A person has five minutes for a password.
    EXPECT_GT(patience(true, 25s, Work::kHere), 5min);
    EXPECT_GT(patience(true, 25s, Work::kPeer), 5min + 25s);
    EXPECT_LT(patience(false, 1s, Work::kHere), 1min) << "nobody waits for a dead daemon without need";
}

} // namespace
} // namespace mpt::cli
