// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/handshake_responder.hpp"

#include <algorithm>
#include <utility>

namespace mpt::core {

using proto::ControlDrop;
using proto::ControlMessage;

namespace {

bool equal(base::ConstOctets a, base::ConstOctets b)
{
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// Whether the two rounds are of one exchange, but for the random number.
bool belongs_to(const ControlMessage &round3, const ControlMessage &round1)
{
    return round3.command == round1.command && round3.argument == round1.argument && round3.auth == round1.auth &&
           round3.version == round1.version && round3.initiator == round1.initiator &&
           round3.responder == round1.responder && round3.body.size() == round1.body_length;
}

// Whether round 3 has the random number that it must have: with type 3 that of round 1 (that of round 2 is in its
// MAC), else that of round 2, which the deployed release leaves 0 in a create.
bool has_right_random(const ControlMessage &round3, const ControlMessage &round1, const proto::ControlRandom &round2)
{
    if (round3.auth == config::AuthType::kHmacSha256)
        return round3.random == round1.random;
    return round3.random == round2 || (round3.command == proto::ControlCommand::kCreate && round3.random == 0);
}

} // namespace

tl::expected<HandshakeResponder::Step, ControlDrop>
HandshakeResponder::on_message(base::Instant now, const ControlRoute &route, const ControlMessage &message,
                               base::ConstOctets datagram, config::AuthType auth, const proto::ControlKey &key,
                               const proto::ControlRandom &random)
{
    on_deadline(now);
    if (message.auth != auth)
        return tl::unexpected(ControlDrop::kWrongAuthType);
    switch (message.round) {
    case 1:
        return on_round1(now, route, message, datagram, key, random);
    case 3:
        return on_round3(now, route, message, datagram, key);
    default:
        return tl::unexpected(ControlDrop::kNoExchange);
    }
}

tl::expected<HandshakeResponder::Step, ControlDrop>
HandshakeResponder::on_round1(base::Instant now, const ControlRoute &route, const ControlMessage &message,
                              base::ConstOctets datagram, const proto::ControlKey &key,
                              const proto::ControlRandom &random)
{
    std::size_t of_source = 0;
    auto oldest = open_.begin(); // of the source, if it has any
    for (auto open = open_.begin(); open != open_.end(); ++open) {
        if (open->route.peer.address == route.peer.address && of_source++ == 0)
            oldest = open;
        if (open->route == route && equal(open->datagram, datagram)) { // repeated
            if (message.auth == config::AuthType::kHmacSha256)
                return Step{open->round2, std::nullopt};
            std::rotate(open, open + 1, open_.end());
            open_.back().expires = now + kOpenExchangeLife;
            return Step{open_.back().round2, std::nullopt};
        }
    }
    if (!proto::has_valid_hash(message, datagram, key))
        return tl::unexpected(ControlDrop::kWrongHash);
    if (message.auth == config::AuthType::kHmacSha256 && !random.is_long())
        return tl::unexpected(ControlDrop::kBusy);
    if (of_source == kMaxOpenExchangesOfSource)
        open_.erase(oldest);
    else if (open_.size() == kMaxOpenExchanges)
        open_.pop_front();

    Open open{
        route, message, {datagram.begin(), datagram.end()}, random.of_type(message.auth), {}, now + kOpenExchangeLife};
    ControlMessage round2 = message;
    round2.round = 2;
    round2.argument = static_cast<std::uint8_t>(proto::ControlResult::kDone);
    round2.random = open.random;
    open.round2 = proto::encode_control(round2, key, message.random);
    open_.push_back(std::move(open));
    return Step{open_.back().round2, std::nullopt};
}

tl::expected<HandshakeResponder::Step, ControlDrop>
HandshakeResponder::on_round3(base::Instant now, const ControlRoute &route, const ControlMessage &message,
                              base::ConstOctets datagram, const proto::ControlKey &key)
{
    // The octets of type 3 belong to one exchange alone, even if somebody has repeated its round 1 in the meantime and
    // opened another one.
    if (message.auth == config::AuthType::kHmacSha256)
        if (auto repeated = repeat_round4(route, datagram); repeated || repeated.error() != ControlDrop::kNoExchange)
            return repeated;
    // Else those that were taken come last: with authentication type 0 the same octets may ask for the same once more.
    bool is_other_random = false;
    const auto open = std::find_if(open_.begin(), open_.end(), [&](const Open &candidate) {
        if (candidate.route != route || !belongs_to(message, candidate.round1))
            return false;
        const bool is_right = has_right_random(message, candidate.round1, candidate.random);
        is_other_random = is_other_random || !is_right;
        return is_right;
    });
    if (open == open_.end()) {
        auto repeated = repeat_round4(route, datagram);
        if (!repeated && repeated.error() == ControlDrop::kNoExchange && is_other_random)
            return tl::unexpected(ControlDrop::kWrongRandom);
        return repeated;
    }
    if (!proto::has_valid_hash(message, datagram, key, open->random))
        return tl::unexpected(ControlDrop::kWrongHash);
    if (!make_room_for_taken())
        return tl::unexpected(ControlDrop::kBusy);
    taken_.push_back({++last_id_,
                      route,
                      open->round1,
                      {datagram.begin(), datagram.end()},
                      open->random,
                      key,
                      {},
                      now + kTakenExchangeLife});
    // What the initiator has given up before it began this one is out of date.
    const auto is_older = [&](const Open &other) {
        return message.auth == config::AuthType::kHmacSha256 && other.round1.command == message.command &&
               other.round1.initiator == message.initiator && other.round1.responder == message.responder;
    };
    const auto rest = std::remove_if(open_.begin(), open, is_older);
    open_.erase(rest, open + 1);
    return Step{{},
                HandshakeTask{last_id_,
                              message.command,
                              message.argument,
                              message.auth,
                              message.initiator,
                              message.responder,
                              route,
                              {message.body.begin(), message.body.end()}}};
}

// The same octets once more, whose hash was right then.
tl::expected<HandshakeResponder::Step, ControlDrop> HandshakeResponder::repeat_round4(const ControlRoute &route,
                                                                                      base::ConstOctets datagram) const
{
    const auto taken = std::find_if(taken_.rbegin(), taken_.rend(), [&](const Taken &candidate) {
        return candidate.route == route && equal(candidate.datagram, datagram);
    });
    if (taken == taken_.rend())
        return tl::unexpected(ControlDrop::kNoExchange);
    if (taken->round4.empty())
        return tl::unexpected(ControlDrop::kDuplicate);
    return Step{taken->round4, std::nullopt};
}

bool HandshakeResponder::make_room_for_taken()
{
    if (taken_.size() < kMaxTakenExchanges)
        return true;
    const auto answered =
        std::find_if(taken_.begin(), taken_.end(), [](const Taken &taken) { return !taken.round4.empty(); });
    if (answered == taken_.end())
        return false;
    taken_.erase(answered);
    return true;
}

std::optional<HandshakeResponder::Reply> HandshakeResponder::answer(base::Instant now, std::uint64_t exchange,
                                                                    proto::ControlResult result, base::ConstOctets body)
{
    on_deadline(now);
    const auto taken =
        std::find_if(taken_.begin(), taken_.end(), [&](const Taken &candidate) { return candidate.id == exchange; });
    if (taken == taken_.end())
        return std::nullopt;
    ControlMessage round4 = taken->round1;
    round4.round = 4;
    round4.argument = static_cast<std::uint8_t>(result);
    round4.body = body;
    round4.random = taken->random;
    taken->round4 = proto::encode_control(round4, taken->key, taken->round1.random);
    return Reply{taken->route, taken->round4};
}

std::optional<base::Instant> HandshakeResponder::deadline() const noexcept
{
    std::optional<base::Instant> first;
    if (!open_.empty())
        first = open_.front().expires;
    if (!taken_.empty())
        first = std::min(first.value_or(taken_.front().expires), taken_.front().expires);
    return first;
}

void HandshakeResponder::on_deadline(base::Instant now)
{
    while (!open_.empty() && open_.front().expires <= now)
        open_.pop_front();
    while (!taken_.empty() && taken_.front().expires <= now)
        taken_.pop_front();
}

} // namespace mpt::core
