// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/clock.hpp"
#include "daemon/sys/event_loop.hpp"

#include <csignal>
#include <gtest/gtest.h>
#include <stdexcept>
#include <sys/epoll.h>
#include <unistd.h>
#include <vector>

namespace mpt::sys {
namespace {

using namespace std::chrono_literals;

TEST(EventLoop, CallsBackForADescriptorUntilItIsDisabled)
{
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    ASSERT_EQ(write(ends[1], "x", 1), 1);
    EventLoop loop = EventLoop::create().value();
    int calls = 0;
    EventSource source;
    Timer timer = loop.make_timer([&] { loop.exit(); }).value();
    source = loop.watch(ends[0], EPOLLIN,
                        [&](std::uint32_t events) {
                            EXPECT_EQ(events, static_cast<std::uint32_t>(EPOLLIN));
                            if (++calls == 3) { // level-triggered: nobody reads
                                source.disable();
                                timer.set(now());
                            }
                        })
                 .value();
    EXPECT_TRUE(loop.run());
    EXPECT_EQ(calls, 3);
    close(ends[0]);
    close(ends[1]);
}

TEST(EventLoop, TimersGoOffInTheOrderOfTheirDeadlinesAndOnce)
{
    EventLoop loop = EventLoop::create().value();
    std::vector<int> order;
    Timer last = loop.make_timer([&] { loop.exit(); }).value();
    Timer second = loop.make_timer([&] { order.push_back(2); }).value();
    Timer first = loop.make_timer([&] { order.push_back(1); }).value();
    Timer never = loop.make_timer([&] { order.push_back(3); }).value();
    const base::Instant start = now();
    last.set(start + 30ms);
    second.set(start + 20ms);
    first.set(start + 10ms);
    never.set(start + 15ms);
    never.set(std::nullopt);
    EXPECT_TRUE(loop.run());
    EXPECT_EQ(order, (std::vector<int>{1, 2}));
    EXPECT_GE(now() - start, 30ms);
}

TEST(EventLoop, AsksWhatToWaitForBeforeEachWait)
{
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    ASSERT_EQ(write(ends[1], "x", 1), 1); // and nobody reads
    EventLoop loop = EventLoop::create().value();
    Wait wait;
    int calls = 0;
    // Nothing is wanted: neither the octet nor a deadline calls back.
    Timer first = loop.make_timer([&] {
                          EXPECT_EQ(calls, 0);
                          wait.events = EPOLLIN;
                      })
                      .value();
    const EventSource source = loop.watch(
                                       ends[0], [&] { return wait; },
                                       [&] {
                                           switch (++calls) {
                                           case 1: // the octet; then a deadline of the past
                                               wait = {0, now() - 1s};
                                               break;
                                           case 2:
                                               wait = {0, now() + 20ms};
                                               break;
                                           default:
                                               EXPECT_GE(now(), *wait.deadline);
                                               loop.exit();
                                           }
                                       })
                                   .value();
    first.set(now() + 10ms);
    EXPECT_TRUE(loop.run());
    EXPECT_EQ(calls, 3);
    close(ends[0]);
    close(ends[1]);
}

TEST(EventLoop, EndsWithWhatWasThrownInsteadOfSayingWhatToWaitFor)
{
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    EventLoop loop = EventLoop::create().value();
    const EventSource source = loop.watch(
                                       ends[0], []() -> Wait { throw std::runtime_error("no idea"); }, [] {})
                                   .value();
    const auto ran = loop.run();
    ASSERT_FALSE(ran);
    EXPECT_EQ(ran.error().text, "no idea");
    close(ends[0]);
    close(ends[1]);
}

TEST(EventLoop, ReceivesASignalThatCameBeforeItRan)
{
    EventLoop loop = EventLoop::create().value();
    const EventSource source = loop.watch_signal(SIGUSR2, [&] { loop.exit(); }).value();
    raise(SIGUSR2);
    EXPECT_TRUE(loop.run());
}

TEST(EventLoop, EndsWithWhatACallbackThrew)
{
    EventLoop loop = EventLoop::create().value();
    Timer timer = loop.make_timer([] { throw std::runtime_error("out of luck"); }).value();
    timer.set(now());
    const auto ran = loop.run();
    ASSERT_FALSE(ran);
    EXPECT_EQ(ran.error().text, "out of luck");
}

} // namespace
} // namespace mpt::sys
