// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <string>
#include <thread>

namespace mpt::net {

// Gives each test an empty network namespace of its own, which goes with the process or with the next test. Without
// the right to make one the test is skipped, with CI=true in the environment it fails.
class NetworkTest : public ::testing::Test {
protected:
    void SetUp() override
    {
        if (unshare(CLONE_NEWNET) == 0)
            return;
        const char *ci = std::getenv("CI");
        if (ci && std::string(ci) == "true")
            FAIL() << "no right to make a network namespace: run as root";
        GTEST_SKIP() << "no right to make a network namespace: run as root";
    }

    // Runs a command in this namespace and returns what it prints; the test fails if the command does.
    static std::string run(const std::string &command)
    {
        std::string output;
        FILE *const pipe = popen((command + " 2>&1").c_str(), "r");
        std::array<char, 4096> piece{};
        while (pipe && std::fgets(piece.data(), piece.size(), pipe))
            output += piece.data();
        EXPECT_TRUE(pipe && pclose(pipe) == 0) << command << ": " << output;
        return output;
    }

    // Until the command prints this too: some things the kernel does later than it says.
    static void wait_for_output(const std::string &command, const std::string &expected)
    {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (run(command).find(expected) == std::string::npos) {
            ASSERT_LT(std::chrono::steady_clock::now(), end) << expected << " is not in " << run(command);
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
    }

    static void make_tun() { run("ip tuntap add dev tun0 mode tun"); }
    // v0 and v1, both down.
    static void make_veth() { run("ip link add v0 type veth peer name v1"); }
};

} // namespace mpt::net
