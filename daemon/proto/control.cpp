// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/control.hpp"

#include "daemon/proto/native.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <memory>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <optional>
#include <span>
#include <tuple>

namespace mpt::proto {

namespace {

using config::AuthType;

// Offsets; those of the second block count from the end of the authentication data.
constexpr std::size_t kAuthData = 4;
constexpr std::size_t kHash = kAuthData + 4; // of type 2
constexpr std::size_t kMac = kAuthData + std::tuple_size_v<RandomNumber>;
constexpr std::size_t kRound = 0;
constexpr std::size_t kIpVersion = 1;
constexpr std::size_t kInitiator = 4;
constexpr std::size_t kResponder = 20;
constexpr std::size_t kBody = 36;

constexpr std::size_t kHashSize = 32;
constexpr std::size_t kLengthSize = 4;

// What a path status change of type 3 sets: bits of the second octet of its body.
constexpr std::uint8_t kSetsStatus = 1;
constexpr std::uint8_t kSetsWeight = 2;
constexpr std::uint16_t kMaxWeight = 10000;

using Hash = std::array<std::byte, kHashSize>;

constexpr Hash kZeroHash{}; // in the place of the hash while it is made

// Octets of authentication data; nothing if the type is not known.
std::optional<std::size_t> auth_size(std::uint8_t type) noexcept
{
    switch (static_cast<AuthType>(type)) {
    case AuthType::kNone:
        return 0;
    case AuthType::kRandom:
        return 4;
    case AuthType::kSha256:
        return 4 + kHashSize;
    case AuthType::kHmacSha256:
        return std::tuple_size_v<RandomNumber> + kMacSize;
    }
    return std::nullopt;
}

// Octets of the random number in it.
std::size_t random_size(AuthType type) noexcept
{
    if (type == AuthType::kNone)
        return 0;
    return type == AuthType::kHmacSha256 ? std::tuple_size_v<RandomNumber> : 4;
}

bool announces_body(std::uint8_t round) noexcept
{
    return round <= 2;
}

// Nothing if OpenSSL cannot do it.
std::optional<Hash> hash_of(base::ConstOctets datagram, const ControlKey &key) noexcept
{
    const auto context = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    const auto add = [&](base::ConstOctets octets) {
        return EVP_DigestUpdate(context.get(), octets.data(), octets.size()) == 1;
    };
    Hash hash;
    if (context == nullptr || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1 ||
        !add(datagram.first(kHash)) || !add(kZeroHash) || !add(datagram.subspan(kHash + kHashSize)) ||
        !add(key.characters()) ||
        EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char *>(hash.data()), nullptr) != 1)
        return std::nullopt;
    return hash;
}

bool is_body_length(const ControlMessage &message, std::size_t length) noexcept
{
    if (message.round == 4)
        return length <= kMaxControlBody;
    if (message.command == ControlCommand::kPathStatus)
        return length == (message.auth == AuthType::kHmacSha256 ? kPathChangeSize : kPathAddressesSize);
    return length >= 1 && length <= kMaxControlBody;
}

// Of a message of type 3.
SessionKey key_of(const ControlMessage &message, const ControlKey &key, const ControlRandom &other) noexcept
{
    KeyUse use{KeyUse::Purpose::kControl, message.initiator, message.responder, message.random.octets(),
               other.octets()};
    if (message.round % 2 == 0)
        std::swap(use.from, use.to);
    return {key, use};
}

} // namespace

ControlRandom ControlRandom::of_type(AuthType auth) const noexcept
{
    RandomNumber carried{};
    std::copy_n(octets_.begin(), random_size(auth), carried.begin());
    return carried;
}

std::string to_string(ControlResult result)
{
    switch (result) {
    case ControlResult::kDone:
        return "done";
    case ControlResult::kBadText:
        return "configuration not understood";
    case ControlResult::kExists:
        return "a connection between these tunnel addresses exists";
    case ControlResult::kAllPathsDown:
        return "all paths would be down";
    case ControlResult::kNotPermitted:
        return "not permitted by the peer's permission";
    case ControlResult::kNoSuchPath:
        return "no path has these addresses";
    case ControlResult::kRefused:
        return "refused by the peer's configuration";
    case ControlResult::kTooMany:
        return "too many connections created by peers";
    case ControlResult::kTooLong:
        return "the reply does not fit into the length of the request";
    case ControlResult::kFailed:
        return "failed on the peer";
    }
    return fmt::format("result {}", static_cast<unsigned>(result));
}

