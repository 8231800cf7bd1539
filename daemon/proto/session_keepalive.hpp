// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/proto/drop_reason.hpp"
#include "daemon/proto/gre.hpp"
#include "daemon/proto/session_key.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <tl/expected.hpp>

namespace mpt::proto {

inline constexpr std::byte kSessionKeepaliveCommand{0xa4};
inline constexpr std::size_t kSessionKeepaliveSize = kGreSize + 152; // with its GRE header
inline constexpr std::size_t kSessionKeepaliveMac = kSessionKeepaliveSize - kMacSize;

// A keepalive of authentication type 3. Zeros stand for what its sender does not know.
struct SessionKeepalive {
    base::IpVersion version = base::IpVersion::kV4; // of the connection
    std::uint8_t path = 0;                          // number, the same on both sides
    std::optional<std::uint32_t> highest_sequence;  // of the data packets that the connection has sent
    RandomNumber sender{};                          // session numbers of both sides
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

    friend bool operator==(const SessionKeepalive &, const SessionKeepalive &) noexcept = default;
};

// The whole UDP payload, with the MAC of `key`.
void encode_session_keepalive(const SessionKeepalive &keepalive, SessionKey &key,
                              std::span<std::byte, kSessionKeepaliveSize> to) noexcept;

// Reads a datagram of the data port. Its MAC, which stands at kSessionKeepaliveMac, is not checked. decode_gre()'s
// reasons; kUnknownCommand: it is no keepalive; kWeakKeepalive: it is one without MAC; kUnknownFlags: it has a sequence
// number; kBadKeepalive: the length is not exact, or its form has another version. Flags that are not known are not
// looked at.
tl::expected<SessionKeepalive, DropReason> decode_session_keepalive(base::ConstOctets datagram) noexcept;

} // namespace mpt::proto
