// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/event_queue.hpp"

#include <gtest/gtest.h>
#include <thread>

namespace mpt::plane {
namespace {

TEST(EventQueue, KeepsTheOrderAndCountsWhatDoesNotFit)
{
    const Wakeup wakeup = Wakeup::create().value();
    const auto queue = std::make_unique<EventQueue>(wakeup);
    for (std::uint32_t i = 0; i < 5000; ++i)
        EXPECT_EQ(queue->push({1, i, {}, {}}), i < 4096);
    for (std::uint32_t i = 0; i < 4096; ++i)
        ASSERT_EQ(queue->pop()->path, i);
    EXPECT_FALSE(queue->pop());
    EXPECT_EQ(queue->take_lost(), 904U);
    EXPECT_EQ(queue->take_lost(), 0U);
    queue->push({2, 7, {}, {}});
    EXPECT_EQ(queue->pop()->connection, 2U);
}

TEST(EventQueue, PassesEventsBetweenThreads)
{
    const Wakeup wakeup = Wakeup::create().value();
    const auto queue = std::make_unique<EventQueue>(wakeup);
    constexpr std::uint32_t kCount = 200000;
    std::uint64_t lost = 0;
    std::thread writer([&] {
        for (std::uint32_t i = 0; i < kCount; ++i)
            queue->push({i, i, {}, {}});
    });
    std::uint64_t received = 0;
    std::uint64_t last = 0;
    while (received + lost < kCount) {
        lost += queue->take_lost();
        while (const auto event = queue->pop()) {
            ASSERT_EQ(event->connection, event->path); // never half of one and half of another
            ASSERT_TRUE(received == 0 || event->connection > last);
            last = event->connection;
            ++received;
        }
    }
    writer.join();
    EXPECT_EQ(received + lost, kCount);
}

} // namespace
} // namespace mpt::plane
