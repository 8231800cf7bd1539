// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/peers.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace mpt::service {

namespace {

// Questions of one source that are looked at. One takes little longer than to receive it, and whoever sends as many in
// a peer's name keeps the peer's own away: so many that this takes a flood.
constexpr std::uint32_t kMessagesPerSecond = 2000;
constexpr std::uint32_t kMessageBurst = 2000;
// Connections that peers create, all together.
constexpr std::uint32_t kCreationsPerSecond = 1;
constexpr std::uint32_t kCreationBurst = 20;

// What the peer is told, for people.
std::string words_of(const core::StatusTeller::Report &report)
{
    if (!report.up)
        return fmt::format("the weight {} for path {}", report.weight.value_or(0), report.path);
    return fmt::format("that a path is {}", *report.up ? "up" : "down");
}

} // namespace

Peers::Peers(Manager &manager, ConfigDirectory &directory, Network &network, ControlPort &port, const Random &random)
    : manager_(manager), directory_(directory), network_(network), port_(port), random_(random),
      messages_(kMessagesPerSecond, kMessageBurst, base::load_be<std::uint64_t>(random().data())),
      creations_(kCreationsPerSecond, kCreationBurst, 0)
{
}

void Peers::send(Exchange &exchange, base::ConstOctets datagram)
{
    if (datagram.empty())
        return;
    const Way &way = exchange.way;
    const auto sent = port_.send(way.local, way.interface, way.peer, datagram);
    exchange.failure = sent ? "" : sent.error().text;
}

// Whether it can be sent is the asker's concern: a wrong source address shall not fill the log.
void Peers::answer(const core::ControlRoute &route, base::ConstOctets datagram)
{
    if (datagram.empty())
        return;
    std::string interface; // of the path that has the address; else the kernel chooses
    for (const auto &record : manager_.connections())
        for (const PathRecord &path : record->paths)
            if (interface.empty() && path.parameters.local.address == route.local)
                interface = path.parameters.interface;
    static_cast<void>(port_.send(route.local, interface, route.peer, datagram));
}

// ---- telling

void Peers::on_path_status(base::Instant now, const std::string &connection, std::size_t path,
                           const core::StatusChange &change)
{
    const ConnectionRecord *record = manager_.find(connection);
    if (record == nullptr || (record->config.permission & config::kSend) == 0 || !record->config.remote_cmd_port)
        return;
    Telling &telling = telling_of(*record);
    switch (change.reason) {
    case core::StatusReason::kByHand:
    case core::StatusReason::kKeepalivesMissed:
    case core::StatusReason::kInterface:
    case core::StatusReason::kAddress:
    case core::StatusReason::kSocket:
        telling.teller.tell(now, path, change.to == core::PathStatus::kUp);
        break;
    case core::StatusReason::kKeepalive: // then the peer uses it
    case core::StatusReason::kByPeer:
    case core::StatusReason::kStart:
    case core::StatusReason::kSettings:
        telling.teller.forget(path);
        break;
    }
    if (change.to == core::PathStatus::kUp)
        telling.teller.hurry(now);
    tell(now, *record, telling);
}

void Peers::on_settings(base::Instant now)
{
    for (const auto &record : manager_.connections()) {
        if (record->config.auth_type != config::AuthType::kHmacSha256)
            continue;
        Telling &telling = telling_of(*record);
        std::vector<std::uint16_t> weights;
        for (const config::PathConfig &path : record->config.paths)
            weights.push_back(path.weight_in);
        const bool may_tell = (record->config.permission & config::kSend) != 0 && record->config.remote_cmd_port;
        for (std::size_t i = 0; may_tell && i < std::min(weights.size(), telling.weights.size()); ++i)
            if (weights[i] != telling.weights[i])
                telling.teller.tell_weight(now, i, weights[i]);
        telling.weights = std::move(weights);
        tell(now, *record, telling);
    }
}

// What was to be told between other tunnel addresses, or in another way, concerns nobody any more.
Peers::Telling &Peers::telling_of(const ConnectionRecord &record)
{
    Telling &telling = tellings_[record.config.file];
    if (telling.local != record.config.ip_local || telling.remote != *record.config.ip_remote ||
        telling.auth != record.config.auth_type) {
        telling = {};
        telling.auth = record.config.auth_type;
        telling.local = record.config.ip_local;
        telling.remote = *record.config.ip_remote;
    }
    return telling;
}

