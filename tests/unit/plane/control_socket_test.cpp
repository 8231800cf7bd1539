// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/control_socket.hpp"

#include "tests/unit/plane/loopback.hpp"

#include <gmock/gmock.h>
#include <poll.h>
#include <vector>

namespace mpt::plane {
namespace {

struct Arrival {
    base::Endpoint peer;
    base::Address local;
    std::vector<std::byte> octets;
};

// What has arrived, once something has.
std::vector<Arrival> receive(ControlSocket &socket)
{
    pollfd ready{socket.fd(), POLLIN, 0};
    EXPECT_EQ(poll(&ready, 1, 10000), 1);
    std::vector<Arrival> all;
    socket.receive([&](const base::Endpoint &peer, const base::Address &local, base::ConstOctets octets) {
        all.push_back({peer, local, {octets.begin(), octets.end()}});
    });
    return all;
}

class ControlSocketTest : public LoopbackTest {};

TEST_F(ControlSocketTest, AnswersLeaveByTheAddressThatWasAsked)
{
    for (const auto &[version, one, two] :
         {std::tuple{base::IpVersion::kV4, "127.0.0.1", "127.0.0.2"}, std::tuple{base::IpVersion::kV6, "::1", "::1"}}) {
        auto asking = ControlSocket::open(version, 4001);
        auto asked = ControlSocket::open(version, 4002);
        ASSERT_TRUE(asking) << asking.error().text;
        ASSERT_TRUE(asked) << asked.error().text;
        const base::Address from = base::Address::parse(one).value();
        const base::Address to = base::Address::parse(two).value();
        const std::vector<std::byte> question(30000, std::byte{7});
        ASSERT_TRUE(asking->send(from, "lo", {to, 4002}, question));
        const std::vector<Arrival> arrived = receive(*asked);
        ASSERT_EQ(arrived.size(), 1U);
        EXPECT_EQ(arrived[0].peer, (base::Endpoint{from, 4001}));
        EXPECT_EQ(arrived[0].local, to);
        EXPECT_EQ(arrived[0].octets, question);
        ASSERT_TRUE(asked->send(arrived[0].local, "", arrived[0].peer, {}));
        EXPECT_EQ(receive(*asking).at(0).peer, (base::Endpoint{to, 4002}));
    }
}

TEST_F(ControlSocketTest, SaysWhatItCannot)
{
    auto socket = ControlSocket::open(base::IpVersion::kV4, 4001);
    ASSERT_TRUE(socket);
    EXPECT_EQ(ControlSocket::open(base::IpVersion::kV4, 4001).error().code, base::ErrorCode::kAddressInUse);
    const base::Endpoint nobody{base::Address::parse("192.0.2.1").value(), 4002};
    EXPECT_THAT(socket->send({}, "", nobody, {}).error().text, testing::HasSubstr("to 192.0.2.1:4002"));
    const base::Endpoint refusing{base::Address::parse("127.0.0.1").value(), 4003};
    for (int i = 0; i < 3; ++i)
        EXPECT_TRUE(socket->send({}, "", refusing, {})) << "the ICMP error is of the one before";
}

} // namespace
} // namespace mpt::plane
