// SPDX-License-Identifier: GPL-3.0-or-later
// Initiators and responders of two hosts over a link that loses, delays and doubles.
#include "daemon/core/status_teller.hpp"

#include "tests/unit/core/handshake_fixture.hpp"

#include <gtest/gtest.h>
#include <map>
#include <random>

namespace mpt::core {
namespace {

using namespace testing;
using config::AuthType;

// One host of a connection: it tells its own path's status and takes down what it is told.
struct Host {
    base::Address tunnel;
    base::Address peer_tunnel;
    base::Endpoint at;
    base::Endpoint peer_at;
    AuthType auth;
    StatusTeller teller{};
    std::optional<HandshakeInitiator> initiator{};
    HandshakeResponder responder{};
    std::optional<bool> told{}; // what the peer has said last
    unsigned tasks = 0;
};

class Link {
public:
    Link(AuthType auth, double loss, unsigned seed)
        : hosts_{Host{address("10.0.0.2"), address("10.0.0.3"), endpoint(kHostA), endpoint(kHostB), auth},
                 Host{address("10.0.0.3"), address("10.0.0.2"), endpoint(kHostB), endpoint(kHostA), auth}},
          loss_(loss), random_(seed)
    {
    }

    Host &host(std::size_t n) { return hosts_[n]; }

    void tell(std::size_t n, bool up) { hosts_[n].teller.tell(now_, 0, up); }

    // Until both have been answered; the time it took, at most `limit`.
    base::Duration run(base::Duration limit)
    {
        const base::Instant begin = now_;
        while (now_ < begin + limit) {
            for (std::size_t n : {0U, 1U})
                serve(n);
            std::optional<base::Instant> next;
            const auto also = [&](std::optional<base::Instant> at) {
                if (at)
                    next = std::min(next.value_or(*at), *at);
            };
            bool is_idle = true;
            for (Host &host : hosts_) {
                also(host.teller.deadline());
                if (host.initiator)
                    also(host.initiator->deadline());
                is_idle = is_idle && !host.initiator && !host.teller.deadline();
            }
            if (is_idle)
                break;
            if (!wire_.empty())
                also(wire_.begin()->first);
            now_ = std::max(now_, *next);
            while (!wire_.empty() && wire_.begin()->first <= now_) {
                const auto [to, octets] = wire_.begin()->second;
                wire_.erase(wire_.begin());
                deliver(to, octets);
            }
        }
        return now_ - begin;
    }

private:
    void send(std::size_t from, base::ConstOctets octets)
    {
        if (octets.empty())
            return;
        const unsigned copies = chance(0.1) ? 2 : 1;
        for (unsigned n = 0; n < copies; ++n) {
            if (!chance(loss_))
                wire_.emplace(now_ + std::chrono::milliseconds(5 + random_() % 40), std::pair(1 - from, bytes(octets)));
        }
    }

    bool chance(double of) { return std::uniform_real_distribution<>()(random_) < of; }

    void serve(std::size_t n)
    {
        Host &host = hosts_[n];
        if (const auto report = host.teller.start(now_)) {
            HandshakeRequest request = status_request(host.auth);
            request.argument = report->up.value() ? proto::kPathUp : proto::kPathDown;
            request.initiator = host.tunnel;
            request.responder = host.peer_tunnel;
            request.peer = host.peer_at;
            request.random = random_number(static_cast<std::uint32_t>(random_()));
            host.initiator.emplace(now_, std::move(request));
        }
        if (!host.initiator)
            return;
        send(n, host.initiator->on_deadline(now_));
        finish(host);
    }

    void finish(Host &host)
    {
        if (!host.initiator->is_over())
            return;
        if (host.initiator->answer())
            host.teller.on_answer();
        else
            host.teller.on_failure(now_);
        host.initiator.reset();
    }

    void deliver(std::size_t n, const Bytes &octets)
    {
        Host &host = hosts_[n];
        const auto message = proto::decode_control(octets);
        ASSERT_TRUE(message);
        if (message->round % 2 == 0) {
            if (!host.initiator)
                return; // late
            if (const auto step = host.initiator->on_message(now_, host.peer_at, *message, octets))
                send(n, *step);
            finish(host);
            return;
        }
        const proto::ControlRandom random = random_number(static_cast<std::uint32_t>(random_()));
        const auto step = host.responder.on_message(now_, {host.peer_at, host.at.address}, *message, octets, host.auth,
                                                    key(), random);
        if (!step)
            return;
        send(n, step->send);
        if (step->task) {
            host.told = step->task->argument == proto::kPathUp;
            ++host.tasks;
            send(n, host.responder.answer(now_, step->task->exchange, proto::ControlResult::kDone, {})->datagram);
        }
    }

    std::array<Host, 2> hosts_;
    double loss_;
    std::mt19937 random_;
    base::Instant now_ = kStart;
    std::multimap<base::Instant, std::pair<std::size_t, Bytes>> wire_;
};

TEST(Handshake, TwoHundredExchangesOverALinkThatLosesAFifth)
{
    for (const AuthType auth : kAllTypes) {
        for (unsigned seed = 0; seed < 200; ++seed) {
            Link link(auth, 0.2, seed);
            link.tell(0, false);
            EXPECT_LT(link.run(60s), 15s) << seed;
            ASSERT_TRUE(link.host(1).told) << seed;
            EXPECT_FALSE(*link.host(1).told);
        }
    }
}

TEST(Handshake, BothHostsAtOnceAreTwoExchanges)
{
    for (const AuthType auth : kAllTypes) {
        Link link(auth, 0, 1);
        link.tell(0, false);
        link.tell(1, true);
        EXPECT_LT(link.run(10s), 500ms);
        EXPECT_EQ(link.host(0).told, true);
        EXPECT_EQ(link.host(1).told, false);
        EXPECT_EQ(link.host(0).tasks + link.host(1).tasks, 2U);
    }
}

TEST(Handshake, LinkThatIsCutIsTriedUntilItWorks)
{
    Link link(AuthType::kHmacSha256, 1, 1);
    link.tell(0, false);
    EXPECT_GE(link.run(100s), 100s);
    EXPECT_FALSE(link.host(1).told);
}

} // namespace
} // namespace mpt::core
