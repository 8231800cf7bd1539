// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"
#include "daemon/base/time.hpp"
#include "daemon/core/packet_cells.hpp"
#include "daemon/core/reorder_path.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

namespace mpt::core {

struct ReorderSettings {
    std::uint16_t window = 0;    // numbers, 0-10000 (guide reorder_window); 0: nothing waits
    base::Duration max_delay{0}; // the longest that a packet waits for a missing one (guide max_buffdelay_msec)
    std::size_t max_packet = 0;  // octets that a packet which has to wait may have

    friend bool operator==(const ReorderSettings &, const ReorderSettings &) noexcept = default;
};

// All since the start. With a window: packets offered = delivered + late + duplicate + far + too_large + held_now +
// aside_now. Without one every packet is delivered, and late and duplicate only tell how it came.
struct ReorderCounters {
    std::uint64_t delivered = 0;  // appended to `out`
    std::uint64_t reordered = 0;  // came after a higher number, and not too late
    std::uint64_t late = 0;       // below what had been delivered or given up
    std::uint64_t duplicate = 0;  // of a packet that is held or was delivered
    std::uint64_t far = 0;        // far ahead of the others, and nothing confirmed it
    std::uint64_t too_large = 0;  // had to wait, but had more than max_packet octets
    std::uint64_t lost = 0;       // numbers given up that have not come since
    std::uint64_t unnumbered = 0; // passed through without a number
    std::uint64_t restarts = 0;   // times that the peer's numbers began again
    std::uint64_t jumps = 0;      // times that the numbers went on far from where they were
    std::uint32_t held_now = 0;   // packets that wait for a missing number: below the window
    std::uint32_t held_max = 0;
    std::uint32_t aside_now = 0; // packets that wait for the proof that the numbers go on there
};

// Puts the packets of a connection that came over several paths back into the order of their numbers.
//
// A missing number is given up when every path that delivers has delivered d higher ones (d is 3, more on a path that
// reorders within itself), when a packet has waited for longer than any path has lagged behind the others lately (so
// that a short train with a loss at its end is not held up; max_delay at most), or when the window is full. With that,
// what comes later is late and dropped.
//
// A number that does not continue what was there (behind, or more than a few ahead of the highest) changes nothing at
// first: the packet is set aside. The numbers go on there once several packets in a row say so and no other path
// contradicts, that is, delivers what continues the present numbers. Without contradiction a number ahead is also
// believed when it has waited for max_delay; one behind only as the beginning of a restarted peer (deployed peers start
// at 0), or if it was passed over by the last such jump, which then was none. So neither an old packet nor a flood of
// invented numbers stops what the other paths deliver.
class ReorderBuffer {
public:
    enum class Verdict : std::uint8_t {
        kDelivered, // appended to out, maybe with packets that had waited for it
        kHeld,      // copied: it waits for a missing number, or set aside
        kLate,      // dropped (window 0: delivered)
        kDuplicate, // dropped (window 0: delivered)
        kFar,       // dropped: it belongs to nothing that is confirmed, and there is no room to set it aside
        kTooLarge,  // dropped: it would have to wait, but has more than max_packet octets
    };

    // Paths are numbered from 0.
    ReorderBuffer(ReorderSettings settings, std::size_t paths);

    // Goes on where another buffer was when it had delivered or given up what is below `expected`; what comes of that
    // after all soon is delivered as it comes. Before the first packet.
    void resume(base::Instant now, std::uint32_t expected) noexcept;
    // The number that is to be delivered next; nothing before the first packet.
    std::optional<std::uint32_t> expected() const noexcept
    {
        return started_ ? std::optional(expected_) : std::nullopt;
    }

    // A packet with its number, as it came; `now` never goes backwards. Appends to `out` what may go to the tunnel now,
    // in order: the span of this packet itself, or spans of packets held earlier, which point into this object and stay
    // valid until recycle(). A packet dropped or held may still release others. Precondition: !needs_recycle().
    Verdict offer(base::Instant now, std::size_t path, std::uint32_t sequence, base::ConstOctets packet,
                  std::vector<base::ConstOctets> &out);

    // A packet without a number goes straight to the tunnel; it is counted here.
    void pass_through() noexcept { ++counters_.unnumbered; }

    // Releases to `out` what has waited for long enough, as offer() does.
    void on_deadline(base::Instant now, std::vector<base::ConstOctets> &out);

    // The peer says by the path that it has sent no higher number than `highest` so far, so that what the path carried
    // of them has come. Believed if it fits what has come; releases to `out` what waited for this path alone, as
    // offer() does.
    void reached(base::Instant now, std::size_t path, std::uint32_t highest, std::vector<base::ConstOctets> &out);

