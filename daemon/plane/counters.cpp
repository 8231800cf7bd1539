// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/counters.hpp"

namespace mpt::plane {

std::string_view to_string(Drop drop) noexcept
{
    switch (drop) {
    case Drop::kNoConnection:
        return "no connection";
    case Drop::kNoPath:
        return "no path";
    case Drop::kMalformed:
        return "malformed";
    case Drop::kSendBuffer:
        return "send buffer";
    case Drop::kSendError:
        return "send error";
    case Drop::kWrongSource:
        return "wrong source";
    case Drop::kWrongTunnel:
        return "wrong tunnel";
    case Drop::kCongestion:
        return "congestion";
    case Drop::kSpoofed:
        return "spoofed source";
    case Drop::kStunFlood:
        return "STUN flood";
    case Drop::kTunWrite:
        return "tun write";
    case Drop::kTooBig:
        return "too big";
    case Drop::kRateLimit:
        return "rate limit";
    }
    return "unknown";
}

} // namespace mpt::plane
