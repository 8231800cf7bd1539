// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"
#include "daemon/proto/checksum.hpp"
#include "daemon/proto/offload.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <tl/expected.hpp>

// What a tun with checksum and segmentation offloads hands out, made into packets that can go on the wire.
namespace mpt::proto {

// The most octets of IP header (with options or extension headers) and TCP or UDP header that are taken apart.
inline constexpr std::size_t kMaxInnerHeaders = 248;

enum class SplitError : std::uint8_t {
    kGsoType,        // unknown, or of another IP version or protocol than the packet
    kGsoSize,        // zero
    kChecksumPlace,  // csum_start and csum_offset do not point to the checksum of a TCP or UDP header
    kIpHeader,       // no IPv4 or IPv6 header, a fragment, or an extension header that does not belong here
    kIpLength,       // the IP header's length field does not say what is there
    kTransport,      // impossible TCP data offset, or the packet ends inside its headers
    kHeadersTooLong, // more than kMaxInnerHeaders
};

// A few words for people, such as "wrong IP length".
std::string_view to_string(SplitError error) noexcept;

// A packet of up to 65535 octets (IPv6: 40 more) that stands for several TCP segments or UDP datagrams.
class SuperPacket {
public:
    // Takes a packet whose gso_type is not kGsoNone and checks everything that the functions below rely on. The octets
    // stay the caller's and must stay as they are while this object is in use. `offload.hdr_len` is not looked at.
    static tl::expected<SuperPacket, SplitError> parse(const OffloadHeader &offload, base::ConstOctets packet) noexcept;

    // Number of segments, at least 1; with a gso_size of one octet, tens of thousands.
    std::size_t count() const noexcept { return count_; }

    // Octets of the IP and transport headers, the same for all segments; at most kMaxInnerHeaders.
    std::size_t header_size() const noexcept { return header_size_; }

    // The payload of a segment (index below count()), which stays where it is.
    base::ConstOctets payload(std::size_t index) const noexcept
    {
        const std::size_t offset = header_size_ + index * segment_size_;
        return packet_.subspan(offset, std::min(segment_size_, packet_.size() - offset));
    }

    // Writes the headers of a segment (index below count()) to the first header_size() octets of `to`: lengths,
    // identification, sequence number, flags and checksums as if the segment had been sent by itself.
    void write_headers(std::size_t index, base::Octets to) const noexcept;

private:
    SuperPacket() noexcept = default;

    base::ConstOctets packet_;
    std::size_t header_size_ = 0;
    std::size_t transport_ = 0; // offset of the transport header
    std::size_t segment_size_ = 0;
    std::size_t count_ = 0;
    // What is the same in all segments: the IPv4 header without total length, identification and checksum; pseudo-
    // header and transport header without lengths, TCP sequence number, flags and checksum.
    PartialSum ip_sum_ = 0;
    PartialSum transport_sum_ = 0;
    std::uint32_t sequence_ = 0;
    std::uint16_t identification_ = 0;
    bool is_v4_ = false;
    bool is_tcp_ = false;
};

// Completes the checksum of a packet whose gso_type is kGsoNone, if its flags ask for that. False if csum_start and
// csum_offset point outside the packet, which is then unchanged.
bool complete_checksum(const OffloadHeader &offload, base::Octets packet) noexcept;

} // namespace mpt::proto
