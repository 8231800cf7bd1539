// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"
#include "daemon/proto/offload.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

// Packets from the wire made into super-packets for a tun with offloads: what a network card's receive offload and
// the kernel's GRO do, and by the kernel's rules, so that the joined packet says the same as its parts.
namespace mpt::proto {

// A packet that may become part of a super-packet: one whole TCP segment or UDP datagram with payload, over IPv4
// without options and fragmentation or IPv6 without extension headers; TCP with no flag but ACK, PSH and ECE; UDP with
// a checksum. Checksums are not verified yet. Refers to the packet's octets.
struct Segment {
    // Nothing if the packet is of another kind.
    static std::optional<Segment> parse(base::ConstOctets packet) noexcept;

    base::ConstOctets payload() const noexcept { return packet.subspan(header_size); }

    base::ConstOctets packet;
    std::uint8_t transport;   // offset of the transport header
    std::uint8_t header_size; // octets of IP and transport header
    bool is_v4;
    bool is_tcp;
};

// A run of segments of one flow that follow each other without a gap.
//
//     if (join.append(segment)) -> taken
//     else: write join.finish(), then join.start(segment), or write the packet by itself if that is refused, too
class Join {
public:
    // The most segments of a run: what the kernel takes of UDP (UDP_MAX_SEGMENTS before Linux 6.9), and enough of TCP.
    static constexpr std::size_t kMaxSegments = 64;
    // IPv6 and TCP with all options.
    static constexpr std::size_t kMaxHeaderSize = 100;
    // The most octets of a joined packet.
    static constexpr std::size_t kMaxSize = 65535;

    // `udp`: the tun takes UDP super-packets (USO, Linux 6.2); otherwise no UDP datagram starts a run.
    explicit Join(bool udp) noexcept : udp_(udp) {}

    // Segments of the run; 0 if none has been started since the last finish().
    std::size_t count() const noexcept { return count_; }

    // Begins a run; there must be none. Refuses (false) a segment whose IPv4 or transport checksum is wrong: in a
    // joined packet the kernel would make it right.
    bool start(const Segment &segment) noexcept;

    // Adds the next segment to the run, if there is one and this segment continues it: the same flow and header fields,
    // the next TCP sequence number, the same payload size or, as the last one, less, and right checksums.
    // Checksums are looked at last: what is refused for any other reason has not been summed.
    bool append(const Segment &segment) noexcept;

    // What is written to the tun in this order: offload (encoded), header, payloads.
    struct Packet {
        OffloadHeader offload;
        base::ConstOctets header;
        std::span<const base::ConstOctets> payloads;
    };

    // Ends the run; there must be one. A run of one segment comes out as it came in: header is the whole packet, there
    // are no payloads, and offload is all zeros. The result refers to this object, until the next start(), and to the
    // segments' packets.
    Packet finish() noexcept;

private:
    void take(const Segment &segment) noexcept;

    std::array<base::ConstOctets, kMaxSegments> payloads_;
    std::array<std::byte, kMaxHeaderSize> header_{};
    Segment first_{};
    std::size_t count_ = 0;
    std::size_t size_ = 0;              // of the joined packet so far
    std::uint32_t next_sequence_ = 0;   // TCP
    bool fixed_identification_ = false; // IPv4, from the second segment on
    bool pushed_ = false;               // the last segment has PSH
    bool closed_ = false;               // nothing may follow
    bool udp_;
};

} // namespace mpt::proto
