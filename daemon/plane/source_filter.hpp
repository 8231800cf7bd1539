// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"
#include "daemon/core/forwarding_table.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace mpt::plane {

// Lets through what a connection's peer may send into the tunnel: the packets whose answers would go to that peer, and
// to no other one. So a peer speaks for its tunnel address and its networks alone (RFC 3704 section 2.2).
class SourceFilter {
public:
    enum class Verdict : std::uint8_t {
        kPass,
        kSpoofed, // its source is not the peer's
        kNoise,   // link-local or multicast: of the peer's tunnel interface itself, none of it meant for us
    };

    // From now on of the connection with that value in the table, which stays the caller's.
    void follow(const core::ForwardingTable &table, std::uint32_t connection) noexcept;

    // Of a whole IPv4 or IPv6 packet. Costs a comparison if the addresses are those of the packet before, else a
    // lookup.
    Verdict check(base::ConstOctets packet) noexcept;

private:
    const core::ForwardingTable *table_ = nullptr; // null: nothing passes
    std::uint32_t connection_ = 0;
    std::array<std::byte, 32> passed_{}; // addresses of the last packet that passed, as they stand in it
    std::size_t passed_size_ = 0;        // their octets; 0 if none has passed yet
};

} // namespace mpt::plane
