// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/socket_address.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>

namespace mpt::sys {
namespace {

TEST(SocketAddress, IsWhatTheKernelTakes)
{
    const base::Endpoint v4{base::Address::parse("192.0.2.7").value(), 23456};
    const SocketAddress a(v4, 3);
    EXPECT_EQ(a.any.sa_family, AF_INET);
    EXPECT_EQ(a.length, sizeof(sockaddr_in));
    EXPECT_EQ(a.v4.sin_addr.s_addr, inet_addr("192.0.2.7"));
    EXPECT_EQ(a.v4.sin_port, htons(23456));
    EXPECT_EQ(endpoint_of(a), v4);

    const base::Endpoint v6{base::Address::parse("2001:db8::7").value(), 1};
    const SocketAddress b(v6, 3);
    EXPECT_EQ(b.any.sa_family, AF_INET6);
    EXPECT_EQ(b.length, sizeof(sockaddr_in6));
    EXPECT_EQ(b.v6.sin6_scope_id, 0U);
    EXPECT_EQ(endpoint_of(b), v6);

    const SocketAddress c(base::Endpoint{base::Address::parse("fe80::1").value(), 1}, 3);
    EXPECT_EQ(c.v6.sin6_scope_id, 3U); // RFC 4007: a link-local address means nothing without its link
}

} // namespace
} // namespace mpt::sys