std::string_view to_string(ControlDrop reason) noexcept
{
    switch (reason) {
    case ControlDrop::kTruncated:
        return "truncated";
    case ControlDrop::kTooLong:
        return "too long";
    case ControlDrop::kUnknownCommand:
        return "unknown command";
    case ControlDrop::kUnknownAuthType:
        return "unknown authentication type";
    case ControlDrop::kAuthLength:
        return "wrong length of authentication data";
    case ControlDrop::kWeakCreate:
        return "create without hash";
    case ControlDrop::kUnknownRound:
        return "unknown round";
    case ControlDrop::kAddresses:
        return "addresses of different IP versions";
    case ControlDrop::kArgument:
        return "unknown path status";
    case ControlDrop::kBodyLength:
        return "wrong length of body";
    case ControlDrop::kUnknownPeer:
        return "unknown peer";
    case ControlDrop::kRateLimit:
        return "rate limit";
    case ControlDrop::kWrongAuthType:
        return "wrong authentication type";
    case ControlDrop::kWrongHash:
        return "wrong hash";
    case ControlDrop::kWrongSource:
        return "wrong source address";
    case ControlDrop::kWrongRandom:
        return "wrong random number";
    case ControlDrop::kNoExchange:
        return "no such exchange";
    case ControlDrop::kDuplicate:
        return "duplicate";
    case ControlDrop::kContradiction:
        return "contradiction";
    case ControlDrop::kBusy:
        return "too many exchanges";
    }
    return "unknown";
}

tl::expected<ControlMessage, ControlDrop> decode_control(base::ConstOctets datagram) noexcept
{
    if (datagram.size() > kMaxUdpPayload)
        return tl::unexpected(ControlDrop::kTooLong);
    if (datagram.size() < kAuthData)
        return tl::unexpected(ControlDrop::kTruncated);
    ControlMessage message;
    message.command = static_cast<ControlCommand>(octet(datagram, 0));
    if (message.command != ControlCommand::kPathStatus && message.command != ControlCommand::kCreate)
        return tl::unexpected(ControlDrop::kUnknownCommand);
    message.argument = octet(datagram, 1);
    const std::optional<std::size_t> size = auth_size(octet(datagram, 2));
    if (!size)
        return tl::unexpected(ControlDrop::kUnknownAuthType);
    message.auth = static_cast<AuthType>(octet(datagram, 2));
    if (octet(datagram, 3) != *size)
        return tl::unexpected(ControlDrop::kAuthLength);
    if (message.command == ControlCommand::kCreate && message.auth < AuthType::kSha256)
        return tl::unexpected(ControlDrop::kWeakCreate);
    if (datagram.size() < kAuthData + *size + kBody)
        return tl::unexpected(ControlDrop::kTruncated);
    RandomNumber random{};
    std::copy_n(datagram.begin() + kAuthData, random_size(message.auth), random.begin());
    message.random = random;

    const base::ConstOctets rest = datagram.subspan(kAuthData + *size);
    message.round = octet(rest, kRound);
    if (message.round < 1 || message.round > 4)
        return tl::unexpected(ControlDrop::kUnknownRound);
    const bool is_question = message.round % 2 == 1;
    if (message.command == ControlCommand::kPathStatus && is_question && message.argument != kPathUp &&
        message.argument != kPathDown)
        return tl::unexpected(ControlDrop::kArgument);

    message.version = static_cast<base::IpVersion>(octet(rest, kIpVersion));
    message.initiator = base::Address::from_octets(rest.subspan<kInitiator, 16>());
    message.responder = base::Address::from_octets(rest.subspan<kResponder, 16>());
    const bool is_responder_open = message.command == ControlCommand::kCreate && message.responder.is_unspecified();
    if (message.initiator.version() != message.version ||
        (message.responder.version() != message.version && !is_responder_open))
        return tl::unexpected(ControlDrop::kAddresses);

    const base::ConstOctets body = rest.subspan(kBody);
    if (announces_body(message.round)) {
        if (body.size() < kLengthSize)
            return tl::unexpected(ControlDrop::kTruncated);
        message.body_length = base::byte_swap(base::load_be<std::uint32_t>(body.data()));
        if (body.size() != kLengthSize || !is_body_length(message, message.body_length))
            return tl::unexpected(ControlDrop::kBodyLength);
    } else {
        if (!is_body_length(message, body.size()))
            return tl::unexpected(ControlDrop::kBodyLength);
        message.body = body;
    }
    return message;
}

