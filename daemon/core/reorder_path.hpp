// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/sequence.hpp"
#include "daemon/base/time.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

namespace mpt::core {

// What the reorder buffer remembers of a path: its last numbers, how it delivers, how far it reorders within itself.
// Two times are told: `now`, and `busy`, which stands still while nothing arrives on any path.
class ReorderPath {
public:
    // A new stream begins: of its numbers none is known, and any path may deliver one next.
    void begin(base::Instant busy, base::Duration max_delay) noexcept
    {
        count_ = 0;
        reached_.reset();
        step_ = 1;
        confirmed_ = false;
        busy_ = busy;
        patience_ = max_delay;
        lag_samples_ = 0;
    }

    // It may deliver at any moment.
    void expect(base::Instant busy, base::Duration max_delay) noexcept
    {
        out_ = false;
        busy_ = busy;
        patience_ = max_delay;
        lag_samples_ = 0;
    }

    // It is not waited for until it delivers.
    void forget() noexcept
    {
        out_ = true;
        count_ = 0;
        reached_.reset();
        confirmed_ = false;
    }

    // It delivered a number that belongs to the stream, `lag` later than the next higher one came by any path.
    void arrived(base::Instant now, base::Instant busy, std::uint32_t sequence, base::Duration lag) noexcept
    {
        confirmed_ = true;
        last_ = now;
        note_lag(now, lag);
        touch(busy);
        insert(sequence);
    }

    // The peer says by this path that it sent nothing below `end` by it that has not come. As long as the path keeps
    // the order: what overtakes packets says nothing about them.
    void reached(std::uint32_t end) noexcept { reached_ = end; }

    // It delivered a number that had been given up: it was not waited for long enough.
    void arrived_late(base::Instant busy, base::Duration max_delay, std::uint32_t sequence) noexcept
    {
        touch(busy);
        patience_ = lag_ = max_delay;
        insert(sequence);
    }

    // Others had to wait so long for what it delivered.
    void lagged(base::Duration lag) noexcept { patience_ = std::max(patience_, lag); }

    // How long after a higher number one may still come by this path, even if nothing else arrives on any.
    base::Duration usual_wait(base::Duration max_delay) const noexcept
    {
        if (out_)
            return base::Duration::zero();
        return lag_samples_ < kLagSamples ? max_delay : std::min(lag_ + lag_ / 4 + max_delay / kLeastWait, max_delay);
    }

    // Whether a missing number may still come by this path: it delivered within a few of its usual gaps.
    bool active(base::Instant busy, base::Duration max_delay) const noexcept
    {
        return !out_ && busy - busy_ <= tolerance(max_delay);
    }

    // Whether it has delivered a number of the stream.
    bool confirmed() const noexcept { return confirmed_; }

    // Whether it confirms the present stream: it delivered a number of it within a few of its usual gaps.
    bool confirms(base::Instant now, base::Duration max_delay) const noexcept
    {
        return confirmed_ && now - last_ <= tolerance(max_delay);
    }

    // Numbers below this one it would have delivered by now: the peer says so, or it has delivered d higher ones, where
    // d is more than it has been seen to reorder by. Nothing as long as neither is so.
    std::optional<std::uint32_t> frontier() const noexcept
    {
        std::optional<std::uint32_t> frontier;
        if (count_ >= reordering_)
            frontier = highest_[(end_ - reordering_) % kKept];
        if (reached_ && reordering_ == kLeastReordering && (!frontier || base::sequence_before(*frontier, *reached_)))
            frontier = reached_;
        return frontier;
    }

    // About the number that it will deliver next, rather too high than too low.
    std::uint32_t next_about() const noexcept { return highest_[(end_ - 1) % kKept] + 2 * step_; }

private:
    static constexpr std::uint32_t kKept = 64; // the highest numbers delivered; also the highest d
    static constexpr std::uint32_t kLeastReordering = 3;
    static constexpr std::uint32_t kReorderingDecay = 256; // packets without need for d, after which it is one less
    static constexpr int kGaps = 3;                        // "a few" usual gaps
    static constexpr int kLeastTolerance = 8;              // part of max_delay: less is noise of the reading loop

