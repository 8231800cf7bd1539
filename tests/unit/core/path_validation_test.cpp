// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/path_validation.hpp"

#include "tests/unit/core/session_fixture.hpp"

#include <deque>
#include <gtest/gtest.h>

namespace mpt::core {
namespace {

using namespace testing;
using proto::DropReason;

base::Endpoint at(std::string_view text, std::uint16_t port)
{
    return {address(text), port};
}

const base::Endpoint kOld = at("192.0.2.1", 1000);
const base::Endpoint kNew = at("192.0.2.1", 1001); // a NAT has given it another port
const base::Endpoint kElsewhere = at("198.51.100.7", 1000);
constexpr std::uint64_t kChallenge = 0x1111;
constexpr std::uint64_t kOtherChallenge = 0x2222;

KeepaliveTaken fresh(std::uint64_t counter, std::uint64_t response = 0)
{
    KeepaliveTaken taken;
    taken.counter = counter;
    taken.response = response;
    return taken;
}

KeepaliveTaken repeated(std::uint64_t counter)
{
    KeepaliveTaken taken;
    taken.drop = DropReason::kNotFresh;
    taken.counter = counter;
    return taken;
}

KeepaliveTaken in_session(std::uint64_t session, KeepaliveTaken taken)
{
    taken.session = session;
    return taken;
}

class PathValidationTest : public ::testing::Test {
protected:
    PathValidationTest() { path.set_address(kOld, true, 0); }

    void expect_stays() const { EXPECT_EQ(path.address(), kOld); }

