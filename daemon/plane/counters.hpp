// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/proto/drop_reason.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mpt::plane {

// A number that one worker counts up and any thread reads: no locked instruction, since there is one writer.
class Counter {
public:
    void add(std::uint64_t count = 1) noexcept { set(get() + count); }
    void set(std::uint64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
    std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};

// Why a packet went no further, besides what proto::DropReason says of datagrams that are not understood.
enum class Drop : std::uint8_t {
    kNoConnection, // from the tunnel: no connection has these addresses or networks
    kNoPath,       // from the tunnel: no path of the connection may be used now
    kMalformed,    // from the tunnel: no whole IP packet, or one whose offload header lies
    kSendBuffer,   // a path's send buffer stayed full too long
    kSendError,    // the kernel refused to send it (no route, firewall, unreachable)
    kWrongSource,  // a datagram that is not from a path's remote address
    kWrongTunnel,  // a keepalive between other tunnel addresses
    kCongestion,   // the path was congested, and the sender of the packet would not understand a mark
    kSpoofed,      // from the peer: the inner source is none of its addresses and networks
    kStunFlood,    // more answers of a STUN server than are looked at
    kTunWrite,     // the kernel did not take it on the tunnel
    kTooBig,       // larger than what the path carries in one piece
    kRateLimit,    // one of too many keepalives from elsewhere
};

constexpr std::size_t kDropCount = static_cast<std::size_t>(Drop::kRateLimit) + 1;

// The reason in a few words, such as "no connection".
std::string_view to_string(Drop drop) noexcept;

class DropCounters {
public:
    void add(Drop drop, std::uint64_t count = 1) noexcept { counters_[static_cast<std::size_t>(drop)].add(count); }
    void add(proto::DropReason reason) noexcept { counters_[kDropCount + static_cast<std::size_t>(reason)].add(); }

    // Calls visit(reason in words, count) for each reason.
    template <typename Visitor> void visit(Visitor &&visit) const
    {
        for (std::size_t i = 0; i < counters_.size(); ++i)
            visit(i < kDropCount ? to_string(static_cast<Drop>(i))
                                 : proto::to_string(static_cast<proto::DropReason>(i - kDropCount)),
                  counters_[i].get());
    }

private:
    std::array<Counter, kDropCount + proto::kDropReasonCount> counters_;
};

// Packets and octets are inner ones: what the tunnel carries, without any header of ours.
struct PathCounters {
    Counter packets_out;
    Counter octets_out;
    Counter packets_in;
    Counter octets_in;
    Counter keepalives_out;
    Counter keepalives_in;
    DropCounters drops;
};

} // namespace mpt::plane
