// SPDX-License-Identifier: GPL-3.0-or-later
// What the data plane tells of the paths, and where peers are that move.
#include "daemon/service/manager.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>
#include <string>
#include <tuple>
#include <utility>

namespace mpt::service {

namespace {

// A path that flaps, maybe since its peer wants it so, does not fill the log.
constexpr base::Duration kTellingPeriod = std::chrono::minutes(1);
constexpr unsigned kMostTold = 20;

} // namespace

void Manager::recall_learned()
{
    // Peer, local end and interface of each path.
    std::multiset<std::tuple<base::Endpoint, base::Endpoint, std::string>> taken;
    for (const auto &record : connections_)
        for (const PathRecord &path : record->paths)
            taken.emplace(path.parameters.peer(), path.parameters.local, path.parameters.interface);
    for (const auto &record : connections_) {
        bool any = false;
        for (std::size_t path = 0; path < record->paths.size(); ++path) {
            core::PathParameters &parameters = record->paths[path].parameters;
            const auto before = plane_.learned_before(record->config.name, path);
            if (!before)
                continue;
            taken.erase(taken.find({parameters.peer(), parameters.local, parameters.interface}));
            if (!taken.contains({before->at, parameters.local, parameters.interface})) {
                parameters.learned = before;
                any = true;
            }
            taken.emplace(parameters.peer(), parameters.local, parameters.interface);
        }
        if (any)
            plane_.set_connection(parameters_of(*record));
    }
}

void Manager::on_path_status(base::Instant now, const std::string &connection, std::size_t path,
                             const core::StatusChange &change, Notices &notices)
{
    ConnectionRecord *record = find_record(connection);
    if (record == nullptr || path >= record->paths.size())
        return;
    const bool up = change.to == core::PathStatus::kUp;
    PathRecord &at = record->paths[path];
    std::string text = fmt::format("{} is {}", path_title(*record, path), words_of(change));
    if (may_tell(now, at, text))
        notices.push_back({up ? Notice::Level::kInfo : Notice::Level::kWarning, std::move(text),
                           up ? Event::kPathUp : Event::kPathDown, connection, path});
    if (observer_ != nullptr)
        observer_->on_path_status(*record, path, change);
    if (change.reason == core::StatusReason::kKeepalivesMissed)
        forget_learned(*record, path, notices);
}

// Two hosts that have both moved meanwhile would speak for ever to where the other one was.
void Manager::forget_learned(ConnectionRecord &record, std::size_t path, Notices &notices)
{
    core::PathParameters &parameters = record.paths[path].parameters;
    if (!parameters.learned || parameters.remote.address.is_unspecified())
        return;
    parameters.learned.reset();
    plane_.set_connection(parameters_of(record));
    follow({{record, path}}, notices);
    if (auto committed = plane_.commit(); !committed)
        notices.push_back({Notice::Level::kError, committed.error().text});
    if (observer_ != nullptr)
        observer_->on_path_changed(record, path);
}

bool Manager::may_tell(base::Instant now, PathRecord &path, std::string &text)
{
    if (now - path.told_since >= kTellingPeriod) {
        path.told_since = now;
        path.told = 0;
    }
    if (++path.told == kMostTold)
        text += "; it changes too often for more to be said this minute";
    return path.told <= kMostTold;
}

std::vector<Manager::PathPlace> Manager::same_sockets(const ConnectionRecord &record, std::size_t path,
                                                      const base::Endpoint &peer)
{
    const core::PathParameters &parameters = record.paths[path].parameters;
    std::vector<PathPlace> same;
    for (const auto &other : connections_)
        for (std::size_t i = 0; i < other->paths.size(); ++i) {
            const core::PathParameters &its = other->paths[i].parameters;
            if (&its != &parameters && its.peer() == peer && its.local == parameters.local &&
                its.interface == parameters.interface)
                same.push_back({*other, i});
        }
    return same;
}

base::Result<void> Manager::on_paths_moved(base::Instant now, const std::vector<PathMove> &moves, Notices &notices)
{
    std::vector<PathPlace> places;
    for (const PathMove &move : moves) {
        ConnectionRecord *record = find_record(move.connection);
        if (record == nullptr || move.path >= record->paths.size() ||
            record->config.auth_type != config::AuthType::kHmacSha256)
            continue;
        PathRecord &at = record->paths[move.path];
        if (at.parameters.peer() == move.to)
            continue;
        // Of two hosts behind one NAT the later one has the port now. A file's word, and another path of the same host,
        // go before.
        const std::vector<PathPlace> before = same_sockets(*record, move.path, move.to);
        if (std::any_of(before.begin(), before.end(), [&](const PathPlace &other) {
                return &other.record == record || !other.record.paths[other.path].parameters.learned;
            }))
            continue;
        for (const PathPlace &other : before) {
            other.record.paths[other.path].parameters.learned.reset();
            plane_.set_connection(parameters_of(other.record));
            places.push_back(other);
        }
        at.parameters.learned = core::LearnedPeer{move.to, now};
        plane_.set_connection(parameters_of(*record));
        places.push_back({*record, move.path});
        std::string text =
            fmt::format("{}: the peer is at {} now", path_title(*record, move.path), move.to.to_string());
        if (may_tell(now, at, text))
            notices.push_back({Notice::Level::kInfo, std::move(text), Event::kPathMoved, move.connection, move.path});
    }
    if (places.empty())
        return {};
    follow(places, notices);
    auto committed = plane_.commit();
    if (observer_ != nullptr)
        for (const PathPlace &place : places)
            observer_->on_path_changed(place.record, place.path);
    return committed;
}

void Manager::on_path_observed(const std::string &connection, std::size_t path, const base::Endpoint &at)
{
    ConnectionRecord *record = find_record(connection);
    if (record == nullptr || path >= record->paths.size() || record->paths[path].observed == at)
        return;
    record->paths[path].observed = at;
    if (observer_ != nullptr)
        observer_->on_path_changed(*record, path);
}

} // namespace mpt::service