    PathValidation path;
};

TEST_F(PathValidationTest, LivesWhereItIs)
{
    EXPECT_TRUE(path.on_keepalive(kStart, kOld, fresh(1), kChallenge).lives);
    EXPECT_FALSE(path.on_keepalive(kStart, kOld, repeated(1), kChallenge).lives);
    EXPECT_EQ(path.challenge_for(kOld), 0U);
}

TEST_F(PathValidationTest, MovesWhenTheChallengeHasComeBackFromThere)
{
    const Whereabouts first = path.on_keepalive(kStart, kNew, fresh(5), kChallenge);
    EXPECT_TRUE(first.challenge && first.is_used);
    EXPECT_FALSE(first.lives) << "that somebody passes it on proves nothing";
    expect_stays();
    EXPECT_EQ(path.challenge_for(kNew), kChallenge);
    EXPECT_EQ(path.challenge_for(kOld), 0U);
    EXPECT_EQ(path.challenge_for(kElsewhere), 0U);

    const Whereabouts again = path.on_keepalive(kStart + 20ms, kNew, fresh(6), kOtherChallenge);
    EXPECT_TRUE(again.challenge) << "the first one may be lost";
    EXPECT_FALSE(again.is_used);
    EXPECT_EQ(path.challenge_for(kNew), kChallenge);

    const Whereabouts back = path.on_keepalive(kStart + 40ms, kNew, fresh(7, kChallenge), kOtherChallenge);
    EXPECT_TRUE(back.lives && back.has_moved);
    EXPECT_FALSE(back.challenge);
    EXPECT_EQ(path.address(), kNew);
    EXPECT_EQ(path.challenge_for(kNew), 0U);
    EXPECT_TRUE(path.on_keepalive(kStart + 60ms, kNew, fresh(8), kOtherChallenge).lives);
}

TEST_F(PathValidationTest, TheChallengeCountsFromWhereItWasSentAlone)
{
    path.on_keepalive(kStart, kNew, fresh(5), kChallenge);
    EXPECT_FALSE(path.on_keepalive(kStart + 10ms, kElsewhere, fresh(6, kChallenge), kOtherChallenge).has_moved);
    EXPECT_FALSE(path.on_keepalive(kStart + 20ms, kNew, fresh(7, kChallenge + 1), kOtherChallenge).has_moved);
    EXPECT_FALSE(path.on_keepalive(kStart + 20ms, kNew, fresh(8, 0), kOtherChallenge).has_moved);
    KeepaliveTaken late = repeated(5);
    late.response = kChallenge;
    EXPECT_FALSE(path.on_keepalive(kStart + 30ms, kNew, late, kOtherChallenge).has_moved);
    expect_stays();
}

TEST_F(PathValidationTest, ACopyThatWasQuickerIsFoundOut)
{
    for (const KeepaliveTaken &original : {repeated(5), fresh(6)}) {
        PathValidation copied;
        copied.set_address(kOld, true, 0);
        copied.on_keepalive(kStart, kElsewhere, fresh(5), kChallenge);
        EXPECT_TRUE(copied.on_keepalive(kStart + 1ms, kOld, original, kOtherChallenge).lives) << "it is the peer's";
        EXPECT_EQ(copied.challenge_for(kElsewhere), 0U);
        EXPECT_FALSE(copied.on_keepalive(kStart + 20ms, kElsewhere, fresh(7, kChallenge), kOtherChallenge).has_moved);
        EXPECT_EQ(copied.address(), kOld);
    }
}

TEST_F(PathValidationTest, CopiesThatAreAlwaysQuickerKeepNothingFromLiving)
{
    for (std::uint64_t counter = 5; counter < 50; ++counter) {
        const base::Instant now = kStart + std::chrono::milliseconds(200 * counter);
        EXPECT_FALSE(path.on_keepalive(now, kElsewhere, fresh(counter), kChallenge).lives);
        // The original is a keepalive late. It counts once.
        EXPECT_TRUE(path.on_keepalive(now + 1ms, kOld, repeated(counter - 1), kOtherChallenge).lives);
        EXPECT_FALSE(path.on_keepalive(now + 2ms, kOld, repeated(counter - 1), kOtherChallenge).lives);
    }
    // What was sent before somebody said where the peer is says nothing of there.
    path.set_address(kNew, true, 0);
    EXPECT_FALSE(path.on_keepalive(kStart + 20s, kNew, repeated(49), kChallenge).lives);
    EXPECT_TRUE(path.on_keepalive(kStart + 20s, kNew, fresh(50), kChallenge).lives);
}

TEST_F(PathValidationTest, WhoeverPassesOnFasterThanTheyComeLosesThePathAgain)
{
    const auto move = [this](base::Instant now) {
        path.set_address(kOld, true, 0);
        path.on_keepalive(now, kElsewhere, fresh(5), kChallenge);
        return path.on_keepalive(now + 1ms, kElsewhere, fresh(6, kChallenge), kOtherChallenge).has_moved;
    };
    ASSERT_TRUE(move(kStart));
    path.set_address(kElsewhere, true, 0); // as is known here already
    EXPECT_FALSE(path.on_keepalive(kStart + 2ms, kOld, repeated(4), kOtherChallenge).has_moved) << "sent before";
    const Whereabouts back = path.on_keepalive(kStart + 20ms, kOld, repeated(5), kOtherChallenge);
    EXPECT_TRUE(back.has_moved && back.lives);
    EXPECT_EQ(path.address(), kOld);
    EXPECT_FALSE(path.on_keepalive(kStart + 9s, kElsewhere, fresh(7), kChallenge).challenge) << "not at once again";
    path.set_address(kElsewhere, true, 0);
    ASSERT_TRUE(move(kStart + 11s));
    EXPECT_FALSE(path.on_keepalive(kStart + 21s + 1ms, kOld, repeated(5), kOtherChallenge).has_moved) << "no longer";
}

TEST_F(PathValidationTest, MovesOnceASecondHoweverOftenThePeerBeginsAnew)
{
    unsigned moves = 0;
    for (unsigned n = 0; n < 200; ++n) {
        const base::Instant now = kStart + std::chrono::milliseconds(10 * n);
        const base::Endpoint &to = n % 2 == 0 ? kNew : kElsewhere;
        path.on_keepalive(now, to, in_session(n + 1, fresh(1)), kChallenge);
        const KeepaliveTaken second = in_session(n + 1, fresh(2, kChallenge));
        moves += path.on_keepalive(now + 1ms, to, second, kOtherChallenge).has_moved ? 1 : 0;
    }
    EXPECT_EQ(moves, 2U);
}

TEST_F(PathValidationTest, LivesWithTheFirstKeepaliveOfASessionWhichAnotherPathHasBegun)
{
    EXPECT_TRUE(path.on_keepalive(kStart, kOld, in_session(1, fresh(5000)), kChallenge).lives);
    EXPECT_TRUE(path.on_keepalive(kStart + 1s, kOld, in_session(2, fresh(2)), kChallenge).lives);
    KeepaliveTaken forged;
    forged.drop = DropReason::kWrongMac; // of no session
    path.on_keepalive(kStart + 1s, kOld, forged, kChallenge);
    EXPECT_FALSE(path.on_keepalive(kStart + 1s, kOld, in_session(2, repeated(2)), kChallenge).lives);
}

TEST_F(PathValidationTest, NobodyIsNowhere)
{
    const base::Endpoint nowhere = at("::", 1000);
    path.set_address(nowhere, true, 0); // to be learned
    EXPECT_FALSE(path.on_keepalive(kStart, nowhere, fresh(1), kChallenge).lives);
}

TEST_F(PathValidationTest, WhatTheOldAddressSentEarlierStopsNothing)
{
    path.on_keepalive(kStart, kNew, fresh(5), kChallenge);
    path.on_keepalive(kStart + 1ms, kOld, repeated(4), kOtherChallenge);
    KeepaliveTaken forged;
    forged.drop = DropReason::kWrongMac;
    path.on_keepalive(kStart + 2ms, kOld, forged, kOtherChallenge);
    EXPECT_TRUE(path.on_keepalive(kStart + 20ms, kNew, fresh(6, kChallenge), kOtherChallenge).has_moved);
}

TEST_F(PathValidationTest, WhatIsNotFreshIsNoReasonToAsk)
{
    EXPECT_FALSE(path.on_keepalive(kStart, kNew, repeated(5), kChallenge).challenge);
    KeepaliveTaken stranger; // of no session
    stranger.drop = DropReason::kNotFresh;
    stranger.send = true;
    EXPECT_FALSE(path.on_keepalive(kStart, kNew, stranger, kChallenge).challenge);
    EXPECT_EQ(path.challenge_for(kNew), 0U);
    EXPECT_FALSE(path.on_keepalive(kStart, at("192.0.2.1", 0), fresh(6), kChallenge).challenge)
        << "nobody is at port 0";
}

TEST_F(PathValidationTest, OneNewAddressASecondIsTried)
{
    unsigned tried = 0;
    base::Instant now = kStart;
    for (unsigned n = 0; n < 10000; ++n, now += 1ms) {
        const base::Endpoint source = at("203.0.113.5", static_cast<std::uint16_t>(1 + n));
        const Whereabouts where = path.on_keepalive(now, source, fresh(1 + n), 1 + n);
        EXPECT_EQ(where.challenge, where.is_used);
        tried += where.challenge ? 1 : 0;
    }
    EXPECT_EQ(tried, 10U);
    expect_stays();
    // The last one is forgotten for one that comes later.
    EXPECT_TRUE(path.on_keepalive(now + 1s, kNew, fresh(20000), kChallenge).challenge);
    EXPECT_TRUE(path.on_keepalive(now + 1s + 10ms, kNew, fresh(20001, kChallenge), kOtherChallenge).has_moved);
}

TEST_F(PathValidationTest, AnAddressThatIsTriedHasTenSecondsToAnswer)
{
    path.on_keepalive(kStart, kNew, fresh(5), kChallenge);
    const Whereabouts late = path.on_keepalive(kStart + 10s, kNew, fresh(6, kChallenge), kOtherChallenge);
    EXPECT_FALSE(late.has_moved);
    EXPECT_TRUE(late.challenge && late.is_used) << "it is asked once more";
    EXPECT_TRUE(path.on_keepalive(kStart + 19s, kNew, fresh(7, kOtherChallenge), kChallenge).has_moved);
}

TEST_F(PathValidationTest, GoesThereAndBack)
{
    std::uint64_t counter = 1;
    base::Instant now = kStart;
    for (const base::Endpoint &to : {kNew, kElsewhere, kOld, kNew}) {
        now += 1s;
        EXPECT_TRUE(path.on_keepalive(now, to, fresh(counter++), kChallenge).challenge);
        EXPECT_TRUE(path.on_keepalive(now + 10ms, to, fresh(counter++, kChallenge), kOtherChallenge).has_moved);
        EXPECT_EQ(path.address(), to);
    }
}

TEST_F(PathValidationTest, AnUnknownAddressIsLearned)
{
    path.set_address(at("0.0.0.0", 23456), false, kOtherChallenge);
    EXPECT_TRUE(path.on_keepalive(kStart, kNew, fresh(1), kChallenge).challenge);
    EXPECT_TRUE(path.address().address.is_unspecified());
    EXPECT_TRUE(path.on_keepalive(kStart, kNew, fresh(2, kChallenge), kOtherChallenge).has_moved);
    EXPECT_EQ(path.address(), kNew);
}

TEST_F(PathValidationTest, AnAddressThatAPeerHasNamedMustBringBackAChallenge)
{
    path.set_address(kOld, false, kChallenge);
    EXPECT_EQ(path.challenge_for(kOld), kChallenge);
    EXPECT_FALSE(path.on_keepalive(kStart, kOld, fresh(1), kOtherChallenge).lives);
    EXPECT_FALSE(path.on_keepalive(kStart, kOld, fresh(2, kOtherChallenge), kOtherChallenge).lives);
    EXPECT_FALSE(path.on_keepalive(kStart, kElsewhere, fresh(3, kChallenge), kOtherChallenge).lives);
    EXPECT_TRUE(path.on_keepalive(kStart, kOld, fresh(4, kChallenge), kOtherChallenge).lives);
    EXPECT_EQ(path.challenge_for(kOld), 0U);
    EXPECT_TRUE(path.on_keepalive(kStart, kOld, fresh(5), kOtherChallenge).lives);
}

TEST_F(PathValidationTest, WhoeverSaysWhereThePeerIsEndsATrial)
{
    path.on_keepalive(kStart, kNew, fresh(5), kChallenge);
    path.set_address(kElsewhere, true, 0);
    EXPECT_FALSE(path.on_keepalive(kStart + 10ms, kNew, fresh(6, kChallenge), kOtherChallenge).has_moved);
    EXPECT_EQ(path.address(), kElsewhere);
}

TEST_F(PathValidationTest, APeerThatBeginsAnewElsewhereIsAskedAtOnce)
{
    path.on_keepalive(kStart, kElsewhere, fresh(5000), kChallenge);
    const Whereabouts where = path.on_keepalive(kStart + 10ms, kNew, in_session(1, fresh(1)), kOtherChallenge);
    EXPECT_TRUE(where.challenge && where.is_used);
    EXPECT_TRUE(path.on_keepalive(kStart + 20ms, kNew, in_session(1, fresh(2, kOtherChallenge)), kChallenge).has_moved);
}

// A client behind a NAT, and a server that does not know where it is. What is sent arrives at once, in order, where it
// is sent to; an adversary sees it all.
class Roaming : public ::testing::Test {
protected:
    static constexpr std::size_t kClient = 0;
    static constexpr std::size_t kServer = 1;