    // When on_deadline() wants to be called; nothing while nothing waits.
    std::optional<base::Instant> deadline() const noexcept;

    // True when no storage is left for one more packet until what was released is recycled.
    bool needs_recycle() const noexcept;

    // Everything that was appended to `out` has been written: its storage is used again.
    void recycle() noexcept;

    // The path is down or gone: nothing is waited for on its account until it delivers again.
    void forget_path(std::size_t path) noexcept;

    // The path is up, the peer may begin to use it at any moment: for max_delay it counts as one that delivers.
    void expect_path(base::Instant now, std::size_t path) noexcept;

    // Applies new settings in place; numbers go on where they were. If the window, max_packet or the number of paths
    // changes, what is held is appended to `out` first, in order. Allocates. Precondition: everything is recycled.
    void reconfigure(base::Instant now, ReorderSettings settings, std::size_t paths,
                     std::vector<base::ConstOctets> &out);

    const ReorderCounters &counters() const noexcept { return counters_; }

private:
    // A packet held in the ring, at its number; linked to the others by the time it came. All zero where none is held.
    struct Slot {
        base::Instant arrival;
        PacketCells::Cell cell;
        std::uint32_t length;
        std::uint32_t older;
        std::uint32_t newer;
    };

    struct Free {
        void operator()(void *memory) const noexcept { std::free(memory); }
    };

    // A packet set aside, or about to be held.
    struct Entry {
        base::Instant arrival;
        std::uint32_t sequence = 0;
        PacketCells::Cell cell = 0;
        std::uint32_t length = 0;
        std::uint32_t path = 0;
    };

    // What a path delivered that does not continue the numbers: near to each other, or it is begun anew.
    struct Aside {
        std::vector<Entry> entries;
        bool ahead = false; // of expected_, or behind it
        std::uint32_t lowest = 0;
        std::uint32_t top = 0;
        std::uint32_t run = 0;  // packets in rising order since the path (if behind: any path) delivered one that fits
        std::uint64_t fits = 0; // fits_ at the last one
        base::Instant since;    // the first of the run
        base::Instant last;     // packet
        base::Instant expiry;   // when it is decided
    };

    struct Claim {
        std::uint32_t packets = 0; // in a row
        std::uint32_t lowest = 0;
        std::uint32_t top = 0;
        base::Instant since;
    };

    // Packets of a path that are behind, in rising order, while nothing fits.
    struct Behind {
        std::uint32_t top = 0;
        std::uint32_t run = 0;
        std::uint64_t fits = 0; // fits_ at the last one
        base::Instant since;
    };

    // Numbers that were passed over when the numbers jumped, and the path that alone said so.
    struct Hole {
        std::uint32_t begin = 0;
        std::uint32_t end = 0;
        std::size_t path = 0;
        base::Instant since;           // the last jump
        std::uint64_t lost_before = 0; // counted
    };

    using Out = std::vector<base::ConstOctets>;

    static constexpr std::uint32_t kNone = UINT32_MAX;
    static constexpr std::uint32_t kRecent = 16384; // numbers passed of which it is known whether they were delivered
    static constexpr std::uint32_t kFirstNumbers = 50; // a number up to it may be of a peer that has begun at 0
    static constexpr std::uint32_t kConfirmations = 4; // packets in a row that say that the numbers go on elsewhere
    static constexpr std::size_t kNoPath = SIZE_MAX;

    std::uint32_t window() const noexcept { return settings_.window; }
    bool held(std::uint32_t sequence) const noexcept { return slots_[sequence & mask_].cell != PacketCells::kNone; }
    base::Instant busy(base::Instant now) const noexcept { return now - pause_; }
    bool continues(std::uint32_t sequence) const noexcept;

    void allocate(std::size_t paths);
    base::Duration longest_wait() const noexcept;
    base::Duration lag_of(base::Instant now, std::uint32_t sequence) const noexcept;
    void tick(base::Instant now) noexcept;
    void start(base::Instant now, std::uint32_t sequence) noexcept;
    void begin_stream(base::Instant now, std::uint32_t first) noexcept;
    void arrived(base::Instant now, std::size_t path, std::uint32_t sequence) noexcept;

