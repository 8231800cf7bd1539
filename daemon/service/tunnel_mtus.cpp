// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/tunnel_mtus.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace mpt::service {

namespace {

// While no path is known: what fits Ethernet, whatever the version of the paths.
constexpr std::uint32_t kUnknownMtu = 1500 - core::tunnel_overhead(base::IpVersion::kV6);

// Inner packets to a host with the deployed release: its receive buffer holds 1600 octets with the GRE header.
constexpr std::uint32_t kDeployedMtu = 1592;

base::IpVersion version_of(const PathRecord &path)
{
    return path.parameters.remote.address.version();
}

bool has_ipv6(const config::TunnelConfig &tunnel, const ConnectionRecord &connection)
{
    return tunnel.ipv6_addr ||
           std::any_of(connection.config.networks.begin(), connection.config.networks.end(),
                       [](const config::NetworkConfig &network) { return network.ip_ver == base::IpVersion::kV6; });
}

} // namespace

TunnelMtu TunnelMtus::of(const config::TunnelConfig &tunnel) const
{
    if (!tunnel.has_auto_mtu())
        return {tunnel.mtu, {}, tunnel.mtu, 0};
    const auto found = states_.find(tunnel.name);
    return found != states_.end() ? found->second.now
                                  : TunnelMtu{kUnknownMtu, "no path is known yet", kUnknownMtu, config::kMinMtuV6};
}

std::uint32_t TunnelMtus::path_mtu(const ConnectionRecord &connection, std::size_t path) const
{
    const PathRecord &at = connection.paths[path];
    const std::uint32_t interface = network_.interface_mtu(at.parameters.interface).value_or(0);
    if (interface == 0 || !at.waits_for.empty())
        return interface;
    return std::min(interface, plane_.path_mtu(connection.config.name, path).value_or(interface));
}

TunnelMtus::Room TunnelMtus::survey(const config::TunnelConfig &tunnel, Connections connections) const
{
    Room room{
        config::kMaxMtu, "no packet can be larger", 0, tunnel.ipv6_addr ? config::kMinMtuV6 : config::kMinMtu, {}};
    const auto limit = [&room](std::uint32_t octets, auto &&reason) {
        if (octets >= room.octets)
            return;
        room.octets = octets;
        room.reason = reason();
    };
    bool is_known = false;
    for (const auto &record : connections) {
        if (record->tunnel != tunnel.name)
            continue;
        if (has_ipv6(tunnel, *record))
            room.least = config::kMinMtuV6;
        const std::string &name = record->config.name;
        if (record->config.auth_type != config::AuthType::kHmacSha256)
            limit(kDeployedMtu, [&] { return fmt::format("the peer of {} may take no more", name); });
        for (std::size_t path = 0; path < record->paths.size(); ++path) {
            const std::uint32_t mtu = path_mtu(*record, path);
            room.paths.push_back(core::inner_mtu(version_of(record->paths[path]), mtu));
            if (mtu == 0)
                continue;
            is_known = true;
            const std::string &interface = record->paths[path].parameters.interface;
            const std::uint32_t largest = network_.interface_mtu(interface).value_or(mtu);
            room.largest_packet = std::max<std::size_t>(room.largest_packet, largest);
            limit(room.paths.back(), [&] {
                return fmt::format("{}, path {} ({}): {} MTU {}", name, path, interface,
                                   mtu < largest ? "path" : "interface", mtu);
            });
        }
    }
    if (!is_known)
        limit(kUnknownMtu, [] { return "no path is known yet"; });
    if (room.octets < room.least) {
        room.octets = room.least;
        room.reason = fmt::format("the tunnel needs {}; {}", room.least, room.reason);
    }
    return room;
}

std::set<std::string> TunnelMtus::follow(base::Instant now, std::span<const config::TunnelConfig> tunnels,
                                         Connections connections, Notices &notices)
{
    std::set<std::string> changed;
    for (const config::TunnelConfig &tunnel : tunnels) {
        Room room;
        if (tunnel.has_auto_mtu()) {
            State &state = states_[tunnel.name];
            room = survey(tunnel, connections);
            if (state.mtu.mtu() == 0)
                resume(tunnel, room, state);
            const TunnelMtu before = state.now;
            const bool is_other = state.mtu.update(now, room.octets);
            state.now.mtu = state.mtu.mtu();
            state.now.least = room.least;
            state.now.largest_packet = std::max<std::size_t>(state.now.mtu, room.largest_packet);
            if (is_other || room.octets == state.now.mtu)
                state.now.reason = room.reason;
            if (state.now != before)
                changed.insert(tunnel.name);
            set(tunnel, state, notices);
        }
        // What is too large for a path is refused there, and its sender told, instead of being sent in fragments
        // (RFC 8086 section 4.1), unless the tunnel may not get so small, or the administrator wants it larger.
        const std::uint32_t mtu = of(tunnel).mtu;
        std::size_t number = 0;
        for (const auto &record : connections) {
            if (record->tunnel != tunnel.name)
                continue;
            for (std::size_t path = 0; path < record->paths.size(); ++path) {
                const bool fragments = !tunnel.has_auto_mtu() || room.paths[number++] < mtu;
                if (record->paths[path].waits_for.empty())
                    plane_.set_fragmentation(record->config.name, path, fragments);
            }
        }
    }
    return changed;
}

// An interface that has outlived a restart has what was found then, and probes may have to find it again. One that is
// new has not been heard of yet.
void TunnelMtus::resume(const config::TunnelConfig &tunnel, const Room &room, State &state) const
{
    const std::uint32_t kept = network_.interface_mtu(tunnel.name).value_or(0);
    if (kept < room.least || kept >= room.octets)
        return;
    state.mtu.resume(kept);
    state.now.reason = "as before the restart";
    state.set = kept;
}

void TunnelMtus::set(const config::TunnelConfig &tunnel, State &state, Notices &notices)
{
    if (state.set == state.now.mtu)
        return;
    if (auto set = network_.set_mtu(tunnel.name, state.now.mtu); !set) {
        if (state.failure != set.error().text)
            notices.push_back({Notice::Level::kError, set.error().text});
        state.failure = set.error().text;
        return; // with the next call
    }
    state.set = state.now.mtu;
    state.failure.clear();
    notices.push_back(
        {Notice::Level::kInfo, fmt::format("tunnel {}: MTU {} ({})", tunnel.name, state.now.mtu, state.now.reason)});
}

} // namespace mpt::service
