// SPDX-License-Identifier: GPL-3.0-or-later
// Who sees all traffic of authentication type 3, and sends what he likes with any address, but has no key.
#include "tests/unit/core/session_fixture.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <numeric>

namespace mpt::core {
namespace {

using namespace testing;
using proto::DropReason;

unsigned drops(const TwoHosts::Host &host)
{
    return std::accumulate(host.drops.begin(), host.drops.end(), 0U,
                           [](unsigned sum, const auto &drop) { return sum + drop.second; });
}

unsigned fresh(const TwoHosts::Host &host)
{
    return std::accumulate(host.fresh.begin(), host.fresh.end(), 0U);
}

void flip_bits(Bytes &octets, std::mt19937 &random)
{
    const std::size_t flips = 1 + random() % 3;
    const Bytes before = octets;
    do {
        for (std::size_t n = 0; n < flips; ++n)
            octets[random() % octets.size()] ^= std::byte{1} << (random() % 8);
    } while (octets == before);
}

// Two hosts in a session, and what was sent before in it and in others, on three paths.
class Attacked : public ::testing::Test {
protected:
    Attacked()
    {
        hosts.is_recording = true;
        for (const std::size_t restarted : {0U, 1U, 0U}) {
            hosts.run(20s);
            hosts.start(restarted);
        }
        hosts.run(20s);
        hosts.is_recording = false;
        hosts.drain();
        sessions = hosts.sessions();
        for (const std::size_t n : {0U, 1U}) {
            hosts.host(n).fresh.assign(3, 0);
            hosts.host(n).drops.clear();
            for (std::size_t path = 0; path < 3; ++path)
                rtt.push_back(*hosts.host(n).session->measure(path).rtt);
        }
    }

    // What is sent in answer to `count` messages arrives, too.
    void expect_nothing_changed(unsigned count)
    {
        for (const std::size_t n : {0U, 1U}) {
            hosts.host(n).next.assign(3, hosts.now() + 1h);
            EXPECT_EQ(fresh(hosts.host(n)), 0U);
            for (std::size_t path = 0; path < 3; ++path)
                EXPECT_EQ(hosts.host(n).session->measure(path).rtt, rtt[3 * n + path]);
        }
        EXPECT_EQ(drops(hosts.host(0)) + drops(hosts.host(1)), count);
        hosts.run(10s);
        EXPECT_EQ(fresh(hosts.host(0)) + fresh(hosts.host(1)), 0U) << "no answer is worth anything to anybody";
        EXPECT_EQ(hosts.sessions(), sessions);
        EXPECT_TRUE(hosts.agree());
    }

