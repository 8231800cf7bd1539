// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/octets.hpp"
#include "daemon/config/auth_type.hpp"
#include "daemon/proto/control_key.hpp"
#include "daemon/proto/session_key.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

// The messages of the control port. Two hosts agree in an exchange of four: the initiator sends rounds 1 and 3, the
// responder answers with 2 and 4. Rounds 1 and 2 show that the initiator is where it says; round 3 says what it wants.
namespace mpt::proto {

enum class ControlCommand : std::uint8_t {
    kPathStatus = 0xa2, // a path has gone down or come up, or with type 3 has another weight
    kCreate = 0xa3,     // make the connection's other end
};

// What a path status change says, in rounds 1 and 3.
inline constexpr std::uint8_t kPathUp = 0x00;
inline constexpr std::uint8_t kPathDown = 0x80;

// What the responder says about it, in rounds 2 and 4. Below 0x80 what the deployed release says, above what it does
// not know and takes for a failure.
enum class ControlResult : std::uint8_t {
    kDone = 0,
    kBadText = 4,       // the text of a create is not understood, or says something impossible
    kExists = 5,        // there is a connection between these tunnel addresses
    kAllPathsDown = 6,  // the last usable path would go
    kNotPermitted = 8,  // the connection's permission has no RECEIVE
    kNoSuchPath = 0x80, // no path has these addresses
    kRefused = 0x81,    // the responder's administrator does not want such a connection
    kTooMany = 0x82,    // peers have created as many connections as they may
    kTooLong = 0x83,    // the reply's text does not fit into the length of the request's
    kFailed = 0x84,     // the responder could not do it
};

// A few words for people, such as "not permitted"; "result 17" for one that is not known.
std::string to_string(ControlResult result);

inline constexpr std::size_t kMaxUdpPayload = 65535 - 20 - 8;
inline constexpr std::size_t kPathAddressesSize = 32;
inline constexpr std::size_t kPathChangeSize = 8;
// The longest text of a create: twice what 20 paths and 20 networks with the longest values take.
inline constexpr std::size_t kMaxControlBody = 24 * 1024;

// A random number of an exchange: of 4 octets with authentication types 1 and 2, of 16 with type 3.
class ControlRandom {
public:
    constexpr ControlRandom() noexcept = default; // 0
    // A number of either length is one. NOLINTNEXTLINE(google-explicit-constructor)
    constexpr ControlRandom(std::uint32_t number) noexcept
        : octets_{static_cast<std::byte>(number >> 24), static_cast<std::byte>(number >> 16),
                  static_cast<std::byte>(number >> 8), static_cast<std::byte>(number)}
    {
    }
    // NOLINTNEXTLINE(google-explicit-constructor)
    constexpr ControlRandom(const RandomNumber &octets) noexcept : octets_(octets) {}

    // The first 4 octets.
    std::uint32_t number() const noexcept { return base::load_be<std::uint32_t>(octets_.data()); }
    const RandomNumber &octets() const noexcept { return octets_; }
    // As a message of the type carries it.
    ControlRandom of_type(config::AuthType auth) const noexcept;
    // Whether type 3 may use it: it is not one of 4 octets.
    bool is_long() const noexcept { return of_type(config::AuthType::kSha256) != *this; }

    friend bool operator==(const ControlRandom &, const ControlRandom &) noexcept = default;

private:
    RandomNumber octets_{};
};

struct ControlMessage {
    ControlCommand command = ControlCommand::kPathStatus;
    std::uint8_t argument = 0; // rounds 1 and 3: kPathUp or kPathDown; rounds 2 and 4: a ControlResult
    config::AuthType auth = config::AuthType::kNone;
    ControlRandom random; // types 1 and 2: of the exchange; type 3: of the message's sender
    std::uint8_t round = 1;
    base::IpVersion version = base::IpVersion::kV4; // of the connection
    base::Address initiator;                        // tunnel addresses
    base::Address responder;                        // unspecified if the initiator of a create does not know it
    std::uint32_t body_length = 0;                  // rounds 1 and 2: octets that the body of round 3 has
    base::ConstOctets body;                         // rounds 3 and 4