    // From so many numbers on it is known how far the path lags behind the others. What was seen once is forgotten by a
    // part of it each step, which is a factor of e in 8 s.
    static constexpr std::uint32_t kLagSamples = 64;
    static constexpr base::Duration kLagStep = std::chrono::milliseconds(16);
    static constexpr int kLagPart = 512;
    static constexpr int kLeastWait = 16; // part of max_delay, for what has not been seen lately

    void note_lag(base::Instant now, base::Duration lag) noexcept
    {
        if (now - lag_step_ >= kLagStep) {
            lag_ -= lag_ / kLagPart;
            lag_step_ = now;
        }
        lag_ = lag_samples_ == 0 ? lag : std::max(lag, lag_);
        lag_samples_ += lag_samples_ < kLagSamples ? 1 : 0;
    }

    base::Duration tolerance(base::Duration max_delay) const noexcept
    {
        return std::clamp(kGaps * patience_, max_delay / kLeastTolerance, max_delay);
    }

    // Keeps the usual gap: the longest one lately, since too long costs a delay now and then, too short costs packets.
    void touch(base::Instant busy) noexcept
    {
        out_ = false;
        if (busy == busy_)
            return;
        patience_ = std::max(busy - busy_, patience_ - patience_ / 1024);
        busy_ = busy;
    }

    // Into the sorted ring of the highest numbers, from the top.
    void insert(std::uint32_t sequence) noexcept
    {
        std::uint32_t higher = 0;
        while (higher < count_ && base::sequence_before(sequence, highest_[(end_ - 1 - higher) % kKept]))
            ++higher;
        if (reached_ && !base::sequence_before(sequence, *reached_))
            reached_.reset(); // said before this one was sent
        if (higher == kKept || (higher < count_ && highest_[(end_ - 1 - higher) % kKept] == sequence))
            return;
        if (higher == 0 && count_ != 0) {
            const std::uint32_t step = sequence - highest_[(end_ - 1) % kKept];
            step_ = std::max(step, step_ - step_ / 16);
        }
        for (std::uint32_t i = 0; i < higher; ++i)
            highest_[(end_ - i) % kKept] = highest_[(end_ - 1 - i) % kKept];
        highest_[(end_ - higher) % kKept] = sequence;
        ++end_;
        count_ = std::min(count_ + 1, kKept);
        seen_ = std::max(seen_, higher + 1);
        if (seen_ > reordering_)
            reordering_ = std::min(seen_, 2 * reordering_);
        if (++since_decay_ == kReorderingDecay) {
            if (seen_ < reordering_)
                reordering_ = std::max(reordering_ - 1, kLeastReordering);
            since_decay_ = 0;
            seen_ = 0;
        }
    }

    bool out_ = false;           // forgotten
    bool confirmed_ = false;     // last_ is set
    base::Instant last_;         // of its last number that belonged to the stream
    base::Instant busy_;         // of its last packet
    base::Duration patience_{0}; // its longest gap or lag lately
    base::Duration lag_{0};      // the most by which it was behind the others lately
    base::Instant lag_step_;     // when that was made less
    std::uint32_t lag_samples_ = 0;
    std::uint32_t step_ = 1; // the largest distance lately between numbers that followed each other
    std::uint32_t reordering_ = kLeastReordering; // d
    std::uint32_t seen_ = 0;                      // the largest d that would have been needed since the last decay
    std::uint32_t since_decay_ = 0;
    std::uint32_t count_ = 0;
    std::uint32_t end_ = 0; // behind the highest
    std::array<std::uint32_t, kKept> highest_{};
    std::optional<std::uint32_t> reached_; // as the peer says, until the path goes on
};

} // namespace mpt::core