    void offer_unordered(base::Instant now, std::size_t path, std::uint32_t sequence) noexcept;
    Verdict take_expected(base::Instant now, std::size_t path, base::ConstOctets packet, Out &out);
    Verdict take_ahead(base::Instant now, std::size_t path, std::uint32_t sequence, base::ConstOctets packet, Out &out);
    bool is_straggler(base::Instant now, std::uint32_t sequence) const noexcept;
    Verdict take_straggler(std::uint32_t sequence, base::ConstOctets packet, Out &out);
    Verdict take_late(base::Instant now, std::size_t path, std::uint32_t sequence) noexcept;
    void hold(const Entry &entry) noexcept;

    // What goes out, and what is given up.
    void deliver_held(Out &out);
    void release_run(Out &out);
    void advance_to(std::uint32_t sequence, Out &out);
    void skip(std::uint32_t count) noexcept;
    void pass(bool delivered) noexcept;
    void give_up_passed(base::Instant now, std::size_t path, Out &out);
    bool was_delivered(std::uint32_t sequence) const noexcept;
    void mark(std::uint32_t sequence, bool delivered) noexcept;
    void count_behind(std::uint32_t sequence) noexcept;

    // Packets that do not continue the numbers (reorder_aside.cpp).
    Verdict set_aside(base::Instant now, std::size_t path, std::uint32_t sequence, base::ConstOctets packet, Out &out);
    void note_aside(base::Instant now, std::size_t path, std::uint32_t sequence) noexcept;
    Claim claim(std::size_t path) const noexcept;
    void settle(base::Instant now, std::size_t path, bool due, Out &out);
    bool settle_ahead(base::Instant now, std::size_t path, bool due, Out &out);
    bool settle_behind(base::Instant now, std::size_t path, bool due, Out &out);
    void note_jump(base::Instant now, std::size_t path) noexcept;
    bool jump_was_none(base::Instant now, std::size_t path, const Claim &claimed) const noexcept;
    bool is_from_before(base::Instant now, std::size_t path, std::uint32_t sequence) const noexcept;
    void begin_anew(base::Instant now, std::uint32_t first, Out &out);
    void admit(base::Instant now, std::size_t path, Out &out);
    void drop_aside(Aside &aside) noexcept;
    void count_dropped(std::uint32_t sequence) noexcept;
    bool is_ahead(std::uint32_t sequence) const noexcept;
    bool near(std::uint32_t a, std::uint32_t b) const noexcept;
    bool agrees(std::size_t path, bool ahead, std::uint32_t sequence) const noexcept;
    bool crowds_out(base::Instant now, std::size_t path, std::uint32_t sequence) const noexcept;
    bool contradicted(base::Instant now, std::size_t path, std::size_t except) const noexcept;
    bool may_begin_anew(base::Instant now, std::size_t path, std::uint32_t sequence) const noexcept;
    bool has_gone_back(base::Instant now, std::size_t path, std::uint32_t sequence) noexcept;
    bool begins_anew(std::uint32_t sequence) const noexcept;
    bool in_hole(base::Instant now, std::uint32_t sequence) const noexcept;

    ReorderSettings settings_;
    PacketCells cells_{0, 0};
    std::optional<PacketCells> old_cells_; // of the settings before, until what was released from them is written
    // The window rounded up to a power of two. From calloc(3), which gives zeros without touching the memory: a
    // thousand connections that hold nothing would take 400 MB otherwise.
    std::unique_ptr<Slot[], Free> slots_;
    std::uint32_t mask_ = 0;
    std::uint32_t oldest_ = kNone; // index of a slot
    std::uint32_t newest_ = kNone;

    bool started_ = false;
    bool counts_ = false;        // passed_ and lost: not before the first delivered of a stream that did not begin here
    std::uint32_t expected_ = 0; // the next to deliver
    std::uint32_t end_ = 0;      // behind the highest known
    std::uint64_t passed_ = 0;   // numbers delivered or given up in this stream
    std::vector<std::uint64_t> delivered_; // a bit for each of the last numbers passed

    std::vector<ReorderPath> paths_;
    std::vector<Aside> asides_;
    std::vector<Behind> behinds_;
    std::vector<Entry> admitted_; // scratch of admit()
    std::size_t aside_limit_ = 0; // entries a path
    std::optional<Hole> hole_;
    std::optional<std::uint32_t> resumed_; // where the stream was taken over, and when
    base::Instant resumed_since_;
    std::optional<std::uint32_t> before_; // where the numbers were before the stream began
    base::Instant begun_;                 // the stream
    base::Instant last_any_;              // packet
    base::Instant last_fit_;              // packet that continued the numbers
    std::uint64_t fits_ = 0;              // such packets
    base::Duration pause_{0};             // time in which nothing came on any path

    ReorderCounters counters_;
};

} // namespace mpt::core
