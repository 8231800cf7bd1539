// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>

namespace mpt::base {

// Distance from `from` to `to` in serial-number arithmetic (RFC 1982, 32 bits): positive if `to` is ahead.
constexpr std::int32_t sequence_distance(std::uint32_t from, std::uint32_t to) noexcept
{
    return static_cast<std::int32_t>(to - from);
}

// True if `a` comes before `b`, across the wrap at 2^32.
constexpr bool sequence_before(std::uint32_t a, std::uint32_t b) noexcept
{
    return sequence_distance(a, b) > 0;
}

} // namespace mpt::base
