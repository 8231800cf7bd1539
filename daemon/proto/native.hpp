// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstring>

// Loads and stores in the machine's own byte order, wherever they are: for what is compared, summed or put back as it
// was. The caller vouches that sizeof(T) octets are there.
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

} // namespace mpt::proto
