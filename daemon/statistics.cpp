// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/statistics.hpp"

#include "daemon/plane/connection.hpp"
#include "daemon/plane/tunnel.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <functional>

namespace mpt {

namespace {

// Adds drop_REASON if it has occurred.
void add_drop(service::Counters &to, std::string_view reason, std::uint64_t count)
{
    std::string name = fmt::format("drop_{}", reason);
    std::replace(name.begin(), name.end(), ' ', '_');
    if (count > 0)
        to.push_back({std::move(name), count});
}

void add_drops(service::Counters &to, const plane::DropCounters &counters)
{
    counters.visit([&](std::string_view reason, std::uint64_t count) { add_drop(to, reason, count); });
}

service::Counters counters_of(const plane::Path &path)
{
    const plane::PathCounters &counters = path.counters;
    service::Counters all{
        {"packets_out", counters.packets_out.get()},
        {"octets_out", counters.octets_out.get()},
        {"packets_in", counters.packets_in.get()},
        {"octets_in", counters.octets_in.get()},
        {"keepalives_out", counters.keepalives_out.get()},
        {"keepalives_in", counters.keepalives_in.get()},
        {"last_keepalive_usec", base::microseconds(path.last_keepalive)},
        {"status_changes", path.changes.get()},
        {"status_since_usec", base::microseconds(path.since)},
        {"held_back", path.held_back ? 1U : 0U},
    };
    add_drops(all, counters.drops);
    return all;
}

// What keepalives of authentication type 3 have shown of a path.
void add_measure(service::Counters &to, const plane::PublishedMeasure &measure)
{
    to.push_back({"round_trip_us", measure.rtt.get()});
    to.push_back({"round_trip_variation_us", measure.rtt_variation.get()});
    to.push_back({"expected_in", measure.expected.get()});
    to.push_back({"lost_in", measure.lost_in.get()});
    to.push_back({"lost_out", measure.lost_out.get()});
}

// " name=value ..."
std::string to_text(const service::Counters &counters)
{
    std::string text;
    for (const service::Counter &counter : counters)
        text += fmt::format(" {}={}", counter.name, counter.value);
    return text;
}

std::string drops(const plane::DropCounters &counters)
{
    service::Counters all;
    add_drops(all, counters);
    return to_text(all);
}

using DropVisitor = std::function<void(const std::string &what, const plane::DropCounters &)>;

// Everything that drops packets, by its name for people.
void visit_drops(const plane::Plane &plane, const DropVisitor &visit)
{
    plane.visit_tunnels(
        [&](const plane::Tunnel &tunnel) { visit(fmt::format("tunnel {}", tunnel.tun.name()), tunnel.drops); });
    plane.visit_connections([&](const plane::ConnectionEntry &entry) {
        const core::ConnectionParameters &parameters = entry.parameters;
        visit(fmt::format("connection {}", parameters.name), entry.connection->drops);
        for (std::size_t i = 0; i < parameters.paths.size(); ++i)
            visit(fmt::format("connection {}, path {} ({})", parameters.name, i, parameters.paths[i].interface),
                  entry.connection->paths[i].counters.drops);
    });
    plane.visit_sockets([&](const std::string &name, const plane::UdpSocket &socket) {
        visit(fmt::format("UDP {}", name), socket.drops);
    });
}

} // namespace

service::ConnectionStatistics statistics_of(const plane::ConnectionEntry &entry)
{
    const plane::Connection &connection = *entry.connection;
    const plane::PublishedReorderCounters &reorder = connection.reorder_counters;
    std::uint64_t packets_out = 0;
    std::uint64_t octets_out = 0;
    std::uint64_t packets_in = 0;
    std::uint64_t octets_in = 0;
    service::ConnectionStatistics all;
    for (std::size_t i = 0; i < entry.parameters.paths.size(); ++i) {
        const plane::PathCounters &counters = connection.paths[i].counters;
        packets_out += counters.packets_out.get();
        octets_out += counters.octets_out.get();
        packets_in += counters.packets_in.get();
        octets_in += counters.octets_in.get();
        all.paths.push_back(counters_of(connection.paths[i]));
        if (entry.parameters.keepalive_key)
            add_measure(all.paths.back(), connection.paths[i].measure);
    }
    all.connection = {
        {"packets_out", packets_out},
        {"octets_out", octets_out},
        {"packets_in", packets_in},
        {"octets_in", octets_in},
        {"delivered", reorder.delivered.get()},
        {"reordered", reorder.reordered.get()},
        {"late", reorder.late.get()},
        {"duplicate", reorder.duplicate.get()},
        {"far", reorder.far.get()},
        {"too_large", reorder.too_large.get()},
        {"lost", reorder.lost.get()},
        {"unnumbered", reorder.unnumbered.get()},
        {"restarts", reorder.restarts.get()},
        {"jumps", reorder.jumps.get()},
        {"held", reorder.held_now.get()},
        {"held_max", reorder.held_max.get()},
    };
    add_drops(all.connection, connection.drops);
    return all;
}

service::Counters statistics_of(const plane::Tunnel &tunnel)
{
    service::Counters all;
    add_drops(all, tunnel.drops);
    return all;
}

namespace {

std::string connection_lines(const plane::ConnectionEntry &entry)
{
    const std::string &name = entry.parameters.name;
    const service::ConnectionStatistics all = statistics_of(entry);
    std::string text = fmt::format("statistics connection={}{}\n", name, to_text(all.connection));
    for (std::size_t i = 0; i < all.paths.size(); ++i)
        text += fmt::format("statistics connection={} path={} status={}{}\n", name, i,
                            service::name_of(entry.connection->paths[i].status), to_text(all.paths[i]));
    return text;
}

} // namespace

std::string statistics(const plane::Plane &plane, const service::Peers &peers)
{
    std::string text;
    plane.visit_tunnels([&](const plane::Tunnel &tunnel) {
        text += fmt::format("statistics tunnel={}{}\n", tunnel.tun.name(), drops(tunnel.drops));
    });
    plane.visit_connections([&](const plane::ConnectionEntry &entry) { text += connection_lines(entry); });
    plane.visit_sockets([&](const std::string &name, const plane::UdpSocket &socket) {
        text += fmt::format("statistics socket={}{}\n", name, drops(socket.drops));
    });
    service::Counters control;
    for (std::size_t i = 0; i < peers.drops().size(); ++i)
        add_drop(control, proto::to_string(static_cast<proto::ControlDrop>(i)), peers.drops()[i]);
    return text + fmt::format("statistics control{}\nstatistics end\n", to_text(control));
}

std::vector<std::string> DropReport::update(const plane::Plane &plane)
{
    std::vector<std::string> lines;
    visit_drops(plane, [&](const std::string &what, const plane::DropCounters &counters) {
        std::string list;
        counters.visit([&](std::string_view reason, std::uint64_t count) {
            std::uint64_t &last = last_[fmt::format("{}: {}", what, reason)];
            if (count > last)
                list += fmt::format("{}{} ({})", list.empty() ? "" : ", ", count - last, reason);
            last = count;
        });
        if (!list.empty())
            lines.push_back(fmt::format("{}: dropped since the last report: {}", what, list));
    });
    return lines;
}

} // namespace mpt