    ControlResult result() const noexcept { return static_cast<ControlResult>(argument); }
};

// Why a datagram of the control port is not answered, or an answer not taken. The values count up from 0, to index
// counters.
enum class ControlDrop : std::uint8_t {
    // decode_control()
    kTruncated,       // ends inside the fixed fields
    kTooLong,         // more than a UDP datagram holds
    kUnknownCommand,  // neither 0xA2 nor 0xA3
    kUnknownAuthType, // authentication type that is not known
    kAuthLength,      // length of the authentication data is not the type's
    kWeakCreate,      // a create without hash
    kUnknownRound,    // not 1 to 4
    kAddresses,       // ip_ver and tunnel addresses do not agree
    kArgument,        // a path status other than 0x00 and 0x80, or an impossible change
    kBodyLength,      // body, or announced body, of an impossible length
    // exchanges
    kUnknownPeer,   // no connection has these tunnel addresses, or nobody may create one
    kRateLimit,     // too many from this source
    kWrongAuthType, // not the type that the connection's configuration asks for
    kWrongHash,     // made with another key, or changed on its way
    kWrongSource,   // from none of the peer's addresses
    kWrongRandom,   // does not repeat the random number of the exchange
    kNoExchange,    // round 3 without round 1, or an answer that nobody waits for
    kDuplicate,     // repeats what has been taken
    kContradiction, // contradicts what has been taken
    kBusy,          // more exchanges are running than are kept
};

inline constexpr std::size_t kControlDropCount = static_cast<std::size_t>(ControlDrop::kBusy) + 1;

// A few words for people, such as "wrong hash".
std::string_view to_string(ControlDrop reason) noexcept;

// Reads a datagram of the control port; the body refers to it. Its authenticity is not checked.
// Not looked at, since no sender is known to rely on it: the reserved octets, the argument of a create, and the random
// number of round 1.
tl::expected<ControlMessage, ControlDrop> decode_control(base::ConstOctets datagram) noexcept;

// Whether a datagram that decode_control() made `message` of bears the hash of `key`. True for authentication types 0
// and 1, which have none. With type 3 `other` is the random number of the message's receiver, 0 for round 1.
bool has_valid_hash(const ControlMessage &message, base::ConstOctets datagram, const ControlKey &key,
                    const ControlRandom &other = {}) noexcept;

// The whole UDP payload. Of body_length and body the one that the round has is used; they must be what decode_control()
// takes. `key` is used by the authentication types 2 and 3, `other` as in has_valid_hash(). If OpenSSL cannot make a
// hash, there is none that anybody takes.
std::vector<std::byte> encode_control(const ControlMessage &message, const ControlKey &key,
                                      const ControlRandom &other = {});

// The body of a path status change, round 3, of types 0 to 2: which path it is, as the initiator sees it.
struct PathAddresses {
    base::Address local;  // public_ipaddr: the responder's remote_ipaddr
    base::Address remote; // remote_ipaddr: the responder's public_ipaddr

    friend bool operator==(const PathAddresses &, const PathAddresses &) noexcept = default;
};

std::array<std::byte, kPathAddressesSize> encode_path_addresses(const PathAddresses &addresses) noexcept;

// kBodyLength: not 32 octets. kAddresses: not of one IP version.
tl::expected<PathAddresses, ControlDrop> decode_path_addresses(base::ConstOctets body) noexcept;

// The same of type 3: what the responder is asked for.
struct PathChange {
    std::uint8_t path = 0;               // number, the same on both sides
    bool sets_status = false;            // to the message's argument
    std::optional<std::uint16_t> weight; // weight_out of the responder's path, 1 to 10000

    friend bool operator==(const PathChange &, const PathChange &) noexcept = default;
};

std::array<std::byte, kPathChangeSize> encode_path_change(const PathChange &change) noexcept;

// kBodyLength: not 8 octets. kArgument: a weight out of range, something else to set that is not known, or nothing. The
// number of the path is not checked.
tl::expected<PathChange, ControlDrop> decode_path_change(base::ConstOctets body) noexcept;

} // namespace mpt::proto