void Peers::refresh(base::Instant now)
{
    for (const auto &record : manager_.connections()) {
        for (std::size_t path = 0; path < record->paths.size(); ++path) {
            const PathState state = manager_.path_state(record->config.name, path);
            on_path_status(now, record->config.name, path, {state.status, state.status, state.reason});
        }
    }
}

// Over another path that is up, best over the default one (guide 2.6.3.2 cmd_default); where none is, a path that comes
// up tells so itself.
std::optional<Peers::Way> Peers::way_for(const ConnectionRecord &record, const core::StatusTeller::Report &report) const
{
    const auto is_up = [&](std::size_t i) {
        return manager_.path_state(record.config.name, i).status == core::PathStatus::kUp &&
               !record.paths[i].parameters.peer().address.is_unspecified();
    };
    std::optional<std::size_t> chosen;
    for (std::size_t i = 0; i < record.paths.size(); ++i)
        if (i != report.path && is_up(i) && (!chosen || record.config.paths[i].cmd_default))
            chosen = i;
    if (!chosen && report.up.value_or(true) && is_up(report.path))
        chosen = report.path;
    if (!chosen)
        return std::nullopt;
    const core::PathParameters &path = record.paths[*chosen].parameters;
    return Way{path.local.address, path.interface, {path.peer().address, *record.config.remote_cmd_port}};
}

void Peers::tell(base::Instant now, const ConnectionRecord &record, Telling &telling)
{
    if (telling.exchange)
        return;
    const auto is_so = [&](const core::StatusTeller::Report &report) {
        return report.path < record.paths.size() &&
               (!report.up ||
                *report.up == (manager_.path_state(record.config.name, report.path).status == core::PathStatus::kUp));
    };
    auto report = telling.teller.start(now);
    for (; report && !is_so(*report); report = telling.teller.start(now)) { // a reload or restart has changed it
        if (report->up)
            telling.teller.forget(report->path);
        telling.teller.on_answer();
    }
    if (!report)
        return;
    const auto way = way_for(record, *report);
    if (!way)
        return telling.teller.on_failure(now);
    const config::ConnectionConfig &own = record.config;
    core::HandshakeRequest request;
    request.command = proto::ControlCommand::kPathStatus;
    request.argument = report->up.value_or(true) ? proto::kPathUp : proto::kPathDown;
    request.auth = own.auth_type;
    request.key = key_of(own);
    request.random = random_();
    request.initiator = own.ip_local;
    request.responder = *own.ip_remote;
    request.peer = way->peer;
    for (const PathRecord &path : record.paths)
        request.other_sources.push_back(path.parameters.peer().address);
    if (own.auth_type == config::AuthType::kHmacSha256) {
        const auto body = proto::encode_path_change(
            {static_cast<std::uint8_t>(report->path), report->up.has_value(), report->weight});
        request.body.assign(body.begin(), body.end());
    } else {
        const auto body = proto::encode_path_addresses({public_address(record, report->path).endpoint.address,
                                                        record.paths[report->path].parameters.remote.address});
        request.body.assign(body.begin(), body.end());
    }
    telling.exchange.emplace(Exchange{core::HandshakeInitiator(now, std::move(request)), *way, ""});
    telling.what = words_of(*report);
    send(*telling.exchange, telling.exchange->handshake.on_deadline(now));
}

// The exchange is over.
void Peers::tell_done(base::Instant now, const ConnectionRecord &record, Telling &telling, Notices &notices)
{
    const core::HandshakeInitiator &handshake = telling.exchange->handshake;
    std::string failure;
    if (!handshake.answer())
        failure = telling.exchange->failure.empty() ? "it does not answer" : telling.exchange->failure;
    else if (handshake.answer()->result != proto::ControlResult::kDone)
        failure = proto::to_string(handshake.answer()->result);
    if (handshake.answer())
        telling.teller.on_answer();
    else
        telling.teller.on_failure(now);
    if (std::exchange(telling.failure, failure) != failure && !failure.empty())
        notices.push_back({Notice::Level::kWarning,
                           fmt::format("connection {}: telling the peer {} {}: {}", record.config.name,
                                       telling.exchange->way.peer.to_string(), telling.what, failure),
                           handshake.answer() ? Event::kOther : Event::kPeerSilent, record.config.name});
    telling.exchange.reset();
    tell(now, record, telling);
}

