// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/octets.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

// STUN (RFC 8489) as a client without credentials needs it, which asks for its address: the Binding method.
namespace mpt::proto {

using StunTransaction = std::array<std::byte, 12>; // drawn so that nobody can guess it

inline constexpr std::size_t kStunRequestSize = 20;
// The longest answer that is looked at: over UDP it is to fit into the smallest MTU of IPv4, 576 octets (section 6.1).
inline constexpr std::size_t kMaxStunAnswer = 548;

void encode_stun_request(const StunTransaction &transaction, std::span<std::byte, kStunRequestSize> to) noexcept;

// Whether the header is that of an answer to a Binding request, and the length what it says. No data packet and no
// keepalive is taken for one: their octets 2 and 3, 0x0800 or 0x86DD, would make it too long or no multiple of 4.
bool is_stun_answer(base::ConstOctets datagram) noexcept;

struct StunAnswer {
    StunTransaction transaction{};
    std::uint16_t error = 0;              // 300 to 699: the server refuses
    std::optional<base::Endpoint> mapped; // what the server saw the request come from; nothing if it does not say
};

// Nothing if it is no answer, an attribute does not fit into it, or its FINGERPRINT is wrong. XOR-MAPPED-ADDRESS goes
// before MAPPED-ADDRESS, which servers of RFC 3489 send. A success with an attribute that must be understood and is not
// says nothing (section 6.3.3).
std::optional<StunAnswer> decode_stun_answer(base::ConstOctets datagram) noexcept;

} // namespace mpt::proto
