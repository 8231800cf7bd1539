// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"

#include <cstdint>
#include <initializer_list>
#include <optional>

namespace mpt::proto {

// Tells what has these fields from what has others, though somebody may have chosen them for it not to: the first 64
// bits of the SHA-256 of the fields, each behind its length. Nothing if OpenSSL cannot do it.
std::optional<std::uint64_t> fingerprint(std::initializer_list<base::ConstOctets> fields) noexcept;

} // namespace mpt::proto
