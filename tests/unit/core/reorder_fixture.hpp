// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/core/reorder_buffer.hpp"

#include <cstring>
#include <gtest/gtest.h>
#include <numeric>
#include <vector>

namespace mpt::core {

// A reorder buffer whose packets say which number they have; what it delivers is read back from their octets.
class ReorderFixture {
public:
    using Numbers = std::vector<std::uint32_t>;
    using Verdict = ReorderBuffer::Verdict;

    static constexpr std::size_t kMaxPacket = 64;

    ReorderFixture(std::uint16_t window, base::Duration max_delay, std::size_t paths)
        : settings(ReorderSettings{window, max_delay, kMaxPacket}), buffer(settings, paths)
    {
    }

    // What is delivered because of it; the verdict is in `verdict`.
    Numbers offer(std::size_t path, std::uint32_t number) { return offer_sized(path, number, sizeof number); }

    Numbers offer_sized(std::size_t path, std::uint32_t number, std::size_t octets)
    {
        std::vector<std::byte> packet(octets);
        std::memcpy(packet.data(), &number, sizeof number);
        EXPECT_FALSE(buffer.needs_recycle());
        verdict = buffer.offer(now, path, number, packet, out_);
        const Numbers delivered = take();
        std::fill(packet.begin(), packet.end(), std::byte{0xff});
        return delivered;
    }

    // Several one after another.
    Numbers offer_all(std::size_t path, const Numbers &numbers)
    {
        Numbers all;
        for (const std::uint32_t number : numbers) {
            const Numbers delivered = offer(path, number);
            all.insert(all.end(), delivered.begin(), delivered.end());
        }
        return all;
    }

    // The peer says by the path that it has sent nothing above the number; what is delivered because of it.
    Numbers reached(std::size_t path, std::uint32_t highest)
    {
        buffer.reached(now, path, highest, out_);
        return take();
    }

    // Lets time pass, serving the deadlines on the way.
    Numbers wait(base::Duration duration)
    {
        const base::Instant end = now + duration;
        Numbers all;
        for (int i = 0; i < 100000 && buffer.deadline() && *buffer.deadline() <= end; ++i) {
            now = std::max(now, *buffer.deadline());
            buffer.on_deadline(now, out_);
            const Numbers delivered = take();
            all.insert(all.end(), delivered.begin(), delivered.end());
            EXPECT_FALSE(buffer.deadline() && *buffer.deadline() <= now) << "served, and due again";
        }
        now = end;
        return all;
    }

    Numbers take()
    {
        Numbers numbers;
        for (const base::ConstOctets packet : out_) {
            std::uint32_t number = 0;
            std::memcpy(&number, packet.data(), sizeof number);
            numbers.push_back(number);
        }
        out_.clear();
        buffer.recycle();
        return numbers;
    }

    const ReorderCounters &counters() const { return buffer.counters(); }

    ReorderSettings settings;
    ReorderBuffer buffer;
    base::Instant now{std::chrono::seconds(1000)};
    Verdict verdict{};

private:
    std::vector<base::ConstOctets> out_;
};

// first, first + step, ... : `count` numbers.
inline ReorderFixture::Numbers numbers_from(std::uint32_t first, std::size_t count, std::uint32_t step = 1)
{
    ReorderFixture::Numbers numbers(count);
    for (std::size_t i = 0; i < count; ++i)
        numbers[i] = first + static_cast<std::uint32_t>(i) * step;
    return numbers;
}

// Two paths that have been delivering in turn for a while, a packet a millisecond each, and nothing is missing.
inline ReorderFixture two_busy_paths(std::uint32_t &next, std::uint16_t window = 1000)
{
    ReorderFixture reorder(window, std::chrono::milliseconds(100), 2);
    next = 0;
    for (std::size_t i = 0; i < 3000; ++i) {
        reorder.offer(0, next++);
        reorder.offer(1, next++);
        reorder.wait(std::chrono::milliseconds(1));
    }
    return reorder;
}

} // namespace mpt::core
