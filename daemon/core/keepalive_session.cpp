// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/keepalive_session.hpp"

#include <utility>

namespace mpt::core {

using proto::DropReason;
using proto::RandomNumber;
using proto::SessionKeepalive;

namespace {

constexpr RandomNumber kNone{};

std::uint64_t difference(std::uint64_t from, std::uint64_t to)
{
    return to > from ? to - from : 0;
}

// RFC 6298, 2.2 and 2.3, with its alpha and beta.
void add_rtt(PathMeasure &measure, base::Duration rtt)
{
    if (!measure.rtt) {
        measure.rtt = rtt;
        measure.rtt_variation = rtt / 2;
        return;
    }
    const base::Duration error = rtt > *measure.rtt ? rtt - *measure.rtt : *measure.rtt - rtt;
    measure.rtt_variation += (error - measure.rtt_variation) / 4;
    *measure.rtt += (rtt - *measure.rtt) / 8;
}

} // namespace

KeepaliveSession::KeepaliveSession(const proto::ControlKey &key, const base::Address &local,
                                   const base::Address &remote, std::size_t paths, const RandomNumber &random)
    : key_(key), local_(local), remote_(remote), own_(random), offer_(random),
      send_key_(key_, use_to_send(own_, peer_)), paths_(paths)
{
}

void KeepaliveSession::make(base::Instant now, std::size_t number, const PathTraffic &traffic,
                            std::optional<std::uint32_t> highest_sequence, std::uint64_t challenge,
                            std::span<std::byte, proto::kSessionKeepaliveSize> to) noexcept
{
    Path &path = paths_[number];
    SessionKeepalive keepalive;
    keepalive.version = local_.version();
    keepalive.path = static_cast<std::uint8_t>(number);
    keepalive.highest_sequence = highest_sequence;
    keepalive.from = local_;
    keepalive.to = remote_;
    keepalive.counter = ++counter_;
    keepalive.sent_at = base::microseconds(now);
    keepalive.packets_sent = traffic.sent;
    if (path.answer_to) {
        keepalive.sender = offer_;
        keepalive.receiver = *std::exchange(path.answer_to, std::nullopt);
        other_key_.derive(key_, use_to_send(keepalive.sender, keepalive.receiver));
        return encode_session_keepalive(keepalive, other_key_, to);
    }
    keepalive.sender = own_;
    keepalive.receiver = peer_;
    keepalive.offer = offer_;
    keepalive.packets_lost = path.progress.lost;
    keepalive.challenge = challenge;
    keepalive.response = path.progress.response;
    if (path.progress.counter != 0) {
        keepalive.observed = path.progress.source;
        keepalive.echo = path.progress.echo;
        keepalive.echo_delay = base::microseconds(now - path.progress.received_at);
    }
    encode_session_keepalive(keepalive, send_key_, to);
}

KeepaliveTaken KeepaliveSession::take(base::Instant now, std::size_t number, const base::Endpoint &source,
                                      bool is_usual, base::ConstOctets datagram, const PathTraffic &traffic,
                                      const RandomNumber &random) noexcept
{
    KeepaliveTaken taken;
    const auto drop = [&taken](DropReason reason) {
        taken.drop = reason;
        return taken;
    };
    const auto keepalive = proto::decode_session_keepalive(datagram);
    if (!keepalive)
        return drop(keepalive.error());
    if (keepalive->path != number || keepalive->version != local_.version() || keepalive->from != remote_ ||
        keepalive->to != local_)
        return drop(DropReason::kBadKeepalive);

    Path &path = paths_[number];
    base::Instant &next_answer = is_usual ? path.next_answer : path.next_answer_elsewhere;
    if (is_current(*keepalive)) {
        if (!receive_key_.verifies(datagram, proto::kSessionKeepaliveMac))
            return drop(DropReason::kWrongMac);
        taken.session = sessions_;
        taken.counter = keepalive->counter;
        taken.response = keepalive->response;
        if (keepalive->counter <= path.progress.counter)
            return drop(DropReason::kNotFresh);
        taken.send =
            keepalive->challenge != 0 && keepalive->challenge != path.progress.response && may_answer(now, next_answer);
    } else {
        other_key_.derive(
            key_, {proto::KeyUse::Purpose::kKeepalive, remote_, local_, keepalive->sender, keepalive->receiver});
        if (!other_key_.verifies(datagram, proto::kSessionKeepaliveMac))
            return drop(DropReason::kWrongMac);
        if (keepalive->receiver != offer_) {
            taken.drop = DropReason::kNotFresh;
            // To one that offers nothing, or what it has used since, no answer would be taken.
            if (keepalive->offer != kNone && keepalive->offer != peer_ && may_answer(now, next_answer)) {
                path.answer_to = keepalive->offer;
                taken.send = true;
            }
            return taken;
        }
        begin(*keepalive, random);
        taken.is_new_session = true;
        taken.send = true;
        taken.session = sessions_;
        taken.counter = keepalive->counter;
        taken.response = keepalive->response;
    }
    advance(now, path, *keepalive, traffic);
    path.progress.source = source;
    taken.highest_sequence = keepalive->highest_sequence;
    taken.observed = keepalive->observed;
    return taken;
}

bool KeepaliveSession::make_probe(std::size_t path, std::uint64_t number, std::optional<std::uint16_t> received,
                                  base::Octets to) noexcept
{
    if (sessions_ == 0)
        return false;
    proto::encode_mtu_probe({local_.version(), static_cast<std::uint8_t>(path), received, own_, peer_, number},
                            send_key_, to);
    return true;
}

tl::expected<proto::MtuProbe, DropReason> KeepaliveSession::take_probe(std::size_t path,
                                                                       base::ConstOctets datagram) noexcept
{
    auto probe = proto::decode_mtu_probe(datagram);
    if (!probe)
        return probe;
    if (probe->path != path || probe->version != local_.version())
        return tl::unexpected(DropReason::kBadKeepalive);
    if (sessions_ == 0 || probe->sender != peer_ || probe->receiver != own_)
        return tl::unexpected(DropReason::kNotFresh);
    if (!receive_key_.verifies(datagram, proto::kMtuProbeMac))
        return tl::unexpected(DropReason::kWrongMac);
    return probe;
}

proto::KeyUse KeepaliveSession::use_to_send(const RandomNumber &sender, const RandomNumber &receiver) const noexcept
{
    return {proto::KeyUse::Purpose::kKeepalive, local_, remote_, sender, receiver};
}

bool KeepaliveSession::is_current(const SessionKeepalive &keepalive) const noexcept
{
    return sessions_ != 0 && keepalive.sender == peer_ && keepalive.receiver == own_;
}

bool KeepaliveSession::claims_session(base::ConstOctets datagram) const noexcept
{
    const auto keepalive = proto::decode_session_keepalive(datagram);
    return keepalive && is_current(*keepalive);
}

bool KeepaliveSession::may_answer(base::Instant now, base::Instant &next) noexcept
{
    if (now < next)
        return false;
    next = now + kKeepaliveAnswerInterval;
    return true;
}

// The peer has taken our offer. other_key_ is that of its message.
void KeepaliveSession::begin(const SessionKeepalive &keepalive, const RandomNumber &random) noexcept
{
    ++sessions_;
    own_ = offer_;
    peer_ = keepalive.sender;
    offer_ = random;
    std::swap(receive_key_, other_key_);
    send_key_.derive(key_, use_to_send(own_, peer_));
    for (Path &path : paths_) {
        path.progress = {};
        path.earlier = path.measure;
    }
}

// It is fresh.
void KeepaliveSession::advance(base::Instant now, Path &path, const SessionKeepalive &keepalive,
                               const PathTraffic &traffic) noexcept
{
    Progress &progress = path.progress;
    progress.counter = keepalive.counter;
    progress.echo = keepalive.sent_at;
    progress.received_at = now;
    if (keepalive.challenge != 0)
        progress.response = keepalive.challenge;

    if (!progress.start)
        progress.start = PathTraffic{keepalive.packets_sent, traffic.received};
    const std::uint64_t expected = difference(progress.start->sent, keepalive.packets_sent);
    progress.lost = difference(difference(progress.start->received, traffic.received), expected);
    path.measure.expected = path.earlier.expected + expected;
    path.measure.lost_in = path.earlier.lost_in + progress.lost;
    path.measure.lost_out = path.earlier.lost_out + keepalive.packets_lost;

    const std::uint64_t since_echo = difference(keepalive.echo, base::microseconds(now));
    if (keepalive.echo != 0 && keepalive.echo_delay <= since_echo)
        add_rtt(path.measure, std::chrono::microseconds(since_echo - keepalive.echo_delay));
}

} // namespace mpt::core
