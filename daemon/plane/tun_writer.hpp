// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"
#include "daemon/plane/counters.hpp"
#include "daemon/plane/tun.hpp"
#include "daemon/proto/join.hpp"

namespace mpt::plane {

// Writes packets to a tunnel in the order given; what continues a flow is joined with the packet before it and written
// as one super-packet, gathered from where the packets lie.
class TunWriter {
public:
    // Both stay the caller's; what cannot be written is counted in `drops`.
    TunWriter(const Tun &tun, DropCounters &drops) noexcept;

    // The packet, a whole IPv4 or IPv6 one, must stay until flush() has returned.
    void write(base::ConstOctets packet) noexcept;
    void flush() noexcept;

private:
    void write_packet(const proto::OffloadHeader &offload, base::ConstOctets header,
                      std::span<const base::ConstOctets> payloads, std::size_t packets) noexcept;

    const Tun &tun_;
    DropCounters &drops_;
    proto::Join join_;
    bool joins_ = true; // until the kernel refuses a super-packet
};

} // namespace mpt::plane
