// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/udp_socket.hpp"

#include "daemon/sys/error.hpp"

#include <cerrno>
#include <fmt/format.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <utility>

namespace mpt::plane {

namespace {

// Room for bursts: with the kernel's default of 208 KiB half of the throughput is lost. The send buffer stays at its
// default, for a full one is what slows the tunnel down to the path's rate.
constexpr int kDataBuffer = 4 << 20;

std::optional<std::uint32_t> path_mtu_of(int connected, bool v4) noexcept
{
    int mtu = 0;
    socklen_t length = sizeof mtu;
    const bool known =
        getsockopt(connected, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu, &length) == 0;
    return known && mtu > 0 ? std::optional(static_cast<std::uint32_t>(mtu)) : std::nullopt;
}

bool set_option(int fd, int level, int option, int value) noexcept
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

std::optional<int> get_option(int fd, int level, int option) noexcept
{
    int value = 0;
    socklen_t length = sizeof value;
    return getsockopt(fd, level, option, &value, &length) == 0 ? std::optional(value) : std::nullopt;
}

// getsockname(2) or getpeername(2).
template <typename Function> std::optional<base::Endpoint> ask_endpoint(Function function, int fd) noexcept
{
    sys::SocketAddress address;
    address.length = sizeof address.v6;
    if (function(fd, &address.any, &address.length) != 0)
        return std::nullopt;
    return sys::endpoint_of(address);
}

} // namespace

UdpSocket::UdpSocket(sys::FileDescriptor fd, bool is_v4, unsigned scope) noexcept
    : fd_(std::move(fd)), is_v4_(is_v4), scope_(scope), cookie_(cookie_of(fd_.get()))
{
    if (!set_option(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, kDataBuffer))
        set_option(fd_.get(), SOL_SOCKET, SO_RCVBUF, kDataBuffer);
    // SO_REUSEPORT lets the sockets of this daemon share the port; who listens sets it only after having bound, so
    // that a port in use is still told.
    set_option(fd_.get(), SOL_SOCKET, SO_REUSEPORT, 1);
    set_option(fd_.get(), is_v4 ? IPPROTO_IP : IPPROTO_IPV6, is_v4 ? IP_RECVTOS : IPV6_RECVTCLASS, 1);
    set_option(fd_.get(), IPPROTO_UDP, UDP_GRO, 1); // without it each datagram comes alone, which works too
    if (get_option(fd_.get(), IPPROTO_UDP, UDP_SEGMENT))
        largest_segment_ = SIZE_MAX;
}

base::Result<std::shared_ptr<UdpSocket>> UdpSocket::listen(const base::Endpoint &local, const std::string &interface)
{
    return open(local, interface, std::nullopt);
}

base::Result<std::shared_ptr<UdpSocket>> UdpSocket::connect(const base::Endpoint &local, const std::string &interface,
                                                            const base::Endpoint &remote)
{
    return open(local, interface, remote);
}

base::Result<std::shared_ptr<UdpSocket>> UdpSocket::open(const base::Endpoint &local, const std::string &interface,
                                                         const std::optional<base::Endpoint> &remote)
{
    const bool v4 = local.address.is_v4();
    sys::FileDescriptor fd(socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP));
    if (!fd.valid())
        return sys::system_failure(errno, "making a UDP socket");
    const unsigned scope = if_nametoindex(interface.c_str());
    if (scope == 0 || setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, interface.data(),
                                 static_cast<socklen_t>(interface.size())) != 0)
        return sys::system_failure(errno, fmt::format("binding a socket to the interface {}", interface));
    if (!v4)
        set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (remote)
        set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1);
    const sys::SocketAddress from(local, scope);
    if (bind(fd.get(), &from.any, from.length) != 0)
        return sys::system_failure(errno, fmt::format("binding to UDP {} on {}", local.to_string(), interface));
    if (remote) {
        const sys::SocketAddress to(*remote, scope);
        if (::connect(fd.get(), &to.any, to.length) != 0)
            return sys::system_failure(
                errno, fmt::format("connecting UDP {} on {} to {}", local.to_string(), interface, remote->to_string()));
    }
    return std::shared_ptr<UdpSocket>(new UdpSocket(std::move(fd), v4, scope));
}

