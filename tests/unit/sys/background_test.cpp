// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/background.hpp"

#include <gtest/gtest.h>
#include <optional>
#include <thread>
#include <vector>

namespace mpt::sys {
namespace {

TEST(Background, WorksInAThreadAndCallsBackInTheLoop)
{
    EventLoop loop = EventLoop::create().value();
    std::vector<std::thread::id> workers;
    std::optional<Background<std::thread::id>> background;
    const auto work = [] { return std::this_thread::get_id(); };
    const auto loop_thread = std::this_thread::get_id();
    background.emplace(loop, [&](std::thread::id worker) {
        EXPECT_EQ(std::this_thread::get_id(), loop_thread);
        workers.push_back(worker);
        if (workers.size() == 2)
            return loop.exit();
        EXPECT_TRUE(background->start(work, "works once more"));
    });
    ASSERT_TRUE(background->start(work, "works"));
    EXPECT_TRUE(loop.run());
    ASSERT_EQ(workers.size(), 2U);
    for (const std::thread::id worker : workers)
        EXPECT_NE(worker, loop_thread);
}

TEST(Background, MayGoBeforeTheWorkIsDone)
{
    EventLoop loop = EventLoop::create().value();
    std::promise<void> may_end;
    {
        Background<int> background(loop, [](int) { ADD_FAILURE() << "nobody is there to be called"; });
        const std::shared_future<void> wait = may_end.get_future().share();
        ASSERT_TRUE(background.start(
            [wait] {
                wait.wait();
                return 1;
            },
            "waits"));
    }
    may_end.set_value();
    Background<int> next(loop, [&](int) { loop.exit(); });
    ASSERT_TRUE(next.start([] { return 2; }, "is next"));
    EXPECT_TRUE(loop.run());
}

} // namespace
} // namespace mpt::sys
