// SPDX-License-Identifier: GPL-3.0-or-later
// The part of the reorder buffer that deals with numbers which do not continue what was there.
#include "daemon/base/sequence.hpp"
#include "daemon/core/reorder_buffer.hpp"

#include <algorithm>

namespace mpt::core {

namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kAheadRange = UINT32_C(1) << 30; // what is not so far ahead is behind
constexpr std::uint32_t kRunStep = 64;                   // at most this far is a number from the one before it in a run
constexpr std::uint32_t kLeastNear = 256;                // numbers
constexpr base::Duration kAsideTime = 10s;               // what is behind is dropped when nothing more has confirmed it
constexpr base::Duration kHoleTime = 10s;                // for which a jump may turn out to have been none
constexpr base::Duration kStragglerTime = 2s;            // by which one path may be slower than another
constexpr std::uint32_t kJumperConfirmations = 16;
constexpr std::uint32_t kRestartSpan = 4; // numbers for each packet that shows a restart; repeated old ones are sparser

} // namespace

ReorderBuffer::Verdict ReorderBuffer::set_aside(base::Instant now, std::size_t path, std::uint32_t sequence,
                                                base::ConstOctets packet, Out &out)
{
    note_aside(now, path, sequence);
    Aside &aside = asides_[path];
    Verdict verdict = Verdict::kHeld;
    if (packet.size() > settings_.max_packet) {
        ++counters_.too_large;
        verdict = Verdict::kTooLarge;
    } else if (aside.entries.size() == aside_limit_) {
        count_dropped(sequence);
        verdict = Verdict::kFar;
    } else {
        aside.entries.push_back(Entry{now, sequence, cells_.copy(packet), static_cast<std::uint32_t>(packet.size()),
                                      static_cast<std::uint32_t>(path)});
        ++counters_.aside_now;
    }
    settle(now, path, false, out);
    return verdict;
}

// Notes where the path is; what it delivered elsewhere before is dropped.
void ReorderBuffer::note_aside(base::Instant now, std::size_t path, std::uint32_t sequence) noexcept
{
    Aside &aside = asides_[path];
    const bool ahead = is_ahead(sequence);
    const bool new_place = aside.entries.empty() && aside.run == 0;
    if (!ahead && aside.fits != fits_)
        aside.run = 0; // the present numbers went on since
    aside.fits = fits_;
    if (new_place || aside.ahead != ahead || !near(aside.top, sequence)) {
        drop_aside(aside);
        aside.ahead = ahead;
        aside.lowest = aside.top = sequence;
        aside.run = 1;
    } else if (base::sequence_before(aside.top, sequence)) {
        aside.run = sequence - aside.top <= kRunStep ? aside.run + 1 : 1;
        aside.top = sequence;
    } else if (base::sequence_before(sequence, aside.lowest)) {
        aside.lowest = sequence;
    }
    aside.last = now;
}

// Packets in a row, on all paths, that say that the numbers go on where this path says.
std::uint32_t ReorderBuffer::confirmations(std::size_t path) const noexcept
{
    std::uint32_t count = 0;
    for (std::size_t other = 0; other < asides_.size(); ++other)
        if (agrees(other, asides_[path].ahead, asides_[path].top))
            count += asides_[other].run;
    return count;
}

// Decides whether to believe what the path says. `due`: it has waited as long as it may.
void ReorderBuffer::settle(base::Instant now, std::size_t path, bool due, Out &out)
{
    Aside &aside = asides_[path];
    const bool confirmed = confirmations(path) >= kConfirmations;
    if (aside.ahead) {
        const bool fits = !is_ahead(aside.top) || aside.top - expected_ < window();
        if (fits && (confirmed || continues(aside.lowest)))
            return admit(now, path, out);
        if (confirmed ? !crowds_out(now, path, aside.top)
                      : due && aside.run != 0 && !contradicted(now, path, kNoPath)) {
            if (!fits)
                note_jump(now, path);
            return admit(now, path, out);
        }
    } else if (confirmed && !due) {
        const std::uint32_t lowest = lowest_confirming(path);
        const bool dense = aside.top - lowest < kRestartSpan * confirmations(path);
        if (lowest <= kFirstNumbers && dense && !contradicted(now, path, kNoPath)) {
            begin_anew(now, 0, out);
            ++counters_.restarts;
            return admit(now, path, out);
        }
        if (in_hole(now, lowest) && jump_was_none(now, path) && !contradicted(now, path, hole_->path)) {
            const std::uint64_t lost = hole_->lost_before + (lowest - hole_->begin);
            begin_anew(now, lowest, out);
            counters_.lost = lost;
            ++counters_.jumps;
            return admit(now, path, out);
        }
    }
    if (due)
        drop_aside(aside);
}

// One jump after the other by the same path is one: what is passed over begins where the first one left.
void ReorderBuffer::note_jump(base::Instant now, std::size_t path) noexcept
{
    ++counters_.jumps;
    if (!hole_ || hole_->path != path || hole_->until < now)
        hole_ = Hole{expected_, expected_, path, now, now, counters_.lost};
    hole_->end = asides_[path].lowest;
    hole_->until = now + kHoleTime;
}

// Whether the numbers that were passed over come in such a way that they cannot be on their way since before the jump:
// the path that jumped goes on with them itself, many in a row, or they come long after.
bool ReorderBuffer::jump_was_none(base::Instant now, std::size_t path) const noexcept
{
    return now - hole_->since >= kStragglerTime ||
           (confirmations(path) >= kJumperConfirmations && agrees(hole_->path, false, asides_[path].top));
}

