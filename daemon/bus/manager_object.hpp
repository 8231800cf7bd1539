// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/bus/context.hpp"
#include "daemon/bus/properties.hpp"

#include <manager_adaptor.hpp>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

namespace mpt::bus {

// The root object: what concerns the service as a whole.
class ManagerObject final : public sdbus::AdaptorInterfaces<org::mptd1::Manager_adaptor, sdbus::ObjectManager_adaptor> {
public:
    // `context` stays the caller's.
    explicit ManagerObject(const Context &context);
    ~ManagerObject();

    // Something may have changed: tells what.
    void changed();

private:
    void Reload(sdbus::Result<std::vector<std::string>> &&result, std::string file) override;
    void Restart(sdbus::Result<> &&result, std::string file) override;
    void Save(sdbus::Result<std::vector<std::string>> &&result, std::string file) override;
    void Delete(sdbus::Result<> &&result, std::string file) override;
    void Create(sdbus::Result<> &&result, std::string file) override;
    void AddAddress(sdbus::Result<> &&result, std::string address, std::string interface) override;
    void RemoveAddress(sdbus::Result<> &&result, std::string address, std::string interface) override;
    void SetInterface(sdbus::Result<> &&result, std::string interface, bool up) override;
    void SetMetered(sdbus::Result<> &&result, std::string interface, bool metered) override;

    std::string Version() override { return context_.identity.version; }
    std::string ConfigDirectory() override;
    std::uint16_t ControlPort() override { return context_.manager.interface().cmdport_local; }
    bool AcceptRemote() override { return context_.manager.interface().accept_remote; }
    std::uint64_t CommandTimeout() override;
    std::uint32_t Workers() override { return context_.manager.interface().workers; }
    std::vector<std::string> StunServers() override;
    std::vector<sdbus::ObjectPath> Tunnels() override;
    std::vector<sdbus::ObjectPath> Connections() override;
    std::vector<std::string> Problems() override;

    const Context &context_;

    // Those that can change.
    static constexpr auto kProperties = std::tuple{Property{"AcceptRemote", &ManagerObject::AcceptRemote},
                                                   Property{"CommandTimeout", &ManagerObject::CommandTimeout},
                                                   Property{"StunServers", &ManagerObject::StunServers},
                                                   Property{"Connections", &ManagerObject::Connections},
                                                   Property{"Problems", &ManagerObject::Problems}};
    Snapshot<std::remove_const_t<decltype(kProperties)>> snapshot_;
};

} // namespace mpt::bus
