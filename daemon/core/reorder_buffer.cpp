// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/reorder_buffer.hpp"

#include "daemon/base/sequence.hpp"

#include <algorithm>
#include <bit>
#include <new>

namespace mpt::core {

namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kNearHole = 64;      // numbers missing in a row that need no confirmation
constexpr std::uint32_t kLagNeighbours = 8;  // higher numbers that are looked at for when they came
constexpr base::Duration kTakeoverTime = 2s; // in which what was on its way then is still to be expected
constexpr std::size_t kLeastAside = 16;      // packets a path that can be set aside
constexpr std::size_t kMostAside = 512;      // of them

} // namespace

ReorderBuffer::ReorderBuffer(ReorderSettings settings, std::size_t paths)
    : settings_(settings), delivered_(kRecent / 64)
{
    allocate(paths);
}

void ReorderBuffer::allocate(std::size_t paths)
{
    const std::size_t window = settings_.window;
    aside_limit_ = window == 0 ? 0 : std::clamp(window / std::max<std::size_t>(paths, 1), kLeastAside, kMostAside);
    const std::size_t aside = aside_limit_ * paths;
    cells_ = PacketCells(window + aside, settings_.max_packet);
    const std::size_t slots = std::bit_ceil(window);
    slots_.reset(static_cast<Slot *>(std::calloc(slots, sizeof(Slot))));
    if (!slots_)
        throw std::bad_alloc();
    mask_ = static_cast<std::uint32_t>(slots - 1);
    oldest_ = newest_ = kNone;
    paths_.resize(paths);
    asides_.resize(paths);
    behinds_.resize(paths);
    for (Aside &one : asides_)
        one.entries.reserve(aside_limit_);
    admitted_.reserve(aside);
}

void ReorderBuffer::reconfigure(base::Instant now, ReorderSettings settings, std::size_t paths, Out &out)
{
    const std::size_t old_paths = paths_.size();
    const bool fits =
        settings.window == settings_.window && settings.max_packet == settings_.max_packet && paths == old_paths;
    settings_.max_delay = settings.max_delay;
    if (fits)
        return;
    for (Aside &aside : asides_)
        drop_aside(aside);
    advance_to(end_, out);
    old_cells_ = std::move(cells_);
    hole_.reset();
    settings_ = settings;
    allocate(paths);
    for (std::size_t path = old_paths; path < paths; ++path)
        paths_[path].begin(busy(now), settings_.max_delay);
}

ReorderBuffer::Verdict ReorderBuffer::offer(base::Instant now, std::size_t path, std::uint32_t sequence,
                                            base::ConstOctets packet, Out &out)
{
    tick(now);
    if (!started_)
        start(now, sequence);
    if (window() == 0) {
        offer_unordered(now, path, sequence);
        out.push_back(packet);
        return Verdict::kDelivered;
    }
    if (sequence == expected_)
        return take_expected(now, path, packet, out);
    if (!is_ahead(sequence)) {
        if (is_straggler(now, sequence))
            return take_straggler(sequence, packet, out);
        if (has_gone_back(now, path, sequence)) {
            begin_anew(now, sequence, out);
            ++counters_.restarts;
            return take_expected(now, path, packet, out);
        }
        return may_begin_anew(now, path, sequence) ? set_aside(now, path, sequence, packet, out)
                                                   : take_late(now, path, sequence);
    }
    const bool fits = sequence - expected_ < window();
    if (continues(sequence) && (fits || !crowds_out(now, path, sequence)))
        return take_ahead(now, path, sequence, packet, out);
    if (is_from_before(now, path, sequence)) {
        ++counters_.late;
        return Verdict::kLate;
    }
    return set_aside(now, path, sequence, packet, out);
}

// A peer that has just begun is known by its low number. One that has been running is joined where it is: packets on
// their way on slower paths may have lower numbers than the first, so that the first has to wait, but what came before
// is not missing.
void ReorderBuffer::start(base::Instant now, std::uint32_t sequence) noexcept
{
    started_ = true;
    const bool from_zero = sequence <= kFirstNumbers;
    const bool race = paths_.size() > 1 && window() > 0;
    begin_stream(now, from_zero ? 0 : race ? sequence - (window() - 1) : sequence);
    counts_ = from_zero || !race;
    if (!from_zero)
        end_ = sequence;
}

void ReorderBuffer::resume(base::Instant now, std::uint32_t expected) noexcept
{
    tick(now);
    started_ = true;
    begin_stream(now, expected);
    begun_ = {}; // long ago
    resumed_ = expected;
    resumed_since_ = now;
}

