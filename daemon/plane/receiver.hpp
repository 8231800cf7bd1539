// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/core/source_limiter.hpp"
#include "daemon/plane/event_queue.hpp"
#include "daemon/plane/forwarding_state.hpp"
#include "daemon/plane/stranger_limit.hpp"
#include "daemon/proto/gre.hpp"

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <sys/socket.h>
#include <vector>

namespace mpt::plane {

class Connection;
class TunWriter;

// Reads the sockets of the paths and writes to the tunnels. A pass reads all sockets that have something before
// anything is written, so that what is here already is merged in the order of the sequence numbers, whichever path it
// came by.
class Receiver {
public:
    // `events` is told of paths that a keepalive or a packet brings up, `stun` of answers of STUN servers; both stay
    // the caller's.
    Receiver(EventQueue &events, StunQueue &stun);

    // One pass over these sockets (their indices in state.sockets), which is not over what they hold for ever.
    void run(const ForwardingState &state, std::span<const std::uint32_t> sockets, base::Instant now);
    // Connections that the last run() took packets or keepalives for (indices in state.connections).
    std::span<const std::uint32_t> touched() const noexcept { return touched_; }

    // Follows a new version of a connection; writes what its reorder buffer lets go for that.
    void apply(const ConnectionEntry &entry, base::Instant now);

    // Writes what the connection's reorder buffer has held long enough.
    void on_deadline(const ConnectionEntry &entry, base::Instant now);

private:
    struct Arrival {
        std::uint32_t connection; // index in state.connections
        std::uint32_t path;
        std::uint32_t sequence; // if numbered, else the order of arrival
        bool numbered;
        base::ConstOctets packet;
    };

    // What a keepalive says of the numbers sent before it.
    struct Reached {
        std::uint32_t connection;
        std::uint32_t path;
        std::uint32_t highest;
    };

    void read(const ForwardingState &state, const SocketEntry &socket, std::size_t slots, base::Instant now);
    void take_message(const ForwardingState &state, const SocketEntry &socket, mmsghdr &message, base::Instant now);
    // Where a datagram came from.
    struct Source {
        base::Endpoint address;
        const SocketEntry &listening; // the socket of its local address and port
        std::optional<PathReference> path;
        std::uint8_t traffic_class; // of its IP header
    };
    void take_datagram(const ForwardingState &state, const Source &source, base::Octets datagram, base::Instant now);
    // What a STUN server has sent, for the control thread; false if it is no answer, or of no server.
    bool take_stun_answer(const ForwardingState &state, const Source &source, base::ConstOctets datagram,
                          base::Instant now);
    void deliver(const ForwardingState &state, base::Instant now);
    void deliver_connection(const ForwardingState &state, std::span<Arrival> arrivals, base::Instant now);
    // Writes a packet if it may be the peer's.
    void write(Connection &connection, TunWriter &writer, base::ConstOctets packet);
    void write_released(Connection &connection, TunWriter &writer);

    EventQueue &events_;
    StunQueue &stun_;
    StrangerLimit strangers_;
    core::SourceLimiter stun_limiter_;    // of a server
    std::unique_ptr<std::byte[]> buffer_; // slots, each with room for one message of the kernel
    std::vector<Arrival> arrivals_;
    std::vector<Reached> reached_;
    std::vector<base::ConstOctets> released_;
    std::vector<std::uint32_t> touched_;
    std::size_t slots_used_ = 0;
};

} // namespace mpt::plane
