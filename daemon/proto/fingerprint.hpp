// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"

#include <cstdint>
#include <initializer_list>
#include <optional>

namespace mpt::proto {

// The first 64 bits of the SHA-256 of the fields, each behind its length: two lists differ in it even if somebody has
// chosen one to look like the other. Nothing if OpenSSL fails.
std::optional<std::uint64_t> fingerprint(std::initializer_list<base::ConstOctets> fields) noexcept;

} // namespace mpt::proto
