// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/plane/counters.hpp"
#include "daemon/sys/file_descriptor.hpp"
#include "daemon/sys/socket_address.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace mpt::plane {

// What a socket of a path is bound to.
struct UdpSocketPlace {
    base::Endpoint local;
    unsigned scope = 0; // index of the interface
    std::optional<base::Endpoint> remote;

    friend auto operator<=>(const UdpSocketPlace &, const UdpSocketPlace &) noexcept = default;
};

// A UDP socket of one or more paths, bound to an address, a port and an interface. Shared by the forwarding states that
// name it: the last one to go closes it.
class UdpSocket {
public:
    // The socket that receives on an endpoint what no connected one takes. kAddressInUse if any other socket of the
    // machine holds the port on that address, kNotFound if the interface or the address is not there.
    static base::Result<std::shared_ptr<UdpSocket>> listen(const base::Endpoint &local, const std::string &interface);
    // A socket for the packets of one peer, beside the one that listens on the same endpoint. Its first datagrams may
    // be another's: what came before it was connected, or was on its way to it then.
    static base::Result<std::shared_ptr<UdpSocket>> connect(const base::Endpoint &local, const std::string &interface,
                                                            const base::Endpoint &remote);
    // Where a descriptor of another process is bound; nothing if it is of no such socket.
    static std::optional<UdpSocketPlace> place_of(int fd) noexcept;
    // The kernel's number of a socket, which no other has before the next boot.
    static std::uint64_t cookie_of(int fd) noexcept;
    // One that another process has made there, with all that waits in it.
    static std::shared_ptr<UdpSocket> adopt(sys::FileDescriptor fd, const UdpSocketPlace &place);

    // The same of a path that need not have such a socket, with the kernel's routes of now.
    static std::optional<std::uint32_t> path_mtu(const base::Address &local, const std::string &interface,
                                                 const base::Endpoint &remote);

    int fd() const noexcept { return fd_.get(); }
    std::uint64_t cookie() const noexcept { return cookie_; }
    // Index of the interface that it is bound to.
    unsigned scope() const noexcept { return scope_; }
    bool is_v4() const noexcept { return is_v4_; }
    // Octets of the largest datagrams that the kernel splits a message into (UDP_SEGMENT); 0 if it does not.
    std::size_t largest_segment() const noexcept { return largest_segment_; }
    // The kernel refused to split into datagrams of this size; 0: into any, which it will not do later either.
    void refuse_segments(std::size_t size) noexcept { largest_segment_ = size > 0 ? size - 1 : 0; }
    // What was too large for the path's MTU may fit again.
    void retry_segments() noexcept
    {
        if (largest_segment_ > 0)
            largest_segment_ = SIZE_MAX;
    }

    // What a connected socket can send to its peer in one piece: octets of an IP packet; nothing if it is not known.
    std::optional<std::uint32_t> path_mtu() const noexcept;
    // Whether a larger datagram is sent in fragments, as at first, or refused.
    void set_fragmentation(bool on) const noexcept;

    // Sends one datagram, to `remote` or to the peer of a connected socket; never waits. False if the kernel does not
    // take it.
    bool send(base::ConstOctets datagram, const sys::SocketAddress *remote) const noexcept;

    DropCounters drops; // of datagrams that are nobody's

    // The worker's own notes: where the socket stands in the forwarding state, and in which one it was seen last.
    std::uint32_t index = 0;
    std::uint64_t generation = 0;

private:
    // Of a bound one, which is given its options.
    UdpSocket(sys::FileDescriptor fd, bool is_v4, unsigned scope) noexcept;
    static base::Result<std::shared_ptr<UdpSocket>> open(const base::Endpoint &local, const std::string &interface,
                                                         const std::optional<base::Endpoint> &remote);

    sys::FileDescriptor fd_;
    bool is_v4_;
    unsigned scope_;
    std::size_t largest_segment_ = 0;
    std::uint64_t cookie_ = 0;
};

} // namespace mpt::plane
