// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>

// Loads and stores in the machine's own byte order, wherever they are: for what is compared, summed or put back as it
// was. The caller vouches that what is loaded or stored is there.
namespace mpt::proto {

template <typename T> T load_native(const std::byte *from) noexcept
{
    T value{};
    std::memcpy(&value, from, sizeof value);
    return value;
}

template <typename T> void store_native(std::byte *to, T value) noexcept
{
    std::memcpy(to, &value, sizeof value);
}

inline std::uint8_t octet(base::ConstOctets octets, std::size_t at) noexcept
{
    return std::to_integer<std::uint8_t>(octets[at]);
}

} // namespace mpt::proto