// ---- time

std::optional<base::Instant> Peers::deadline() const
{
    std::optional<base::Instant> next = responder_.deadline();
    const auto consider = [&next](std::optional<base::Instant> deadline) {
        if (deadline && (!next || *deadline < *next))
            next = deadline;
    };
    for (const auto &[file, telling] : tellings_) {
        consider(telling.teller.deadline());
        if (telling.exchange)
            consider(telling.exchange->handshake.deadline());
    }
    for (const auto &[file, creating] : creating_) {
        consider(creating.exchange.handshake.deadline());
        consider(creating.deadline);
    }
    return next;
}

void Peers::on_deadline(base::Instant now, Notices &notices)
{
    responder_.on_deadline(now);
    const auto is_due = [now](std::optional<base::Instant> deadline) { return deadline && *deadline <= now; };
    for (auto at = tellings_.begin(); at != tellings_.end();) {
        const ConnectionRecord *record = manager_.find_file(at->first);
        if (record == nullptr) {
            at = tellings_.erase(at);
            continue;
        }
        Telling &telling = telling_of(*record);
        if (telling.exchange && is_due(telling.exchange->handshake.deadline())) {
            send(*telling.exchange, telling.exchange->handshake.on_deadline(now));
            if (telling.exchange->handshake.is_over())
                tell_done(now, *record, telling, notices);
        }
        tell(now, *record, telling);
        ++at;
    }
    for (auto at = creating_.begin(); at != creating_.end();) {
        Exchange &exchange = at->second.exchange;
        if (is_due(exchange.handshake.deadline()))
            send(exchange, exchange.handshake.on_deadline(now));
        if (!exchange.handshake.is_over() && at->second.deadline > now) {
            ++at;
            continue;
        }
        const Creating over = std::move(at->second);
        at = creating_.erase(at);
        created(over, notices);
    }
}

// ---- what comes

void Peers::on_datagram(base::Instant now, const base::Endpoint &peer, const base::Address &local,
                        base::ConstOctets datagram, Notices &notices)
{
    const auto drop = [this](proto::ControlDrop reason) { ++drops_[static_cast<std::size_t>(reason)]; };
    const auto message = proto::decode_control(datagram);
    if (!message)
        return drop(message.error());
    if (message->round % 2 == 0) {
        // Without limit: whoever floods us in the peer's name shall not keep its answers away.
        if (!take_answer(now, peer, *message, datagram, notices))
            drop(proto::ControlDrop::kNoExchange);
        return;
    }
    if (!messages_.allow(now, peer.address))
        return drop(proto::ControlDrop::kRateLimit);
    take_question(now, {peer, local}, *message, datagram, notices);
}

bool Peers::take_answer(base::Instant now, const base::Endpoint &peer, const proto::ControlMessage &message,
                        base::ConstOctets datagram, Notices &notices)
{
    const auto offer = [&](Exchange &exchange) {
        const auto next = exchange.handshake.on_message(now, peer, message, datagram);
        if (next)
            send(exchange, *next);
        else if (next.error() != proto::ControlDrop::kNoExchange)
            ++drops_[static_cast<std::size_t>(next.error())];
        return next.has_value() || next.error() != proto::ControlDrop::kNoExchange;
    };
    for (auto &[file, telling] : tellings_) {
        if (!telling.exchange || !offer(*telling.exchange))
            continue;
        if (!telling.exchange->handshake.is_over())
            return true;
        if (const ConnectionRecord *record = manager_.find_file(file))
            tell_done(now, *record, telling, notices);
        else
            tellings_.erase(file); // or the connection would wait for this exchange when it is there again
        return true;
    }
    for (auto at = creating_.begin(); at != creating_.end(); ++at) {
        if (!offer(at->second.exchange))
            continue;
        if (at->second.exchange.handshake.is_over()) {
            auto done = creating_.extract(at);
            created(done.mapped(), notices);
        }
        return true;
    }
    return false;
}

