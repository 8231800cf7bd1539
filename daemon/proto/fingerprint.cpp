// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/fingerprint.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <openssl/evp.h>

namespace mpt::proto {

std::optional<std::uint64_t> fingerprint(std::initializer_list<base::ConstOctets> fields) noexcept
{
    const auto context = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    const auto add = [&](base::ConstOctets field) {
        std::array<std::byte, sizeof(std::uint64_t)> length;
        base::store_be(length.data(), std::uint64_t{field.size()});
        return EVP_DigestUpdate(context.get(), length.data(), length.size()) == 1 &&
               EVP_DigestUpdate(context.get(), field.data(), field.size()) == 1;
    };
    std::array<std::byte, 32> hash;
    if (context == nullptr || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1 ||
        !std::all_of(fields.begin(), fields.end(), add) ||
        EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char *>(hash.data()), nullptr) != 1)
        return std::nullopt;
    return base::load_be<std::uint64_t>(hash.data());
}

} // namespace mpt::proto
