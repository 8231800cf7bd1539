// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"
#include "daemon/base/time.hpp"
#include "daemon/core/liveness.hpp"
#include "daemon/core/parameters.hpp"
#include "daemon/core/scheduler.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>

// What of the connections the process that follows this one is to know, however this one ends. It is in memory that
// outlives the process, and whatever is found there is looked at as if anybody could have written it.
namespace mpt::plane {

struct KeptPath {
    core::LivenessMemory liveness;
    std::optional<bool> by_hand;                // up or down as it was last set by hand, if it was
    std::optional<core::LearnedPeer> learned{}; // of authentication type 3, in whole seconds
};

// What a process has left.
struct KeptConnection {
    std::optional<std::uint32_t> next_to_send;
    std::optional<std::uint32_t> next_expected;
    std::array<std::optional<KeptPath>, core::kMaxPaths> paths; // of those that still are the same
};

// Where a worker notes what there is to know of a connection. It may end between any two stores: so each is of a value
// that tells by itself whether it is one, and what takes several is not read unless they are of one piece.
class alignas(64) KeptSlot {
public:
    void set_next_to_send(std::uint32_t number) noexcept { store(next_to_send_, checked(number)); }
    void set_next_expected(std::uint32_t number) noexcept { store(next_expected_, checked(number)); }
    // `identity` is identity_of() the path. Not dear if nothing has changed.
    void set_path(std::size_t number, std::uint64_t identity, const core::PathParameters &path,
                  const KeptPath &state) noexcept;
    void clear_path(std::size_t number) noexcept { store(paths_[number].known, 0); }

private:
    friend class KeptState;

    struct Learned {
        std::uint64_t address[2]{};
        // From the top: port of the peer (16 bits), remote_port of the file (16), since when in seconds (32).
        std::uint64_t ports_and_time = 0;

        friend bool operator==(const Learned &, const Learned &) = default;
    };
    struct PathEntry {
        std::uint64_t known = 0; // the identity, and what is known in the lowest octet
        Learned learned;
        std::uint64_t check = 0; // that `learned` is of one piece, and of this path
    };

    static Learned encode(const core::LearnedPeer &peer, const core::PathParameters &path) noexcept;
    static std::uint64_t check_of(const Learned &learned, std::uint64_t identity) noexcept;
    static std::optional<core::LearnedPeer> learned_in(const PathEntry &entry, std::uint64_t identity,
                                                       const core::PathParameters &path) noexcept;
    static void store(std::uint64_t &to, std::uint64_t value) noexcept
    {
        std::atomic_ref(to).store(value, std::memory_order_relaxed);
    }
    static std::uint64_t checked(std::uint32_t number) noexcept { return std::uint64_t{~number} << 32 | number; }
    static std::optional<std::uint32_t> number_in(std::uint64_t value) noexcept;
    std::optional<KeptPath> path_in(std::size_t number, const core::ConnectionParameters &connection) const noexcept;

    std::uint64_t connection_ = 0; // its identity, which is odd; 0: the slot is free
    std::uint64_t next_to_send_ = 0;
    std::uint64_t next_expected_ = 0;
    std::array<PathEntry, core::kMaxPaths> paths_{};
};

// Tells a path from others (as core::is_same_path() does) and its connection's peer from others. 0 if that cannot be
// done: then nothing is found of it.
std::uint64_t identity_of(const core::ConnectionParameters &connection, std::size_t path) noexcept;

// All slots. For the control thread.
class KeptState {
public:
    // Octets of the memory, which is aligned as its pages are and stays the caller's.
    static const std::size_t kSize;

    // Of memory that holds nothing valid, or what another version has left, everything is forgotten. If it is older
    // than a minute, nothing but the next numbers to send counts: the peer may have sent far more, or begun anew.
    KeptState(base::Octets memory, base::Instant now);
    KeptState(const KeptState &) = delete;

    struct Place {
        KeptSlot *slot = nullptr; // null: none is free, or the connection cannot be told from others
        KeptConnection before;    // empty if nothing was left
    };
    // A slot for a connection, until it is given back. Only the first call for it since the start tells what was left.
    Place take(const core::ConnectionParameters &parameters);
    // The connection of a slot is between other addresses now, or has another key: it is found as such, or not at all.
    static void rename(KeptSlot &slot, const core::ConnectionParameters &parameters) noexcept;
    // The connection is gone for the next process. Its worker may still write, until the slot is given back.
    static void retire(KeptSlot &slot) noexcept;
    static void give_back(KeptSlot &slot) noexcept { KeptSlot::store(slot.connection_, 0); }
    // Forgets what was left of all connections that have not taken a slot.
    void forget_rest() noexcept;

    // When the process before this one began, unless it has ended well or there was none.
    std::optional<base::Instant> failed_since() const noexcept { return failed_since_; }
    void begin(base::Instant now) noexcept;
    void end_well() noexcept;

    // What is there is so at this time: to be said once the start is over, and every few seconds.
    void confirm(base::Instant now) noexcept;

private:
    struct Header {
        std::array<char, 8> magic;
        std::uint32_t version;
        std::uint32_t slots;
        std::int64_t confirmed_at; // nanoseconds of CLOCK_MONOTONIC
        std::int64_t began_at;     // likewise; 0 when the process has ended well
    };
    struct Memory;

    Memory &memory_;
    std::unordered_map<std::uint64_t, KeptSlot *> left_; // by identity of the connection
    std::optional<base::Instant> failed_since_;
    std::size_t next_ = 0; // where the search for a free slot goes on
};

} // namespace mpt::plane
