// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/session_key.hpp"

#include <algorithm>
#include <cstring>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string_view>

namespace mpt::proto {

namespace {

using Digest = std::array<std::byte, kMacSize>;

constexpr Digest kZeroMac{}; // in the place of the MAC while it is made

// OpenSSL takes what it only reads without const, too.
char kDigestName[] = "SHA256"; // NOLINT(readability-identifier-naming)

template <typename T> unsigned char *data_of(T &octets) noexcept
{
    return reinterpret_cast<unsigned char *>(const_cast<std::byte *>(octets.data()));
}

std::string_view label_of(KeyUse::Purpose purpose) noexcept
{
    return purpose == KeyUse::Purpose::kControl ? "mpt3 control" : "mpt3 keepalive";
}

// HMAC-SHA-256 with a context that knows the digest. False if OpenSSL cannot do it.
bool hmac(EVP_MAC_CTX *context, base::ConstOctets key, base::ConstOctets message, Digest &mac) noexcept
{
    std::size_t size = 0;
    return EVP_MAC_init(context, data_of(key), key.size(), nullptr) == 1 &&
           EVP_MAC_update(context, data_of(message), message.size()) == 1 &&
           EVP_MAC_final(context, data_of(mac), &size, mac.size()) == 1 && size == mac.size();
}

// RFC 5869 for a key of one block. EVP_KDF does the same in three times the time.
bool hkdf(EVP_MAC_CTX *context, const ControlKey &secret, const KeyUse &use, Digest &key) noexcept
{
    std::array<std::byte, 32> salt;
    base::Writer(salt).put(use.sender).put(use.receiver);
    std::array<std::byte, 64> info_room;
    base::Writer info(info_room);
    info.put(std::as_bytes(std::span(label_of(use.purpose)))).zeros(1).put(use.from.mapped()).put(use.to.mapped());
    info.write(std::uint8_t{1}); // the number of the block
    Digest extracted;
    const bool done = hmac(context, salt, secret.octets(), extracted) && hmac(context, extracted, info.written(), key);
    OPENSSL_cleanse(extracted.data(), extracted.size());
    return done;
}

} // namespace

void SessionKey::Free::operator()(evp_mac_ctx_st *context) const noexcept
{
    EVP_MAC_CTX_free(context); // wipes the key
}

SessionKey::SessionKey() noexcept = default;
SessionKey::SessionKey(SessionKey &&) noexcept = default;
SessionKey &SessionKey::operator=(SessionKey &&) noexcept = default;
SessionKey::~SessionKey() = default;

SessionKey::SessionKey(const ControlKey &secret, const KeyUse &use) noexcept
{
    derive(secret, use);
}

void SessionKey::derive(const ControlKey &secret, const KeyUse &use) noexcept
{
    if (context_ == nullptr) {
        const std::unique_ptr<EVP_MAC, decltype(&EVP_MAC_free)> mac(EVP_MAC_fetch(nullptr, "HMAC", nullptr),
                                                                    EVP_MAC_free);
        const std::array parameters{OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, kDigestName, 0),
                                    OSSL_PARAM_construct_end()};
        context_.reset(EVP_MAC_CTX_new(mac.get()));
        if (context_ == nullptr || EVP_MAC_CTX_set_params(context_.get(), parameters.data()) != 1)
            return context_.reset();
    }
    Digest key;
    if (!hkdf(context_.get(), secret, use, key) || EVP_MAC_init(context_.get(), data_of(key), key.size(), nullptr) != 1)
        context_.reset();
    OPENSSL_cleanse(key.data(), key.size());
}

bool SessionKey::make_mac(base::ConstOctets message, std::size_t at, Digest &mac) noexcept
{
    const auto add = [this](base::ConstOctets octets) {
        return EVP_MAC_update(context_.get(), data_of(octets), octets.size()) == 1;
    };
    std::size_t size = 0;
    // Without a key EVP_MAC_init() begins a new message under the one that is there.
    return context_ != nullptr && EVP_MAC_init(context_.get(), nullptr, 0, nullptr) == 1 && add(message.first(at)) &&
           add(kZeroMac) && add(message.subspan(at + kMacSize)) &&
           EVP_MAC_final(context_.get(), data_of(mac), &size, mac.size()) == 1 && size == mac.size();
}

void SessionKey::sign(base::Octets message, std::size_t at) noexcept
{
    Digest mac;
    std::memcpy(message.data() + at, make_mac(message, at, mac) ? mac.data() : kZeroMac.data(), kMacSize);
}

bool SessionKey::verifies(base::ConstOctets message, std::size_t at) noexcept
{
    Digest mac;
    return make_mac(message, at, mac) && CRYPTO_memcmp(mac.data(), message.data() + at, kMacSize) == 0;
}

} // namespace mpt::proto