void Peers::take_question(base::Instant now, const core::ControlRoute &route, const proto::ControlMessage &message,
                          base::ConstOctets datagram, Notices &notices)
{
    const auto drop = [this](proto::ControlDrop reason) { ++drops_[static_cast<std::size_t>(reason)]; };
    Auth auth;
    if (message.command == proto::ControlCommand::kPathStatus) {
        const ConnectionRecord *record = manager_.find_between(message.responder, message.initiator);
        if (record == nullptr)
            return drop(proto::ControlDrop::kUnknownPeer);
        auth = {record->config.auth_type, key_of(record->config)};
    } else {
        if (!manager_.interface().accept_remote)
            return drop(proto::ControlDrop::kUnknownPeer);
        const std::optional<Auth> found = create_auth(now);
        if (!found)
            return drop(proto::ControlDrop::kUnknownPeer);
        auth = *found;
    }
    auto step = responder_.on_message(now, route, message, datagram, auth.type, auth.key, random_());
    if (!step)
        return drop(step.error());
    answer(route, step->send);
    if (!step->task)
        return;
    const Reply reply = do_task(now, *step->task, notices);
    if (const auto round4 = responder_.answer(now, step->task->exchange, reply.result, reply.body))
        answer(round4->route, round4->datagram);
}

Peers::Reply Peers::do_task(base::Instant now, const core::HandshakeTask &task, Notices &notices)
{
    return task.command == proto::ControlCommand::kPathStatus ? set_path(task, notices) : accept(now, task, notices);
}

Peers::Reply Peers::set_path(const core::HandshakeTask &task, Notices &notices)
{
    const ConnectionRecord *record = manager_.find_between(task.responder, task.initiator);
    if (record == nullptr)
        return {proto::ControlResult::kNoSuchPath, {}};
    if ((record->config.permission & config::kReceive) == 0)
        return {proto::ControlResult::kNotPermitted, {}};
    const auto asked = change_of(*record, task);
    if (!asked)
        return {proto::ControlResult::kNoSuchPath, {}};
    base::Result<void> done;
    if (asked->sets_status)
        done = manager_.set_path_by_peer(record->config.name, asked->path, task.argument == proto::kPathUp);
    if (done && asked->weight && *asked->weight != record->config.paths[asked->path].weight_out) {
        done = manager_.set_weight(record->config.name, asked->path, *asked->weight);
        if (done)
            notices.push_back(
                {Notice::Level::kInfo, fmt::format("connection {}: path {} has the weight {}, told by the peer",
                                                   record->config.name, asked->path, *asked->weight)});
    }
    if (!done)
        notices.push_back({Notice::Level::kError, done.error().text});
    return {done ? proto::ControlResult::kDone : proto::ControlResult::kFailed, {}};
}

// What the peer asks for, of a path that there is.
std::optional<proto::PathChange> Peers::change_of(const ConnectionRecord &record, const core::HandshakeTask &task)
{
    if (task.auth == config::AuthType::kHmacSha256) {
        const auto change = proto::decode_path_change(task.body);
        return change && change->path < record.paths.size() ? std::optional(*change) : std::nullopt;
    }
    const auto addresses = proto::decode_path_addresses(task.body);
    if (!addresses)
        return std::nullopt;
    std::vector<std::size_t> automatic; // what a NAT makes of their own address the peer knows and we do not
    for (std::size_t i = 0; i < record.paths.size(); ++i) {
        if (record.paths[i].parameters.remote.address != addresses->local)
            continue;
        if (public_address(record, i).endpoint.address == addresses->remote)
            return proto::PathChange{static_cast<std::uint8_t>(i), true, std::nullopt};
        if (record.config.paths[i].public_ipaddr.is_unspecified())
            automatic.push_back(i);
    }
    if (automatic.size() != 1)
        return std::nullopt;
    return proto::PathChange{static_cast<std::uint8_t>(automatic.front()), true, std::nullopt};
}

} // namespace mpt::service