    struct Host {
        std::optional<KeepaliveSession> session;
        PathValidation path;
        unsigned lives = 0;
        unsigned moves = 0;
    };
    struct Datagram {
        base::Endpoint from;
        base::Endpoint to;
        Bytes octets;
    };

    Roaming()
    {
        start(kClient);
        start(kServer);
    }

    void start(std::size_t n)
    {
        const std::array tunnel{address("10.0.0.2"), address("10.0.0.3")};
        hosts[n].lives = hosts[n].moves = 0;
        hosts[n].path = {};
        hosts[n].session.emplace(key(), tunnel[n], tunnel[1 - n], 1, number());
        hosts[n].path.set_address(n == kClient ? server : at("0.0.0.0", 1), n == kClient, number64());
    }

    proto::RandomNumber number() { return random_number(++last_number).octets(); }
    std::uint64_t number64() { return 0xabcdef0000000000U + ++last_number; }

    // Of its own accord.
    Datagram make(std::size_t n, const base::Endpoint &to)
    {
        Keepalive octets;
        hosts[n].session->make(now, 0, {}, std::nullopt, hosts[n].path.challenge_for(to), octets);
        return {n == kClient ? client : server, to, {octets.begin(), octets.end()}};
    }

    // What the host sends for it.
    std::optional<Datagram> take(std::size_t n, const base::Endpoint &source, const Bytes &octets)
    {
        Host &host = hosts[n];
        const bool is_usual = source == host.path.address();
        const KeepaliveTaken taken = host.session->take(now, 0, source, is_usual, octets, {}, number());
        const Whereabouts where = host.path.on_keepalive(now, source, taken, number64());
        last_observed[n] = taken.observed.port != 0 ? taken.observed : last_observed[n];
        host.lives += where.lives ? 1 : 0;
        host.moves += where.has_moved ? 1 : 0;
        if (taken.send || where.challenge)
            return make(n, source);
        return std::nullopt;
    }

