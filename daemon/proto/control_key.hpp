// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"
#include "daemon/base/result.hpp"

#include <array>
#include <cstddef>
#include <string_view>

namespace mpt::proto {

// The key that two hosts share: the 64 hexadecimal digits of an auth_key. Wiped from memory when it goes.
class ControlKey {
public:
    static constexpr std::size_t kSize = 32;

    // No key: zeros, for authentication types that use none.
    ControlKey() noexcept = default;
    ControlKey(const ControlKey &) noexcept = default;
    ControlKey &operator=(const ControlKey &) noexcept = default;
    ~ControlKey();

    // kInvalidArgument if `auth_key` is not 64 hexadecimal digits.
    static base::Result<ControlKey> parse(std::string_view auth_key);

    // What authentication type 2 uses: the first 32 digits as characters, in the case in which they are written.
    base::ConstOctets characters() const noexcept { return characters_; }
    // What authentication type 3 uses: the octets that the digits stand for.
    base::ConstOctets octets() const noexcept { return octets_; }

    // Of two keys of ours: not in constant time.
    friend bool operator==(const ControlKey &, const ControlKey &) noexcept = default;

private:
    std::array<std::byte, kSize> characters_{};
    std::array<std::byte, kSize> octets_{};
};

} // namespace mpt::proto
