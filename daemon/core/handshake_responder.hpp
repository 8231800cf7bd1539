// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/time.hpp"
#include "daemon/proto/control.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace mpt::core {

// Exchanges that wait for their round 3: of all sources, and of one source address. When one more comes the oldest one
// makes room, of the source if that has as many as it may: to answer no more would let whoever repeats one recorded
// round 1 from many ports keep the peer out.
inline constexpr std::size_t kMaxOpenExchanges = 1024;
inline constexpr std::size_t kMaxOpenExchangesOfSource = 256;
// Exchanges whose round 3 was taken, remembered to answer a repeated one. The oldest one that is answered makes room.
inline constexpr std::size_t kMaxTakenExchanges = 1024;

// How long an exchange waits for its round 3, and is remembered after it: longer than an initiator repeats either. With
// type 3, where nobody may keep an exchange open by repeating what it has recorded, the first one is for all of it.
inline constexpr base::Duration kOpenExchangeLife = std::chrono::seconds(7);
inline constexpr base::Duration kTakenExchangeLife = std::chrono::seconds(10);

// Between which addresses a datagram came; answers go back the same way.
struct ControlRoute {
    base::Endpoint peer;
    base::Address local; // where it came to

    friend bool operator==(const ControlRoute &, const ControlRoute &) noexcept = default;
};

// What a peer asks for, verified as far as its authentication type can.
struct HandshakeTask {
    std::uint64_t exchange; // for HandshakeResponder::answer()
    proto::ControlCommand command;
    std::uint8_t argument; // kPathUp or kPathDown of a path status change
    config::AuthType auth;
    base::Address initiator; // tunnel addresses
    base::Address responder;
    ControlRoute route;
    std::vector<std::byte> body;
};

// All exchanges that peers have begun. What comes before a right round 3 costs a lookup and a hash, and 1 to 2 hundred
// octets of memory until kOpenExchangeLife; no answer is longer than its question, except for a round 4 whose body the
// owner makes so.
class HandshakeResponder {
public:
    struct Step {
        base::ConstOctets send;            // to the source; empty: nothing yet. Valid until the next call.
        std::optional<HandshakeTask> task; // to be done, and then told to answer()
    };

    // Takes a datagram that decode_control() made `message` (round 1 or 3) of. `auth` and `key` are what the
    // configuration says of the connection between these tunnel addresses (for a create: of conf.template), which the
    // owner has looked up. `random` is a fresh random number, used if the datagram begins an exchange; type 3 needs all
    // of its 16 octets.
    // Returns why the datagram is not answered otherwise:
    //   kWrongAuthType, kWrongHash
    //   kNoExchange     round 3 without round 1, another one than announced, or late; or not a round for a responder
    //   kWrongRandom    round 3 does not repeat the number of round 2 (of a create it may be 0, as with the deployed
    //                   release; then, as with type 0, the source has not proved its address)
    //   kDuplicate      repeated round 3 of an exchange whose task is not answered yet
    //   kBusy           too many tasks are not answered yet, or type 3 without a random number of 16 octets
    tl::expected<Step, proto::ControlDrop> on_message(base::Instant now, const ControlRoute &route,
                                                      const proto::ControlMessage &message, base::ConstOctets datagram,
                                                      config::AuthType auth, const proto::ControlKey &key,
                                                      const proto::ControlRandom &random);

    struct Reply {
        ControlRoute route;
        base::ConstOctets datagram; // valid until the next call
    };

    // Round 4: the task's result, at once or later. Nothing if the exchange has been forgotten; the initiator has given
    // up then.
    std::optional<Reply> answer(base::Instant now, std::uint64_t exchange, proto::ControlResult result,
                                base::ConstOctets body);

    // When on_deadline() wants to be called next; nothing if never.
    std::optional<base::Instant> deadline() const noexcept;
    // Forgets what is too old.
    void on_deadline(base::Instant now);

    std::size_t open_count() const noexcept { return open_.size(); }
    std::size_t taken_count() const noexcept { return taken_.size(); }

private:
    // Waits for round 3. What `round1` was decoded from is `datagram`.
    struct Open {
        ControlRoute route;
        proto::ControlMessage round1;
        std::vector<std::byte> datagram;
        proto::ControlRandom random; // of round 2
        std::vector<std::byte> round2;
        base::Instant expires;
    };

    // Round 3 has come.
    struct Taken {
        std::uint64_t id;
        ControlRoute route;
        proto::ControlMessage round1; // as in Open
        std::vector<std::byte> datagram;
        proto::ControlRandom random;
        proto::ControlKey key;
        std::vector<std::byte> round4; // empty until there is an answer
        base::Instant expires;
    };

    tl::expected<Step, proto::ControlDrop> on_round1(base::Instant now, const ControlRoute &route,
                                                     const proto::ControlMessage &message, base::ConstOctets datagram,
                                                     const proto::ControlKey &key, const proto::ControlRandom &random);
    tl::expected<Step, proto::ControlDrop> on_round3(base::Instant now, const ControlRoute &route,
                                                     const proto::ControlMessage &message, base::ConstOctets datagram,
                                                     const proto::ControlKey &key);
    tl::expected<Step, proto::ControlDrop> repeat_round4(const ControlRoute &route, base::ConstOctets datagram) const;
    bool make_room_for_taken();

    std::deque<Open> open_;   // by expiry
    std::deque<Taken> taken_; // by age
    std::uint64_t last_id_ = 0;
};

} // namespace mpt::core