    // Until nothing is under way.
    void deliver(std::deque<Datagram> wire)
    {
        for (unsigned hops = 0; !wire.empty(); ++hops) {
            ASSERT_LT(hops, 50U) << "it does not come to rest";
            const Datagram datagram = wire.front();
            wire.pop_front();
            recorded.push_back(datagram);
            const bool arrives = datagram.to == server || datagram.to == client;
            if (!arrives)
                continue;
            if (auto answer = take(datagram.to == server ? kServer : kClient, datagram.from, datagram.octets))
                wire.push_back(std::move(*answer));
        }
    }

    void client_speaks() { deliver({make(kClient, server)}); }

    base::Instant now = kStart;
    base::Endpoint client = at("198.51.100.1", 40000); // as the NAT shows it
    const base::Endpoint server = at("203.0.113.9", 23456);
    std::array<Host, 2> hosts;
    std::array<base::Endpoint, 2> last_observed;
    std::vector<Datagram> recorded;
    std::uint32_t last_number = 0;
};

TEST_F(Roaming, OneKeepaliveOfTheClientIsEnough)
{
    client_speaks();
    EXPECT_EQ(hosts[kServer].path.address(), client);
    EXPECT_EQ(hosts[kServer].lives, 1U);
    EXPECT_GE(hosts[kClient].lives, 1U);
    now += 1s;
    deliver({make(kServer, hosts[kServer].path.address())});
    client_speaks();
    EXPECT_EQ(last_observed[kClient], client) << "the client learns what the NAT makes of it";
    EXPECT_EQ(last_observed[kServer], server);
}

TEST_F(Roaming, FollowsANatThatForgets)
{
    client_speaks();
    for (unsigned n = 1; n <= 5; ++n) {
        now += 2s;
        client.port = static_cast<std::uint16_t>(40000 + n);
        client_speaks();
        EXPECT_EQ(hosts[kServer].path.address(), client);
        EXPECT_EQ(hosts[kServer].moves, 1 + n);
    }
    EXPECT_EQ(hosts[kServer].session->sessions(), 1U) << "the session goes on";
    EXPECT_EQ(hosts[kClient].moves, 0U);
}

TEST_F(Roaming, EitherSideMayBeginAnewAndTheClientMoveMeanwhile)
{
    client_speaks();
    now += 2s;
    start(kServer);
    client.port = 5;
    client_speaks();
    EXPECT_EQ(hosts[kServer].path.address(), client);
    now += 2s;
    start(kClient);
    client = at("192.0.2.200", 7);
    client_speaks();
    EXPECT_EQ(hosts[kServer].path.address(), client);
    EXPECT_EQ(hosts[kServer].lives, 2U);
}

TEST_F(Roaming, WhatIsRecordedMovesNothingAndIsAnsweredTenTimesASecond)
{
    for (unsigned n = 0; n < 20; ++n, now += 1s) {
        client_speaks();
        deliver({make(kServer, hosts[kServer].path.address())});
        if (n == 10)
            start(kClient); // so that there are some of another session, too
    }
    const std::vector<Datagram> all = recorded;
    const base::Endpoint adversary = at("192.0.2.66", 666);
    const unsigned lives = hosts[kServer].lives;
    const unsigned moves = hosts[kServer].moves;
    unsigned answers = 0;
    const base::Instant start = now;
    for (unsigned n = 0; n < 1000; ++n, now += 1ms)
        for (const Datagram &datagram : all) {
            const auto answer = take(kServer, adversary, datagram.octets);
            if (!answer)
                continue;
            ++answers;
            EXPECT_EQ(answer->to, adversary);
            EXPECT_EQ(answer->octets.size(), datagram.octets.size()) << "no amplification";
            EXPECT_FALSE(take(kClient, adversary, answer->octets)) << "and it is worth nothing to anybody";
        }
    EXPECT_EQ(now - start, 1s);
    EXPECT_EQ(answers, 10U);
    EXPECT_EQ(hosts[kServer].path.address(), client);
    EXPECT_EQ(hosts[kServer].lives, lives);
    EXPECT_EQ(hosts[kServer].moves, moves);
    client_speaks();
    EXPECT_EQ(hosts[kServer].lives, lives + 1);
}

// RFC 9000, 9.3.3: an adversary beside the path who is quicker, and passes on from another address what he sees.
TEST_F(Roaming, ACopyFromElsewhereThatIsQuickerMovesNothing)
{
    client_speaks();
    now += 1s;
    client_speaks(); // both know their session by now
    const base::Endpoint adversary = at("192.0.2.66", 666);
    const unsigned moves = hosts[kServer].moves;
    for (unsigned n = 0; n < 100; ++n, now += 200ms) {
        const Datagram original = make(kClient, server);
        const auto challenge = take(kServer, adversary, original.octets);
        deliver({original});
        // Even if he passes on the challenge, too, its answer goes the client's own way as well.
        if (challenge) {
            const auto response = take(kClient, server, challenge->octets);
            if (response) {
                deliver({*response});
                take(kServer, adversary, response->octets);
            }
        }
        ASSERT_EQ(hosts[kServer].path.address(), client) << n;
    }
    EXPECT_EQ(hosts[kServer].moves, moves);
}

TEST_F(Roaming, ChangedKeepalivesFromElsewhereChangeNothing)
{
    client_speaks();
    now += 1s;
    const Bytes right = make(kClient, server).octets;
    const base::Endpoint adversary = at("192.0.2.66", 666);
    for (std::size_t bit = 0; bit < 8 * right.size(); ++bit) {
        Bytes octets = right;
        octets[bit / 8] ^= std::byte{1} << (bit % 8);
        EXPECT_FALSE(take(kServer, adversary, octets)) << bit;
    }
    EXPECT_EQ(hosts[kServer].path.address(), client);
    EXPECT_EQ(hosts[kServer].path.challenge_for(adversary), 0U);
}

} // namespace
} // namespace mpt::core