void ReorderBuffer::begin_anew(base::Instant now, std::uint32_t first, Out &out)
{
    advance_to(end_, out);
    begin_stream(now, first);
}

// What was set aside there continues the numbers: holds it, or delivers it.
void ReorderBuffer::admit(base::Instant now, std::size_t path, Out &out)
{
    const bool ahead = asides_[path].ahead;
    const std::uint32_t top = asides_[path].top;
    admitted_.clear();
    for (std::size_t other = 0; other < asides_.size(); ++other) {
        Aside &aside = asides_[other];
        if (other != path && !agrees(other, ahead, top))
            continue;
        admitted_.insert(admitted_.end(), aside.entries.begin(), aside.entries.end());
        aside.entries.clear();
        aside.run = 0;
    }
    counters_.aside_now -= static_cast<std::uint32_t>(admitted_.size());
    std::sort(admitted_.begin(), admitted_.end(), [top](const Entry &a, const Entry &b) {
        return base::sequence_distance(top, a.sequence) < base::sequence_distance(top, b.sequence);
    });
    for (const Entry &entry : admitted_) {
        if (is_ahead(entry.sequence) && entry.sequence - expected_ >= window())
            advance_to(entry.sequence - window() + 1, out);
        const bool behind = !is_ahead(entry.sequence);
        if (behind || held(entry.sequence)) {
            if (behind)
                count_behind(entry.sequence);
            else
                ++counters_.duplicate;
            cells_.free(entry.cell);
            continue;
        }
        hold(entry);
        arrived(now, entry.path, entry.sequence);
        release_run(out);
    }
    give_up_passed(now, path, out);
}

void ReorderBuffer::drop_aside(Aside &aside) noexcept
{
    counters_.aside_now -= static_cast<std::uint32_t>(aside.entries.size());
    for (const Entry &entry : aside.entries) {
        count_dropped(entry.sequence);
        cells_.free(entry.cell);
    }
    aside.entries.clear();
    aside.run = 0;
}

void ReorderBuffer::count_dropped(std::uint32_t sequence) noexcept
{
    if (is_ahead(sequence))
        ++counters_.far;
    else
        count_behind(sequence);
}

bool ReorderBuffer::is_ahead(std::uint32_t sequence) const noexcept
{
    return sequence - expected_ < kAheadRange;
}

// Whether the numbers may be of the same place in one stream, on paths of different delay.
bool ReorderBuffer::near(std::uint32_t a, std::uint32_t b) const noexcept
{
    const auto range = static_cast<std::int32_t>(std::max(2 * window(), kLeastNear));
    const std::int32_t distance = base::sequence_distance(a, b);
    return -range < distance && distance < range;
}

bool ReorderBuffer::agrees(std::size_t path, bool ahead, std::uint32_t sequence) const noexcept
{
    const Aside &aside = asides_[path];
    return aside.run != 0 && aside.ahead == ahead && (ahead || aside.fits == fits_) && near(aside.top, sequence);
}

std::uint32_t ReorderBuffer::lowest_confirming(std::size_t path) const noexcept
{
    std::uint32_t lowest = asides_[path].lowest;
    for (std::size_t other = 0; other < asides_.size(); ++other)
        if (agrees(other, asides_[path].ahead, asides_[path].top) &&
            base::sequence_before(asides_[other].lowest, lowest))
            lowest = asides_[other].lowest;
    return lowest;
}

// Whether another path delivers numbers so much lower that they would be late if this one, by `path`, had to fit.
bool ReorderBuffer::crowds_out(base::Instant now, std::size_t path, std::uint32_t sequence) const noexcept
{
    for (std::size_t other = 0; other < paths_.size(); ++other)
        if (other != path && paths_[other].confirms(now, settings_.max_delay) && !agrees(other, true, sequence) &&
            base::sequence_distance(paths_[other].next_about(), sequence) >= static_cast<std::int32_t>(window()))
            return true;
    return false;
}

// Whether another path, except one, delivers what continues the present numbers.
bool ReorderBuffer::contradicted(base::Instant now, std::size_t path, std::size_t except) const noexcept
{
    for (std::size_t other = 0; other < paths_.size(); ++other)
        if (other != path && other != except && paths_[other].confirms(now, settings_.max_delay) &&
            !agrees(other, asides_[path].ahead, asides_[path].top))
            return true;
    return false;
}

// Whether a number behind may be the beginning of new numbers. One that was missing is just late.
bool ReorderBuffer::may_begin_anew(base::Instant now, std::uint32_t sequence) const noexcept
{
    if (in_hole(now, sequence))
        return true;
    const std::uint64_t straggling = now - begun_ < kStragglerTime ? kRecent : 0; // from before the stream was joined
    if (!was_delivered(sequence) && expected_ - sequence <= std::min<std::uint64_t>(passed_ + straggling, kRecent))
        return false;
    if (sequence <= kFirstNumbers)
        return true;
    for (std::size_t path = 0; path < asides_.size(); ++path)
        if (agrees(path, false, sequence))
            return true;
    return false;
}

bool ReorderBuffer::in_hole(base::Instant now, std::uint32_t sequence) const noexcept
{
    return hole_ && now <= hole_->until && sequence - hole_->begin < hole_->end - hole_->begin;
}

base::Instant ReorderBuffer::expiry(const Aside &aside) const noexcept
{
    return aside.ahead ? aside.entries.front().arrival + settings_.max_delay : aside.last + kAsideTime;
}

} // namespace mpt::core
