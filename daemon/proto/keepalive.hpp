// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/proto/drop_reason.hpp"
#include "daemon/proto/gre.hpp"

#include <cstddef>
#include <span>
#include <tl/expected.hpp>

namespace mpt::proto {

inline constexpr std::byte kKeepaliveCommand{0xa1};
inline constexpr std::size_t kKeepaliveSize = kGreSize + 40; // with its GRE header

// The message that keeps a path up. Both addresses are of one IP version, which is the connection's.
struct Keepalive {
    base::Address sender;   // the sender's tunnel address
    base::Address receiver; // the receiver's tunnel address

    friend bool operator==(const Keepalive &, const Keepalive &) noexcept = default;
};

// The whole UDP payload.
void encode_keepalive(const Keepalive &keepalive, std::span<std::byte, kKeepaliveSize> to) noexcept;

// Reads a control message that came by the data port. kUnknownCommand: it is not a keepalive. kUnknownFlags: it has a
// sequence number, which only data packets have. kBadKeepalive: the length is not exact, or ip_ver, protocol type and
// addresses do not agree. The octets that are reserved may have any value.
tl::expected<Keepalive, DropReason> decode_keepalive(const GrePacket &message) noexcept;

} // namespace mpt::proto
