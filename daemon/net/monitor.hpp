// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/net/route_socket.hpp"

#include <set>
#include <string>
#include <utility>

namespace mpt::net {

// Follows the interfaces and addresses of the network namespace in which it was opened, and on demand what of its
// routes and rules concerns this program.
class Monitor {
public:
    static constexpr int kReceiveBuffer = 1024 * 1024;

    enum class Scope { kInterfaces, kRoutesToo };

    // The state is there when it returns. `receive_buffer` as NetlinkSocket::open().
    static base::Result<Monitor> open(Scope scope = Scope::kInterfaces, int receive_buffer = kReceiveBuffer);

    // Readable (level-triggered) when there is something to drain; never becomes another descriptor.
    int fd() const noexcept { return events_.fd(); }

    const NetworkState &state() const noexcept { return state_; }

    // Applies what has happened to state(), without waiting, and returns the names of the interfaces on which something
    // is not as it was: of a renamed one both names, of one that was removed and made again its name even if only its
    // index differs. A long burst is taken in several calls. With routes also those whose default route or forwarding
    // has changed, of which nothing is kept.
    //
    // If the kernel had to drop messages everything is read again (RouteSocket's time bound holds) and compared, so
    // that the caller need not know. kSystem if that fails: state() is what was known last, no name is forgotten, and
    // the next call tries again, to be made after a while even if the descriptor stays quiet.
    base::Result<std::set<std::string>> drain();

    // Whether a route or rule with our protocol number has been removed since the last call, by whomever. The kernel
    // does not tell of routes that go with their interface or address.
    bool take_lost_routes() noexcept { return std::exchange(lost_routes_, false); }

private:
    Monitor(NetlinkSocket events, RouteSocket requests, Scope scope);

    base::Result<void> read_again();
    // False if the datagram is malformed.
    bool apply(base::ConstOctets datagram);
    void apply(const RouteEvent &event);
    void note_change(std::uint32_t index);

    NetlinkSocket events_;
    RouteSocket requests_;
    Scope scope_;
    NetworkState state_;
    std::set<std::string> changed_; // not told yet
    bool lost_routes_ = false;
    bool stale_ = true; // messages are missing: state_ must be read again
};

} // namespace mpt::net
