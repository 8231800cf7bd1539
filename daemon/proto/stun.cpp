// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/stun.hpp"

#include <algorithm>

namespace mpt::proto {

namespace {

// RFC 8489 section 5.
constexpr std::uint16_t kBindingRequest = 0x0001;
constexpr std::uint16_t kBindingSuccess = 0x0101;
constexpr std::uint16_t kBindingError = 0x0111;
constexpr std::uint32_t kMagicCookie = 0x2112a442;
constexpr std::size_t kCookieAt = 4;
constexpr std::size_t kTransactionAt = 8;
constexpr std::size_t kStunHeader = 20;
constexpr std::size_t kAttributeHeader = 4;

// Section 14.
enum Attribute : std::uint16_t {
    kMappedAddress = 0x0001,
    kErrorCode = 0x0009,
    kXorMappedAddress = 0x0020,
    kFirstOptional = 0x8000, // from here on attributes need not be understood
    kFingerprint = 0x8028,
};
constexpr std::uint32_t kFingerprintMask = 0x5354554e;
constexpr std::size_t kFingerprintSize = 8; // with its header

// What may stand in an answer and says nothing to us: credentials, which we have none of, and what servers of RFC 3489
// told of their own addresses.
constexpr std::array<std::uint16_t, 13> kOfNoConcern{0x0002, 0x0003, 0x0004, 0x0005, 0x0006, 0x0007, 0x0008,
                                                     0x000a, 0x000b, 0x0014, 0x0015, 0x001c, 0x001e};

constexpr std::uint8_t kFamilyV4 = 1;
constexpr std::uint8_t kFamilyV6 = 2;

// CRC-32 of ITU-T V.42 (section 14.7).
std::uint32_t crc_of(base::ConstOctets octets) noexcept
{
    std::uint32_t crc = 0xffffffff;
    for (const std::byte octet : octets) {
        crc ^= std::to_integer<std::uint32_t>(octet);
        for (int bit = 0; bit < 8; ++bit)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320U : 0U);
    }
    return ~crc;
}

// MAPPED-ADDRESS (section 14.1), and XOR-MAPPED-ADDRESS (14.2) whose octets `mask` covers: the cookie and the
// transaction.
std::optional<base::Endpoint> address_of(base::ConstOctets value, base::ConstOctets mask) noexcept
{
    base::Reader reader(value);
    const auto family = reader.read<std::uint16_t>().value_or(0) & 0xff;
    const auto port = reader.read<std::uint16_t>();
    const base::ConstOctets address = reader.rest();
    std::array<std::byte, 16> octets{};
    if (!port || address.size() != (family == kFamilyV4 ? 4U : 16U) || (family != kFamilyV4 && family != kFamilyV6))
        return std::nullopt;
    std::copy(address.begin(), address.end(), octets.begin());
    std::uint16_t shown = *port;
    if (!mask.empty()) {
        shown = static_cast<std::uint16_t>(shown ^ base::load_be<std::uint16_t>(mask.data()));
        for (std::size_t i = 0; i < address.size(); ++i)
            octets[i] ^= mask[i];
    }
    const std::span<const std::byte, 16> all(octets);
    const base::Address found =
        family == kFamilyV4 ? base::Address::from_octets(all.first<4>()) : base::Address::from_octets(all);
    if (found.is_v4() != (family == kFamilyV4)) // IPv4-mapped
        return std::nullopt;
    return base::Endpoint{found, shown};
}

// ERROR-CODE (section 14.8); 0 if it is none.
std::uint16_t error_of(base::ConstOctets value) noexcept
{
    base::Reader reader(value);
    const auto code = reader.read<std::uint32_t>().value_or(0);
    const std::uint32_t hundreds = (code >> 8) & 7;
    const std::uint32_t rest = code & 0xff;
    return hundreds >= 3 && hundreds <= 6 && rest < 100 ? static_cast<std::uint16_t>(hundreds * 100 + rest)
                                                        : std::uint16_t{0};
}

// FINGERPRINT is the last attribute, and made with the length that counts it in.
bool is_fingerprint(base::ConstOctets datagram, base::ConstOctets rest, base::ConstOctets value) noexcept
{
    return rest.empty() && value.size() == kFingerprintSize - kAttributeHeader &&
           base::load_be<std::uint32_t>(value.data()) ==
               (crc_of(datagram.first(datagram.size() - kFingerprintSize)) ^ kFingerprintMask);
}

} // namespace

void encode_stun_request(const StunTransaction &transaction, std::span<std::byte, kStunRequestSize> to) noexcept
{
    base::Writer(to).write(kBindingRequest).write(std::uint16_t{0}).write(kMagicCookie).put(transaction);
}

bool is_stun_answer(base::ConstOctets datagram) noexcept
{
    if (datagram.size() < kStunHeader || datagram.size() > kMaxStunAnswer)
        return false;
    const auto type = base::load_be<std::uint16_t>(datagram.data());
    const auto length = base::load_be<std::uint16_t>(datagram.data() + sizeof type);
    return (type == kBindingSuccess || type == kBindingError) &&
           base::load_be<std::uint32_t>(datagram.data() + kCookieAt) == kMagicCookie && length % 4 == 0 &&
           kStunHeader + length == datagram.size();
}

std::optional<StunAnswer> decode_stun_answer(base::ConstOctets datagram) noexcept
{
    if (!is_stun_answer(datagram))
        return std::nullopt;
    const bool is_error = base::load_be<std::uint16_t>(datagram.data()) == kBindingError;
    StunAnswer answer;
    std::copy_n(datagram.begin() + kTransactionAt, answer.transaction.size(), answer.transaction.begin());
    std::optional<base::Endpoint> plain;
    bool is_understood = true;
    base::Reader reader(datagram.subspan(kStunHeader));
    while (!reader.rest().empty()) {
        const auto type = reader.read<std::uint16_t>();
        const auto length = reader.read<std::uint16_t>();
        const auto padded = length ? reader.take((*length + 3U) & ~3U) : std::nullopt;
        if (!padded)
            return std::nullopt;
        const base::ConstOctets value = padded->first(*length);
        if (*type == kXorMappedAddress && !answer.mapped)
            answer.mapped = address_of(value, datagram.subspan(kCookieAt));
        else if (*type == kMappedAddress && !plain)
            plain = address_of(value, {});
        else if (*type == kErrorCode && answer.error == 0)
            answer.error = error_of(value);
        else if (*type == kFingerprint && !is_fingerprint(datagram, reader.rest(), value))
            return std::nullopt;
        else if (*type < kFirstOptional && *type != kXorMappedAddress && *type != kMappedAddress &&
                 *type != kErrorCode &&
                 std::find(kOfNoConcern.begin(), kOfNoConcern.end(), *type) == kOfNoConcern.end())
            is_understood = false;
    }
    if (is_error) {
        answer.mapped.reset();
        if (answer.error == 0)
            return std::nullopt;
        return answer;
    }
    answer.error = 0;
    if (!answer.mapped)
        answer.mapped = plain;
    if (!is_understood)
        answer.mapped.reset();
    return answer;
}

} // namespace mpt::proto