// Whether the packet was on its way when the stream was taken over, as far as is known, and has not come before. Low
// numbers rather are those of a peer that has begun anew: of it more would be lost.
bool ReorderBuffer::is_straggler(base::Instant now, std::uint32_t sequence) const noexcept
{
    return resumed_ && now - resumed_since_ < kTakeoverTime && *resumed_ - sequence - 1 < window() &&
           expected_ - sequence <= kRecent && !was_delivered(sequence) && !begins_anew(sequence);
}

ReorderBuffer::Verdict ReorderBuffer::take_straggler(std::uint32_t sequence, base::ConstOctets packet, Out &out)
{
    mark(sequence, true);
    out.push_back(packet);
    ++counters_.delivered;
    ++counters_.reordered;
    return Verdict::kDelivered;
}

void ReorderBuffer::begin_stream(base::Instant now, std::uint32_t first) noexcept
{
    expected_ = end_ = first;
    counts_ = true;
    passed_ = 0;
    begun_ = now;
    before_.reset();
    resumed_.reset();
    std::fill(delivered_.begin(), delivered_.end(), 0);
    for (ReorderPath &path : paths_)
        path.begin(busy(now), settings_.max_delay);
    std::fill(behinds_.begin(), behinds_.end(), Behind{});
    hole_.reset();
}

// Time does not pass for a path while nothing comes on any: after a pause of the traffic the first packets may come by
// one path some time before those of a slower one, which must not look idle for it.
void ReorderBuffer::tick(base::Instant now) noexcept
{
    const base::Duration silence = now - last_any_;
    if (silence > settings_.max_delay)
        pause_ += silence;
    last_any_ = now;
}

bool ReorderBuffer::continues(std::uint32_t sequence) const noexcept
{
    return base::sequence_distance(end_, sequence) < static_cast<std::int32_t>(kNearHole);
}

void ReorderBuffer::arrived(base::Instant now, std::size_t path, std::uint32_t sequence) noexcept
{
    paths_[path].arrived(now, busy(now), sequence, lag_of(now, sequence));
    asides_[path].run = 0;
    last_fit_ = now;
    ++fits_;
    if (hole_ && hole_->path != path)
        hole_.reset();
}

// Everything is delivered: this only tells how it came.
void ReorderBuffer::offer_unordered(base::Instant now, std::size_t path, std::uint32_t sequence) noexcept
{
    ++counters_.delivered;
    const bool ahead = is_ahead(sequence);
    if (ahead && continues(sequence)) {
        skip(sequence - expected_);
        pass(true);
        asides_[path].run = 0;
        ++fits_;
        return;
    }
    if (!ahead)
        count_behind(sequence);
    if (!ahead && !begins_anew(sequence))
        return;
    note_aside(now, path, sequence);
    const std::uint32_t run = claim(path).packets;
    if (run < kConfirmations)
        return;
    if (ahead) {
        skip(sequence - expected_);
        counters_.lost -= run - 1; // those that said so before were delivered
        ++counters_.jumps;
    } else {
        begin_stream(now, sequence);
        ++counters_.restarts;
    }
    pass(true);
    for (Aside &aside : asides_)
        aside.run = 0;
}

ReorderBuffer::Verdict ReorderBuffer::take_expected(base::Instant now, std::size_t path, base::ConstOctets packet,
                                                    Out &out)
{
    const std::uint32_t sequence = expected_;
    if (counters_.held_now != 0)
        paths_[path].lagged(now - slots_[oldest_].arrival);
    if (sequence != end_)
        ++counters_.reordered;
    arrived(now, path, sequence);
    out.push_back(packet);
    ++counters_.delivered;
    pass(true);
    if (counters_.held_now != 0) {
        release_run(out);
        give_up_passed(now, path, out);
    }
    if (asides_[path].ahead && !asides_[path].entries.empty())
        settle(now, path, false, out);
    return Verdict::kDelivered;
}

