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
constexpr base::Duration kReorderTime = 20ms;            // by which packets of one path may overtake each other
constexpr base::Duration kOldestAdmitted = 4s; // of what was set aside: a ping a second shows a restart by then
constexpr std::uint32_t kJumperConfirmations = 16;
constexpr std::uint32_t kBehindRun = 16;  // late packets in a row
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
    if (!ahead && aside.fits != fits_) {
        // The present numbers went on since: what is not so old may still be of a peer that has begun anew, while on
        // another path the last packets from before are arriving.
        aside.run = 0;
        if (now - aside.last > settings_.max_delay)
            drop_aside(aside);
    }
    aside.fits = fits_;
    const bool new_place = aside.entries.empty() && aside.run == 0;
    if (new_place || aside.ahead != ahead || !near(aside.top, sequence)) {
        drop_aside(aside);
        aside.ahead = ahead;
        aside.lowest = aside.top = sequence;
        aside.run = 1;
        aside.since = now;
        aside.expiry = now + settings_.max_delay;
    } else if (base::sequence_before(aside.top, sequence)) {
        aside.run = sequence - aside.top <= kRunStep ? aside.run + 1 : 1;
        aside.since = aside.run == 1 ? now : aside.since;
        aside.top = sequence;
    } else if (base::sequence_before(sequence, aside.lowest)) {
        aside.lowest = sequence;
    }
    aside.last = now;
    if (!ahead)
        aside.expiry = now + kAsideTime;
}

// What the paths say together that agree with this one.
ReorderBuffer::Claim ReorderBuffer::claim(std::size_t path) const noexcept
{
    const Aside &own = asides_[path];
    Claim claim{0, own.lowest, own.top, own.since};
    for (std::size_t other = 0; other < asides_.size(); ++other) {
        const Aside &aside = asides_[other];
        if (!agrees(other, own.ahead, own.top))
            continue;
        claim.packets += aside.run;
        claim.since = std::min(claim.since, aside.since);
        if (base::sequence_before(aside.lowest, claim.lowest))
            claim.lowest = aside.lowest;
        if (base::sequence_before(claim.top, aside.top))
            claim.top = aside.top;
    }
    return claim;
}

// Decides whether to believe what the path says. `due`: it has waited as long as it may.
void ReorderBuffer::settle(base::Instant now, std::size_t path, bool due, Out &out)
{
    const bool settled = asides_[path].ahead ? settle_ahead(now, path, due, out) : settle_behind(now, path, due, out);
    if (!settled && due)
        drop_aside(asides_[path]);
}

bool ReorderBuffer::settle_ahead(base::Instant now, std::size_t path, bool due, Out &out)
{
    const Aside &aside = asides_[path];
    const bool confirmed = claim(path).packets >= kConfirmations;
    const bool fits = !is_ahead(aside.top) || aside.top - expected_ < window();
    if (!(fits && (confirmed || continues(aside.lowest)))) {
        const bool believed =
            confirmed ? !crowds_out(now, path, aside.top) : due && aside.run != 0 && !contradicted(now, path, kNoPath);
        if (!believed)
            return false;
        if (!fits)
            note_jump(now, path);
    }
    admit(now, path, out);
    return true;
}

bool ReorderBuffer::settle_behind(base::Instant now, std::size_t path, bool due, Out &out)
{
    const Claim claimed = claim(path);
    if (claimed.packets < kConfirmations)
        return false;
    if (in_hole(now, claimed.lowest)) {
        if (due || !jump_was_none(now, path, claimed) || contradicted(now, path, hole_->path))
            return false;
        const std::uint64_t lost = hole_->lost_before + (claimed.lowest - hole_->begin);
        begin_anew(now, claimed.lowest, out);
        counters_.lost = lost;
        ++counters_.jumps;
        admit(now, path, out);
        return true;
    }
    const bool dense = claimed.top - claimed.lowest < kRestartSpan * claimed.packets;
    if (claimed.lowest > kFirstNumbers || !dense || contradicted(now, path, kNoPath))
        return false;
    // What arrives together is offered in the order of the numbers: what continues the present ones may come behind.
    if (now == claimed.since && now - last_fit_ <= settings_.max_delay && !due) {
        asides_[path].expiry = now + settings_.max_delay;
        return false;
    }
    begin_anew(now, 0, out);
    ++counters_.restarts;
    admit(now, path, out);
    return true;
}

