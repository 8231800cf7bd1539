// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/offload.hpp"

#include <array>
#include <cstring>
#include <gtest/gtest.h>

namespace mpt::proto {
namespace {

// linux/virtio_net.h itself is not C++ (it has a member named class).
TEST(Offload, IsTheKernelsStructure)
{
    // __u8 flags, gso_type; __u16 hdr_len, gso_size, csum_start, csum_offset
    std::array<std::byte, kOffloadHeaderSize> octets{std::byte{0x01}, std::byte{0x84}};
    const std::array<std::uint16_t, 4> words{0x0102, 0x0304, 0x0506, 0x0708};
    std::memcpy(octets.data() + 2, words.data(), sizeof words);

    const OffloadHeader header = decode_offload(octets);
    EXPECT_EQ(header.flags, 1);
    EXPECT_EQ(header.gso_type, 0x84);
    EXPECT_EQ(header.hdr_len, 0x0102);
    EXPECT_EQ(header.gso_size, 0x0304);
    EXPECT_EQ(header.csum_start, 0x0506);
    EXPECT_EQ(header.csum_offset, 0x0708);

    std::array<std::byte, kOffloadHeaderSize> encoded{};
    encode_offload(header, encoded);
    EXPECT_EQ(encoded, octets);
}

TEST(Offload, ValuesAreTheKernels)
{
    EXPECT_EQ(OffloadHeader::kNeedsCsum, 1); // VIRTIO_NET_HDR_F_NEEDS_CSUM
    EXPECT_EQ(OffloadHeader::kGsoNone, 0);   // VIRTIO_NET_HDR_GSO_NONE
    EXPECT_EQ(OffloadHeader::kGsoTcpV4, 1);  // VIRTIO_NET_HDR_GSO_TCPV4
    EXPECT_EQ(OffloadHeader::kGsoTcpV6, 4);  // VIRTIO_NET_HDR_GSO_TCPV6
    EXPECT_EQ(OffloadHeader::kGsoUdpL4, 5);  // VIRTIO_NET_HDR_GSO_UDP_L4
    EXPECT_EQ(OffloadHeader::kGsoEcn, 0x80); // VIRTIO_NET_HDR_GSO_ECN
}

} // namespace
} // namespace mpt::proto
