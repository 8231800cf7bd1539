// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/bus/context.hpp"

#include <map>
#include <string>
#include <tunnel_adaptor.hpp>
#include <vector>

namespace mpt::bus {

// A tunnel interface on the bus; it lasts as long as the program.
class TunnelObject final : public sdbus::AdaptorInterfaces<org::mptd1::Tunnel_adaptor> {
public:
    // `context` stays the caller's.
    TunnelObject(const Context &context, const config::TunnelConfig &tunnel);
    ~TunnelObject();

private:
    std::map<std::string, std::uint64_t> GetStatistics() override;
    std::string Name() override { return tunnel_.name; }
    std::uint32_t Mtu() override { return tunnel_.mtu; }
    std::vector<std::string> Addresses() override;

    const Context &context_;
    const config::TunnelConfig tunnel_;
};

} // namespace mpt::bus