// One jump after the other by the same path is one: what is passed over begins where the first one left.
void ReorderBuffer::note_jump(base::Instant now, std::size_t path) noexcept
{
    ++counters_.jumps;
    if (!hole_ || hole_->path != path || now - hole_->since > kHoleTime)
        hole_ = Hole{expected_, expected_, path, now, counters_.lost};
    hole_->end = asides_[path].lowest;
    hole_->since = now;
}

// Whether the numbers that were passed over come in such a way that they cannot be on their way since before the jump:
// the path that jumped goes on with them itself for a while, or they come long after.
bool ReorderBuffer::jump_was_none(base::Instant now, std::size_t path, const Claim &claimed) const noexcept
{
    return now - hole_->since >= kStragglerTime ||
           (claimed.packets >= kJumperConfirmations && now - claimed.since >= kReorderTime &&
            agrees(hole_->path, false, asides_[path].top));
}

// Whether a number ahead is one of the last from before the present numbers began, on a path that has delivered none of
// the present ones yet.
bool ReorderBuffer::is_from_before(base::Instant now, std::size_t path, std::uint32_t sequence) const noexcept
{
    return before_ && now - begun_ < kStragglerTime && !paths_[path].confirmed() &&
           sequence - (*before_ - kRecent) < 2 * kRecent;
}

void ReorderBuffer::begin_anew(base::Instant now, std::uint32_t first, Out &out)
{
    advance_to(end_, out);
    const std::uint32_t end = end_;
    begin_stream(now, first);
    before_ = end;
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
        if (!is_ahead(entry.sequence))
            count_behind(entry.sequence);
        else if (held(entry.sequence))
            ++counters_.duplicate;
        else if (now - entry.arrival > kOldestAdmitted) // maybe of a peer that has restarted twice
            ++counters_.late;
        else {
            hold(entry);
            arrived(now, entry.path, entry.sequence);
            release_run(out);
            continue;
        }
        cells_.free(entry.cell);
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

// The last resort, so that a peer whose numbers went back, for whatever reason, is not shut out for good: whether a
// path has delivered nothing but what is behind, in rising order, for so long.
bool ReorderBuffer::has_gone_back(base::Instant now, std::size_t path, std::uint32_t sequence) noexcept
{
    Behind &behind = behinds_[path];
    if (behind.run == 0 || behind.fits != fits_ || !base::sequence_before(behind.top, sequence) ||
        !near(behind.top, sequence))
        behind = Behind{sequence, 0, fits_, now};
    behind.top = sequence;
    return ++behind.run >= kBehindRun && now - behind.since >= kStragglerTime;
}

// Whether a number behind may be the beginning of new numbers. One that was missing is just late, and so may be one
// that was on its way when the present numbers began, on a path that has delivered none of them.
bool ReorderBuffer::may_begin_anew(base::Instant now, std::size_t path, std::uint32_t sequence) const noexcept
{
    if (in_hole(now, sequence))
        return true;
    if (!was_delivered(sequence) && expected_ - sequence <= std::min<std::uint64_t>(passed_, kRecent))
        return false;
    if (now - begun_ < kStragglerTime && !paths_[path].confirmed())
        return false;
    return begins_anew(sequence);
}

// A low number, or one near to those.
bool ReorderBuffer::begins_anew(std::uint32_t sequence) const noexcept
{
    if (sequence <= kFirstNumbers)
        return true;
    for (std::size_t path = 0; path < asides_.size(); ++path)
        if (agrees(path, false, sequence))
            return true;
    return false;
}

bool ReorderBuffer::in_hole(base::Instant now, std::uint32_t sequence) const noexcept
{
    return hole_ && now - hole_->since <= kHoleTime && sequence - hole_->begin < hole_->end - hole_->begin;
}

} // namespace mpt::core