std::optional<UdpSocketPlace> UdpSocket::place_of(int fd) noexcept
{
    const auto local = ask_endpoint(getsockname, fd);
    const auto scope = get_option(fd, SOL_SOCKET, SO_BINDTOIFINDEX);
    const int family = local && local->address.is_v4() ? AF_INET : AF_INET6;
    if (!local || !scope || get_option(fd, SOL_SOCKET, SO_DOMAIN) != family ||
        get_option(fd, SOL_SOCKET, SO_TYPE) != SOCK_DGRAM || get_option(fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_UDP)
        return std::nullopt;
    return UdpSocketPlace{*local, static_cast<unsigned>(*scope), ask_endpoint(getpeername, fd)};
}

std::uint64_t UdpSocket::cookie_of(int fd) noexcept
{
    std::uint64_t cookie = 0;
    socklen_t length = sizeof cookie;
    getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length);
    return cookie;
}

std::shared_ptr<UdpSocket> UdpSocket::adopt(sys::FileDescriptor fd, const UdpSocketPlace &place)
{
    std::shared_ptr<UdpSocket> socket(new UdpSocket(std::move(fd), place.local.address.is_v4(), place.scope));
    socket->set_fragmentation(true); // as a new one, until it is told otherwise
    return socket;
}

std::optional<std::uint32_t> UdpSocket::path_mtu() const noexcept
{
    return path_mtu_of(fd_.get(), is_v4_);
}

std::optional<std::uint32_t> UdpSocket::path_mtu(const base::Address &local, const std::string &interface,
                                                 const base::Endpoint &remote)
{
    const bool v4 = local.is_v4();
    const sys::FileDescriptor fd(socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP));
    const unsigned scope = if_nametoindex(interface.c_str());
    const sys::SocketAddress from({local, 0}, scope);
    const sys::SocketAddress to(remote, scope);
    if (!fd.valid() ||
        setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, interface.data(), static_cast<socklen_t>(interface.size())) !=
            0 ||
        bind(fd.get(), &from.any, from.length) != 0 || ::connect(fd.get(), &to.any, to.length) != 0)
        return std::nullopt;
    return path_mtu_of(fd.get(), v4);
}

void UdpSocket::set_fragmentation(bool on) const noexcept
{
    const int level = is_v4_ ? IPPROTO_IP : IPPROTO_IPV6;
    const int option = is_v4_ ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER;
    static_assert(IP_PMTUDISC_DO == IPV6_PMTUDISC_DO && IP_PMTUDISC_WANT == IPV6_PMTUDISC_WANT);
    // How they are sent otherwise, net.ipv4.ip_no_pmtu_disc says for a new socket.
    int now = 0;
    socklen_t length = sizeof now;
    if (on && getsockopt(fd_.get(), level, option, &now, &length) == 0 && now != IP_PMTUDISC_DO)
        return;
    set_option(fd_.get(), level, option, on ? IP_PMTUDISC_WANT : IP_PMTUDISC_DO);
}

bool UdpSocket::send(base::ConstOctets datagram, const sys::SocketAddress *remote) const noexcept
{
    const sockaddr *to = remote != nullptr ? &remote->any : nullptr;
    const socklen_t length = remote != nullptr ? remote->length : 0;
    // The first try may be told what an ICMP message said of an earlier datagram.
    for (int tries = 0; tries < 2; ++tries)
        if (sendto(fd_.get(), datagram.data(), datagram.size(), MSG_DONTWAIT, to, length) >= 0)
            return true;
    return false;
}

} // namespace mpt::plane
