// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/time.hpp"
#include "daemon/proto/mtu_probe.hpp"
#include "daemon/proto/session_keepalive.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <tl/expected.hpp>
#include <vector>

namespace mpt::core {

// An answer by a path comes no sooner than this after the one before it.
inline constexpr base::Duration kKeepaliveAnswerInterval = std::chrono::milliseconds(100);

// Data packets of a path, counted since whenever by whoever owns the session, rising.
struct PathTraffic {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
};

// What the keepalives have shown of a path. The counts go on from session to session.
struct PathMeasure {
    std::optional<base::Duration> rtt; // smoothed round-trip time, RFC 6298 section 2; nothing before the first one
    base::Duration rtt_variation{0};   // RTTVAR there
    std::uint64_t expected = 0;        // data packets that the peer has sent by the path since its first keepalive
    std::uint64_t lost_in = 0;         // those of them that have not come
    std::uint64_t lost_out = 0;        // our data packets that have not come to the peer, as it says
};

// What has become of a keepalive that was taken.
struct KeepaliveTaken {
    std::optional<proto::DropReason> drop; // why it proves nothing; nothing if it is fresh: the peer lives on this path
    bool is_new_session = false;           // the peer has restarted, or we have: the random number has been used up
    bool send = false;                     // one is to be made and sent by this path now
    std::optional<std::uint32_t> highest_sequence; // of a fresh one: what the path has brought up to here is all of it
    // Of one of the session, which is sessions(), even if it has come before; `response` is the challenge that it
    // brings back.
    std::uint64_t session = 0;
    std::uint64_t counter = 0;
    std::uint64_t response = 0;
    // Of a fresh one: where the peer sees us on this path (port 0: nothing yet).
    base::Endpoint observed{};
};

// The keepalives of a connection of authentication type 3 on all its paths: makes ours, and says of the peer's whether
// they are fresh. Nothing changes the state but a message that only the peer can have made, and only after it had seen
// a random number of ours that was new: neither forged, repeated, reflected nor late ones do (mpt-protocol(7),
// "Keepalives of type 3", has the reasons for the rules). A host that restarts makes a new object and converges with
// the peer within two round trips of the first keepalive that gets through in either direction.
class KeepaliveSession {
public:
    // `local` and `remote` are the connection's tunnel addresses. `random` is used up.
    KeepaliveSession(const proto::ControlKey &key, const base::Address &local, const base::Address &remote,
                     std::size_t paths, const proto::RandomNumber &random);

    // The next keepalive by the path of that number. `highest_sequence` is that of the data packets that the connection
    // has sent, nothing if none; `challenge` is for whoever is where it goes (0: none).
    void make(base::Instant now, std::size_t number, const PathTraffic &traffic,
              std::optional<std::uint32_t> highest_sequence, std::uint64_t challenge,
              std::span<std::byte, proto::kSessionKeepaliveSize> to) noexcept;

    // A control message that has come to the data port by a path, from `source`; `is_usual` says that the path's
    // packets come from there. `random` is fresh; as long as is_new_session is not set it may be given again. Reasons
    // for a drop: those of decode_session_keepalive(); kBadKeepalive also for other tunnel addresses, another path or
    // IP version; kWrongMac; kNotFresh. What is to be sent now goes to `source`.
    KeepaliveTaken take(base::Instant now, std::size_t number, const base::Endpoint &source, bool is_usual,
                        base::ConstOctets datagram, const PathTraffic &traffic,
                        const proto::RandomNumber &random) noexcept;

    // Whether a control message says that it is of the session, so that its key is at hand.
    bool claims_session(base::ConstOctets datagram) const noexcept;

    // A probe of the path's MTU, as large as `to`, or the answer to one that had `received` octets. False before the
    // first session: nobody would take it.
    bool make_probe(std::size_t path, std::uint64_t number, std::optional<std::uint16_t> received,
                    base::Octets to) noexcept;
    // A probe or an answer that has come by a path. Reasons for a drop: those of decode_mtu_probe(); kBadKeepalive also
    // for another path or IP version; kWrongMac; kNotFresh: it is not of the session.
    tl::expected<proto::MtuProbe, proto::DropReason> take_probe(std::size_t path, base::ConstOctets datagram) noexcept;

    // Sessions that have begun. 0: the peer has not been heard yet.
    std::uint64_t sessions() const noexcept { return sessions_; }
    const PathMeasure &measure(std::size_t path) const noexcept { return paths_[path].measure; }

private:
    // What a path has in one session.
    struct Progress {
        std::uint64_t counter = 0; // of the last fresh keepalive
        std::uint64_t echo = 0;    // when that was sent
        base::Instant received_at; // and when it came
        base::Endpoint source;     // and where from
        std::uint64_t response = 0;
        std::optional<PathTraffic> start; // sent by the peer, and received, when the first one came
        std::uint64_t lost = 0;           // of what it has sent since
    };
    struct Path {
        Progress progress;
        PathMeasure measure;
        PathMeasure earlier; // its counts when the session began
        std::optional<proto::RandomNumber> answer_to;
        // Whoever is elsewhere does not use up the answers for where the peer usually is.
        base::Instant next_answer;
        base::Instant next_answer_elsewhere;
    };

    proto::KeyUse use_to_send(const proto::RandomNumber &sender, const proto::RandomNumber &receiver) const noexcept;
    void begin(const proto::SessionKeepalive &keepalive, const proto::RandomNumber &random) noexcept;
    static void advance(base::Instant now, Path &path, const proto::SessionKeepalive &keepalive,
                        const PathTraffic &traffic) noexcept;
    bool is_current(const proto::SessionKeepalive &keepalive) const noexcept;
    static bool may_answer(base::Instant now, base::Instant &next) noexcept;

    const proto::ControlKey key_;
    const base::Address local_;
    const base::Address remote_;

    std::uint64_t sessions_ = 0;
    proto::RandomNumber own_{}; // session numbers; before the first session own_ is offer_ and peer_ is none
    proto::RandomNumber peer_{};
    proto::RandomNumber offer_; // ours for the next session; no message of the peer has carried it
    proto::SessionKey send_key_;
    proto::SessionKey receive_key_; // of the session; none before the first one
    proto::SessionKey other_key_;   // for what is not of the session, derived for each
    std::uint64_t counter_ = 0;
    std::vector<Path> paths_;
};

} // namespace mpt::core
