// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/core/handshake_fixture.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>

namespace mpt::core {
namespace {

using namespace testing;
using config::AuthType;
using proto::ControlResult;

constexpr std::uint32_t kRandom = 0x12345678;

// The rounds of an initiator to a responder that chooses `random`.
Bytes round1_of(const HandshakeRequest &request)
{
    HandshakeInitiator initiator(kStart, request);
    return bytes(initiator.on_deadline(kStart));
}

Bytes round3_of(const HandshakeRequest &request, const Bytes &round2)
{
    HandshakeInitiator initiator(kStart, request);
    initiator.on_deadline(kStart);
    return bytes(give(initiator, kStart, round2).value());
}

TEST(HandshakeResponder, RecordedExchangesAreAnsweredOctetForOctet)
{
    for (const proto::recorded::Exchange &exchange : proto::recorded::kExchanges) {
        SCOPED_TRACE(exchange.name);
        const auto rounds = rounds_of(exchange);
        const ControlRoute from{endpoint(exchange.initiator), address(exchange.responder)};
        HandshakeResponder responder;
        const auto first = give(responder, kStart, rounds[0], proto::decode_control(rounds[1])->random, from);
        ASSERT_TRUE(first) << first.error();
        EXPECT_EQ(bytes(first->send), rounds[1]);
        EXPECT_FALSE(first->task);
        const auto second = give(responder, kStart + 1ms, rounds[2], 0, from);
        ASSERT_TRUE(second) << second.error();
        EXPECT_TRUE(second->send.empty());
        ASSERT_TRUE(second->task);
        EXPECT_EQ(second->task->argument, proto::decode_control(rounds[2])->argument);
        EXPECT_EQ(second->task->body, bytes(proto::decode_control(rounds[2])->body));
        EXPECT_EQ(second->task->route, from);
        const ControlMessage last = *proto::decode_control(rounds[3]);
        const auto reply = responder.answer(kStart + 2ms, second->task->exchange, last.result(), last.body);
        ASSERT_TRUE(reply);
        EXPECT_EQ(bytes(reply->datagram), rounds[3]);
        EXPECT_EQ(reply->route, from);
    }
}

TEST(HandshakeResponder, RepeatedRoundsGetTheSameAnswerAndActOnce)
{
    for (const AuthType auth : kAllTypes) {
        HandshakeResponder responder;
        const HandshakeRequest request = status_request(auth);
        const Bytes round1 = round1_of(request);
        const Bytes round2 = bytes(give(responder, kStart, round1, random_number(kRandom)).value().send);
        EXPECT_EQ(bytes(give(responder, kStart + 500ms, round1, random_number(kRandom + 1)).value().send), round2);
        EXPECT_EQ(responder.open_count(), 1U);

        const Bytes round3 = round3_of(request, round2);
        const auto task = give(responder, kStart + 1s, round3, 0).value().task;
        ASSERT_TRUE(task);
        EXPECT_EQ(give(responder, kStart + 1500ms, round3, 0).error(), ControlDrop::kDuplicate) << "still acting";
        const Bytes round4 = bytes(responder.answer(kStart + 2s, task->exchange, ControlResult::kDone, {})->datagram);
        const auto again = give(responder, kStart + 2500ms, round3, 0);
        ASSERT_TRUE(again);
        EXPECT_FALSE(again->task);
        EXPECT_EQ(bytes(again->send), round4);
    }
}

TEST(HandshakeResponder, AnswersAreNotLongerThanTheirQuestions)
{
    for (const AuthType auth : kAllTypes) {
        HandshakeResponder responder;
        const HandshakeRequest request = status_request(auth);
        const Bytes round1 = round1_of(request);
        const Bytes round2 = bytes(give(responder, kStart, round1, random_number(kRandom)).value().send);
        EXPECT_EQ(round2.size(), round1.size());
        const Bytes round3 = round3_of(request, round2);
        const auto task = give(responder, kStart, round3, 0).value().task;
        EXPECT_LE(responder.answer(kStart, task->exchange, ControlResult::kDone, {})->datagram.size(), round3.size());
    }
}

TEST(HandshakeResponder, TheSameWantedAgainWithoutRandomNumberIsDoneAgain)
{
    HandshakeResponder responder;
    const HandshakeRequest down = status_request(AuthType::kNone);
    HandshakeRequest up = down;
    up.argument = proto::kPathUp;
    unsigned tasks = 0;
    for (const HandshakeRequest &request : {down, up, down}) {
        const Bytes round2 = bytes(give(responder, kStart, round1_of(request), 0).value().send);
        const auto step = give(responder, kStart, round3_of(request, round2), 0);
        ASSERT_TRUE(step && step->task);
        EXPECT_EQ(step->task->argument, request.argument);
        responder.answer(kStart, step->task->exchange, ControlResult::kDone, {});
        ++tasks;
    }
    EXPECT_EQ(tasks, 3U);
}

TEST(HandshakeResponder, Round3MustBelongToARound1)
{
    const HandshakeRequest request = status_request(AuthType::kSha256);
    HandshakeResponder responder;
    const Bytes round1 = round1_of(request);
    const Bytes round2 = bytes(give(responder, kStart, round1, kRandom).value().send);
    const Bytes round3 = round3_of(request, round2);
    const auto expect = [&](ControlDrop reason, const Bytes &octets, const ControlRoute &from = route()) {
        const auto step = give(responder, kStart, octets, 0, from);
        ASSERT_FALSE(step);
        EXPECT_EQ(step.error(), reason);
        EXPECT_EQ(responder.taken_count(), 0U);
    };
    const auto changed = [&](auto change) {
        ControlMessage message = *proto::decode_control(round3);
        change(message);
        return proto::encode_control(message, key());
    };
    expect(ControlDrop::kNoExchange, round3, route("10.1.1.4"));
    expect(ControlDrop::kNoExchange, round3, route(kHostA, 1));
    expect(ControlDrop::kNoExchange, changed([](auto &m) { m.argument = proto::kPathUp; }));
    expect(ControlDrop::kNoExchange, changed([](auto &m) { m.initiator = address("10.0.0.9"); }));
    expect(ControlDrop::kWrongRandom, changed([](auto &m) { m.random = 0; }));
    expect(ControlDrop::kNoExchange, round2);
    Bytes forged = round3;
    forged.back() ^= std::byte{1};
    expect(ControlDrop::kWrongHash, forged);
    const auto step = give(responder, kStart, round3, 0);
    EXPECT_TRUE(step && step->task) << "none of them ends the exchange";
}

TEST(HandshakeResponder, TypeAndHashAreThoseOfTheConfiguration)
{
    HandshakeResponder responder;
    const Bytes plain = round1_of(status_request(AuthType::kNone));
    const ControlMessage message = *proto::decode_control(plain);
    EXPECT_EQ(responder.on_message(kStart, route(), message, plain, AuthType::kSha256, key(), kRandom).error(),
              ControlDrop::kWrongAuthType);
    Bytes forged = round1_of(status_request(AuthType::kSha256));
    forged[1] = std::byte{0};
    EXPECT_EQ(give(responder, kStart, forged, kRandom).error(), ControlDrop::kWrongHash);
    EXPECT_EQ(responder.open_count(), 0U) << "nothing is kept before the hash is right";
}

TEST(HandshakeResponder, ExchangesExpire)
{
    HandshakeResponder responder;
    EXPECT_FALSE(responder.deadline());
    const HandshakeRequest request = status_request(AuthType::kRandom);
    const Bytes round1 = round1_of(request);
    const Bytes round2 = bytes(give(responder, kStart, round1, kRandom).value().send);
    const Bytes round3 = round3_of(request, round2);
    EXPECT_EQ(responder.deadline(), kStart + kOpenExchangeLife);
    give(responder, kStart + 1s, round1, 0);
    EXPECT_EQ(responder.deadline(), kStart + 1s + kOpenExchangeLife) << "a repeated round 1 keeps it";
    responder.on_deadline(kStart + 1s + kOpenExchangeLife);
    EXPECT_EQ(responder.open_count(), 0U);
    EXPECT_EQ(give(responder, kStart + 10s, round3, 0).error(), ControlDrop::kNoExchange);

    const Bytes again = round3_of(request, bytes(give(responder, kStart + 10s, round1, kRandom).value().send));
    const auto task = give(responder, kStart + 10s, again, 0).value().task;
    EXPECT_EQ(responder.deadline(), kStart + 10s + kTakenExchangeLife);
    EXPECT_FALSE(responder.answer(kStart + 10s + kTakenExchangeLife, task->exchange, ControlResult::kDone, {}));
    EXPECT_EQ(responder.taken_count(), 0U);
    EXPECT_FALSE(responder.deadline());
}

TEST(HandshakeResponder, LateAnswerStillGoesOut)
{
    HandshakeResponder responder;
    const HandshakeRequest request = status_request(AuthType::kRandom);
    const Bytes round3 = round3_of(request, bytes(give(responder, kStart, round1_of(request), kRandom).value().send));
    const auto task = give(responder, kStart, round3, 0).value().task;
    give(responder, kStart + 1s, round1_of(request), kRandom); // other traffic in between
    const auto reply = responder.answer(kStart + 9s, task->exchange, ControlResult::kFailed, {});
    ASSERT_TRUE(reply);
    EXPECT_EQ(proto::decode_control(reply->datagram)->result(), ControlResult::kFailed);
    EXPECT_EQ(proto::decode_control(reply->datagram)->random, kRandom);
    EXPECT_FALSE(responder.answer(kStart + 9s, task->exchange + 1, ControlResult::kDone, {}));
}

TEST(HandshakeResponder, OneSourceDoesNotTakeTheRoomOfOthers)
{
    HandshakeResponder responder;
    const Bytes round1 = round1_of(status_request(AuthType::kRandom));
    const Bytes first = bytes(give(responder, kStart, round1, kRandom)->send);
    for (std::uint16_t port = 1; port <= 2 * kMaxOpenExchangesOfSource; ++port)
        EXPECT_TRUE(give(responder, kStart, round1, port, route("192.0.2.1", port)));
    EXPECT_EQ(responder.open_count(), 1 + kMaxOpenExchangesOfSource);
    EXPECT_EQ(bytes(give(responder, kStart, round1, 0)->send), first) << "the older one of another source is there";
}

// A round 1 that is repeated from many ports, with the peer's address.
TEST(HandshakeResponder, AFloodInThePeersNameDoesNotKeepItOut)
{
    HandshakeResponder responder;
    const HandshakeRequest request = status_request(AuthType::kRandom);
    const Bytes round1 = round1_of(request);
    const auto flood = [&](std::uint16_t from, std::size_t count) {
        for (std::size_t n = 0; n < count; ++n)
            give(responder, kStart, round1, 1, route(kHostA, static_cast<std::uint16_t>(from + n)));
    };
    flood(10000, kMaxOpenExchangesOfSource);
    const auto step = give(responder, kStart, round1, kRandom, route(kHostA, 60456));
    ASSERT_TRUE(step);
    const Bytes round3 = round3_of(request, bytes(step->send));
    flood(20000, kMaxOpenExchangesOfSource - 1);
    EXPECT_TRUE(give(responder, kStart, round3, 0, route(kHostA, 60456)).value().task);
}

TEST(HandshakeResponder, FloodOfManySourcesPushesOutTheOldest)
{
    HandshakeResponder responder;
    const HandshakeRequest request = status_request(AuthType::kRandom);
    const Bytes round1 = round1_of(request);
    for (unsigned n = 0; n < kMaxOpenExchanges; ++n)
        give(responder, kStart, round1, n, route("192.0.2." + std::to_string(n % 200), static_cast<std::uint16_t>(n)));
    EXPECT_EQ(responder.open_count(), kMaxOpenExchanges);
    const auto step = give(responder, kStart, round1, kRandom);
    ASSERT_TRUE(step);
    EXPECT_EQ(responder.open_count(), kMaxOpenExchanges);
    EXPECT_TRUE(give(responder, kStart, round3_of(request, bytes(step->send)), 0)->task);
}

TEST(HandshakeResponder, TasksThatAreNotAnsweredAreBounded)
{
    HandshakeResponder responder;
    const HandshakeRequest request = status_request(AuthType::kRandom);
    const Bytes round1 = round1_of(request);
    std::vector<HandshakeTask> tasks;
    const auto begin = [&](std::uint16_t port) {
        const Bytes round2 = bytes(give(responder, kStart, round1, port, route(kHostA, port)).value().send);
        return give(responder, kStart, round3_of(request, round2), 0, route(kHostA, port));
    };
    for (std::uint16_t port = 1; port <= kMaxTakenExchanges; ++port) {
        const auto step = begin(port);
        ASSERT_TRUE(step && step->task);
        tasks.push_back(*step->task);
    }
    EXPECT_EQ(begin(9999).error(), ControlDrop::kBusy);
    ASSERT_TRUE(responder.answer(kStart, tasks[5].exchange, ControlResult::kDone, {}));
    EXPECT_TRUE(begin(9999)->task) << "one that is answered makes room";
    EXPECT_EQ(responder.taken_count(), kMaxTakenExchanges);
    EXPECT_FALSE(responder.answer(kStart, tasks[5].exchange, ControlResult::kDone, {}));
    EXPECT_TRUE(responder.answer(kStart, tasks[0].exchange, ControlResult::kDone, {}));
}

TEST(HandshakeResponder, CreateOfOurOwnRepeatsTheRandomNumberOrLeavesIt)
{
    const auto rounds = rounds_of(proto::recorded::kExchanges[6]);
    for (const std::uint32_t random : {0U, kRandom, kRandom + 1}) {
        HandshakeResponder responder;
        EXPECT_EQ(proto::decode_control(give(responder, kStart, rounds[0], kRandom).value().send)->random, kRandom);
        ControlMessage round3 = *proto::decode_control(rounds[2]);
        round3.random = random;
        const auto step = give(responder, kStart, proto::encode_control(round3, key()), 0);
        if (random == kRandom + 1) {
            EXPECT_EQ(step.error(), ControlDrop::kWrongRandom);
            continue;
        }
        ASSERT_TRUE(step && step->task);
        const auto reply = responder.answer(kStart, step->task->exchange, ControlResult::kDone, {});
        EXPECT_EQ(proto::decode_control(reply->datagram)->random, kRandom);
    }
}

} // namespace
} // namespace mpt::core
