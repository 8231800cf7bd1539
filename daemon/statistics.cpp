// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/statistics.hpp"

#include "daemon/plane/connection.hpp"
#include "daemon/plane/tunnel.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <functional>

namespace mpt {

namespace {

const char *status_name(core::PathStatus status)
{
    switch (status) {
    case core::PathStatus::kUp:
        return "up";
    case core::PathStatus::kDead:
        return "dead";
    case core::PathStatus::kInterfaceDown:
        return "interface-down";
    case core::PathStatus::kAddressMissing:
        return "address-missing";
    case core::PathStatus::kSetDown:
        return "set-down";
    case core::PathStatus::kDisabled:
        return "disabled";
    }
    return "unknown";
}

// " drop_no_path=3 ..." of all reasons that have occurred.
std::string drops(const plane::DropCounters &counters)
{
    std::string text;
    counters.visit([&](std::string_view reason, std::uint64_t count) {
        std::string key(reason);
        std::replace(key.begin(), key.end(), ' ', '_');
        if (count > 0)
            text += fmt::format(" drop_{}={}", key, count);
    });
    return text;
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

std::string path_line(const std::string &connection, std::size_t number, const plane::Path &path)
{
    const plane::PathCounters &counters = path.counters;
    return fmt::format("statistics connection={} path={} status={} packets_out={} octets_out={} packets_in={} "
                       "octets_in={} keepalives_out={} keepalives_in={} status_changes={} held_back={}{}\n",
                       connection, number, status_name(path.status), counters.packets_out.get(),
                       counters.octets_out.get(), counters.packets_in.get(), counters.octets_in.get(),
                       counters.keepalives_out.get(), counters.keepalives_in.get(), path.changes.get(),
                       path.held_back ? 1 : 0, drops(counters.drops));
}

std::string connection_lines(const plane::ConnectionEntry &entry)
{
    const std::string &name = entry.parameters.name;
    const plane::Connection &connection = *entry.connection;
    const plane::PublishedReorderCounters &reorder = connection.reorder_counters;
    std::uint64_t packets_out = 0;
    std::uint64_t octets_out = 0;
    std::uint64_t packets_in = 0;
    std::uint64_t octets_in = 0;
    std::string paths;
    for (std::size_t i = 0; i < entry.parameters.paths.size(); ++i) {
        const plane::PathCounters &counters = connection.paths[i].counters;
        packets_out += counters.packets_out.get();
        octets_out += counters.octets_out.get();
        packets_in += counters.packets_in.get();
        octets_in += counters.octets_in.get();
        paths += path_line(name, i, connection.paths[i]);
    }
    return fmt::format("statistics connection={} packets_out={} octets_out={} packets_in={} octets_in={} delivered={} "
                       "reordered={} late={} duplicate={} far={} too_large={} lost={} unnumbered={} restarts={} "
                       "jumps={} held={} held_max={}{}\n{}",
                       name, packets_out, octets_out, packets_in, octets_in, reorder.delivered.get(),
                       reorder.reordered.get(), reorder.late.get(), reorder.duplicate.get(), reorder.far.get(),
                       reorder.too_large.get(), reorder.lost.get(), reorder.unnumbered.get(), reorder.restarts.get(),
                       reorder.jumps.get(), reorder.held_now.get(), reorder.held_max.get(), drops(connection.drops),
                       paths);
}

} // namespace

std::string statistics(const plane::Plane &plane)
{
    std::string text;
    plane.visit_tunnels([&](const plane::Tunnel &tunnel) {
        text += fmt::format("statistics tunnel={}{}\n", tunnel.tun.name(), drops(tunnel.drops));
    });
    plane.visit_connections([&](const plane::ConnectionEntry &entry) { text += connection_lines(entry); });
    plane.visit_sockets([&](const std::string &name, const plane::UdpSocket &socket) {
        text += fmt::format("statistics socket={}{}\n", name, drops(socket.drops));
    });
    return text + "statistics end\n";
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
