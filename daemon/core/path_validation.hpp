// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/time.hpp"
#include "daemon/core/keepalive_session.hpp"

#include <cstdint>
#include <optional>

namespace mpt::core {

// Between two addresses that are tried for a path.
inline constexpr base::Duration kCandidateInterval = std::chrono::seconds(1);
// So long an address that is tried has to answer.
inline constexpr base::Duration kCandidateLife = std::chrono::seconds(10);

// What a keepalive means for where the peer is.
struct Whereabouts {
    bool lives = false;     // the peer is at the address in use, which is proved
    bool has_moved = false; // since now: the address in use is another one
    bool challenge = false; // a keepalive is to be sent to where this one came from, at once
    bool is_used = false;   // the random number
};

// Where the peer is on one path of a connection of authentication type 3. A fresh keepalive from elsewhere shows that
// somebody passes it on, not that the peer is there. So a challenge is sent there, and what brings it back from there
// proves that the peer is reached by it (as in RFC 9000, 8.2), unless one came meanwhile from the address in use with a
// counter as high: then the first one was a copy that somebody was quicker to send from elsewhere (RFC 9000, 9.3.3). If
// that one comes only after the challenge, the peer is still where it was. Nor does a copy that was quicker keep the
// address in use from living.
//
// What is sent to an address that is tried answers what came from there, one for one, and is no larger.
class PathValidation {
public:
    // From now on the peer is there (unspecified: nobody knows where) because somebody says so. If that is no proof it
    // must bring back `challenge`, which is not 0, before it lives.
    void set_address(const base::Endpoint &address, bool is_proved, std::uint64_t challenge) noexcept;

    // A keepalive has come, or has come again. Between two moves to new addresses is kCandidateInterval. `random` is
    // not to be guessed and not 0; as long as it is not used it may be given again.
    Whereabouts on_keepalive(base::Instant now, const base::Endpoint &source, const KeepaliveTaken &taken,
                             std::uint64_t random) noexcept;

    // The one in use; unspecified if it is not known.
    const base::Endpoint &address() const noexcept { return address_; }
    // Whether that one is in use, and the peer has proved to be there or somebody vouches for it.
    bool is_proved(const base::Endpoint &address) const noexcept { return address == address_ && challenge_ == 0; }
    // What a keepalive to that address carries; 0 if there is nothing to prove.
    std::uint64_t challenge_for(const base::Endpoint &address) const noexcept;

private:
    struct Candidate {
        base::Endpoint address;
        std::uint64_t challenge;
        std::uint64_t counter; // of the first keepalive from there
        base::Instant since;
    };
    // Where the peer was until it moved.
    struct Former {
        base::Endpoint address;
        std::uint64_t counter; // of the first keepalive from the new address
        base::Instant until;   // then it is forgotten
    };

    base::Endpoint address_;
    std::uint64_t challenge_ = 0;   // for address_ to bring back; 0: it is proved
    std::uint64_t session_ = 0;     // of the counters
    std::uint64_t newest_ = 0;      // the highest one
    std::uint64_t newest_here_ = 0; // and of what has come from address_ since that is in use
    std::optional<Candidate> candidate_;
    std::optional<Former> former_;
    base::Instant next_candidate_{};
    base::Instant next_move_{};
};

} // namespace mpt::core
