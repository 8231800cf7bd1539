// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

namespace mpt::config {

// How control messages are authenticated (guide Table 3).
enum class AuthType : std::uint8_t { kNone = 0, kRandom = 1, kSha256 = 2 };
inline constexpr AuthType kLastAuthType = AuthType::kSha256;

} // namespace mpt::config
