// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/time.hpp"

#include <cstdint>
#include <optional>

namespace mpt::core {

// Finds by probes what a path carries in one piece where no ICMP message says it (RFC 8899, in a simple form). Sizes
// are octets of an IP packet. A probe that is not answered says something about its size only if the path lives, that
// is, if a keepalive of the peer has come since.
class PathMtuSearch {
public:
    // How long an answer is waited for besides two round trips, and how many probes of a size are sent until it is
    // taken for too large (RFC 8899 section 5.1.1 and 5.1.2: PROBE_TIMER, MAX_PROBES).
    static constexpr base::Duration kTimeout = std::chrono::seconds(1);
    static constexpr unsigned kMaxProbes = 3;
    // How often what was found is proved again, so that a path that gets narrower is no black hole, and how often more
    // is tried (section 5.1.1: CONFIRMATION_TIMER, PMTU_RAISE_TIMER).
    static constexpr base::Duration kConfirm = std::chrono::seconds(30);
    static constexpr base::Duration kRaise = std::chrono::minutes(10);
    // Nothing smaller is probed: a probe would not fit into it.
    static constexpr std::uint32_t kLeast = 256;

    // Begins with on_alive(). A peer that does not even answer probes of `base` octets knows none: nothing is found
    // then.
    explicit PathMtuSearch(std::uint32_t base) noexcept : base_(base) {}

    // The size to be probed now, if any. `ceiling` is what the kernel sends in one piece, 0 if it knows no route, `rtt`
    // the round-trip time.
    std::optional<std::uint32_t> on_deadline(base::Instant now, std::uint32_t ceiling, base::Duration rtt) noexcept;
    // The probe that was to be sent was not, for whatever reason.
    void on_refused() noexcept;
    // A probe of this size has been answered.
    void on_answer(base::Instant now, std::uint32_t size) noexcept;
    // A fresh keepalive of the peer has come.
    void on_alive(base::Instant now) noexcept;

    // When on_deadline() wants to be called; nothing while the path must live first.
    std::optional<base::Instant> deadline() const noexcept { return next_; }
    // What gets through; nothing if the kernel knows as much.
    std::optional<std::uint32_t> found() const noexcept { return found_; }

private:
    enum class Phase {
        kBase,    // whether the peer answers at all
        kSearch,  // between low_ and high_
        kConfirm, // of low_, which is the result
    };

    void follow(std::uint32_t ceiling) noexcept;
    std::uint32_t choose(base::Instant now) noexcept; // 0: nothing is due
    void fail(base::Instant now) noexcept;

    const std::uint32_t base_;
    Phase phase_ = Phase::kBase;
    std::uint32_t ceiling_ = 0;
    std::uint32_t low_ = 0;  // gets through
    std::uint32_t high_ = 0; // the least that does not
    std::optional<std::uint32_t> found_;
    std::uint32_t probed_ = 0; // what is waited for; 0: nothing
    unsigned tries_ = 0;       // of that size, without an answer
    bool lives_ = false;       // a keepalive has come since
    base::Instant raise_at_{}; // when more is tried
    std::optional<base::Instant> next_;
};

} // namespace mpt::core
