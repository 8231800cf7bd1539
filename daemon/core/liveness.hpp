// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/time.hpp"
#include "daemon/core/parameters.hpp"

#include <array>
#include <cstdint>
#include <optional>

namespace mpt::core {

struct LivenessSettings {
    base::Duration keepalive{0}; // time between keepalives, from 10 ms; 0: none are sent and none are waited for
    base::Duration dead{0};      // without a keepalive for so long the path is dead, from 10 ms
    PathStatus initial = PathStatus::kUp; // how it starts (guide 2.6.3.2, status): kUp, kDead (128) or kSetDown
};

// Why a path has its status.
enum class StatusReason : std::uint8_t {
    kStart,            // the configuration says so
    kKeepalive,        // a keepalive (where there are none: a packet) came from the peer
    kKeepalivesMissed, // none came for the dead time
    kByHand,
    kByPeer,    // a status change message
    kInterface, // the interface went down or came back
    kAddress,   // the address went away or came back
    kSocket,    // the sockets cannot be used, or can again
    kSettings,  // new settings
};

struct StatusChange {
    PathStatus from;
    PathStatus to;
    StatusReason reason;
};

// What is known of a path whatever its interface does, for an object that goes on where another one has ended.
struct LivenessMemory {
    bool alive = false;     // as far as keepalives, the start or the peer say
    bool lived = false;     // was alive at any time
    bool told_dead = false; // by the peer, and not alive since
};

// What is due.
struct LivenessActions {
    std::optional<StatusChange> change;
    bool send_keepalive = false;
};

// Decides whether a path lives, and when keepalives leave: at their interval, but at most one a second as long as a
// path that started dead has not lived. Faults are kept apart; the status is the first one present of: set down by hand
// (0x83), interface down (0x81), address missing (0x82), disabled (0xFF), dead (0x80); else up. When a fault of the
// interface, the address or the sockets ends, the path is what it was before, up with the dead time as grace: to wait
// for a keepalive would leave a good path unused for as long as the peer takes to send one. Inputs return the change of
// status that they make, if any. usable() and deadline() may change with every input and with on_deadline().
class Liveness {
public:
    // A path that starts up has the dead time as grace. Interface, address and sockets are taken for good until told
    // otherwise.
    // What is known `before` takes the place of `initial`, as far as that does not say kSetDown.
    Liveness(base::Instant now, LivenessSettings settings,
             std::optional<LivenessMemory> before = std::nullopt) noexcept;

    std::optional<StatusChange> on_keepalive(base::Instant now) noexcept;
    // A packet that is no keepalive: proves something only on a path without keepalives that started dead.
    std::optional<StatusChange> on_data(base::Instant now) noexcept;

    // Down by hand lasts until up by hand. Up by hand also takes a dead path for up, with the dead time as grace, and
    // ends a hold-back.
    std::optional<StatusChange> set_by_hand(base::Instant now, bool up) noexcept;
    // Down by the peer is dead, until the next keepalive or up by the peer; it cannot undo down by hand. Up by the peer
    // does nothing on a path that started dead and has not lived since, but that a packet proves something again.
    std::optional<StatusChange> set_by_peer(base::Instant now, bool up) noexcept;

    std::optional<StatusChange> set_interface(base::Instant now, bool up) noexcept;
    std::optional<StatusChange> set_address(base::Instant now, bool present) noexcept;
    std::optional<StatusChange> set_socket(base::Instant now, bool works) noexcept;

    // In place: other times start anew from here; a path whose keepalives are switched off is not dead. `initial` is
    // not looked at.
    std::optional<StatusChange> reconfigure(base::Instant now, LivenessSettings settings) noexcept;

    // What is due at `now`. Tell first what has arrived by then, or a process that stood still takes its paths for
    // dead.
    LivenessActions on_deadline(base::Instant now) noexcept;

    // When on_deadline() wants to be called next; nothing if never.
    std::optional<base::Instant> deadline() const noexcept;

    PathStatus status() const noexcept { return status_; }
    StatusReason reason() const noexcept { return reason_; }
    base::Instant since() const noexcept { return since_; } // when the status last changed, or the start
    std::uint64_t changes() const noexcept { return changes_; }
    std::optional<base::Instant> last_keepalive() const noexcept { return last_keepalive_; }
    LivenessMemory memory() const noexcept { return {alive_, lived_, told_dead_}; }

    // Keepalives leave by the path: it has some, and is up or dead.
    bool sends_keepalives() const noexcept;

    // The scheduler may use the path: its status is kUp and it is not held back.
    bool usable() const noexcept { return status_ == PathStatus::kUp && !held_back_until_; }
    // Until when the path is held back although it is up, for having gone down three times or more within a minute. If
    // nothing but such paths is left, using them is better than none.
    std::optional<base::Instant> held_back_until() const noexcept { return held_back_until_; }

private:
    std::optional<StatusChange> set_fault(base::Instant now, bool &good, bool value, StatusReason reason) noexcept;
    std::optional<StatusChange> update(base::Instant now, StatusReason reason) noexcept;
    PathStatus current_status() const noexcept;
    bool has_keepalives() const noexcept { return settings_.keepalive > base::Duration::zero(); }
    void count_flap(base::Instant now) noexcept;

    LivenessSettings settings_;
    bool set_down_;
    bool interface_up_ = true;
    bool address_present_ = true;
    bool socket_works_ = true;
    bool alive_;             // as far as keepalives, the start or the peer say
    bool lived_;             // was alive at any time
    bool told_dead_ = false; // by the peer, and not alive since
    bool data_is_proof_;     // started dead, and nothing was known of it since
    base::Instant heard_;    // the last keepalive, or the start of a grace
    base::Instant next_keepalive_;

    std::array<base::Instant, 2> flaps_{}; // the last ones, the later one first
    unsigned flap_count_ = 0;              // since the last quiet minute
    base::Instant quiet_since_;            // the last flap, or the end of the hold-back after it
    base::Duration hold_back_{0};          // for the next time that the path comes up
    std::optional<base::Instant> held_back_until_;

    PathStatus status_;
    StatusReason reason_ = StatusReason::kStart;
    base::Instant since_;
    std::uint64_t changes_ = 0;
    std::optional<base::Instant> last_keepalive_;
};

} // namespace mpt::core