ReorderBuffer::Verdict ReorderBuffer::take_ahead(base::Instant now, std::size_t path, std::uint32_t sequence,
                                                 base::ConstOctets packet, Out &out)
{
    if (sequence - expected_ >= window()) {
        advance_to(sequence - window() + 1, out); // the oldest are given up so that it fits
        release_run(out);
        if (sequence == expected_)
            return take_expected(now, path, packet, out);
    } else if (held(sequence)) {
        ++counters_.duplicate;
        return Verdict::kDuplicate;
    }
    if (packet.size() > settings_.max_packet) {
        ++counters_.too_large;
        return Verdict::kTooLarge;
    }
    if (base::sequence_before(sequence, end_))
        ++counters_.reordered;
    hold(Entry{now, sequence, cells_.copy(packet), static_cast<std::uint32_t>(packet.size()),
               static_cast<std::uint32_t>(path)});
    arrived(now, path, sequence);
    give_up_passed(now, path, out);
    if (asides_[path].ahead && !asides_[path].entries.empty())
        settle(now, path, false, out);
    return is_ahead(sequence) ? Verdict::kHeld : Verdict::kDelivered;
}

ReorderBuffer::Verdict ReorderBuffer::take_late(base::Instant now, std::size_t path, std::uint32_t sequence) noexcept
{
    const bool duplicate = was_delivered(sequence);
    if (!duplicate && expected_ - sequence <= kRecent)
        paths_[path].arrived_late(busy(now), settings_.max_delay, sequence);
    count_behind(sequence);
    return duplicate ? Verdict::kDuplicate : Verdict::kLate;
}

void ReorderBuffer::on_deadline(base::Instant now, Out &out)
{
    for (std::size_t path = 0; counters_.aside_now != 0 && path < asides_.size(); ++path)
        if (!asides_[path].entries.empty() && asides_[path].expiry <= now)
            settle(now, path, true, out);
    const base::Duration wait = longest_wait();
    while (oldest_ != kNone && slots_[oldest_].arrival + wait <= now) {
        const std::uint32_t due = expected_ + ((oldest_ - expected_) & mask_);
        advance_to(due + 1, out);
        release_run(out);
    }
}

void ReorderBuffer::reached(base::Instant now, std::size_t path, std::uint32_t highest, Out &out)
{
    if (counters_.held_now == 0)
        return;
    // Of numbers above all that has come nothing is missing yet.
    const std::uint32_t end = base::sequence_before(end_, highest + 1) ? end_ : highest + 1;
    if (!base::sequence_before(expected_, end))
        return;
    paths_[path].reached(end);
    give_up_passed(now, path, out);
}

std::optional<base::Instant> ReorderBuffer::deadline() const noexcept
{
    std::optional<base::Instant> first;
    if (oldest_ != kNone)
        first = slots_[oldest_].arrival + longest_wait();
    if (counters_.aside_now != 0)
        for (const Aside &aside : asides_)
            if (!aside.entries.empty())
                first = std::min(first.value_or(aside.expiry), aside.expiry);
    return first;
}

// How long a packet waits for a missing one if nothing else arrives.
base::Duration ReorderBuffer::longest_wait() const noexcept
{
    base::Duration longest{0};
    for (const ReorderPath &path : paths_)
        longest = std::max(longest, path.usual_wait(settings_.max_delay));
    return longest;
}

// By how much a higher number was earlier: the next one or, should that be missing too, one soon after.
base::Duration ReorderBuffer::lag_of(base::Instant now, std::uint32_t sequence) const noexcept
{
    if (counters_.held_now == 0 || !base::sequence_before(sequence + 1, end_))
        return base::Duration::zero();
    for (std::uint32_t next = sequence + 1; next != sequence + 1 + kLagNeighbours; ++next)
        if (next - expected_ < window() && held(next))
            return now - slots_[next & mask_].arrival;
    return base::Duration::zero();
}

bool ReorderBuffer::needs_recycle() const noexcept
{
    return cells_.empty() && cells_.any_retired();
}

void ReorderBuffer::recycle() noexcept
{
    cells_.recycle();
    old_cells_.reset();
}

void ReorderBuffer::forget_path(std::size_t path) noexcept
{
    paths_[path].forget();
}

void ReorderBuffer::expect_path(base::Instant now, std::size_t path) noexcept
{
    paths_[path].expect(busy(now), settings_.max_delay);
}

// Precondition: nothing is held at the number, which is in the window.
void ReorderBuffer::hold(const Entry &entry) noexcept
{
    const std::uint32_t index = entry.sequence & mask_;
    std::uint32_t older = newest_;
    while (older != kNone && slots_[older].arrival > entry.arrival) // it had been set aside
        older = slots_[older].older;
    const std::uint32_t newer = older == kNone ? oldest_ : slots_[older].newer;
    slots_[index] = Slot{entry.arrival, entry.cell, entry.length, older, newer};
    (older == kNone ? oldest_ : slots_[older].newer) = index;
    (newer == kNone ? newest_ : slots_[newer].older) = index;
    if (base::sequence_before(end_, entry.sequence + 1))
        end_ = entry.sequence + 1;
    ++counters_.held_now;
    counters_.held_max = std::max(counters_.held_max, counters_.held_now);
}

