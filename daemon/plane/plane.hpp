// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/core/parameters.hpp"
#include "daemon/plane/event_queue.hpp"
#include "daemon/plane/forwarding_state.hpp"
#include "daemon/plane/kept_state.hpp"
#include "daemon/plane/worker.hpp"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace mpt::plane {

// The control thread's side of the data plane: owns tun devices, sockets and workers. Changes are gathered, and take
// effect together with commit(). For one thread, but for set_interface_ready().
class Plane {
public:
    // Starts `workers` threads (1-64).
    static base::Result<std::unique_ptr<Plane>> start(unsigned workers);
    ~Plane();

    // What there is to know of the connections that are added from now on is kept there, and they go on from what was.
    // It must outlive the plane.
    void keep_state(KeptState &state) noexcept { kept_ = &state; }
    // A socket of another process, of whichever path: one that is opened uses it if it would make such a one otherwise.
    // What is of no use is closed at once (false), or with close_spare_sockets().
    bool add_spare_socket(sys::FileDescriptor socket);
    void close_spare_sockets() noexcept { spare_.clear(); }
    // Closes those that keep others from using a port on any address, or just from where a path is bound. Returns their
    // numbers, as of UdpSocket::cookie().
    std::vector<std::uint64_t> close_spare_sockets_of(std::uint16_t port);
    std::vector<std::uint64_t> close_spare_sockets_of(const std::string &connection, std::size_t path);
    // Calls back for the sockets of all paths, as of the last commit; for one of several paths more than once.
    void visit_path_sockets(const std::function<void(const UdpSocket &)> &callback) const;

    // Makes the tunnel interface, which goes away with remove_tunnel() and commit().
    base::Result<void> add_tunnel(const std::string &name);
    // The same with one that is there, as Tun::adopt() takes it.
    base::Result<void> adopt_tunnel(const std::string &name, sys::FileDescriptor kept);
    void remove_tunnel(const std::string &name);

    // Adds a connection on a tunnel that was added, or changes the one of that name: sockets stay where endpoints and
    // interface stay.
    void set_connection(const core::ConnectionParameters &parameters);
    void remove_connection(const std::string &name);

    // Opens the sockets of a path whose interface is up and has the local address; false if they are open already.
    // kAddressInUse if another program has the port, kNotFound if interface or address are not there after all.
    base::Result<bool> open_path(const std::string &connection, std::size_t path);
    // Closes the sockets of a path whose interface is not up or does not have the address; false if that is so already.
    bool close_path(const std::string &connection, std::size_t path, bool interface_up, bool address_present);
    // By hand: down lasts until up, also over other changes of the connection.
    void set_path(const std::string &connection, std::size_t path, bool up);
    // What the path was last set to before this process, if it was and still is the one of that number.
    std::optional<bool> set_before(const std::string &connection, std::size_t path) const;
    // Where its peer was learned to be then, and since when, in whole seconds.
    std::optional<core::LearnedPeer> learned_before(const std::string &connection, std::size_t path) const;
    // The peer says so: it takes a path that it does not use for dead.
    void set_path_by_peer(const std::string &connection, std::size_t path, bool up);

    // Whose answers take_stun_answers() tells of.
    void set_stun_servers(const std::vector<base::Endpoint> &servers) { stun_servers_ = servers; }
    // Sends from the local port of a path whose sockets are open; false if there is none, or the kernel does not take
    // it.
    bool send_from(const base::Endpoint &local, const std::string &interface, const base::Endpoint &to,
                   base::ConstOctets datagram) const;

    // Whether an interface can carry packets now. From any thread: a path stops using one that cannot at once, whatever
    // the control thread is busy with.
    void set_interface_ready(const std::string &interface, bool ready);

    // Gives the workers what has changed. kAlreadyExists if two connections claim the same packets; then nothing
    // changes.
    base::Result<void> commit();
    // Waits until the workers forward by what was committed, so that its effects can be seen; at most shortly.
    void settle();

    // Whether every worker's loop has come round since the last call; asks them anew.
    bool ask_workers() noexcept;

