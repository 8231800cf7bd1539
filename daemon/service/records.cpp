// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/records.hpp"

namespace mpt::service {

std::string_view name_of(core::PathStatus status) noexcept
{
    switch (status) {
    case core::PathStatus::kUp:
        return "up";
    case core::PathStatus::kDead:
        return "dead";
    case core::PathStatus::kInterfaceDown:
        return "interface-down";
    case core::PathStatus::kAddressMissing:
        return "address-missing";
    case core::PathStatus::kSetDown:
        return "set-down";
    case core::PathStatus::kDisabled:
        return "disabled";
    }
    return "unknown";
}

std::string_view name_of(core::StatusReason reason) noexcept
{
    switch (reason) {
    case core::StatusReason::kStart:
        return "start";
    case core::StatusReason::kKeepalive:
        return "keepalive";
    case core::StatusReason::kKeepalivesMissed:
        return "keepalives-missed";
    case core::StatusReason::kByHand:
        return "by-hand";
    case core::StatusReason::kByPeer:
        return "by-peer";
    case core::StatusReason::kInterface:
        return "interface";
    case core::StatusReason::kAddress:
        return "address";
    case core::StatusReason::kSocket:
        return "socket";
    case core::StatusReason::kSettings:
        return "settings";
    }
    return "unknown";
}

} // namespace mpt::service
