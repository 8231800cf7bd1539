// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/handshake_initiator.hpp"

#include <algorithm>
#include <utility>

namespace mpt::core {

using proto::ControlDrop;
using proto::ControlMessage;

namespace {

// The random number of rounds 1 and 3, where the responder has chosen `chosen` or, before, 0. Type 3: our own one. Else
// round 3 repeats the responder's; but the deployed release leaves it 0 in a create, in whose answer its responder may
// all the same have put one, which it then does not look for.
proto::ControlRandom random_of(const HandshakeRequest &request, const proto::ControlRandom &chosen)
{
    if (request.auth == config::AuthType::kHmacSha256)
        return request.random;
    return request.command == proto::ControlCommand::kCreate ? proto::ControlRandom() : chosen;
}

} // namespace

HandshakeInitiator::HandshakeInitiator(base::Instant now, HandshakeRequest request)
    : request_(std::move(request)), next_(now)
{
    prepare(Step::kRound1);
    if (request_.auth == config::AuthType::kHmacSha256 && !request_.random.is_long())
        step_ = Step::kOver;
}

std::optional<base::Instant> HandshakeInitiator::deadline() const noexcept
{
    return is_over() ? std::nullopt : std::optional(next_);
}

base::ConstOctets HandshakeInitiator::on_deadline(base::Instant now)
{
    if (is_over() || now < next_)
        return {};
    if (sent_ == kHandshakeTries) {
        step_ = Step::kOver;
        return {};
    }
    return send(now);
}

tl::expected<base::ConstOctets, ControlDrop> HandshakeInitiator::on_message(base::Instant now,
                                                                            const base::Endpoint &source,
                                                                            const ControlMessage &message,
                                                                            base::ConstOctets datagram)
{
    if (!is_ours(message))
        return tl::unexpected(ControlDrop::kNoExchange);
    if (request_.auth < config::AuthType::kSha256 && !is_of_peer(source.address))
        return tl::unexpected(ControlDrop::kWrongSource);
    if (!proto::has_valid_hash(message, datagram, request_.key, request_.random))
        return tl::unexpected(ControlDrop::kWrongHash);
    if (is_over())
        return tl::unexpected(ControlDrop::kDuplicate);

    if (message.round == 2) {
        if (message.body_length != request_.body.size())
            return tl::unexpected(ControlDrop::kContradiction);
        if (step_ == Step::kRound3)
            return tl::unexpected(message.random == random_ ? ControlDrop::kDuplicate : ControlDrop::kContradiction);
        if (message.result() == proto::ControlResult::kDone) {
            random_ = message.random;
            prepare(Step::kRound3);
            return send(now);
        }
    } else {
        if (step_ == Step::kRound1)
            return tl::unexpected(ControlDrop::kDuplicate);
        if (message.random != random_)
            return tl::unexpected(ControlDrop::kWrongRandom);
    }
    answer_ = HandshakeAnswer{message.result(), {message.body.begin(), message.body.end()}};
    step_ = Step::kOver;
    return base::ConstOctets();
}

bool HandshakeInitiator::is_ours(const ControlMessage &message) const noexcept
{
    return message.round % 2 == 0 && message.command == request_.command && message.auth == request_.auth &&
           message.version == request_.initiator.version() && message.initiator == request_.initiator &&
           message.responder == request_.responder;
}

bool HandshakeInitiator::is_of_peer(const base::Address &source) const noexcept
{
    const std::vector<base::Address> &others = request_.other_sources;
    return source == request_.peer.address || std::find(others.begin(), others.end(), source) != others.end();
}

void HandshakeInitiator::prepare(Step step)
{
    ControlMessage message;
    message.command = request_.command;
    message.argument = request_.argument;
    message.auth = request_.auth;
    message.random = random_of(request_, random_);
    message.round = step == Step::kRound1 ? 1 : 3;
    message.version = request_.initiator.version();
    message.initiator = request_.initiator;
    message.responder = request_.responder;
    message.body_length = static_cast<std::uint32_t>(request_.body.size());
    message.body = request_.body;
    datagram_ = proto::encode_control(message, request_.key, random_);
    step_ = step;
    sent_ = 0;
}

base::ConstOctets HandshakeInitiator::send(base::Instant now)
{
    ++sent_;
    has_asked_ = step_ == Step::kRound3;
    next_ = now + (has_asked_ && sent_ == kHandshakeTries ? request_.patience : kHandshakeRepeat);
    return datagram_;
}

} // namespace mpt::core
