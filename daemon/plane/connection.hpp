// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/core/auto_mtu.hpp"
#include "daemon/core/keepalive_session.hpp"
#include "daemon/core/liveness.hpp"
#include "daemon/core/path_mtu_search.hpp"
#include "daemon/core/path_validation.hpp"
#include "daemon/core/reorder_buffer.hpp"
#include "daemon/core/scheduler.hpp"
#include "daemon/plane/counters.hpp"
#include "daemon/plane/event_queue.hpp"
#include "daemon/plane/kept_state.hpp"
#include "daemon/plane/source_filter.hpp"
#include "daemon/plane/stranger_limit.hpp"
#include "daemon/plane/udp_socket.hpp"
#include "daemon/sys/event_loop.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

namespace mpt::plane {

class Connection;
class SendBatch;
struct ConnectionEntry;

// What core::PathMeasure has, for other threads.
struct PublishedMeasure {
    Counter rtt, rtt_variation; // microseconds; rtt 0: not known yet
    Counter expected, lost_in, lost_out;
};

// A path at its worker. Other threads read `counters`, `measure` and what is atomic.
struct Path {
    PathCounters counters;
    PublishedMeasure measure; // of authentication type 3
    std::atomic<core::PathStatus> status{core::PathStatus::kDisabled};
    std::atomic<core::StatusReason> reason{core::StatusReason::kStart};
    std::atomic<base::Instant> since{};          // of the status
    std::atomic<base::Instant> last_keepalive{}; // received; the epoch if none
    std::atomic<bool> held_back{false};          // up, but unused since it flaps
    Counter changes;                             // of status

    Connection *connection = nullptr; // whose it is
    std::optional<core::Liveness> liveness;
    core::PathValidation whereabouts; // of authentication type 3
    base::Instant next_moved{};       // when its end may be told of again
    base::Endpoint observed{};        // what was told last
    base::Instant next_observed{};

    std::optional<core::PathMtuSearch> mtu_search; // where the tunnel follows its paths
    Counter found_mtu;                             // octets of an IP packet; 0: what the kernel knows is right
    std::uint64_t probe = 0;                       // number of the last probe, and its size as an IP packet
    std::uint32_t probed_mtu = 0;
    base::Instant next_probe_answer{};

    UdpSocket *socket = nullptr; // what its datagrams leave by; null: it waits for its interface, or for the peer
    const sys::SocketAddress *remote = nullptr; // where to, if the socket is not a connected one
    UdpSocket *keepalive_socket = nullptr;      // not the one of the data, whose send buffer is full under load
    const sys::SocketAddress *keepalive_remote = nullptr; // null: not known
    SendBatch *batch = nullptr;                           // what is being gathered for it
    base::Instant congested_until{};                      // until then what its send buffer does not take is dropped
    bool usable = false;                                  // as the scheduler has been told
    std::uint32_t orders_by_hand = 0;                     // that were followed
    std::uint64_t identity = 0;                           // in the kept state
    std::uint32_t orders_by_peer = 0;
};

// What the reorder buffer counts, for other threads.
struct PublishedReorderCounters {
    Counter delivered, reordered, late, duplicate, far, too_large, lost, unnumbered, restarts, jumps, held_now,
        held_max;
};

// A connection at its worker: all that lasts while forwarding states come and go. Made by the control thread, which
// afterwards reads only counters and what is atomic; everything else is the worker's.
class Connection {
public:
    // `id` names the connection in events; it is never used again for another one. It goes on where `kept` says that it
    // was; the slot, in which it notes how far it is, must outlive it.
    Connection(std::uint64_t id, const core::ConnectionParameters &parameters, const KeptState::Place &kept);

    std::uint64_t id() const noexcept { return id_; }
    // What was known of it before this process.
    const KeptConnection &before() const noexcept { return before_; }

    // Follows a new version of the connection, which must stay until the next one is applied. What its reorder buffer
    // must let go is appended to `released`.
    void apply(const ConnectionEntry &next, base::Instant now, EventQueue &events,
               std::vector<base::ConstOctets> &released);

