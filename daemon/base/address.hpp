// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"
#include "daemon/base/result.hpp"

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace mpt::base {

enum class IpVersion : std::uint8_t { kV4 = 4, kV6 = 6 };

// An IPv4 or IPv6 address. Kept as 16 octets, IPv4 in its IPv4-mapped form (RFC 4291 section 2.5.5.2), which is
// also how the MPT protocol carries it. A default-made address is the IPv4 0.0.0.0.
class Address {
public:
    constexpr Address() noexcept = default;

    // Text form of either version, without prefix length, scope or brackets. kInvalidArgument otherwise; an
    // IPv4-mapped IPv6 text is refused, since it would not be told apart from the IPv4 address.
    static Result<Address> parse(std::string_view text);

    // 0.0.0.0 or ::
    static Address any(IpVersion version) noexcept;

    // From 4 (IPv4) or 16 octets in network order; 16 octets in IPv4-mapped form make an IPv4 address.
    static Address from_octets(std::span<const std::byte, 4> octets) noexcept;
    static Address from_octets(std::span<const std::byte, 16> octets) noexcept;

    bool is_v4() const noexcept;
    IpVersion version() const noexcept { return is_v4() ? IpVersion::kV4 : IpVersion::kV6; }
    unsigned bits() const noexcept { return is_v4() ? 32 : 128; }

    // 0.0.0.0 or ::
    bool is_unspecified() const noexcept;
    bool is_loopback() const noexcept;
    bool is_multicast() const noexcept;
    // Of one host: in IPv4 neither in 224.0.0.0/3 (multicast and reserved) nor in 0.0.0.0/8 (this network, RFC 6890).
    bool is_unicast() const noexcept;
    // 169.254.0.0/16 or fe80::/10
    bool is_link_local() const noexcept;

    // The 16 octets; IPv4 in mapped form.
    const std::array<std::byte, 16> &mapped() const noexcept { return octets_; }
    // The 4 or 16 octets of its own version, in network order.
    ConstOctets octets() const noexcept;

    std::string to_string() const;

    friend auto operator<=>(const Address &, const Address &) noexcept = default;

private:
    std::array<std::byte, 16> octets_{std::byte{0}, std::byte{0}, std::byte{0},    std::byte{0},
                                      std::byte{0}, std::byte{0}, std::byte{0},    std::byte{0},
                                      std::byte{0}, std::byte{0}, std::byte{0xff}, std::byte{0xff},
                                      std::byte{0}, std::byte{0}, std::byte{0},    std::byte{0}};
};

// An address and a prefix length of its version (0-32 or 0-128). The host bits may be set (an interface's address).
struct Prefix {
    Address address;
    std::uint8_t length = 0;

    // "ADDRESS/LENGTH"; without "/LENGTH" the given default is used. kInvalidArgument otherwise.
    static Result<Prefix> parse(std::string_view text);
    static Result<Prefix> parse(std::string_view text, unsigned default_v4, unsigned default_v6);

    // The same with the host bits cleared.
    Prefix network() const noexcept;
    // True if `other` is of the same version and inside.
    bool contains(const Address &other) const noexcept;
    bool contains(const Prefix &other) const noexcept;
    std::string to_string() const;

    friend auto operator<=>(const Prefix &, const Prefix &) noexcept = default;
};

struct Endpoint {
    Address address;
    std::uint16_t port = 0;

    // "192.0.2.1:23456" or "[2001:db8::1]:23456".
    std::string to_string() const;

    friend auto operator<=>(const Endpoint &, const Endpoint &) noexcept = default;
};

// A well-mixed hash of a few octets for the tables of this program (not for keeping adversaries out).
std::size_t hash_value(const Address &address) noexcept;

} // namespace mpt::base

template <> struct std::hash<mpt::base::Address> {
    std::size_t operator()(const mpt::base::Address &address) const noexcept { return mpt::base::hash_value(address); }
};

template <> struct std::hash<mpt::base::Endpoint> {
    std::size_t operator()(const mpt::base::Endpoint &endpoint) const noexcept
    {
        return mpt::base::hash_value(endpoint.address) ^ (endpoint.port * 0x9e3779b97f4a7c15U);
    }
};