    // Readable when take_events() has something to tell.
    int events_fd() const noexcept { return wakeup_.fd(); }
    // Calls back for each path that changed its status: name of the connection, number of the path, what and when.
    // Returns how many changes were too many to be told.
    // kSystem if a worker has failed, after which the tunnel does not work any more.
    base::Result<std::uint64_t>
    take_events(const std::function<void(const std::string &connection, const PathEvent &event)> &callback);

    // Whether a path has not taken a packet for its size, or an ICMP message said so, since the last call.
    bool take_mtu_doubts() noexcept;
    // Octets of an IP packet that a path carries in one piece, as far as the kernel knows or probes have shown; nothing
    // if the kernel does not.
    std::optional<std::uint32_t> path_mtu(const std::string &connection, std::size_t path) const;
    // Whether larger ones are sent in fragments, as at first, or refused. At once. A path without connected socket
    // sends them in any case.
    void set_fragmentation(const std::string &connection, std::size_t path, bool on);
    // To be called after take_events(): calls back for each answer of a STUN server.
    void take_stun_answers(
        const std::function<void(const base::Endpoint &server, base::ConstOctets answer)> &callback) const;

    // A tunnel, or a connection that was committed; null if there is none of that name.
    const Tunnel *find_tunnel(const std::string &name) const;
    const ConnectionEntry *find_connection(const std::string &name) const;
    // Calls back for everything that has counters, in the order of names.
    void visit_tunnels(const std::function<void(const Tunnel &)> &callback) const;
    void visit_connections(const std::function<void(const ConnectionEntry &)> &callback) const;
    void visit_sockets(const std::function<void(const std::string &name, const UdpSocket &)> &callback) const;

private:
    struct TunnelRecord {
        std::shared_ptr<Tunnel> tunnel;
        std::size_t worker = 0;
    };
    // A connection as it will be with the next commit().
    struct ConnectionRecord {
        std::shared_ptr<ConnectionEntry> next;          // changed since the last commit; else null
        std::shared_ptr<const ConnectionEntry> current; // of the last commit
        KeptSlot *slot = nullptr;
    };
    using ListenKey = std::tuple<base::Endpoint, std::string>; // local endpoint, interface

    explicit Plane(Wakeup wakeup) noexcept;
    base::Result<void> add_tunnel(const std::string &name, base::Result<Tun> tun);
    // The present version of a connection, or null.
    const ConnectionEntry *find(const std::string &connection) const;
    // The next version of a connection that is there, to be changed.
    ConnectionEntry &edit(const std::string &connection);
    base::Result<std::shared_ptr<UdpSocket>> listen(const base::Endpoint &local, const std::string &interface,
                                                    std::size_t worker);
    void leave_slot(KeptSlot *slot);
    // Gives back the slots whose connections no worker has any more.
    void give_back_slots();
    // A spare one for that place, or null.
    std::shared_ptr<UdpSocket> find_spare(const base::Endpoint &local, const std::string &interface,
                                          const std::optional<base::Endpoint> &remote);
    // A connected socket for the path; null if it is better served by the one that listens, or has no route yet.
    std::shared_ptr<UdpSocket> connect(const core::PathParameters &path);
    std::vector<std::uint64_t> close_spare_sockets_if(const std::function<bool(const UdpSocketPlace &)> &is_in_the_way);
    base::Result<std::unique_ptr<ForwardingState>> build(std::size_t worker) const;
    void add_sockets(ForwardingState &state) const;

    Wakeup wakeup_;
    LinkFlags link_flags_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::map<std::string, TunnelRecord> tunnels_;
    std::map<std::string, ConnectionRecord> connections_;
    struct ListenRecord {
        std::weak_ptr<UdpSocket> socket;
        std::size_t worker = 0;
        std::vector<std::weak_ptr<UdpSocket>> connected; // beside it
    };
    std::map<ListenKey, ListenRecord> listening_;
    std::vector<base::Endpoint> stun_servers_;
    std::map<UdpSocketPlace, sys::FileDescriptor> spare_;
    KeptState *kept_ = nullptr;
    // Slots of connections that go, or have gone, with the commit of that number.
    std::deque<std::pair<KeptSlot *, std::uint64_t>> left_slots_;
    std::size_t next_worker_ = 0;
    std::uint64_t next_id_ = 1;
    std::uint64_t committed_ = 0; // the number of the last forwarding states
};

} // namespace mpt::plane
