// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

namespace mpt::sys {

// A socket address of either version as the kernel takes it.
struct SocketAddress {
    union {
        sockaddr any;
        sockaddr_in v4;
        sockaddr_in6 v6;
    };
    socklen_t length = 0;

    SocketAddress() noexcept : v6{} {}
    // `scope` is the interface index that a link-local IPv6 address needs; 0 otherwise.
    SocketAddress(const base::Endpoint &endpoint, unsigned scope) noexcept;
};

// The endpoint in a socket address that the kernel wrote; 0.0.0.0:0 if it is of neither version.
base::Endpoint endpoint_of(const SocketAddress &address) noexcept;

} // namespace mpt::sys
