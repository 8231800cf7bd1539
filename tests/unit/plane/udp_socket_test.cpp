// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/udp_socket.hpp"

#include "tests/unit/plane/loopback.hpp"

#include <array>
#include <poll.h>
#include <string>

namespace mpt::plane {
namespace {

base::ConstOctets octets(const std::string &text)
{
    return std::as_bytes(std::span(text));
}

// What the socket receives within 10 s; "" if nothing.
std::string receive(const UdpSocket &socket)
{
    pollfd ready{socket.fd(), POLLIN, 0};
    std::array<char, 2000> buffer;
    if (poll(&ready, 1, 10000) != 1)
        return "";
    const ssize_t size = recv(socket.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    return size < 0 ? "" : std::string(buffer.data(), static_cast<std::size_t>(size));
}

bool has_nothing(const UdpSocket &socket)
{
    pollfd ready{socket.fd(), POLLIN, 0};
    return poll(&ready, 1, 0) == 0;
}

using UdpSocketTest = LoopbackTest;

TEST_F(UdpSocketTest, ConnectedSocketsTakeTheirPeersDatagramsAndTheListeningOneTheRest)
{
    for (const auto &[here, there] : {std::pair{"10.7.0.1", "10.7.0.2"}, std::pair{"fd07::1", "fd07::1"}}) {
        const auto listening = UdpSocket::listen(endpoint(here, 4000), "lo").value();
        const auto connected = UdpSocket::connect(endpoint(here, 4000), "lo", endpoint(there, 5000)).value();
        const auto peer = UdpSocket::listen(endpoint(there, 5000), "lo").value();
        const auto other_port = UdpSocket::listen(endpoint(there, 5001), "lo").value();
        const sys::SocketAddress to(endpoint(here, 4000), 0);
        ASSERT_TRUE(other_port->send(octets("from another port"), &to));
        ASSERT_TRUE(peer->send(octets("from the peer"), &to));
        EXPECT_EQ(receive(*connected), "from the peer");
        EXPECT_TRUE(has_nothing(*connected));
        EXPECT_EQ(receive(*listening), "from another port");
        EXPECT_TRUE(has_nothing(*listening));
        ASSERT_TRUE(connected->send(octets("answer"), nullptr));
        EXPECT_EQ(receive(*peer), "answer");
    }
}

TEST_F(UdpSocketTest, APortInUseIsTold)
{
    const auto first = UdpSocket::listen(endpoint("10.7.0.1", 4000), "lo").value();
    const auto connected = UdpSocket::connect(endpoint("10.7.0.1", 4000), "lo", endpoint("10.7.0.2", 5000)).value();
    const auto second = UdpSocket::listen(endpoint("10.7.0.1", 4000), "lo");
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, base::ErrorCode::kAddressInUse);
    EXPECT_EQ(second.error().text, "binding to UDP 10.7.0.1:4000 on lo: Address already in use");
    EXPECT_TRUE(UdpSocket::listen(endpoint("10.7.0.3", 4000), "lo")); // another address is another port
}

TEST_F(UdpSocketTest, AMissingInterfaceOrAddressIsTold)
{
    EXPECT_EQ(UdpSocket::listen(endpoint("10.7.0.1", 4000), "eth7").error().code, base::ErrorCode::kNotFound);
    EXPECT_EQ(UdpSocket::listen(endpoint("10.9.9.9", 4000), "lo").error().code, base::ErrorCode::kNotFound);
}

} // namespace
} // namespace mpt::plane
