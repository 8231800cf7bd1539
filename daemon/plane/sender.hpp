// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/time.hpp"
#include "daemon/plane/forwarding_state.hpp"
#include "daemon/plane/send_batch.hpp"
#include "daemon/proto/offload.hpp"
#include "daemon/proto/split.hpp"

#include <array>
#include <memory>
#include <utility>
#include <vector>

namespace mpt::plane {

// Takes packets from one tunnel, numbers them, gives each to a path as the weights say, and sends them. One
// super-packet of the tun becomes one message a path. A path whose send buffer is full stalls the tunnel: that is the
// back-pressure which keeps packets in the tun's queue, where the sender of the flow notices.
class Sender {
public:
    Sender();

    // Reads what waits in the tunnel, at most one arena full, and sends it. Not while stalled.
    void run(const ForwardingState &state, const TunnelEntry &tunnel, base::Instant now);

    // True if datagrams wait for room in a send buffer. Their sockets must stay until they are gone.
    bool stalled() const noexcept { return batch_count_ > 0; }
    // Whether a path has refused a packet for its size since the last call.
    bool take_too_big() noexcept { return std::exchange(too_big_, false); }
    // Tries again to send what waits, and gives up what has waited too long.
    void retry(base::Instant now);

private:
    void forward(const ForwardingState &state, const TunnelEntry &tunnel, base::Octets read, base::Instant now);
    // `traffic_class` is that of the outer headers.
    void send_super_packet(Connection &connection, base::IpVersion version, const proto::SuperPacket &packet,
                           std::uint8_t traffic_class, base::Instant now);
    void send_packet(Connection &connection, base::IpVersion version, base::ConstOctets packet,
                     std::uint8_t traffic_class, base::Instant now);
    // Tells the sender of a packet that no path is left, once in a while.
    static void refuse(Tunnel &tunnel, Connection &connection, base::ConstOctets packet, base::Instant now);
    // Tells the sender of a packet that the path of the batch did not take how large it may be, once in a while.
    void tell_too_big(const SendBatch &batch, base::Instant now);
    // Writes a GRE header with the connection's next number at the end of the header arena; returns it and the room
    // behind it.
    base::Octets start_header(Connection &connection, base::IpVersion version);
    static Path &next_path(Connection &connection);
    // The batch of a path, with room for one more datagram in it and for its header in the arena.
    SendBatch &prepare(Path &path, base::Instant now);
    // Queues a datagram whose header was written at the end of the header arena.
    void queue(SendBatch &batch, std::size_t header_size, base::ConstOctets payload, std::uint8_t traffic_class);
    // Sends what is queued, in the midst of reading; what the kernel does not take now is dropped.
    void make_room(base::Instant now);
    void flush(base::Instant now);
    // Nothing of the batch waits any more.
    void finish(SendBatch &batch, base::Instant now);

    std::unique_ptr<std::byte[]> arena_;   // what is read from the tun; payloads are sent from here
    std::unique_ptr<std::byte[]> headers_; // GRE and inner headers of the datagrams
    std::size_t headers_used_ = 0;
    std::vector<std::unique_ptr<SendBatch>> batches_;
    std::size_t batch_count_ = 0; // in use
    bool nearly_full_ = false;    // some batch, or all of them together: time to send
    bool too_big_ = false;        // some packet was, since take_too_big()
    base::Instant stalled_since_{};
};

} // namespace mpt::plane
