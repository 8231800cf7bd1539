// SPDX-License-Identifier: GPL-3.0-or-later
// What RouteSocket and Monitor share; nobody else includes it.
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/octets.hpp"
#include "daemon/base/result.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct nl_msg;
struct nl_sock;

namespace mpt::net {

// A request to the kernel: a netlink header, the structure that goes with its type, attributes. Throws
// std::bad_alloc like any other container.
class Request {
public:
    // `flags` are the NLM_F_* ones; the socket adds NLM_F_REQUEST and NLM_F_ACK.
    template <typename Header> Request(int type, int flags, const Header &header) : Request(type, flags)
    {
        append(&header, sizeof header);
    }

    Request &put(int attribute, std::uint8_t value);
    Request &put(int attribute, std::uint32_t value);
    Request &put(int attribute, const std::string &text);
    Request &put(int attribute, const base::Address &address); // 4 or 16 octets

    nl_msg *message() const noexcept { return message_.get(); }

private:
    struct Free {
        void operator()(nl_msg *message) const noexcept;
    };

    Request(int type, int flags);
    void append(const void *header, std::size_t size);

    std::unique_ptr<nl_msg, Free> message_;
};

// A NETLINK_ROUTE socket. Its reads return one datagram each and use no callbacks.
class NetlinkSocket {
public:
    // `receive_buffer` is in octets; the kernel caps it at net.core.rmem_max.
    static base::Result<NetlinkSocket> open(int receive_buffer);

    int fd() const noexcept;
    // The address of this socket for the kernel and in its answers.
    std::uint32_t port() const noexcept;

    // Joins an RTNLGRP_* group.
    base::Result<void> join(int group);

    // Of routes, only default ones and those with this protocol number are still heard of.
    base::Result<void> ignore_other_routes(std::uint8_t protocol);

    // Bounds how long receive() waits.
    void set_receive_timeout(std::chrono::milliseconds timeout);

    // The sequence number of the request in `sequence`. Returns 0 or an errno value.
    int send(const Request &request, std::uint32_t &sequence);

    struct Received {
        int error = 0; // 0 or an errno value: EAGAIN for nothing there, ENOBUFS for messages lost
        base::ConstOctets octets;
    };
    // The next datagram from the kernel; those of other senders are skipped. `flags` are recv()'s. The octets are
    // valid until the next call.
    Received receive(int flags);

private:
    struct Free {
        void operator()(nl_sock *socket) const noexcept;
    };

    explicit NetlinkSocket(nl_sock *socket);

    std::unique_ptr<nl_sock, Free> socket_;
    std::vector<std::byte> buffer_;
};

} // namespace mpt::net
