// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/net/route_socket.hpp"

#include <set>
#include <string>

namespace mpt::net {

// Follows the interfaces and addresses of the network namespace in which it was opened.
class Monitor {
public:
    static constexpr int kReceiveBuffer = 1024 * 1024;

    // The state is there when it returns. `receive_buffer` as NetlinkSocket::open().
    static base::Result<Monitor> open(int receive_buffer = kReceiveBuffer);

    // Readable (level-triggered) when there is something to drain; never becomes another descriptor.
    int fd() const noexcept { return events_.fd(); }

    const NetworkState &state() const noexcept { return state_; }

    // Applies what has happened to state(), without waiting, and returns the names of the interfaces on which something
    // is not as it was: of a renamed one both names, of one that was removed and made again its name even if only its
    // index differs. A long burst is taken in several calls.
    //
    // If the kernel had to drop messages everything is read again (RouteSocket's time bound holds) and compared, so
    // that the caller need not know. kSystem if that fails: state() is what was known last, no name is forgotten, and
    // the next call tries again, to be made after a while even if the descriptor stays quiet.
    base::Result<std::set<std::string>> drain();

private:
    Monitor(NetlinkSocket events, RouteSocket requests);

    base::Result<void> read_again();
    // False if the datagram is malformed.
    bool apply(base::ConstOctets datagram);

    NetlinkSocket events_;
    RouteSocket requests_;
    NetworkState state_;
    std::set<std::string> changed_; // not told yet
    bool stale_ = true;             // messages are missing: state_ must be read again
};

} // namespace mpt::net
