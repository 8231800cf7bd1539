// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace mpt::proto {

inline constexpr std::size_t kOffloadHeaderSize = 10;

// struct virtio_net_hdr, which a tun opened with IFF_VNET_HDR puts before each packet and expects before each, in the
// machine's own byte order (virtio 1.2 section 5.1.6; linux/virtio_net.h, which in Debian 12 lacks UDP_L4).
struct OffloadHeader {
    // flags
    static constexpr std::uint8_t kNeedsCsum = 1; // the checksum field holds the sum of the pseudo-header only

    // gso_type
    static constexpr std::uint8_t kGsoNone = 0; // an ordinary packet
    static constexpr std::uint8_t kGsoTcpV4 = 1;
    static constexpr std::uint8_t kGsoTcpV6 = 4;
    static constexpr std::uint8_t kGsoUdpL4 = 5;  // over either IP version; each segment is a datagram of its own
    static constexpr std::uint8_t kGsoEcn = 0x80; // added to TCPV4 or TCPV6 when the first segment has CWR set

    std::uint8_t flags = 0;
    std::uint8_t gso_type = kGsoNone;
    std::uint16_t hdr_len = 0;     // read from a tun it says what happens to be linear, not how long the headers are
    std::uint16_t gso_size = 0;    // payload octets of each segment; the last one may be shorter
    std::uint16_t csum_start = 0;  // from the start of the packet to the transport header
    std::uint16_t csum_offset = 0; // from the transport header to its checksum field

    friend bool operator==(const OffloadHeader &, const OffloadHeader &) noexcept = default;
};

static_assert(sizeof(OffloadHeader) == kOffloadHeaderSize);

inline OffloadHeader decode_offload(std::span<const std::byte, kOffloadHeaderSize> from) noexcept
{
    OffloadHeader header;
    std::memcpy(&header, from.data(), sizeof header);
    return header;
}

inline void encode_offload(const OffloadHeader &header, std::span<std::byte, kOffloadHeaderSize> to) noexcept
{
    std::memcpy(to.data(), &header, sizeof header);
}

} // namespace mpt::proto
