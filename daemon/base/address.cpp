// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/base/address.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <fmt/format.h>

namespace mpt::base {

namespace {

constexpr std::size_t kMappedPrefix = 12; // octets before the IPv4 address in an IPv4-mapped one

std::uint8_t octet(const std::array<std::byte, 16> &octets, std::size_t index) noexcept
{
    return std::to_integer<std::uint8_t>(octets[index]);
}

} // namespace

Result<Address> Address::parse(std::string_view text)
{
    const std::string terminated(text.substr(0, text.find('\0')));
    std::array<std::byte, 4> v4{};
    std::array<std::byte, 16> v6{};
    if (terminated.size() != text.size()) {
        // inet_pton would see only what stands before the NUL
    } else if (inet_pton(AF_INET, terminated.c_str(), v4.data()) == 1) {
        return from_octets(std::span<const std::byte, 4>(v4));
    } else if (inet_pton(AF_INET6, terminated.c_str(), v6.data()) == 1) {
        const Address address = from_octets(std::span<const std::byte, 16>(v6));
        if (!address.is_v4())
            return address;
    }
    return fail(ErrorCode::kInvalidArgument, fmt::format("'{}' is not an IPv4 or IPv6 address", text));
}

Address Address::from_octets(std::span<const std::byte, 4> octets) noexcept
{
    Address address;
    std::copy(octets.begin(), octets.end(), address.octets_.begin() + kMappedPrefix);
    return address;
}

Address Address::from_octets(std::span<const std::byte, 16> octets) noexcept
{
    Address address;
    std::copy(octets.begin(), octets.end(), address.octets_.begin());
    return address;
}

Address Address::any(IpVersion version) noexcept
{
    return version == IpVersion::kV4 ? Address() : from_octets(std::array<std::byte, 16>{});
}

bool Address::is_v4() const noexcept
{
    static constexpr Address unspecified;
    return std::equal(octets_.begin(), octets_.begin() + kMappedPrefix, unspecified.octets_.begin());
}

bool Address::is_unspecified() const noexcept
{
    return std::all_of(octets().begin(), octets().end(), [](std::byte b) { return b == std::byte{0}; });
}

bool Address::is_loopback() const noexcept
{
    if (is_v4())
        return octet(octets_, kMappedPrefix) == 127;
    return std::all_of(octets_.begin(), octets_.end() - 1, [](std::byte b) { return b == std::byte{0}; }) &&
           octet(octets_, 15) == 1;
}

bool Address::is_multicast() const noexcept
{
    return is_v4() ? (octet(octets_, kMappedPrefix) & 0xf0) == 0xe0 : octet(octets_, 0) == 0xff;
}

bool Address::is_unicast() const noexcept
{
    if (!is_v4())
        return !is_multicast() && !is_unspecified();
    const std::uint8_t first = octet(octets_, kMappedPrefix);
    return first != 0 && first < 224;
}

bool Address::is_link_local() const noexcept
{
    if (is_v4())
        return octet(octets_, kMappedPrefix) == 169 && octet(octets_, kMappedPrefix + 1) == 254;
    return octet(octets_, 0) == 0xfe && (octet(octets_, 1) & 0xc0) == 0x80;
}

ConstOctets Address::octets() const noexcept
{
    const ConstOctets all(octets_);
    return is_v4() ? all.subspan(kMappedPrefix) : all;
}

std::string Address::to_string() const
{
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(is_v4() ? AF_INET : AF_INET6, octets().data(), text.data(), text.size());
    return text.data();
}

Result<Prefix> Prefix::parse(std::string_view text)
{
    if (text.find('/') == std::string_view::npos)
        return fail(ErrorCode::kInvalidArgument, fmt::format("'{}' has no prefix length (ADDRESS/LENGTH)", text));
    return parse(text, 0, 0);
}

Result<Prefix> Prefix::parse(std::string_view text, unsigned default_v4, unsigned default_v6)
{
    const std::size_t slash = text.find('/');
    const Result<Address> address = Address::parse(text.substr(0, slash));
    if (!address)
        return Failure(address.error());
    unsigned length = address->is_v4() ? default_v4 : default_v6;
    if (slash != std::string_view::npos) {
        const std::string_view digits = text.substr(slash + 1);
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
        if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size() || length > address->bits())
            return fail(ErrorCode::kInvalidArgument,
                        fmt::format("'{}': the prefix length must be 0 to {}", text, address->bits()));
    }
    return Prefix{*address, static_cast<std::uint8_t>(length)};
}

Prefix Prefix::network() const noexcept
{
    std::array<std::byte, 16> octets = address.mapped();
    const std::size_t kept = length + (128U - address.bits()); // bits of the mapped form that stay
    for (std::size_t i = 0; i < octets.size(); ++i) {
        const std::size_t bits = std::clamp<std::size_t>(kept, 8 * i, 8 * i + 8) - 8 * i;
        octets[i] &= static_cast<std::byte>(0xff00U >> bits);
    }
    return Prefix{Address::from_octets(std::span<const std::byte, 16>(octets)), length};
}

bool Prefix::contains(const Address &other) const noexcept
{
    return address.is_v4() == other.is_v4() && Prefix{other, length}.network() == network();
}

bool Prefix::contains(const Prefix &other) const noexcept
{
    return other.length >= length && contains(other.address);
}

std::string Prefix::to_string() const
{
    return fmt::format("{}/{}", address.to_string(), length);
}

std::string Endpoint::to_string() const
{
    return address.is_v4() ? fmt::format("{}:{}", address.to_string(), port)
                           : fmt::format("[{}]:{}", address.to_string(), port);
}

std::size_t hash_value(const Address &address) noexcept
{
    // Two rounds of the finaliser of MurmurHash3 over the two halves.
    std::uint64_t mixed = 0;
    for (std::size_t half = 0; half < 16; half += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, address.mapped().data() + half, sizeof word);
        mixed ^= word;
        mixed ^= mixed >> 33;
        mixed *= 0xff51afd7ed558ccdU;
        mixed ^= mixed >> 33;
        mixed *= 0xc4ceb9fe1a85ec53U;
        mixed ^= mixed >> 33;
    }
    return static_cast<std::size_t>(mixed);
}

} // namespace mpt::base
