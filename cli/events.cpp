// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/events.hpp"

#include "cli/json.hpp"
#include "cli/text.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace mpt::cli {

namespace {

const char *name_of(Event::Kind kind)
{
    switch (kind) {
    case Event::Kind::kService:
        return "service";
    case Event::Kind::kPathStatus:
        return "path-status";
    case Event::Kind::kConnectionAdded:
        return "connection-added";
    case Event::Kind::kConnectionRemoved:
        return "connection-removed";
    case Event::Kind::kProblem:
        return "problem";
    case Event::Kind::kProblemSolved:
        break;
    }
    return "problem-solved";
}

// The fields of each kind, in their order. `add` takes a name and a text or a number.
template <typename Add> void visit_fields(const Event &event, const Add &add)
{
    switch (event.kind) {
    case Event::Kind::kService:
        add("state", std::string(event.runs ? "running" : "stopped"));
        break;
    case Event::Kind::kPathStatus:
        add("connection", event.connection);
        add("path", event.path);
        add("interface", event.interface);
        add("from", event.from);
        add("to", event.to);
        add("reason", event.reason);
        break;
    case Event::Kind::kConnectionAdded:
        add("connection", event.connection);
        add("file", event.file);
        break;
    case Event::Kind::kConnectionRemoved:
        add("connection", event.connection);
        break;
    case Event::Kind::kProblem:
    case Event::Kind::kProblemSolved:
        add("text", event.text);
        break;
    }
}

Event make_event(Event::Kind kind)
{
    Event event;
    event.kind = kind;
    event.time = realtime_now();
    return event;
}

} // namespace

std::string event_line(const Event &event)
{
    std::string line = fmt::format("{} {}", timestamp(std::chrono::microseconds(event.time)), name_of(event.kind));
    visit_fields(event, [&](std::string_view name, const auto &value) {
        std::string text = fmt::format("{}", value);
        if (name != "text") // which is the last
            std::replace(text.begin(), text.end(), ' ', '?');
        line += fmt::format(" {}={}", name, text);
    });
    return printable(line);
}

std::string event_json(const Event &event)
{
    JsonWriter json(false);
    json.begin_object().member("time_usec", event.time).member("event", name_of(event.kind));
    visit_fields(event, [&](const char *name, const auto &value) { json.member(name, value); });
    return json.end_object().text();
}

std::string event_words(const Event &event)
{
    switch (event.kind) {
    case Event::Kind::kService:
        return event.runs ? "mptd has started" : "mptd has ended";
    case Event::Kind::kPathStatus:
        return fmt::format("{} path {} ({}): {}, was {}: {}", event.connection, event.path, event.interface,
                           status_words(event.to), status_words(event.from), reason_words(event.reason));
    case Event::Kind::kConnectionAdded:
        return fmt::format("{} is new ({})", event.connection, event.file);
    case Event::Kind::kConnectionRemoved:
        return fmt::format("{} is gone", event.connection);
    case Event::Kind::kProblem:
        return "problem: " + event.text;
    case Event::Kind::kProblemSolved:
        break;
    }
    return "solved: " + event.text;
}

void Follower::know(const Snapshot &snapshot)
{
    connections_.clear();
    paths_.clear();
    for (const Connection &connection : snapshot.connections) {
        connections_[connection.object] = connection.name;
        for (const Path &path : connection.paths)
            paths_[path.object] = {connection.object, path.number, path.interface};
    }
    problems_ = {snapshot.problems.begin(), snapshot.problems.end()};
}

void Follower::on_service(bool runs)
{
    Event event = make_event(Event::Kind::kService);
    event.runs = runs;
    know({});
    tell_(event);
}

void Follower::on_path_status(const std::string &object, const std::string &from, const std::string &to,
                              const std::string &reason, std::uint64_t since)
{
    const auto path = paths_.find(object);
    if (path == paths_.end())
        return;
    Event event = make_event(Event::Kind::kPathStatus);
    event.time = since;
    event.connection = connections_[path->second.connection];
    event.path = path->second.number;
    event.interface = path->second.interface;
    event.from = from;
    event.to = to;
    event.reason = reason;
    event.object = object;
    tell_(event);
}

void Follower::on_added(const std::string &object, const Interfaces &interfaces)
{
    // One object alone: a path without its connection is not in what decode() makes of it.
    if (const auto path = interfaces.find("org.mptd1.Path"); path != interfaces.end()) {
        const Properties &properties = path->second;
        KnownPath known;
        if (const auto found = properties.find("Connection"); found != properties.end())
            known.connection = found->second.get<sdbus::ObjectPath>();
        if (const auto found = properties.find("Number"); found != properties.end())
            known.number = found->second.get<std::uint32_t>();
        if (const auto found = properties.find("Interface"); found != properties.end())
            known.interface = found->second.get<std::string>();
        paths_[object] = std::move(known);
    }
    const Snapshot alone = decode({{sdbus::ObjectPath(object), interfaces}});
    if (alone.connections.empty())
        return;
    const Connection &connection = alone.connections.front();
    connections_[object] = connection.name;
    Event event = make_event(Event::Kind::kConnectionAdded);
    event.connection = connection.name;
    event.file = connection.file;
    tell_(event);
}

void Follower::on_removed(const std::string &object)
{
    paths_.erase(object);
    const auto connection = connections_.find(object);
    if (connection == connections_.end())
        return;
    Event event = make_event(Event::Kind::kConnectionRemoved);
    event.connection = connection->second;
    connections_.erase(connection);
    tell_(event);
}

void Follower::on_problems(const std::vector<std::string> &problems)
{
    const std::set<std::string> now(problems.begin(), problems.end());
    const std::set<std::string> before = std::exchange(problems_, now);
    const auto tell_those = [&](const std::set<std::string> &those, const std::set<std::string> &without,
                                Event::Kind kind) {
        for (const std::string &text : those) {
            if (without.contains(text))
                continue;
            Event event = make_event(kind);
            event.text = text;
            tell_(event);
        }
    };
    tell_those(before, now, Event::Kind::kProblemSolved);
    tell_those(now, before, Event::Kind::kProblem);
}

} // namespace mpt::cli
