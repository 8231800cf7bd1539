// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/control_key.hpp"

#include <cstring>
#include <openssl/crypto.h>

namespace mpt::proto {

namespace {

constexpr std::size_t kDigits = 2 * ControlKey::kSize;

// Of a hexadecimal digit.
unsigned value_of(char digit)
{
    if (digit <= '9')
        return static_cast<unsigned>(digit - '0');
    return static_cast<unsigned>((digit | 0x20) - 'a') + 10;
}

} // namespace

ControlKey::~ControlKey()
{
    OPENSSL_cleanse(characters_.data(), characters_.size());
    OPENSSL_cleanse(octets_.data(), octets_.size());
}

base::Result<ControlKey> ControlKey::parse(std::string_view auth_key)
{
    if (auth_key.size() != kDigits || auth_key.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
        return base::fail(base::ErrorCode::kInvalidArgument, "auth_key must be 64 hexadecimal digits");
    ControlKey key;
    std::memcpy(key.characters_.data(), auth_key.data(), kSize);
    for (std::size_t i = 0; i < kSize; ++i)
        key.octets_[i] = static_cast<std::byte>(value_of(auth_key[2 * i]) << 4 | value_of(auth_key[2 * i + 1]));
    return key;
}

} // namespace mpt::proto
