// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/clock.hpp"
#include "daemon/sys/file_descriptor.hpp"
#include "daemon/sys/output.hpp"

#include <array>
#include <csignal>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace mpt::sys {
namespace {

using namespace std::chrono_literals;

class OutputTest : public ::testing::Test {
protected:
    OutputTest()
    {
        std::array<int, 2> ends{};
        EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
        reader = FileDescriptor(ends[0]);
        writer = FileDescriptor(ends[1]);
        for (int line = 0; text.size() < 1 << 20; ++line)
            text += std::to_string(line) + " packets\n";
    }

    // What the loop brings to the other end of the pipe until it has brought `size` octets, or has had its time.
    std::string read(std::size_t size)
    {
        std::string got;
        auto source = loop->watch(reader.get(), EPOLLIN, [&](std::uint32_t) {
            std::array<char, 5000> octets{};
            const ssize_t count = ::read(reader.get(), octets.data(), octets.size());
            got.append(octets.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
            if (got.size() >= size)
                loop->exit();
        });
        auto patience = loop->make_timer([&] { loop->exit(); });
        EXPECT_TRUE(source && patience);
        patience->set(now() + 30s);
        EXPECT_TRUE(loop->run());
        return got;
    }

    base::Result<EventLoop> loop = EventLoop::create();
    FileDescriptor reader;
    FileDescriptor writer;
    std::string text; // far more than a pipe takes
};

TEST_F(OutputTest, WhatAPipeDoesNotTakeAtOnceFollows)
{
    Output output(*loop, writer.get());
    output.write(text);
    output.write("the end\n");
    EXPECT_EQ(read(text.size() + 8), text + "the end\n");
}

TEST_F(OutputTest, AReaderThatGoesAwayHoldsNothingUp)
{
    std::signal(SIGPIPE, SIG_IGN);
    Output output(*loop, writer.get());
    output.write(text);
    reader = FileDescriptor();
    const FileDescriptor quiet(eventfd(0, EFD_CLOEXEC));
    int rounds = 0;
    auto counting = loop->watch(
        quiet.get(), [&] { return ++rounds, Wait{}; }, [] {});
    auto timer = loop->make_timer([&] { loop->exit(); });
    ASSERT_TRUE(counting && timer);
    timer->set(now() + 50ms);
    ASSERT_TRUE(loop->run());
    EXPECT_LT(rounds, 20) << "the loop must not spin";
}

} // namespace
} // namespace mpt::sys
