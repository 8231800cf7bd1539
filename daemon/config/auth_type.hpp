// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

namespace mpt::config {

// How control messages are authenticated (guide Table 3), and with kHmacSha256, which the guide does not have,
// keepalives too. A greater one is the stronger one.
enum class AuthType : std::uint8_t { kNone = 0, kRandom = 1, kSha256 = 2, kHmacSha256 = 3 };
inline constexpr AuthType kLastAuthType = AuthType::kHmacSha256;

// Whether a connection of the type cannot be without a key.
constexpr bool needs_key(AuthType type) noexcept
{
    return type >= AuthType::kSha256;
}

} // namespace mpt::config
