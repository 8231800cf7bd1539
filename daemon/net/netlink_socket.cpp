// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/net/netlink_socket.hpp"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstddef>
#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <new>
#include <sys/socket.h>
#include <system_error>

namespace mpt::net {

namespace {

// The kernel builds dumps in pieces of at most 32 KiB, and a single answer or event is far smaller.
constexpr std::size_t kDatagramSize = 64 * 1024;

void check_memory(bool ok)
{
    if (!ok)
        throw std::bad_alloc();
}

base::Failure cannot_open(const char *what, const char *reason)
{
    return base::fail(base::ErrorCode::kSystem,
                      fmt::format("{} a netlink socket: {} (the kernel must allow AF_NETLINK sockets, and the service "
                                  "manager must not forbid them)",
                                  what, reason));
}

} // namespace

void Request::Free::operator()(nl_msg *message) const noexcept
{
    nlmsg_free(message);
}

Request::Request(int type, int flags) : message_(nlmsg_alloc_simple(type, flags))
{
    check_memory(message_ != nullptr);
}

void Request::append(const void *header, std::size_t size)
{
    // nlmsg_append only reads what it is given.
    check_memory(nlmsg_append(message(), const_cast<void *>(header), size, NLMSG_ALIGNTO) == 0);
}

Request &Request::put(int attribute, std::uint8_t value)
{
    check_memory(nla_put_u8(message(), attribute, value) == 0);
    return *this;
}

Request &Request::put(int attribute, std::uint32_t value)
{
    check_memory(nla_put_u32(message(), attribute, value) == 0);
    return *this;
}

Request &Request::put(int attribute, const std::string &text)
{
    check_memory(nla_put_string(message(), attribute, text.c_str()) == 0);
    return *this;
}

Request &Request::put(int attribute, const base::Address &address)
{
    const base::ConstOctets octets = address.octets();
    check_memory(nla_put(message(), attribute, static_cast<int>(octets.size()), octets.data()) == 0);
    return *this;
}

void NetlinkSocket::Free::operator()(nl_sock *socket) const noexcept
{
    nl_socket_free(socket);
}

NetlinkSocket::NetlinkSocket(nl_sock *socket) : socket_(socket), buffer_(kDatagramSize)
{
}

base::Result<NetlinkSocket> NetlinkSocket::open(int receive_buffer)
{
    nl_sock *const allocated = nl_socket_alloc();
    check_memory(allocated != nullptr);
    NetlinkSocket socket(allocated);
    if (const int error = nl_connect(allocated, NETLINK_ROUTE); error < 0)
        return cannot_open("opening", nl_geterror(error));
    if (const int error = nl_socket_set_buffer_size(allocated, receive_buffer, 0); error < 0)
        return cannot_open("setting the buffer sizes of", nl_geterror(error));
    // Since Linux 4.12: the reason of a refusal in words, without a copy of the request; since 4.20: a dump of routes
    // is filtered by the kernel. Without them the texts are shorter and we filter alone.
    const int on = 1;
    for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK})
        setsockopt(socket.fd(), SOL_NETLINK, option, &on, sizeof on);
    return socket;
}

int NetlinkSocket::fd() const noexcept
{
    return nl_socket_get_fd(socket_.get());
}

std::uint32_t NetlinkSocket::port() const noexcept
{
    return nl_socket_get_local_port(socket_.get());
}

base::Result<void> NetlinkSocket::join(int group)
{
    if (const int error = nl_socket_add_membership(socket_.get(), group); error < 0)
        return cannot_open("joining a multicast group with", nl_geterror(error));
    return {};
}

base::Result<void> NetlinkSocket::ignore_other_routes(std::uint8_t protocol)
{
    // A router with many neighbours has thousands of changes a second. The kernel sends one message in a datagram; a
    // filter reads numbers in network order, and the message's type is in the machine's.
    constexpr unsigned type = offsetof(nlmsghdr, nlmsg_type);
    constexpr unsigned length = NLMSG_HDRLEN + offsetof(rtmsg, rtm_dst_len);
    constexpr unsigned origin = NLMSG_HDRLEN + offsetof(rtmsg, rtm_protocol);
    std::array<sock_filter, 9> filter{{
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, type),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 0, 4),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, length),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, origin),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, protocol, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    }};
    const sock_fprog program{filter.size(), filter.data()};
    if (setsockopt(fd(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
        return cannot_open("attaching a filter to", std::generic_category().message(errno).c_str());
    return {};
}

void NetlinkSocket::set_receive_timeout(std::chrono::milliseconds timeout)
{
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
    const timeval value{.tv_sec = seconds.count(),
                        .tv_usec = std::chrono::duration_cast<std::chrono::microseconds>(timeout - seconds).count()};
    setsockopt(fd(), SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value);
}

int NetlinkSocket::send(const Request &request, std::uint32_t &sequence)
{
    // nl_send_auto's own codes tell fewer errors apart than errno.
    errno = 0;
    if (nl_send_auto(socket_.get(), request.message()) < 0)
        return errno != 0 ? errno : EIO;
    sequence = nlmsg_hdr(request.message())->nlmsg_seq;
    return 0;
}

NetlinkSocket::Received NetlinkSocket::receive(int flags)
{
    for (;;) {
        sockaddr_nl sender{};
        socklen_t sender_size = sizeof sender;
        const ssize_t size = recvfrom(fd(), buffer_.data(), buffer_.size(), flags | MSG_TRUNC,
                                      reinterpret_cast<sockaddr *>(&sender), &sender_size);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return {errno, {}};
        // Any process with CAP_NET_ADMIN can send to this socket; only the kernel's port is 0.
        if (sender_size != sizeof sender || sender.nl_pid != 0)
            continue;
        if (static_cast<std::size_t>(size) > buffer_.size())
            return {EMSGSIZE, {}};
        return {0, base::ConstOctets(buffer_).first(static_cast<std::size_t>(size))};
    }
}

} // namespace mpt::net