    // A control message has come by the path, from `source`: proves that it lives if it is a keepalive of the peer, or
    // is dropped and counted. Returns the highest number that the peer has sent, if it says so.
    std::optional<std::uint32_t> take_keepalive(std::uint32_t path, const base::Endpoint &source,
                                                base::ConstOctets datagram, const proto::GrePacket &packet,
                                                base::Instant now, StrangerLimit &strangers, EventQueue &events);
    // A data packet has come by a dead path.
    void on_data(std::uint32_t path, base::Instant now, EventQueue &events);
    // The flag of some interface has changed.
    void on_link_change(base::Instant now, EventQueue &events);
    // Does what is due for the paths: sends keepalives, finds paths dead, lets held-back ones go.
    void on_path_deadline(base::Instant now, EventQueue &events);
    // When on_path_deadline() or the reorder buffer wants to be called.
    std::optional<base::Instant> deadline() const noexcept;

    void publish_reorder_counters() noexcept;

    // The number of the next packet to be sent.
    std::uint32_t take_number() noexcept
    {
        const std::uint32_t number = next_sequence_++;
        slot_.set_next_to_send(next_sequence_); // before it is sent: the next process must not repeat it
        return number;
    }

    // For the sender and the receiver of the worker.
    core::Scheduler scheduler;
    core::ReorderBuffer reorder;
    SourceFilter sources;
    std::array<Path, core::kMaxPaths> paths;
    const ConnectionEntry *entry = nullptr;

    std::optional<base::Instant> refused;      // when the sender of a packet was last told that no path is left
    std::optional<base::Instant> told_too_big; // and when that it was too large for a path

    // For the worker: calls back at deadline(), or before.
    std::optional<sys::Timer> timer;
    std::optional<base::Instant> timer_deadline; // for when it is set
    std::uint64_t generation = 0;                // of the forwarding state that it was seen in last

    DropCounters drops;
    PublishedReorderCounters reorder_counters;

private:
    void note(std::uint32_t path, std::optional<core::StatusChange> change, base::Instant now, EventQueue &events);
    void update_usable(base::Instant now);
    // Whether the path has a socket, and the peer is at its other end: one that has created the connection may have
    // named somebody else's address.
    bool leads_to_peer(std::size_t path) const noexcept;
    void keep_paths() noexcept;
    bool apply_session(const ConnectionEntry *before);
    void on_keepalive(std::uint32_t path, base::Instant now, EventQueue &events);
    std::optional<std::uint32_t> take_session_keepalive(std::uint32_t path, const base::Endpoint &source,
                                                        base::ConstOctets datagram, base::Instant now,
                                                        StrangerLimit &strangers, EventQueue &events);
    void tell_whereabouts(std::uint32_t path, const core::KeepaliveTaken &taken, const core::Whereabouts &where,
                          base::Instant now, EventQueue &events);
    // To where the path's packets go, if that is known.
    void send_keepalive(std::uint32_t number, base::Instant now);
    void apply_mtu_search(std::uint32_t number, const ConnectionEntry *before, EventQueue &events);
    static void publish_mtu(Path &path, EventQueue &events) noexcept;
    // Sends a probe if one is due.
    void probe_mtu(std::uint32_t number, base::Instant now, EventQueue &events);
    void take_mtu_probe(std::uint32_t number, base::ConstOctets datagram, base::Instant now, EventQueue &events);
    void send_keepalive_to(std::uint32_t number, const base::Endpoint &to, base::Instant now);
    void send_keepalive(std::uint32_t number, const sys::SocketAddress &to, std::uint64_t challenge, base::Instant now);

    std::uint64_t id_;
    const KeptConnection before_;
    KeptSlot own_slot_; // if there is no other
    KeptSlot &slot_;
    std::uint32_t next_sequence_;                   // a sender without saved state starts at 0
    std::optional<core::KeepaliveSession> session_; // of authentication type 3
    proto::RandomNumber session_random_{};          // for its next session
    std::uint64_t challenge_random_ = 0;            // for the next address that is tried
    core::ReorderSettings reorder_settings_;
    std::size_t reorder_paths_;
    std::optional<base::Instant> path_deadline_;
};

} // namespace mpt::plane
