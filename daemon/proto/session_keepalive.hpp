// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/proto/drop_reason.hpp"
#include "daemon/proto/gre.hpp"
#include "daemon/proto/session_key.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <tl/expected.hpp>

namespace mpt::proto {

inline constexpr std::byte kSessionKeepaliveCommand{0xa4};
inline constexpr std::size_t kSessionKeepaliveSize = kGreSize + 208; // with its GRE header
inline constexpr std::size_t kSessionKeepaliveMac = kSessionKeepaliveSize - kMacSize;

// A keepalive of authentication type 3. Zeros stand for what its sender does not know.
struct SessionKeepalive {
    base::IpVersion version = base::IpVersion::kV4; // of the connection
    std::uint8_t path = 0;                          // number, the same on both sides
    std::optional<std::uint32_t> highest_sequence;  // of the data packets that the connection has sent
    base::Address from;                             // tunnel addresses of sender and receiver
    base::Address to;
    RandomNumber sender{}; // session numbers of both sides
    RandomNumber receiver{};
    RandomNumber offer{};           // the sender's next one; none if it asks for no answer
    std::uint64_t counter = 0;      // rises with every keepalive of the sender
    std::uint64_t sent_at = 0;      // by the sender's clock, microseconds
    std::uint64_t echo = 0;         // sent_at of the last fresh one that came by the path
    std::uint64_t echo_delay = 0;   // time since it came, microseconds
    std::uint64_t packets_sent = 0; // data packets that the sender has sent by the path
    std::uint64_t packets_lost = 0; // of the receiver's, that have not come to the sender
    std::uint64_t challenge = 0;
    std::uint64_t response = 0; // the challenge that came last by the path
    base::Endpoint observed;    // where the last fresh one that came by the path was from; port 0: there was none

    friend bool operator==(const SessionKeepalive &, const SessionKeepalive &) noexcept = default;
};

// The whole UDP payload, with the MAC of `key`.
void encode_session_keepalive(const SessionKeepalive &keepalive, SessionKey &key,
                              std::span<std::byte, kSessionKeepaliveSize> to) noexcept;

// Which path of which connection a keepalive is of, as it says. Tells nothing of whether the rest of it is right.
struct KeepaliveName {
    base::Address from; // tunnel addresses of sender and receiver
    base::Address to;
    std::uint8_t path = 0;

    friend bool operator==(const KeepaliveName &, const KeepaliveName &) noexcept = default;
};

// Of a control message of the data port; nothing if it cannot be a keepalive of authentication type 3.
std::optional<KeepaliveName> name_of_session_keepalive(const GrePacket &message) noexcept;

// Reads a datagram of the data port. Its MAC, which stands at kSessionKeepaliveMac, is not checked. decode_gre()'s
// reasons; kUnknownCommand: it is no keepalive; kWeakKeepalive: it is one without MAC; kUnknownFlags: it has a sequence
// number; kBadKeepalive: the length is not exact, or its form has another version. Flags that are not known are not
// looked at.
tl::expected<SessionKeepalive, DropReason> decode_session_keepalive(base::ConstOctets datagram) noexcept;

} // namespace mpt::proto

template <> struct std::hash<mpt::proto::KeepaliveName> {
    std::size_t operator()(const mpt::proto::KeepaliveName &name) const noexcept
    {
        return (mpt::base::hash_value(name.from) * 31 + mpt::base::hash_value(name.to)) * 31 + name.path;
    }
};