void ReorderBuffer::deliver_held(Out &out)
{
    Slot &slot = slots_[expected_ & mask_];
    out.push_back(cells_.octets_of(slot.cell, slot.length));
    cells_.retire(slot.cell);
    (slot.older == kNone ? oldest_ : slots_[slot.older].newer) = slot.newer;
    (slot.newer == kNone ? newest_ : slots_[slot.newer].older) = slot.older;
    slot.cell = PacketCells::kNone;
    --counters_.held_now;
    ++counters_.delivered;
    pass(true);
}

void ReorderBuffer::release_run(Out &out)
{
    while (counters_.held_now != 0 && held(expected_))
        deliver_held(out);
}

// Releases what is held below the number, and gives up what is missing there.
void ReorderBuffer::advance_to(std::uint32_t sequence, Out &out)
{
    while (counters_.held_now != 0 && base::sequence_before(expected_, sequence)) {
        if (held(expected_))
            deliver_held(out);
        else
            pass(false);
    }
    if (base::sequence_before(expected_, sequence))
        skip(sequence - expected_);
}

// Gives up `count` numbers, of which none is held. Whatever the count, only the bits that are kept are touched.
void ReorderBuffer::skip(std::uint32_t count) noexcept
{
    std::uint32_t bit = expected_ % kRecent;
    for (std::uint32_t left = std::min(count, kRecent); left != 0;) {
        const std::uint32_t offset = bit % 64;
        std::uint64_t cleared = UINT64_MAX << offset;
        std::uint32_t bits = 64 - offset;
        if (left < bits) {
            bits = left;
            cleared &= ~(UINT64_MAX << (offset + left));
        }
        delivered_[bit / 64] &= ~cleared;
        bit = (bit + bits) % kRecent;
        left -= bits;
    }
    expected_ += count;
    if (base::sequence_before(end_, expected_))
        end_ = expected_;
    if (counts_) {
        passed_ += count;
        counters_.lost += count;
    }
}

void ReorderBuffer::pass(bool delivered) noexcept
{
    mark(expected_, delivered);
    if (end_ == expected_)
        ++end_;
    ++expected_;
    counts_ = counts_ || delivered;
    if (counts_) {
        ++passed_;
        counters_.lost += delivered ? 0 : 1;
    }
}

// Gives up the numbers that every path that delivers has passed by. Only what has just come by `path` can show so.
void ReorderBuffer::give_up_passed(base::Instant now, std::size_t path, Out &out)
{
    if (counters_.held_now == 0)
        return;
    std::optional<std::uint32_t> passed = paths_[path].frontier();
    if (!passed || !base::sequence_before(expected_, *passed))
        return;
    for (const ReorderPath &other : paths_) {
        if (!other.active(busy(now), settings_.max_delay))
            continue;
        const std::optional<std::uint32_t> frontier = other.frontier();
        if (!frontier || !base::sequence_before(expected_, *frontier))
            return;
        if (base::sequence_before(*frontier, *passed))
            passed = frontier;
    }
    advance_to(*passed, out);
    release_run(out);
}

bool ReorderBuffer::was_delivered(std::uint32_t sequence) const noexcept
{
    const std::uint32_t bit = sequence % kRecent;
    return expected_ - sequence <= kRecent && (delivered_[bit / 64] >> bit % 64 & 1) != 0;
}

void ReorderBuffer::mark(std::uint32_t sequence, bool delivered) noexcept
{
    const std::uint32_t bit = sequence % kRecent;
    std::uint64_t &word = delivered_[bit / 64];
    word = (word & ~(std::uint64_t{1} << bit % 64)) | std::uint64_t{delivered} << bit % 64;
}

// A number behind that is not one delivered before: it comes after all.
void ReorderBuffer::count_behind(std::uint32_t sequence) noexcept
{
    if (was_delivered(sequence)) {
        ++counters_.duplicate;
        return;
    }
    ++counters_.late;
    if (expected_ - sequence > std::min<std::uint64_t>(passed_, kRecent))
        return;
    mark(sequence, true);
    if (counters_.lost != 0)
        --counters_.lost;
    if (window() == 0)
        ++counters_.reordered;
}

} // namespace mpt::core
