// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/drop_reason.hpp"

namespace mpt::proto {

std::string_view to_string(DropReason reason) noexcept
{
    switch (reason) {
    case DropReason::kTruncated:
        return "truncated GRE header";
    case DropReason::kUnknownFlags:
        return "unknown GRE flags";
    case DropReason::kUnknownVersion:
        return "unknown GRE version";
    case DropReason::kUnknownProtocol:
        return "unknown GRE protocol type";
    case DropReason::kTooShort:
        return "payload too short";
    case DropReason::kInnerVersion:
        return "wrong inner IP version";
    case DropReason::kInnerHeader:
        return "bad inner IP header";
    case DropReason::kInnerLength:
        return "wrong inner IP length";
    case DropReason::kUnknownCommand:
        return "unknown control message";
    case DropReason::kBadKeepalive:
        return "bad keepalive";
    case DropReason::kWeakKeepalive:
        return "keepalive without MAC";
    case DropReason::kWrongMac:
        return "wrong MAC";
    case DropReason::kNotFresh:
        return "keepalive not fresh";
    }
    return "unknown";
}

} // namespace mpt::proto
