// SPDX-License-Identifier: GPL-3.0-or-later
// Answers of STUN servers on the way to the control thread.
#include "daemon/plane/plane.hpp"

#include "tests/unit/plane/loopback.hpp"

#include <chrono>
#include <gtest/gtest.h>
#include <poll.h>

namespace mpt::plane {
namespace {

const base::Endpoint kLocal = endpoint("10.7.0.1", kPort);
const base::Endpoint kStunServer = endpoint("10.7.0.3", 3478);

// A success without an address, as short as an answer can be.
std::string stun_answer(unsigned char number)
{
    return from_hex("010100002112a442") + std::string(12, static_cast<char>(number));
}

class StunPlaneTest : public PlaneTest {
protected:
    void SetUp() override
    {
        PlaneTest::SetUp();
        if (IsSkipped() || HasFatalFailure())
            return;
        plane = start({"tun7"});
        tunnel = std::make_unique<TunEnd>("tun7");
        plane->set_stun_servers({kStunServer, endpoint("10.7.0.2", 3478)});
        open(*plane, connection("tun7", {path("10.7.0.1", "10.7.0.2")}));
    }

    // Answers that the control thread is told of; waits for at least one.
    std::vector<std::pair<base::Endpoint, std::string>> take()
    {
        std::vector<std::pair<base::Endpoint, std::string>> answers;
        wait_until(
            [&] {
                pollfd events{plane->events_fd(), POLLIN, 0};
                poll(&events, 1, 10);
                static_cast<void>(plane->take_events([](const std::string &, const PathEvent &) {}));
                plane->take_stun_answers([&](const base::Endpoint &server, base::ConstOctets answer) {
                    answers.emplace_back(server, base::as_text(answer));
                });
                return !answers.empty();
            },
            "an answer comes");
        return answers;
    }

    std::unique_ptr<Plane> plane;
    std::unique_ptr<TunEnd> tunnel;
};

TEST_F(StunPlaneTest, AsksFromThePortOfAPath)
{
    const UdpPeer server(kStunServer);
    EXPECT_TRUE(plane->send_from(kLocal, "lo", kStunServer, base::as_octets("question")));
    EXPECT_EQ(server.receive(), "question");
    server.send(stun_answer(1), kLocal);
    const auto answers = take();
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].first, kStunServer);
    EXPECT_EQ(answers[0].second, stun_answer(1));
    EXPECT_FALSE(plane->send_from(endpoint("10.7.0.1", kPort + 1), "lo", kStunServer, base::as_octets("question")));
    EXPECT_FALSE(plane->send_from(kLocal, "eth0", kStunServer, base::as_octets("question")));
}

TEST_F(StunPlaneTest, TakesThemFromServersOnly)
{
    const UdpPeer stranger(endpoint("10.7.0.3", 3479));
    stranger.send(stun_answer(1), kLocal);
    wait_until([&] { return socket_drops(*plane, "wrong source") == 1; }, "the stranger's is counted");
    const UdpPeer server(kStunServer);
    server.send("no STUN at all", kLocal);
    wait_until([&] { return socket_drops(*plane, "wrong source") == 2; }, "that is none");
    server.send(stun_answer(2), kLocal);
    EXPECT_EQ(take()[0].second, stun_answer(2));
}

TEST_F(StunPlaneTest, AServerMayRunOnThePeersOwnAddress)
{
    const UdpPeer server(endpoint("10.7.0.2", 3478));
    server.send(stun_answer(1), kLocal);
    EXPECT_EQ(take()[0].second, stun_answer(1));
    // Behind a NAT the peer's packets may come from just this port: they stay packets.
    server.send(gre(0x2112a442, inner_answer(7)), kLocal);
    EXPECT_EQ(tunnel->receive(), inner_answer(7));
}

TEST_F(StunPlaneTest, AFloodIsCutAndCounted)
{
    const UdpPeer server(kStunServer);
    for (int i = 0; i < 1000; ++i)
        server.send(stun_answer(static_cast<unsigned char>(i)), kLocal);
    const UdpPeer end(endpoint("10.7.0.4", 1));
    end.send("the end", kLocal);
    wait_until([&] { return socket_drops(*plane, "wrong source") > 0; }, "all have been read");
    const std::size_t taken = take().size();
    const std::uint64_t dropped = socket_drops(*plane, "STUN flood");
    EXPECT_LE(taken, 64U);
    EXPECT_EQ(taken + dropped, 1000U);
}

TEST_F(StunPlaneTest, AFloodDoesNotKeepTheControlThreadBusy)
{
    const UdpPeer server(kStunServer);
    std::size_t taken = 0;
    std::size_t sent = 0;
    const auto begun = std::chrono::steady_clock::now();
    while (sent < 1000) { // never more than fit
        for (int i = 0; i < 20; ++i, ++sent)
            server.send(stun_answer(static_cast<unsigned char>(i)), kLocal);
        wait_until(
            [&] {
                plane->take_stun_answers([&](const base::Endpoint &, base::ConstOctets) { ++taken; });
                return taken + socket_drops(*plane, "STUN flood") == sent;
            },
            "all are taken or dropped");
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    EXPECT_GE(taken, 50U);
    EXPECT_LE(static_cast<double>(taken), 51 + 50 * took.count()) << "a second";
}

} // namespace
} // namespace mpt::plane
