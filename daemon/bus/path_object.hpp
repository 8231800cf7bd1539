// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/bus/context.hpp"
#include "daemon/bus/properties.hpp"

#include <path_adaptor.hpp>
#include <string>
#include <tuple>
#include <type_traits>

namespace mpt::bus {

// A path on the bus. It reads from the record of its connection, and must go before the record has no such path.
class PathObject final : public sdbus::AdaptorInterfaces<org::mptd1::Path_adaptor> {
public:
    // Both stay the caller's.
    PathObject(const Context &context, const service::ConnectionRecord &connection, std::size_t number);
    ~PathObject();

    void announce() { getObject().emitInterfacesAddedSignal(); }
    void renounce() { getObject().emitInterfacesRemovedSignal(); }
    // Something may have changed: tells what.
    void changed();
    void status_changed(const core::StatusChange &change);

private:
    void Up(sdbus::Result<> &&result) override;
    void Down(sdbus::Result<> &&result, bool force) override;
    void SetWeight(sdbus::Result<> &&result, std::uint16_t weight) override;
    void SetWeightIn(sdbus::Result<> &&result, std::uint16_t weight) override;

    std::uint32_t Number() override { return static_cast<std::uint32_t>(number_); }
    sdbus::ObjectPath Connection() override;
    std::string Interface() override;
    std::uint8_t IpVersion() override;
    std::string LocalAddress() override;
    std::string PublicAddress() override;
    std::uint16_t PublicPort() override;
    std::string PublicSource() override;
    std::string GatewayAddress() override;
    std::string RemoteAddress() override;
    std::uint16_t RemotePort() override;
    std::uint64_t RemoteLearned() override;
    std::uint64_t RemoteLearnedMonotonic() override;
    std::uint16_t WeightOut() override;
    std::uint16_t WeightIn() override;
    std::uint64_t KeepaliveTime() override;
    std::uint64_t DeadTime() override;
    bool CommandDefault() override;
    std::uint8_t Status() override;
    std::string StatusName() override;
    std::string StatusReason() override;
    std::uint64_t StatusSince() override;
    std::uint64_t StatusSinceMonotonic() override;
    bool HeldBack() override;
    bool Metered() override { return context_.manager.is_metered(config().interface_name); }
    std::string WaitsFor() override;

    const config::PathConfig &config() const { return connection_.config.paths[number_]; }
    const service::PathRecord &record() const { return connection_.paths[number_]; }
    service::PathState state() const { return context_.manager.path_state(connection_.config.name, number_); }

    Question question(const char *message) const;
    void set_up(sdbus::Result<> &&result, bool up, bool force);

    const Context &context_;
    const service::ConnectionRecord &connection_;
    const std::size_t number_;
    // The same moment on both clocks: what CLOCK_REALTIME said of it does not change when that clock is set.
    struct Moment {
        base::Instant monotonic{};
        std::uint64_t realtime = 0;
    };
    static std::uint64_t realtime_of(base::Instant instant, Moment &known);
    Moment since_;
    Moment learned_;

    // Those that can change.
    static constexpr auto kProperties =
        std::tuple{Property{"Interface", &PathObject::Interface},
                   Property{"IpVersion", &PathObject::IpVersion},
                   Property{"LocalAddress", &PathObject::LocalAddress},
                   Property{"PublicAddress", &PathObject::PublicAddress},
                   Property{"PublicPort", &PathObject::PublicPort},
                   Property{"PublicSource", &PathObject::PublicSource},
                   Property{"GatewayAddress", &PathObject::GatewayAddress},
                   Property{"RemoteAddress", &PathObject::RemoteAddress},
                   Property{"RemotePort", &PathObject::RemotePort},
                   Property{"RemoteLearned", &PathObject::RemoteLearned},
                   Property{"RemoteLearnedMonotonic", &PathObject::RemoteLearnedMonotonic},
                   Property{"WeightOut", &PathObject::WeightOut},
                   Property{"WeightIn", &PathObject::WeightIn},
                   Property{"KeepaliveTime", &PathObject::KeepaliveTime},
                   Property{"DeadTime", &PathObject::DeadTime},
                   Property{"CommandDefault", &PathObject::CommandDefault},
                   Property{"Status", &PathObject::Status},
                   Property{"StatusName", &PathObject::StatusName},
                   Property{"StatusReason", &PathObject::StatusReason},
                   Property{"StatusSince", &PathObject::StatusSince},
                   Property{"StatusSinceMonotonic", &PathObject::StatusSinceMonotonic},
                   Property{"Metered", &PathObject::Metered},
                   Property{"WaitsFor", &PathObject::WaitsFor}};
    Snapshot<std::remove_const_t<decltype(kProperties)>> snapshot_;
};

} // namespace mpt::bus