    TwoHosts hosts{{1ms, 30ms, 200ms}};
    std::uint64_t sessions = 0;
    std::vector<base::Duration> rtt;
};

TEST_F(Attacked, RecordedKeepalivesInAnyOrder)
{
    ASSERT_GT(hosts.recorded.size(), 450U);
    unsigned count = 0;
    for (unsigned round = 0; round < 100; ++round) {
        std::shuffle(hosts.recorded.begin(), hosts.recorded.end(), hosts.random());
        for (const Sent &sent : hosts.recorded) {
            EXPECT_EQ(hosts.give(sent.to, sent.path, sent.octets).drop, DropReason::kNotFresh);
            ++count;
        }
    }
    expect_nothing_changed(count);
}

// The clock goes on and all answers arrive, so that the limit of answers hides nothing.
TEST_F(Attacked, RecordedKeepalivesOneASecond)
{
    for (const std::size_t n : {0U, 1U})
        hosts.host(n).next.assign(3, hosts.now() + 24h);
    std::shuffle(hosts.recorded.begin(), hosts.recorded.end(), hosts.random());
    unsigned answers = 0;
    for (const Sent &sent : hosts.recorded) {
        answers += hosts.give(sent.to, sent.path, sent.octets).send ? 1 : 0;
        hosts.run(1s);
    }
    EXPECT_GT(answers, 100U);
    EXPECT_EQ(hosts.sessions(), sessions);
    EXPECT_EQ(fresh(hosts.host(0)) + fresh(hosts.host(1)), 0U);
    EXPECT_TRUE(hosts.agree());
}

TEST_F(Attacked, ReflectedAndByOtherPaths)
{
    unsigned count = 0;
    for (const Sent &sent : hosts.recorded)
        for (const std::size_t path : {0U, 1U, 2U}) {
            const auto reflected = hosts.give(1 - sent.to, path, sent.octets);
            EXPECT_EQ(reflected.drop, DropReason::kBadKeepalive);
            EXPECT_FALSE(reflected.send);
            ++count;
            if (path != sent.path) {
                EXPECT_EQ(hosts.give(sent.to, path, sent.octets).drop, DropReason::kBadKeepalive);
                ++count;
            }
        }
    expect_nothing_changed(count);
}

TEST_F(Attacked, MutatedKeepalives)
{
    constexpr unsigned kCount = 100000;
    for (unsigned n = 0; n < kCount; ++n) {
        const Sent &sent = hosts.recorded[hosts.random()() % hosts.recorded.size()];
        Bytes octets = sent.octets;
        switch (n % 8) {
        case 6: // the fields of one, the numbers and the MAC of another
        {
            const Bytes &other = hosts.recorded[hosts.random()() % hosts.recorded.size()].octets;
            const std::size_t from = hosts.random()() % octets.size();
            const std::size_t size = 1 + hosts.random()() % (octets.size() - from);
            std::copy_n(other.begin() + static_cast<std::ptrdiff_t>(from), size,
                        octets.begin() + static_cast<std::ptrdiff_t>(from));
            if (octets == sent.octets || octets == other)
                flip_bits(octets, hosts.random());
            break;
        }
        case 7:
            octets.resize(hosts.random()() % octets.size());
            break;
        default:
            flip_bits(octets, hosts.random());
            break;
        }
        const auto taken = hosts.give(sent.to, octets.size() > 6 ? sent.path : 0, octets);
        ASSERT_TRUE(taken.drop);
        ASSERT_NE(*taken.drop, DropReason::kNotFresh) << "its MAC was right";
        ASSERT_FALSE(taken.send);
    }
    expect_nothing_changed(kCount);
}

TEST_F(Attacked, KeepalivesOfOtherConnections)
{
    const std::string other_key(64, '5');
    unsigned count = 0;
    const auto attack = [&](KeepaliveSession other, DropReason reason) {
        for (unsigned n = 0; n < 100; ++n) {
            Keepalive octets;
            other.make(kStart + 1s * n, n % 3, {}, n, 0, octets);
            EXPECT_EQ(hosts.give(1, n % 3, {octets.begin(), octets.end()}).drop, reason);
            ++count;
        }
    };
    attack({*proto::ControlKey::parse(other_key), address("10.0.0.2"), address("10.0.0.3"), 3, hosts.number()},
           DropReason::kWrongMac);
    attack({key(), address("10.0.0.4"), address("10.0.0.3"), 3, hosts.number()}, DropReason::kBadKeepalive);
    attack({key(), address("10.0.0.2"), address("10.0.0.4"), 3, hosts.number()}, DropReason::kBadKeepalive);
    expect_nothing_changed(count);
}

TEST_F(Attacked, ReplaysDoNotHinderARestart)
{
    hosts.start(1);
    hosts.host(1).next.assign(3, hosts.now() + 500ms);
    for (unsigned n = 0; n < 5000; ++n) {
        const Sent &sent = hosts.recorded[hosts.random()() % hosts.recorded.size()];
        if (sent.path != 0) // a flood of those puts off what happens on that path
            hosts.give(sent.to, sent.path, sent.octets);
        hosts.run(1ms);
    }
    EXPECT_TRUE(hosts.agree());
    EXPECT_EQ(hosts.host(1).session->sessions(), 1U);
}

// ---- control messages

// One exchange of a peer with `responder`, at `now`; its four messages.
std::array<Bytes, 4> exchange(HandshakeResponder &responder, base::Instant now, std::uint32_t number)
{
    HandshakeRequest request = status_request(config::AuthType::kHmacSha256);
    request.random = random_number(number);
    HandshakeInitiator initiator(now, request);
    std::array<Bytes, 4> rounds;
    rounds[0] = bytes(initiator.on_deadline(now));
    rounds[1] = bytes(give(responder, now, rounds[0], random_number(~number)).value().send);
    rounds[2] = bytes(give(initiator, now, rounds[1]).value());
    const auto task = give(responder, now, rounds[2], 0).value().task;
    rounds[3] = bytes(responder.answer(now, task->exchange, proto::ControlResult::kDone, {})->datagram);
    EXPECT_TRUE(give(initiator, now, rounds[3]));
    EXPECT_TRUE(initiator.answer());
    return rounds;
}

TEST(AttackedHandshake, NothingRecordedMutatedOrReflectedActs)
{
    std::mt19937 random(5);
    HandshakeResponder responder;
    base::Instant now = kStart;
    std::vector<Bytes> recorded;
    for (std::uint32_t number = 1; number <= 50; ++number, now += 1min)
        for (const Bytes &round : exchange(responder, now, number))
            recorded.push_back(round);
    now += 1min; // nothing of them is remembered
    HandshakeRequest request = status_request(config::AuthType::kHmacSha256);
    request.random = random_number(0x77777777);
    HandshakeInitiator initiator(now, request);
    const Bytes round1 = bytes(initiator.on_deadline(now));
    recorded.push_back(bytes(give(responder, now, round1, random_number(0x88888888)).value().send));
    const Bytes round3 = bytes(give(initiator, now, recorded.back()).value());

    std::map<ControlDrop, unsigned> drops;
    unsigned answered = 0;
    const auto attack = [&](const Bytes &octets) {
        const auto message = proto::decode_control(octets);
        if (!message) {
            ++drops[message.error()];
            return;
        }
        if (const auto step = initiator.on_message(now, endpoint(kHostB), *message, octets); !step)
            ++drops[step.error()];
        else
            ADD_FAILURE() << "the initiator took it";
        const auto step = responder.on_message(now, route(), *message, octets, config::AuthType::kHmacSha256, key(),
                                               random_number(static_cast<std::uint32_t>(random())));
        if (!step) {
            ++drops[step.error()];
        } else {
            ASSERT_FALSE(step->task);
            ASSERT_EQ(message->round, 1) << "a recorded beginning, which nobody can go on with";
            ++answered;
        }
    };
    for (unsigned n = 0; n < 100000; ++n) {
        Bytes octets = recorded[random() % recorded.size()];
        if (n % 4 != 0)
            flip_bits(octets, random);
        if (n % 16 == 1)
            octets.resize(random() % octets.size());
        attack(octets);
        if (::testing::Test::HasFailure())
            return;
        if (n % 1000 == 0)
            now += 1ms;
    }
    EXPECT_GT(answered, 0U);
    EXPECT_GT(drops[ControlDrop::kWrongHash], 10000U);
    EXPECT_GT(drops[ControlDrop::kNoExchange], 10000U);
    // The exchange goes on as if nothing had been.
    const auto step = give(responder, now, round3, 0);
    ASSERT_TRUE(step && step->task);
    EXPECT_EQ(step->task->body, request.body);
    EXPECT_TRUE(give(initiator, now,
                     bytes(responder.answer(now, step->task->exchange, proto::ControlResult::kDone, {})->datagram)));
    EXPECT_TRUE(initiator.answer());
}

TEST(AttackedHandshake, WhatIsHeldBackDoesNotComeAfterWhatIsLater)
{
    HandshakeResponder responder;
    HandshakeRequest down = status_request(config::AuthType::kHmacSha256);
    HandshakeInitiator given_up(kStart, down);
    const Bytes round1 = bytes(given_up.on_deadline(kStart));
    const Bytes held_back =
        bytes(give(given_up, kStart, bytes(give(responder, kStart, round1, random_number(1))->send)).value());
    exchange(responder, kStart + 3s, 9);
    EXPECT_EQ(give(responder, kStart + 3s, held_back, 0).error(), ControlDrop::kNoExchange);
    EXPECT_TRUE(give(responder, kStart + 3s, round1, random_number(2)));
    EXPECT_EQ(give(responder, kStart + 3s, held_back, 0).error(), ControlDrop::kWrongHash) << "another exchange";
}

// Else whoever repeats a round 1 could make an exchange look failed that was not, if round 4 is lost once.
TEST(AttackedHandshake, ARepeatedRound1DoesNotKeepRound4Away)
{
    HandshakeResponder responder;
    HandshakeInitiator initiator(kStart, status_request(config::AuthType::kHmacSha256));
    const Bytes round1 = bytes(initiator.on_deadline(kStart));
    const Bytes round3 =
        bytes(give(initiator, kStart, bytes(give(responder, kStart, round1, random_number(1))->send)).value());
    const auto task = give(responder, kStart, round3, 0)->task;
    ASSERT_TRUE(task);
    const Bytes round4 = bytes(responder.answer(kStart, task->exchange, proto::ControlResult::kDone, {})->datagram);
    EXPECT_TRUE(give(responder, kStart, round1, random_number(2)));
    const auto again = give(responder, kStart + kHandshakeRepeat, round3, 0);
    ASSERT_TRUE(again) << again.error();
    EXPECT_FALSE(again->task);
    EXPECT_EQ(bytes(again->send), round4);
}

TEST(AttackedHandshake, RepeatingRound1KeepsNoExchangeOpen)
{
    HandshakeResponder responder;
    HandshakeInitiator initiator(kStart, status_request(config::AuthType::kHmacSha256));
    const Bytes round1 = bytes(initiator.on_deadline(kStart));
    const Bytes round2 = bytes(give(responder, kStart, round1, random_number(1))->send);
    const Bytes held_back = bytes(give(initiator, kStart, round2).value());
    for (base::Duration at = 1s; at < kOpenExchangeLife; at += 1s)
        EXPECT_EQ(bytes(give(responder, kStart + at, round1, random_number(2))->send), round2);
    EXPECT_NE(bytes(give(responder, kStart + kOpenExchangeLife, round1, random_number(2))->send), round2);
    EXPECT_EQ(give(responder, kStart + kOpenExchangeLife, held_back, 0).error(), ControlDrop::kWrongHash);
}

TEST(AttackedHandshake, NeedsWholeRandomNumbersAndType3)
{
    HandshakeRequest request = status_request(config::AuthType::kHmacSha256);
    HandshakeInitiator initiator(kStart, request);
    const Bytes round1 = bytes(initiator.on_deadline(kStart));
    HandshakeResponder responder;
    EXPECT_EQ(give(responder, kStart, round1, 0x12345678).error(), ControlDrop::kBusy);
    request.random = 0x12345678;
    HandshakeInitiator weak(kStart, request);
    EXPECT_TRUE(weak.is_over());
    EXPECT_TRUE(weak.on_deadline(kStart).empty());

    for (const config::AuthType auth :
         {config::AuthType::kNone, config::AuthType::kRandom, config::AuthType::kSha256}) {
        HandshakeInitiator lower(kStart, status_request(auth));
        const Bytes octets = bytes(lower.on_deadline(kStart));
        EXPECT_EQ(responder
                      .on_message(kStart, route(), *proto::decode_control(octets), octets,
                                  config::AuthType::kHmacSha256, key(), random_number(1))
                      .error(),
                  ControlDrop::kWrongAuthType);
    }
    EXPECT_EQ(responder.open_count(), 0U);
}

} // namespace
} // namespace mpt::core
