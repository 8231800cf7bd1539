// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/control_key.hpp"

#include <cstring>
#include <openssl/crypto.h>

namespace mpt::proto {

namespace {

constexpr std::size_t kDigits = 64;

} // namespace

ControlKey::~ControlKey()
{
    OPENSSL_cleanse(octets_.data(), octets_.size());
}

base::Result<ControlKey> ControlKey::parse(std::string_view auth_key)
{
    if (auth_key.size() != kDigits || auth_key.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
        return base::fail(base::ErrorCode::kInvalidArgument, "auth_key must be 64 hexadecimal digits");
    ControlKey key;
    std::memcpy(key.octets_.data(), auth_key.data(), kSize);
    return key;
}

} // namespace mpt::proto