bool has_valid_hash(const ControlMessage &message, base::ConstOctets datagram, const ControlKey &key,
                    const ControlRandom &other) noexcept
{
    if (message.auth == AuthType::kHmacSha256)
        return key_of(message, key, other).verifies(datagram, kMac);
    if (message.auth != AuthType::kSha256)
        return true;
    const std::optional<Hash> hash = hash_of(datagram, key);
    return hash && CRYPTO_memcmp(hash->data(), datagram.data() + kHash, kHashSize) == 0;
}

std::vector<std::byte> encode_control(const ControlMessage &message, const ControlKey &key, const ControlRandom &other)
{
    const std::size_t auth = auth_size(static_cast<std::uint8_t>(message.auth)).value_or(0);
    const std::size_t random = random_size(message.auth);
    const std::size_t body = announces_body(message.round) ? kLengthSize : message.body.size();
    std::vector<std::byte> datagram(kAuthData + auth + kBody + body);
    base::Writer writer(datagram);
    writer.write(static_cast<std::uint8_t>(message.command)).write(message.argument);
    writer.write(static_cast<std::uint8_t>(message.auth)).write(static_cast<std::uint8_t>(auth));
    writer.put(base::ConstOctets(message.random.octets()).first(random)).zeros(auth - random);
    writer.write(message.round).write(static_cast<std::uint8_t>(message.version)).zeros(2);
    writer.put(message.initiator.mapped()).put(message.responder.mapped());
    if (announces_body(message.round))
        writer.write(base::byte_swap(message.body_length)); // the one field in little-endian order
    else
        writer.put(message.body);

    if (message.auth == AuthType::kHmacSha256) {
        key_of(message, key, other).sign(datagram, kMac);
    } else if (message.auth == AuthType::kSha256) {
        if (const std::optional<Hash> hash = hash_of(datagram, key))
            std::copy(hash->begin(), hash->end(), datagram.begin() + kHash);
    }
    return datagram;
}

std::array<std::byte, kPathAddressesSize> encode_path_addresses(const PathAddresses &addresses) noexcept
{
    std::array<std::byte, kPathAddressesSize> body{};
    base::Writer(body).put(addresses.local.mapped()).put(addresses.remote.mapped());
    return body;
}

tl::expected<PathAddresses, ControlDrop> decode_path_addresses(base::ConstOctets body) noexcept
{
    if (body.size() != kPathAddressesSize)
        return tl::unexpected(ControlDrop::kBodyLength);
    const PathAddresses addresses{base::Address::from_octets(body.subspan<0, 16>()),
                                  base::Address::from_octets(body.subspan<16, 16>())};
    if (addresses.local.version() != addresses.remote.version())
        return tl::unexpected(ControlDrop::kAddresses);
    return addresses;
}

std::array<std::byte, kPathChangeSize> encode_path_change(const PathChange &change) noexcept
{
    std::array<std::byte, kPathChangeSize> body{};
    base::Writer writer(body);
    writer.write(change.path);
    writer.write(static_cast<std::uint8_t>((change.sets_status ? kSetsStatus : 0) | (change.weight ? kSetsWeight : 0)));
    writer.write(change.weight.value_or(0));
    return body;
}

tl::expected<PathChange, ControlDrop> decode_path_change(base::ConstOctets body) noexcept
{
    if (body.size() != kPathChangeSize)
        return tl::unexpected(ControlDrop::kBodyLength);
    const std::uint8_t sets = octet(body, 1);
    PathChange change{octet(body, 0), (sets & kSetsStatus) != 0, std::nullopt};
    if ((sets & kSetsWeight) != 0)
        change.weight = base::load_be<std::uint16_t>(body.data() + 2);
    if (sets == 0 || (sets & ~(kSetsStatus | kSetsWeight)) != 0 ||
        (change.weight && (*change.weight < 1 || *change.weight > kMaxWeight)))
        return tl::unexpected(ControlDrop::kArgument);
    return change;
}

} // namespace mpt::proto
