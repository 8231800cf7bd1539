// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/bus/context.hpp"
#include "daemon/bus/properties.hpp"

#include <map>
#include <string>
#include <tunnel_adaptor.hpp>
#include <tuple>
#include <type_traits>
#include <vector>

namespace mpt::bus {

// A tunnel interface on the bus; it lasts as long as the program.
class TunnelObject final : public sdbus::AdaptorInterfaces<org::mptd1::Tunnel_adaptor> {
public:
    // `context` stays the caller's.
    TunnelObject(const Context &context, const config::TunnelConfig &tunnel);
    ~TunnelObject();

    // Something may have changed: says what.
    void changed();

private:
    std::map<std::string, std::uint64_t> GetStatistics() override;
    std::string Name() override { return tunnel_.name; }
    std::uint32_t Mtu() override { return context_.manager.tunnel_mtu(tunnel_).mtu; }
    std::string MtuReason() override { return context_.manager.tunnel_mtu(tunnel_).reason; }
    std::vector<std::string> Addresses() override;

    const Context &context_;
    const config::TunnelConfig tunnel_;

    // Those that can change.
    static constexpr auto kProperties =
        std::tuple{Property{"Mtu", &TunnelObject::Mtu}, Property{"MtuReason", &TunnelObject::MtuReason}};
    Snapshot<std::remove_const_t<decltype(kProperties)>> snapshot_;
};

} // namespace mpt::bus
