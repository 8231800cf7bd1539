// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/core/handshake_fixture.hpp"

#include <gtest/gtest.h>

namespace mpt::core {
namespace {

using namespace testing;
using config::AuthType;

// The octets of a recorded exchange make the request that leads to it.
HandshakeRequest request_of(const proto::recorded::Exchange &exchange, const Bytes &round3)
{
    const ControlMessage message = *proto::decode_control(round3);
    HandshakeRequest request;
    request.command = message.command;
    request.argument = message.argument;
    request.auth = message.auth;
    request.key = key();
    request.initiator = message.initiator;
    request.responder = message.responder;
    request.peer = endpoint(exchange.responder);
    request.body = bytes(message.body);
    return request;
}

TEST(HandshakeInitiator, RecordedExchangesAreSentOctetForOctet)
{
    for (const proto::recorded::Exchange &exchange : proto::recorded::kExchanges) {
        SCOPED_TRACE(exchange.name);
        const auto rounds = rounds_of(exchange);
        HandshakeInitiator initiator(kStart, request_of(exchange, rounds[2]));
        EXPECT_EQ(bytes(initiator.on_deadline(kStart)), rounds[0]);
        const auto round3 = give(initiator, kStart + 1ms, rounds[1], exchange.responder);
        ASSERT_TRUE(round3) << round3.error();
        EXPECT_EQ(bytes(*round3), rounds[2]);
        const auto nothing = give(initiator, kStart + 2ms, rounds[3], exchange.responder);
        ASSERT_TRUE(nothing) << nothing.error();
        EXPECT_TRUE(nothing->empty());
        EXPECT_TRUE(initiator.is_over());
        EXPECT_FALSE(initiator.deadline());
        const ControlMessage round4 = *proto::decode_control(rounds[3]);
        EXPECT_EQ(initiator.answer()->result, round4.result());
        EXPECT_EQ(initiator.answer()->body, bytes(round4.body));
        // The deployed release sends the last one twice.
        EXPECT_EQ(give(initiator, kStart + 3ms, rounds[3], exchange.responder).error(), ControlDrop::kDuplicate);
    }
}

// Runs the deadlines up to the end; the times at which something was sent.
std::vector<base::Duration> run(HandshakeInitiator &initiator)
{
    std::vector<base::Duration> sent;
    while (const auto at = initiator.deadline()) {
        if (!initiator.on_deadline(*at).empty())
            sent.push_back(*at - kStart);
    }
    return sent;
}

TEST(HandshakeInitiator, UnansweredRound1IsSentSixTimes)
{
    HandshakeInitiator initiator(kStart, status_request(AuthType::kNone));
    EXPECT_TRUE(initiator.on_deadline(kStart - 1ns).empty());
    EXPECT_EQ(run(initiator), (std::vector<base::Duration>{0ms, 500ms, 1000ms, 1500ms, 2000ms, 2500ms}));
    EXPECT_TRUE(initiator.is_over());
    EXPECT_FALSE(initiator.answer());
}

TEST(HandshakeInitiator, FailsHalfASecondAfterTheLastTry)
{
    HandshakeInitiator initiator(kStart, status_request(AuthType::kNone));
    for (base::Instant at = kStart; at <= kStart + 2500ms; at += 500ms)
        EXPECT_FALSE(initiator.on_deadline(at).empty());
    EXPECT_EQ(initiator.deadline(), kStart + 3s);
    EXPECT_FALSE(initiator.is_over());
    EXPECT_TRUE(initiator.on_deadline(kStart + 3s).empty());
    EXPECT_TRUE(initiator.is_over());
}

TEST(HandshakeInitiator, UnansweredRound3IsSentSixTimes)
{
    const auto rounds = rounds_of(proto::recorded::kExchanges[2]);
    HandshakeInitiator initiator(kStart, status_request(AuthType::kRandom));
    initiator.on_deadline(kStart);
    const Bytes round3 = bytes(*give(initiator, kStart + 100ms, rounds[1]));
    EXPECT_EQ(initiator.deadline(), kStart + 600ms);
    EXPECT_EQ(bytes(initiator.on_deadline(kStart + 600ms)), round3);
    EXPECT_EQ(run(initiator), (std::vector<base::Duration>{1100ms, 1600ms, 2100ms, 2600ms}));
    EXPECT_FALSE(initiator.answer());
}

TEST(HandshakeInitiator, WaitsForAnAnswerThatTakesItsTime)
{
    const auto rounds = rounds_of(proto::recorded::kExchanges[0]);
    for (const base::Duration late : {19s, 21s}) {
        HandshakeRequest request = status_request(AuthType::kNone);
        request.patience = 20s;
        HandshakeInitiator initiator(kStart, request);
        initiator.on_deadline(kStart);
        EXPECT_FALSE(initiator.has_asked());
        give(initiator, kStart, rounds[1]);
        EXPECT_TRUE(initiator.has_asked());
        base::Instant last = kStart;
        for (unsigned sent = 1; sent < kHandshakeTries; ++sent) {
            last += kHandshakeRepeat;
            EXPECT_FALSE(initiator.on_deadline(last).empty());
        }
        EXPECT_EQ(initiator.deadline(), last + 20s);
        EXPECT_TRUE(initiator.on_deadline(last + late).empty()) << "six times in all";
        EXPECT_EQ(initiator.is_over(), late > 20s);
        EXPECT_EQ(give(initiator, last + late, rounds[3]).has_value(), late < 20s);
    }
}

TEST(HandshakeInitiator, AnswersThatDoNotBelongChangeNothing)
{
    const auto rounds = rounds_of(proto::recorded::kExchanges[4]); // of type 2, by other paths
    HandshakeInitiator initiator(kStart, status_request(AuthType::kSha256));
    initiator.on_deadline(kStart);
    const auto changed = [&](const Bytes &octets, auto change) {
        ControlMessage message = *proto::decode_control(octets);
        change(message);
        return proto::encode_control(message, key());
    };
    const auto expect = [&](ControlDrop reason, const Bytes &octets) {
        const auto step = give(initiator, kStart + 1ms, octets);
        ASSERT_FALSE(step);
        EXPECT_EQ(step.error(), reason);
    };
    expect(ControlDrop::kDuplicate, rounds[3]); // before its turn
    expect(ControlDrop::kNoExchange, rounds[0]);
    expect(ControlDrop::kNoExchange, changed(rounds[1], [](auto &m) { m.initiator = address("10.0.0.9"); }));
    expect(ControlDrop::kNoExchange, changed(rounds[1], [](auto &m) { m.responder = address("10.0.0.9"); }));
    expect(ControlDrop::kNoExchange, changed(rounds[1], [](auto &m) { m.auth = AuthType::kRandom; }));
    Bytes forged = rounds[1];
    forged[39] ^= std::byte{1}; // in the hash
    expect(ControlDrop::kWrongHash, forged);

    ASSERT_TRUE(give(initiator, kStart + 2ms, rounds[1]));
    const auto deadline = initiator.deadline();
    expect(ControlDrop::kDuplicate, rounds[1]);
    expect(ControlDrop::kContradiction, changed(rounds[1], [](auto &m) { m.random = m.random.number() ^ 1; }));
    expect(ControlDrop::kWrongRandom, changed(rounds[3], [](auto &m) { m.random = m.random.number() ^ 1; }));
    forged = rounds[3];
    forged[1] = std::byte{5};
    expect(ControlDrop::kWrongHash, forged);
    EXPECT_EQ(initiator.deadline(), deadline);
    EXPECT_FALSE(initiator.is_over());
    EXPECT_TRUE(give(initiator, kStart + 3ms, rounds[3]));
    EXPECT_TRUE(initiator.is_over());
}

TEST(HandshakeInitiator, AnnouncedLengthIsRepeated)
{
    const auto rounds = rounds_of(proto::recorded::kExchanges[6]);
    HandshakeRequest request = request_of(proto::recorded::kExchanges[6], rounds[2]);
    request.body.pop_back();
    HandshakeInitiator initiator(kStart, request);
    initiator.on_deadline(kStart);
    EXPECT_EQ(give(initiator, kStart, rounds[1]).error(), ControlDrop::kContradiction);
}

TEST(HandshakeInitiator, WithoutHashTheAnswerComesFromAnAddressOfThePeer)
{
    for (const std::size_t exchange : {0U, 2U}) {
        const auto rounds = rounds_of(proto::recorded::kExchanges[exchange]);
        HandshakeInitiator initiator(kStart, status_request(exchange == 0 ? AuthType::kNone : AuthType::kRandom));
        initiator.on_deadline(kStart);
        EXPECT_EQ(give(initiator, kStart, rounds[1], "10.1.1.4").error(), ControlDrop::kWrongSource);
        const ControlMessage message = *proto::decode_control(rounds[1]);
        EXPECT_TRUE(initiator.on_message(kStart, {address(kHostB), 1}, message, rounds[1])) << "a NAT changed the port";

        // A peer of several addresses may answer from another one, in each round.
        HandshakeRequest request = status_request(exchange == 0 ? AuthType::kNone : AuthType::kRandom);
        request.other_sources = {address("10.1.1.5"), address("10.1.1.6")};
        HandshakeInitiator other(kStart, request);
        other.on_deadline(kStart);
        EXPECT_EQ(give(other, kStart, rounds[1], "10.1.1.4").error(), ControlDrop::kWrongSource);
        EXPECT_TRUE(give(other, kStart, rounds[1], "10.1.1.6"));
        EXPECT_TRUE(give(other, kStart, rounds[3], "10.1.1.5"));
        EXPECT_TRUE(other.answer());
    }
    const auto rounds = rounds_of(proto::recorded::kExchanges[4]);
    HandshakeInitiator initiator(kStart, status_request(AuthType::kSha256));
    initiator.on_deadline(kStart);
    EXPECT_TRUE(give(initiator, kStart, rounds[1], "10.1.1.4"));
}

TEST(HandshakeInitiator, RefusalInRound2IsAnAnswer)
{
    Bytes round2 = from_hex(proto::recorded::kExchanges[0].rounds[1]);
    round2[1] = std::byte{8};
    HandshakeInitiator initiator(kStart, status_request(AuthType::kNone));
    initiator.on_deadline(kStart);
    const auto step = give(initiator, kStart, round2);
    ASSERT_TRUE(step);
    EXPECT_TRUE(step->empty());
    ASSERT_TRUE(initiator.answer());
    EXPECT_EQ(initiator.answer()->result, proto::ControlResult::kNotPermitted);
}

} // namespace
} // namespace mpt::core
