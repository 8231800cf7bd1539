// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/bus/tunnel_object.hpp"

#include "daemon/bus/counters.hpp"
#include "daemon/bus/paths.hpp"

namespace mpt::bus {

TunnelObject::TunnelObject(const Context &context, const config::TunnelConfig &tunnel)
    : AdaptorInterfaces(context.connection, tunnel_path(tunnel.name)), context_(context), tunnel_(tunnel),
      snapshot_(*this, kProperties)
{
    registerAdaptor();
}

TunnelObject::~TunnelObject()
{
    unregisterAdaptor();
}

void TunnelObject::changed()
{
    if (const auto names = snapshot_.changes(); !names.empty())
        getObject().emitPropertiesChangedSignal(org::mptd1::Tunnel_adaptor::INTERFACE_NAME, names);
}

std::map<std::string, std::uint64_t> TunnelObject::GetStatistics()
{
    return map_of(context_.manager.tunnel_statistics(tunnel_.name));
}

std::vector<std::string> TunnelObject::Addresses()
{
    std::vector<std::string> addresses;
    for (const auto &address : {tunnel_.ipv4_addr, tunnel_.ipv6_addr})
        if (address)
            addresses.push_back(address->to_string());
    return addresses;
}

} // namespace mpt::bus
