// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/octets.hpp"
#include "daemon/proto/control_key.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

struct evp_mac_ctx_st;

// The message authentication codes of authentication type 3: HMAC-SHA-256 (RFC 2104) under keys that HKDF-SHA-256
// (RFC 5869) derives.
namespace mpt::proto {

// A number that nobody can guess, or that comes twice. Zeros: none.
using RandomNumber = std::array<std::byte, 16>;

inline constexpr std::size_t kMacSize = 32;

// What a key is for. None fits a message of another kind, direction or session.
struct KeyUse {
    enum class Purpose : std::uint8_t {
        kControl,
        kKeepalive, // and probes of the MTU, which begin otherwise
    };

    Purpose purpose = Purpose::kControl;
    base::Address from; // tunnel addresses of the message's sender and receiver
    base::Address to;
    RandomNumber sender{}; // their random numbers
    RandomNumber receiver{};
};

// A derived key, ready for many messages. Wiped from memory when it goes. If OpenSSL fails the key verifies nothing,
// and what it makes nobody takes.
class SessionKey {
public:
    // No key.
    SessionKey() noexcept;
    SessionKey(const ControlKey &secret, const KeyUse &use) noexcept;
    SessionKey(SessionKey &&) noexcept;
    SessionKey &operator=(SessionKey &&) noexcept;
    ~SessionKey();

    // Becomes another key: cheaper than a new object.
    void derive(const ControlKey &secret, const KeyUse &use) noexcept;

    // The MAC of a message stands at `at` in it, where there must be room; it is made over the whole message with its
    // own octets as 0.
    void sign(base::Octets message, std::size_t at) noexcept;
    // In constant time.
    bool verifies(base::ConstOctets message, std::size_t at) noexcept;

private:
    bool make_mac(base::ConstOctets message, std::size_t at, std::array<std::byte, kMacSize> &mac) noexcept;

    struct Free {
        void operator()(evp_mac_ctx_st *context) const noexcept;
    };
    std::unique_ptr<evp_mac_ctx_st, Free> context_;
};

} // namespace mpt::proto
