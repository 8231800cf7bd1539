// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/records.hpp"

#include <fmt/format.h>

namespace mpt::service {

namespace {

struct Wording {
    std::string_view name;  // for programs
    std::string_view words; // for people
};

Wording wording_of(core::PathStatus status) noexcept
{
    switch (status) {
    case core::PathStatus::kUp:
        return {"up", "up"};
    case core::PathStatus::kDead:
        return {"dead", "dead"};
    case core::PathStatus::kInterfaceDown:
        return {"interface-down", "down: its interface is down"};
    case core::PathStatus::kAddressMissing:
        return {"address-missing", "down: its address is missing"};
    case core::PathStatus::kSetDown:
        return {"set-down", "set down"};
    case core::PathStatus::kDisabled:
        return {"disabled", "disabled"};
    }
    return {"unknown", "unknown"};
}

Wording wording_of(core::StatusReason reason) noexcept
{
    switch (reason) {
    case core::StatusReason::kStart:
        return {"start", ""};
    case core::StatusReason::kKeepalive:
        return {"keepalive", "a keepalive came"};
    case core::StatusReason::kKeepalivesMissed:
        return {"keepalives-missed", "no keepalive came in its dead time"};
    case core::StatusReason::kByHand:
        return {"by-hand", "by hand"};
    case core::StatusReason::kByPeer:
        return {"by-peer", "told by the peer"};
    case core::StatusReason::kInterface:
        return {"interface", ""};
    case core::StatusReason::kAddress:
        return {"address", ""};
    case core::StatusReason::kSocket:
        return {"socket", ""};
    case core::StatusReason::kSettings:
        return {"settings", ""};
    }
    return {"unknown", ""};
}

} // namespace

proto::ControlKey key_of(const config::ConnectionConfig &config)
{
    const auto key = proto::ControlKey::parse(config.key());
    return key && config::needs_key(config.auth_type) ? *key : proto::ControlKey();
}

std::string path_title(const ConnectionRecord &record, std::size_t path)
{
    return fmt::format("connection {}, path {} ({})", record.config.name, path,
                       record.paths[path].parameters.interface);
}

std::string_view name_of(core::PathStatus status) noexcept
{
    return wording_of(status).name;
}

std::string_view name_of(core::StatusReason reason) noexcept
{
    return wording_of(reason).name;
}

std::string_view name_of(PublicSource source) noexcept
{
    switch (source) {
    case PublicSource::kConfigured:
        return "configured";
    case PublicSource::kStun:
        return "stun";
    case PublicSource::kPeer:
        return "peer";
    case PublicSource::kPrivate:
        return "private";
    }
    return "unknown";
}

PublicAddress public_address(const ConnectionRecord &record, std::size_t path)
{
    const base::Address &configured = record.config.paths[path].public_ipaddr;
    const PathRecord &at = record.paths[path];
    if (!configured.is_unspecified())
        return {{configured, at.parameters.local.port}, PublicSource::kConfigured};
    if (at.found)
        return {*at.found, PublicSource::kStun};
    if (at.observed.port != 0 && at.observed.address.version() == record.config.paths[path].ip_ver &&
        at.observed.address.is_unicast())
        return {at.observed, PublicSource::kPeer};
    const base::Address &own =
        at.parameters.local.address.is_unspecified() ? at.last_local : at.parameters.local.address;
    return {{own, own.is_unspecified() ? std::uint16_t{0} : at.parameters.local.port}, PublicSource::kPrivate};
}

std::string words_of(const core::StatusChange &change)
{
    const std::string_view reason = wording_of(change.reason).words;
    return std::string(wording_of(change.to).words) + (reason.empty() ? "" : fmt::format(" ({})", reason));
}

} // namespace mpt::service
