// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/bus/context.hpp"
#include "daemon/bus/path_object.hpp"
#include "daemon/bus/properties.hpp"

#include <connection_adaptor.hpp>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

namespace mpt::bus {

// A connection on the bus, and its paths. It reads from its record, and must go before that one.
class ConnectionObject final : public sdbus::AdaptorInterfaces<org::mptd1::Connection_adaptor> {
public:
    // Both stay the caller's.
    ConnectionObject(const Context &context, const service::ConnectionRecord &record);
    ~ConnectionObject();

    void announce();
    void renounce();
    // Something may have changed here or in a path: tells what.
    void changed();
    void status_changed(std::size_t path, const core::StatusChange &change);

private:
    void Reload(sdbus::Result<std::vector<std::string>> &&result) override;
    void Restart(sdbus::Result<> &&result) override;
    void Save(sdbus::Result<bool> &&result) override;
    void Delete(sdbus::Result<> &&result) override;
    void Create(sdbus::Result<> &&result) override;
    std::tuple<std::map<std::string, std::uint64_t>, std::vector<std::map<std::string, std::uint64_t>>>
    GetStatistics() override;

    std::string Name() override { return record_.config.name; }
    std::string File() override;
    bool FilePresent() override;
    bool Unsaved() override;
    std::string CreatedBy() override;
    sdbus::ObjectPath Tunnel() override;
    std::uint8_t Permission() override;
    std::uint8_t IpVersion() override;
    std::string LocalAddress() override;
    std::string RemoteAddress() override;
    std::uint16_t LocalPort() override;
    std::uint16_t RemotePort() override;
    std::uint16_t RemoteControlPort() override;
    std::uint8_t Status() override;
    bool CopyDscp() override;
    bool ClampMss() override;
    std::uint16_t ReorderWindow() override;
    std::uint64_t MaxBufferDelay() override;
    std::uint8_t AuthType() override;
    bool HasKey() override;
    std::vector<sdbus::ObjectPath> Paths() override;
    std::vector<sdbus::Struct<std::string, std::string>> Networks() override;

    const config::ConnectionConfig &config() const { return record_.config; }
    Question question(Action action, const char *message) const;
    // Answers with what `work` returns for the file of the connection.
    template <typename Work, typename... Out>
    void answer_for_file(Question asked, sdbus::Result<Out...> &&result, Work work);

    const Context &context_;
    const service::ConnectionRecord &record_;
    std::vector<std::unique_ptr<PathObject>> paths_; // by number

    // Those that can change.
    static constexpr auto kProperties = std::tuple{Property{"FilePresent", &ConnectionObject::FilePresent},
                                                   Property{"Unsaved", &ConnectionObject::Unsaved},
                                                   Property{"CreatedBy", &ConnectionObject::CreatedBy},
                                                   Property{"Tunnel", &ConnectionObject::Tunnel},
                                                   Property{"Permission", &ConnectionObject::Permission},
                                                   Property{"IpVersion", &ConnectionObject::IpVersion},
                                                   Property{"LocalAddress", &ConnectionObject::LocalAddress},
                                                   Property{"RemoteAddress", &ConnectionObject::RemoteAddress},
                                                   Property{"LocalPort", &ConnectionObject::LocalPort},
                                                   Property{"RemotePort", &ConnectionObject::RemotePort},
                                                   Property{"RemoteControlPort", &ConnectionObject::RemoteControlPort},
                                                   Property{"Status", &ConnectionObject::Status},
                                                   Property{"ReorderWindow", &ConnectionObject::ReorderWindow},
                                                   Property{"CopyDscp", &ConnectionObject::CopyDscp},
                                                   Property{"ClampMss", &ConnectionObject::ClampMss},
                                                   Property{"MaxBufferDelay", &ConnectionObject::MaxBufferDelay},
                                                   Property{"AuthType", &ConnectionObject::AuthType},
                                                   Property{"HasKey", &ConnectionObject::HasKey},
                                                   Property{"Paths", &ConnectionObject::Paths},
                                                   Property{"Networks", &ConnectionObject::Networks}};
    Snapshot<std::remove_const_t<decltype(kProperties)>> snapshot_;
};

} // namespace mpt::bus
