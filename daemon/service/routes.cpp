// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/routes.hpp"

#include <algorithm>

namespace mpt::service {

namespace {

std::optional<base::Address> source_for(const config::NetworkConfig &network, const config::TunnelConfig &tunnel,
                                        std::span<const base::Prefix> addresses)
{
    const std::optional<base::Prefix> &of_tunnel =
        network.ip_ver == base::IpVersion::kV4 ? tunnel.ipv4_addr : tunnel.ipv6_addr;
    if (of_tunnel && network.src_addr.contains(of_tunnel->address))
        return of_tunnel->address;
    const auto own = std::find_if(addresses.begin(), addresses.end(), [&](const base::Prefix &address) {
        return network.src_addr.contains(address.address) && !address.address.is_link_local() &&
               !address.address.is_loopback();
    });
    if (own != addresses.end())
        return own->address;
    return of_tunnel ? std::optional(of_tunnel->address) : std::nullopt;
}

} // namespace

std::vector<TunnelRoute> tunnel_routes(const config::ConnectionConfig &connection, const config::TunnelConfig &tunnel,
                                       std::span<const base::Prefix> addresses)
{
    const base::Address &peer = *connection.ip_remote;
    std::vector<TunnelRoute> routes{{tunnel.name, {peer, static_cast<std::uint8_t>(peer.bits())}, connection.ip_local}};
    for (const config::NetworkConfig &network : connection.networks)
        if (network.dst_addr != routes.front().destination)
            routes.push_back({tunnel.name, network.dst_addr, source_for(network, tunnel, addresses)});
    return routes;
}

bool needs_forwarding(const config::NetworkConfig &network, std::span<const base::Prefix> addresses)
{
    const base::Prefix &source = network.src_addr;
    return source.length < source.address.bits() ||
           std::none_of(addresses.begin(), addresses.end(),
                        [&](const base::Prefix &own) { return own.address == source.address; });
}

} // namespace mpt::service
