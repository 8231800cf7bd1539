// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/control_socket.hpp"

#include "daemon/plane/udp_socket.hpp"
#include "daemon/sys/error.hpp"
#include "daemon/sys/socket_address.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <net/if.h>

namespace mpt::plane {

namespace {

constexpr int kDatagramsPerPass = 64;
constexpr std::size_t kMaxDatagram = 65535;
// About a tenth of a second of a flood of 10,000 datagrams a second.
constexpr int kControlBuffer = 1 << 20;

// Room for where a datagram came to, or is to leave from.
struct alignas(cmsghdr) PacketInfo {
    std::array<std::byte, CMSG_SPACE(sizeof(in6_pktinfo))> octets{};
};

base::Address local_of(const msghdr &message)
{
    for (cmsghdr *control = CMSG_FIRSTHDR(&message); control != nullptr;
         control = CMSG_NXTHDR(const_cast<msghdr *>(&message), control)) {
        sys::SocketAddress address;
        if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
            in_pktinfo info{};
            std::memcpy(&info, CMSG_DATA(control), sizeof info);
            address.v4.sin_family = AF_INET;
            address.v4.sin_addr = info.ipi_addr;
            return sys::endpoint_of(address).address;
        }
        if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
            in6_pktinfo info{};
            std::memcpy(&info, CMSG_DATA(control), sizeof info);
            address.v6.sin6_family = AF_INET6;
            address.v6.sin6_addr = info.ipi6_addr;
            return sys::endpoint_of(address).address;
        }
    }
    return {};
}

} // namespace

ControlSocket::ControlSocket(sys::FileDescriptor fd, base::IpVersion version)
    : fd_(std::move(fd)), version_(version), buffer_(kMaxDatagram)
{
}

base::Result<ControlSocket> ControlSocket::open(base::IpVersion version, std::uint16_t port)
{
    const bool v4 = version == base::IpVersion::kV4;
    const std::string what = fmt::format("opening UDP port {} of IPv{} for control messages", port, v4 ? 4 : 6);
    sys::FileDescriptor fd(socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid())
        return errno == EAFNOSUPPORT ? base::fail(base::ErrorCode::kNotSupported, what)
                                     : sys::system_failure(errno, what);
    const int on = 1;
    if (v4 ? setsockopt(fd.get(), IPPROTO_IP, IP_PKTINFO, &on, sizeof on) != 0
           : setsockopt(fd.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) != 0 ||
                 setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0)
        return sys::system_failure(errno, what);
    if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kControlBuffer, sizeof kControlBuffer) != 0) // CAP_NET_ADMIN
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kControlBuffer, sizeof kControlBuffer);
    const sys::SocketAddress local({base::Address::any(version), port}, 0);
    if (bind(fd.get(), &local.any, local.length) != 0)
        return sys::system_failure(errno, what);
    return ControlSocket(std::move(fd), version);
}

base::Result<ControlSocket> ControlSocket::adopt(sys::FileDescriptor fd, base::IpVersion version, std::uint16_t port)
{
    const UdpSocketPlace place{{base::Address::any(version), port}, 0, std::nullopt};
    if (UdpSocket::place_of(fd.get()) != place)
        return base::fail(base::ErrorCode::kNotFound,
                          fmt::format("the socket is not that of UDP port {} for control messages", port));
    return ControlSocket(std::move(fd), version);
}

base::Result<void> ControlSocket::send(const base::Address &local, const std::string &interface,
                                       const base::Endpoint &peer, base::ConstOctets octets)
{
    const unsigned index = interface.empty() ? 0 : if_nametoindex(interface.c_str());
    sys::SocketAddress to(peer, peer.address.is_link_local() ? index : 0);
    const sys::SocketAddress from({local, 0}, 0);
    iovec part{const_cast<std::byte *>(octets.data()), octets.size()};
    PacketInfo info;
    msghdr message{};
    message.msg_name = &to.any;
    message.msg_namelen = to.length;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = &info;
    if (version_ == base::IpVersion::kV4) {
        message.msg_controllen = CMSG_SPACE(sizeof(in_pktinfo));
        cmsghdr *control = CMSG_FIRSTHDR(&message);
        *control = {CMSG_LEN(sizeof(in_pktinfo)), IPPROTO_IP, IP_PKTINFO};
        in_pktinfo chosen{};
        chosen.ipi_ifindex = static_cast<int>(index);
        if (!local.is_unspecified())
            chosen.ipi_spec_dst = from.v4.sin_addr;
        std::memcpy(CMSG_DATA(control), &chosen, sizeof chosen);
    } else {
        message.msg_controllen = CMSG_SPACE(sizeof(in6_pktinfo));
        cmsghdr *control = CMSG_FIRSTHDR(&message);
        *control = {CMSG_LEN(sizeof(in6_pktinfo)), IPPROTO_IPV6, IPV6_PKTINFO};
        in6_pktinfo chosen{};
        chosen.ipi6_ifindex = index;
        if (!local.is_unspecified())
            chosen.ipi6_addr = from.v6.sin6_addr;
        std::memcpy(CMSG_DATA(control), &chosen, sizeof chosen);
    }
    for (int tries = 0; sendmsg(fd_.get(), &message, 0) < 0; ++tries)
        if (tries == 1 || (errno != ECONNREFUSED && errno != EINTR)) // an ICMP error of a datagram before this one
            return sys::system_failure(errno, fmt::format("sending a control message to {}", peer.to_string()));
    return {};
}

void ControlSocket::receive(const Callback &callback)
{
    for (int count = 0; count < kDatagramsPerPass; ++count) {
        sys::SocketAddress source;
        iovec part{buffer_.data(), buffer_.size()};
        PacketInfo info;
        msghdr message{};
        message.msg_name = &source.any;
        message.msg_namelen = sizeof source.v6;
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = &info;
        message.msg_controllen = sizeof info.octets;
        const ssize_t size = recvmsg(fd_.get(), &message, MSG_DONTWAIT);
        if (size < 0 && errno == EAGAIN)
            return;
        if (size >= 0)
            callback(sys::endpoint_of(source), local_of(message),
                     base::ConstOctets(buffer_).first(static_cast<std::size_t>(size)));
    }
}

} // namespace mpt::plane
