// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/time.hpp"

#include <cstdint>
#include <optional>

namespace mpt::core {

// Octets that a packet of the tunnel gets on a path of this version: IP, UDP (8) and GRE with its number (8).
constexpr std::uint32_t tunnel_overhead(base::IpVersion version) noexcept
{
    return (version == base::IpVersion::kV4 ? 20 : 40) + 8 + 8;
}

// The largest packet of the tunnel that a path carries in one piece.
constexpr std::uint32_t inner_mtu(base::IpVersion version, std::uint32_t path_mtu) noexcept
{
    return path_mtu > tunnel_overhead(version) ? path_mtu - tunnel_overhead(version) : 0;
}

// The MTU of a tunnel that follows its paths: down at once, up only when nothing has spoken against it for a while, so
// that what comes and goes does not change the packets of everybody each time.
class AutoMtu {
public:
    static constexpr base::Duration kHold = std::chrono::seconds(10);

    // What it was in an earlier life, so that it goes up from there only when there has been room for a while.
    void resume(std::uint32_t mtu) noexcept { mtu_ = mtu; }
    // The paths have room for packets of `room` octets. The first time, and when that is less than mtu(), it takes
    // effect. True if mtu() has changed.
    bool update(base::Instant now, std::uint32_t room) noexcept;

    // 0 before the first update() or resume().
    std::uint32_t mtu() const noexcept { return mtu_; }

private:
    std::uint32_t mtu_ = 0;
    // Since there has been room for more than mtu_, and the least that there has been room for since.
    std::optional<base::Instant> since_;
    std::uint32_t least_ = 0;
};

} // namespace mpt::core
