// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/config/interface.hpp"
#include "daemon/core/auto_mtu.hpp"
#include "daemon/service/needs.hpp"
#include "daemon/service/records.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace mpt::service {

// The MTU that a tunnel has now.
struct TunnelMtu {
    std::uint32_t mtu = 0;          // octets of an inner packet
    std::string reason;             // of one that follows the paths, in words; empty where the file says a number
    std::size_t largest_packet = 0; // that the peers may send here, as far as is known
    std::uint32_t least = 0;        // of one that follows the paths: it does not get smaller

    friend bool operator==(const TunnelMtu &, const TunnelMtu &) = default;
};

// The MTUs of the tunnels, where the file says "auto" those of their paths.
class TunnelMtus {
public:
    using Connections = std::span<const std::unique_ptr<ConnectionRecord>>;

    // Both stay the caller's.
    TunnelMtus(Network &network, DataPlane &plane) : network_(network), plane_(plane) {}

    TunnelMtu of(const config::TunnelConfig &tunnel) const;

    // Looks at the paths again. Tells the kernel, and in `notices`, what is not as it was; returns the names of those
    // tunnels.
    std::set<std::string> follow(base::Instant now, std::span<const config::TunnelConfig> tunnels,
                                 Connections connections, Notices &notices);

private:
    struct State {
        core::AutoMtu mtu;
        TunnelMtu now;
        std::uint32_t set = 0; // that the interface was given
        std::string failure;   // of the last attempt
    };
    // How large the packets of a tunnel may be, and why no larger.
    struct Room {
        std::uint32_t octets = 0;
        std::string reason;
        std::size_t largest_packet = 0;
        std::uint32_t least = 0;
        std::vector<std::uint32_t> paths; // for each of all connections on the tunnel; 0: not known
    };
    Room survey(const config::TunnelConfig &tunnel, Connections connections) const;
    // The MTU of a path; 0 if its interface is not there.
    std::uint32_t path_mtu(const ConnectionRecord &connection, std::size_t path) const;
    void resume(const config::TunnelConfig &tunnel, const Room &room, State &state) const;
    void set(const config::TunnelConfig &tunnel, State &state, Notices &notices);

    Network &network_;
    DataPlane &plane_;
    std::map<std::string, State> states_; // by tunnel, of those that follow their paths
};

} // namespace mpt::service
