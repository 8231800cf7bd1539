// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/proto/drop_reason.hpp"
#include "daemon/proto/gre.hpp"
#include "daemon/proto/session_key.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <tl/expected.hpp>

namespace mpt::proto {

inline constexpr std::byte kMtuProbeCommand{0xa5};
inline constexpr std::size_t kMtuProbeSize = kGreSize + 80; // with its GRE header, without padding
inline constexpr std::size_t kMtuProbeMac = kMtuProbeSize - kMacSize;

// A probe of a path's MTU, or the answer to one, between hosts of authentication type 3. A probe is padded with zeros
// to the size of the packet that it stands for.
struct MtuProbe {
    base::IpVersion version = base::IpVersion::kV4; // of the connection
    std::uint8_t path = 0;                          // number, the same on both sides
    std::optional<std::uint16_t> received;          // of an answer: octets of the UDP payload of the probe that came
    RandomNumber sender{};                          // session numbers of both sides
    RandomNumber receiver{};
    std::uint64_t number = 0; // of the probe, that the answer repeats

    friend bool operator==(const MtuProbe &, const MtuProbe &) noexcept = default;
};

// The whole UDP payload, as large as `to` (from kMtuProbeSize on), with the MAC of `key`.
void encode_mtu_probe(const MtuProbe &probe, SessionKey &key, base::Octets to) noexcept;

// Reads a datagram of the data port. Its MAC, which stands at kMtuProbeMac, is not checked. decode_gre()'s reasons;
// kUnknownCommand: it is no probe; kUnknownFlags: it has a sequence number; kBadKeepalive: it is too short, its form
// has another version, or it is neither a probe nor an answer.
tl::expected<MtuProbe, DropReason> decode_mtu_probe(base::ConstOctets datagram) noexcept;

} // namespace mpt::proto
