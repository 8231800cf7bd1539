// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <gtest/gtest.h>

namespace mpt::plane {

// A test in a network namespace of its own, where only a loopback interface of MTU 1500 is, set up with 10.7.0.1 to
// 10.7.0.3 and fd07::1. Without root the test is skipped.
class LoopbackTest : public ::testing::Test {
protected:
    void SetUp() override;
};

} // namespace mpt::plane
