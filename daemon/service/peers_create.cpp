// SPDX-License-Identifier: GPL-3.0-or-later
// Connections that one host creates on another (guide 4.7), from both sides.
#include "daemon/config/check.hpp"
#include "daemon/service/peers.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <utility>

namespace mpt::service {

namespace {

// How long what conf.template says of keys is kept before the file is read once more: a create that is not authentic
// yet is no reason to read files.
constexpr base::Duration kCreateAuthLife = std::chrono::seconds(1);

std::string joined(const std::vector<std::string> &lines)
{
    return fmt::format("{}", fmt::join(lines, "\n"));
}

// A create is never without a hash (guide 4.7).
config::AuthType create_type(const config::ConnectionConfig &config)
{
    return std::max(config.auth_type, config::AuthType::kSha256);
}

} // namespace

// Nothing if nobody can create a connection here.
std::optional<Peers::Auth> Peers::create_auth(base::Instant now)
{
    if (now < create_auth_expires_)
        return create_auth_;
    Notices unused; // nobody may fill the log from outside
    create_auth_.reset();
    create_auth_expires_ = now + kCreateAuthLife;
    if (const auto conf_template = load_template(directory_, manager_.interface(), unused))
        if (const auto key = core::create_key(*conf_template, manager_.interface().allow_default_key))
            create_auth_ = Auth{create_type(*conf_template), *key};
    return create_auth_;
}

Peers::Reply Peers::accept(base::Instant now, const core::HandshakeTask &task, Notices &notices)
{
    const std::string peer = task.route.peer.to_string();
    const auto refuse = [&](proto::ControlResult result, const std::string &why) {
        notices.push_back({Notice::Level::kWarning, fmt::format("{} may not create a connection: {}", peer, why),
                           Event::kCreateRefused});
        return Reply{result, core::refusal_body(result)};
    };
    // Before all that says something: a peer that goes on asking does not fill the log.
    if (!creations_.allow(now, {}))
        return {proto::ControlResult::kTooMany, core::refusal_body(proto::ControlResult::kTooMany)};
    const auto count = std::count_if(manager_.connections().begin(), manager_.connections().end(),
                                     [](const auto &record) { return !record->created_by.empty(); });
    if (count >= manager_.interface().max_peer_connections)
        return refuse(proto::ControlResult::kTooMany,
                      fmt::format("peers have created {} (max_peer_connections)", count));
    const auto conf_template = load_template(directory_, manager_.interface(), notices);
    if (!conf_template)
        return refuse(proto::ControlResult::kRefused, conf_template.error().text);
    auto files = directory_.list_all();
    if (!files)
        return refuse(proto::ControlResult::kFailed, files.error().text);
    auto accepted = core::accept_create(base::as_text(task.body), task.initiator, task.responder,
                                        in_use(*conf_template, nullptr), create_context("", std::move(*files)));
    if (!accepted)
        return refuse(accepted.error().result, accepted.error().text);
    // The peer is told the addresses in use; those that are found automatically may become others.
    for (std::size_t i = 0; i < accepted->connection.paths.size(); ++i) {
        accepted->connection.paths[i].private_ipaddr = conf_template->paths[i].private_ipaddr;
        accepted->connection.paths[i].public_ipaddr = conf_template->paths[i].public_ipaddr;
    }
    if (auto added = manager_.add_created(accepted->connection, peer, notices); !added)
        return refuse(proto::ControlResult::kFailed, added.error().text);
    on_settings(now);
    const base::ConstOctets text = base::as_octets(accepted->text);
    return {proto::ControlResult::kDone, {text.begin(), text.end()}};
}

// The public address of a path, where its configuration leaves it open. One of a connection that does not run has no
// port of its own to ask from; a NAT mostly gives the ports of one address the same public address.
base::Address Peers::public_of(const config::PathConfig &path, const ConnectionRecord *record, std::size_t number) const
{
    if (record != nullptr)
        return public_address(*record, number).endpoint.address;
    for (const auto &other : manager_.connections())
        for (std::size_t i = 0; i < other->paths.size(); ++i) {
            const core::PathParameters &at = other->paths[i].parameters;
            const PublicAddress known = public_address(*other, i);
            if (at.interface == path.interface_name && at.local.address == path.private_ipaddr &&
                (known.source == PublicSource::kStun || known.source == PublicSource::kPeer))
                return known.endpoint.address;
        }
    return path.private_ipaddr;
}

// The configuration of a connection with the addresses that its paths use now, where it leaves them open; `record` is
// null if it does not run.
config::ConnectionConfig Peers::in_use(config::ConnectionConfig config, const ConnectionRecord *record) const
{
    for (std::size_t i = 0; i < config.paths.size(); ++i) {
        config::PathConfig &path = config.paths[i];
        if (record != nullptr)
            path.private_ipaddr = record->paths[i].parameters.local.address;
        else if (path.private_ipaddr.is_unspecified())
            path.private_ipaddr =
                network_.first_address(path.interface_name, path.ip_ver).value_or(path.private_ipaddr);
        if (path.public_ipaddr.is_unspecified())
            path.public_ipaddr = public_of(path, record, i);
    }
    return config;
}

// What this host knows when the connection of a file (empty: a new one) is created.
core::CreateContext Peers::create_context(const std::string &file, std::vector<std::string> files) const
{
    return {manager_.interface(), manager_.others(file), std::move(files), network_.addresses()};
}

// The configuration of a connection, whether it runs or waits for a create.
base::Result<config::ConnectionConfig> Peers::own_side(const std::string &file) const
{
    if (const ConnectionRecord *record = manager_.find_file(file))
        return record->config;
    const auto text = directory_.read_connection(file);
    if (!text)
        return base::Failure(text.error());
    auto parsed = config::parse_connection(file, *text);
    if (!parsed.value)
        return base::fail(base::ErrorCode::kInvalidConfig, joined(errors_of(parsed.problems)));
    Notices unused;
    if (auto key = load_key(directory_, *parsed.value, unused); !key)
        return base::Failure(key.error());
    return std::move(*parsed.value);
}

void Peers::create(base::Instant now, const std::string &file, Done done)
{
    if (auto named = check_file_name(file); !named)
        return done(named);
    if (creating_.contains(file))
        return done(base::fail(base::ErrorCode::kConflict, fmt::format("{} is being created already", file)));
    auto own = own_side(file);
    if (!own)
        return done(base::Failure(own.error()));
    const ConnectionRecord *record = manager_.find_file(file);
    // Guide 4.7: the path with cmd_default = 1 if its status is 0x00 or 0x80, else the first such path.
    const auto fits = [&](std::size_t i) {
        const config::PathConfig &path = own->paths[i];
        const core::PathStatus status = record == nullptr ? static_cast<core::PathStatus>(path.status)
                                                          : manager_.path_state(record->config.name, i).status;
        return path.remote_ipaddr && !path.remote_ipaddr->is_unspecified() &&
               (status == core::PathStatus::kUp || status == core::PathStatus::kDead);
    };
    std::optional<std::size_t> path;
    for (const bool by_default : {true, false})
        for (std::size_t i = 0; i < own->paths.size() && !path; ++i)
            if (own->paths[i].cmd_default == by_default && fits(i))
                path = i;
    if (!path)
        return done(base::fail(base::ErrorCode::kInvalidConfig,
                               fmt::format("connections/{}: no path can carry the command to the peer: it needs "
                                           "remote_ipaddr, and must not be down (cmd_default = 1 chooses one of "
                                           "several)",
                                           file)));
    const core::CreateContext context = create_context(file);
    std::vector<config::ConnectionConfig> all =
        context.connections; // now: the peer would have its side before we find out
    all.push_back(*own);
    if (const auto errors = errors_of(config::check_connections(manager_.interface(), all),
                                      config::check_connections(manager_.interface(), context.connections));
        !errors.empty())
        return done(base::fail(base::ErrorCode::kConflict, joined(errors)));
    const auto key = core::create_key(*own, manager_.interface().allow_default_key);
    if (!key)
        return done(base::Failure(key.error()));
    const config::ConnectionConfig told = in_use(*own, record);
    const auto text = core::create_text(told, context);
    if (!text)
        return done(base::Failure(text.error()));
    core::HandshakeRequest request;
    request.command = proto::ControlCommand::kCreate;
    request.auth = create_type(*own);
    request.random = random_();
    request.key = *key;
    request.initiator = own->ip_local;
    request.responder = own->ip_remote.value_or(base::Address::any(own->ip_ver));
    request.peer = {*own->paths[*path].remote_ipaddr,
                    own->remote_cmd_port.value_or(manager_.interface().cmdport_local)};
    const base::ConstOctets body = base::as_octets(*text);
    request.body.assign(body.begin(), body.end());
    request.patience = manager_.interface().cmd_timeout; // guide 2.6.2: the server may take several seconds
    const config::ConnectionConfig filed = record == nullptr ? *own : record->filed;
    const Way way{told.paths[*path].private_ipaddr, own->paths[*path].interface_name, request.peer};
    Creating &creating = creating_
                             .emplace(file, Creating{{core::HandshakeInitiator(now, std::move(request)), way, ""},
                                                     std::move(*own),
                                                     filed,
                                                     std::move(done),
                                                     now + manager_.interface().cmd_timeout})
                             .first->second;
    send(creating.exchange, creating.exchange.handshake.on_deadline(now));
}

void Peers::created(const Creating &creating, Notices &notices)
{
    const std::string peer = creating.exchange.way.peer.to_string();
    const auto &answer = creating.exchange.handshake.answer();
    if (!answer && !creating.exchange.failure.empty())
        return creating.done(base::fail(base::ErrorCode::kSystem, creating.exchange.failure));
    if (!answer && creating.exchange.handshake.has_asked())
        return creating.done(base::fail(
            base::ErrorCode::kSystem,
            fmt::format("{} does not say whether it has created its side: if it has, that must be deleted there before "
                        "another create",
                        peer)));
    if (!answer)
        return creating.done(base::fail(
            base::ErrorCode::kSystem,
            fmt::format(
                "{} does not answer: see whether mptd runs there with accept_remote = 1, a conf.template and the "
                "same auth_key, and whether a firewall lets its cmdport_local in",
                peer)));
    if (answer->result != proto::ControlResult::kDone)
        return creating.done(
            base::fail(base::ErrorCode::kConflict,
                       fmt::format("{} does not create the connection: {}", peer, proto::to_string(answer->result))));
    const auto done = complete(creating, answer->body, notices);
    creating.done(done.map_error([](base::Error error) {
        error.text += " (the peer has created its side already: it must be deleted there before another create)";
        return error;
    }));
}

// Completes our side with what the peer says of its own.
base::Result<void> Peers::complete(const Creating &creating, base::ConstOctets text, Notices &notices)
{
    const config::ConnectionConfig &own = creating.own;
    const auto now_own = own_side(own.file);
    if (!now_own)
        return base::Failure(now_own.error());
    if (*now_own != own)
        return base::fail(base::ErrorCode::kConflict,
                          fmt::format("connections/{} was changed while the peer was asked", own.file));
    const auto complete = core::complete_create(own, base::as_text(text), create_context(own.file));
    if (!complete)
        return base::Failure(complete.error());
    return manager_.complete(creating.filed, *complete, notices);
}

} // namespace mpt::service
