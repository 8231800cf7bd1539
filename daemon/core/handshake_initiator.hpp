// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/time.hpp"
#include "daemon/proto/control.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace mpt::core {

// An unanswered round 1 or 3 is sent again after this time, so many times in all; then the exchange has failed.
inline constexpr base::Duration kHandshakeRepeat = std::chrono::milliseconds(500);
inline constexpr unsigned kHandshakeTries = 6;

// What the peer is asked for.
struct HandshakeRequest {
    proto::ControlCommand command = proto::ControlCommand::kPathStatus;
    std::uint8_t argument = 0; // kPathUp or kPathDown; 0 for a create
    config::AuthType auth = config::AuthType::kNone;
    proto::ControlKey key;
    proto::ControlRandom random; // fresh, of 16 octets, for type 3; else not used
    base::Address initiator;     // tunnel addresses
    base::Address responder;     // unspecified if the initiator of a create does not know it
    base::Endpoint peer;         // where the rounds are sent to
    // Other addresses of the peer: it may have several and answer from the one that its kernel chooses.
    std::vector<base::Address> other_sources;
    std::vector<std::byte> body;
    // How long to wait for round 4 after the last round 3, where what is asked for takes its time: the deployed release
    // answers the first round 3 of a create alone, and that when it is done.
    base::Duration patience = kHandshakeRepeat;
};

struct HandshakeAnswer {
    proto::ControlResult result;
    std::vector<std::byte> body; // of round 4
};

// One exchange, as the host that wants something sees it. Two such exchanges with the same command and tunnel addresses
// must not run at a time: with authentication type 0 their answers are the same. The peer's own exchange in the other
// direction is another one and does not meet this one.
class HandshakeInitiator {
public:
    // The first round is due at once. An exchange of type 3 without a random number of 16 octets has failed.
    HandshakeInitiator(base::Instant now, HandshakeRequest request);

    // When on_deadline() wants to be called next; nothing once the exchange is over.
    std::optional<base::Instant> deadline() const noexcept;

    // What to send to request().peer now; empty if nothing is due, or the exchange has just failed. Valid until the
    // next call.
    base::ConstOctets on_deadline(base::Instant now);

    // Takes a datagram of the control port that decode_control() made `message` of. Returns what to send to
    // request().peer, which is empty when the answer is there, or why the datagram changes nothing:
    //   kNoExchange     it is of another exchange (owners of several try the next one)
    //   kWrongSource    types 0 and 1: it did not come from an address of the peer; any port will do
    //   kWrongHash
    //   kWrongRandom    round 4 does not repeat the number of round 2
    //   kContradiction  announces another length than ours, or another random number than before
    //   kDuplicate      repeats what has been taken, or comes when the exchange is over or before its turn
    tl::expected<base::ConstOctets, proto::ControlDrop> on_message(base::Instant now, const base::Endpoint &source,
                                                                   const proto::ControlMessage &message,
                                                                   base::ConstOctets datagram);

    // Answered, or failed for want of an answer.
    bool is_over() const noexcept { return step_ == Step::kOver; }
    // What the peer said; nothing while the exchange runs and after it has failed. A round 2 with a result other than
    // kDone is an answer, too.
    const std::optional<HandshakeAnswer> &answer() const noexcept { return answer_; }
    // Whether round 3 was sent: without an answer the peer may have done what it was asked for.
    bool has_asked() const noexcept { return has_asked_; }

    const HandshakeRequest &request() const noexcept { return request_; }

private:
    enum class Step : std::uint8_t { kRound1, kRound3, kOver };

    bool is_ours(const proto::ControlMessage &message) const noexcept;
    bool is_of_peer(const base::Address &source) const noexcept;
    void prepare(Step step);
    base::ConstOctets send(base::Instant now);

    HandshakeRequest request_;
    Step step_ = Step::kRound1;
    bool has_asked_ = false;
    std::vector<std::byte> datagram_; // of this step
    unsigned sent_ = 0;               // how many times
    base::Instant next_;              // time to send it again, or to give up
    proto::ControlRandom random_;     // of round 2
    std::optional<HandshakeAnswer> answer_;
};

} // namespace mpt::core
