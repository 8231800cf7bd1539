// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/keepalive.hpp"

#include "tests/unit/core/session_fixture.hpp"

#include <gtest/gtest.h>

namespace mpt::core {
namespace {

using namespace testing;
using proto::DropReason;

TEST(KeepaliveSession, BeginsInOneAndAHalfRoundTrips)
{
    TwoHosts hosts({10ms});
    hosts.interval = 60s;
    hosts.host(1).next[0] = kStart + 1h; // it says nothing of its own accord
    hosts.run(15ms);
    EXPECT_EQ(hosts.sessions(), 0U) << "a first keepalive proves nothing";
    EXPECT_EQ(hosts.host(1).fresh[0], 0U);
    hosts.run(10ms);
    EXPECT_EQ(hosts.host(0).fresh[0], 1U);
    EXPECT_EQ(hosts.host(1).fresh[0], 0U);
    hosts.run(10ms);
    EXPECT_EQ(hosts.host(1).fresh[0], 1U);
    hosts.run(1s);
    EXPECT_EQ(hosts.sessions(), 2U);
    EXPECT_TRUE(hosts.agree());
}

TEST(KeepaliveSession, BothAtOnceBeginOne)
{
    TwoHosts hosts({10ms});
    hosts.run(100s);
    EXPECT_EQ(hosts.sessions(), 2U);
    for (const std::size_t n : {0U, 1U}) {
        EXPECT_GE(hosts.host(n).fresh[0], 99U);
        EXPECT_LE(hosts.host(n).drops[DropReason::kNotFresh], 1U);
        EXPECT_EQ(hosts.host(n).drops.size(), 1U);
    }
}

TEST(KeepaliveSession, PathsOfDifferentDelaysDoNotDisturbASession)
{
    TwoHosts hosts({1ms, 300ms, 2s});
    hosts.interval = 10ms; // hundreds are under way when a session begins
    hosts.run(20s);
    EXPECT_EQ(hosts.sessions(), 2U);
    hosts.start(0);
    hosts.run(20s);
    EXPECT_EQ(hosts.host(1).session->sessions(), 2U);
    EXPECT_EQ(hosts.host(0).session->sessions(), 1U);
    for (const std::size_t n : {0U, 1U})
        for (const unsigned fresh : hosts.host(n).fresh)
            EXPECT_GE(fresh, 1700U);
}

TEST(KeepaliveSession, RestartOfEitherSideConvergesAtOnce)
{
    for (const std::size_t restarted : {0U, 1U}) {
        TwoHosts hosts({10ms});
        hosts.interval = 60s;
        hosts.run(90s);
        const base::Instant restart = hosts.now();
        hosts.start(restarted);
        hosts.run(60ms);
        EXPECT_TRUE(hosts.agree());
        EXPECT_EQ(hosts.host(restarted).session->sessions(), 1U);
        EXPECT_EQ(hosts.host(1 - restarted).session->sessions(), 2U);
        for (const std::size_t n : {0U, 1U})
            EXPECT_LE(hosts.host(n).last_new_session - restart, 40ms);
    }
}

TEST(KeepaliveSession, RestartIsNoticedFromEitherSidesKeepalives)
{
    TwoHosts hosts({10ms});
    hosts.run(5s);
    hosts.start(0);
    hosts.host(0).next[0] = hosts.now() + 1h; // says nothing before it is asked
    hosts.run(1100ms);
    EXPECT_TRUE(hosts.agree());
}

// Hosts that begin and restart at any time, over paths that lose, double the delay and overtake one another.
TEST(KeepaliveSession, ConvergesWhateverHappens)
{
    for (unsigned seed = 0; seed < 500; ++seed) {
        TwoHosts hosts({1ms, 40ms, 400ms}, seed);
        hosts.loss = 0.3;
        hosts.jitter = 400ms;
        hosts.interval = std::chrono::milliseconds(10 + hosts.random()() % 300);
        for (unsigned restarts = 0; restarts < 6; ++restarts) {
            hosts.run(std::chrono::milliseconds(hosts.random()() % 1000));
            hosts.start(hosts.random()() % 2);
        }
        hosts.run(10s);
        const std::uint64_t sessions = hosts.sessions();
        const unsigned fresh = hosts.host(0).fresh[0] + hosts.host(1).fresh[0];
        hosts.run(10s);
        EXPECT_TRUE(hosts.agree()) << seed;
        EXPECT_EQ(hosts.sessions(), sessions) << seed << ": a session that both have lasts";
        EXPECT_GT(hosts.host(0).fresh[0] + hosts.host(1).fresh[0], fresh + 20) << seed;
    }
}

// The host's session is with the peer before its restart, the peer's with the host's answer after it.
TEST(KeepaliveSession, HostsOfDifferentSessionsFindEachOther)
{
    std::uint32_t number = 0;
    base::Instant now = kStart;
    const auto host_between = [&](std::string_view local, std::string_view remote) {
        return KeepaliveSession(key(), address(local), address(remote), 1, random_number(++number).octets());
    };
    const auto make = [&](KeepaliveSession &from) {
        Keepalive octets;
        from.make(now, 0, {}, std::nullopt, 0, octets);
        return octets;
    };
    const auto take = [&](KeepaliveSession &to, const Keepalive &octets) {
        now += 1s;
        return to.take(now, 0, {}, true, octets, {}, random_number(++number).octets());
    };
    KeepaliveSession host = host_between("10.0.0.2", "10.0.0.3");
    KeepaliveSession before = host_between("10.0.0.3", "10.0.0.2");
    KeepaliveSession after = host_between("10.0.0.3", "10.0.0.2");
    ASSERT_TRUE(take(before, make(host)).send);
    const Keepalive late_answer = make(before);
    ASSERT_TRUE(take(host, make(after)).send);
    const Keepalive answer = make(host);
    ASSERT_TRUE(take(host, late_answer).is_new_session);
    ASSERT_TRUE(take(after, answer).is_new_session);

    const Keepalive of_host = make(host);
    EXPECT_TRUE(take(after, of_host).drop) << "they are not the same";
    const auto taken = take(host, make(after)); // its answer
    EXPECT_TRUE(taken.is_new_session && taken.send);
    EXPECT_FALSE(take(after, make(host)).drop);
    EXPECT_FALSE(take(host, make(after)).drop);
}

TEST(KeepaliveSession, FreshIsWhatHasAHigherCounterOnThePath)
{
    TwoHosts hosts({1ms, 1ms});
    hosts.run(2s);
    const Bytes first = hosts.make(0, 0);
    const Bytes second = hosts.make(0, 0);
    const Bytes other_path = hosts.make(0, 1);
    EXPECT_FALSE(hosts.give(1, 1, other_path).drop);
    EXPECT_FALSE(hosts.give(1, 0, first).drop) << "each path has its own order";
    EXPECT_FALSE(hosts.give(1, 0, second).drop);
    EXPECT_EQ(hosts.give(1, 0, second).drop, DropReason::kNotFresh);
    EXPECT_EQ(hosts.give(1, 0, first).drop, DropReason::kNotFresh);
    EXPECT_EQ(hosts.give(1, 0, other_path).drop, DropReason::kBadKeepalive);
    EXPECT_EQ(hosts.give(1, 0, hosts.make(0, 0)).highest_sequence, 7U);
}

TEST(KeepaliveSession, StrangersAreAnsweredTenTimesASecondAtMost)
{
    TwoHosts hosts({1ms, 1ms});
    hosts.run(2s);
    TwoHosts earlier({1ms, 1ms}, 77); // the same key and addresses
    earlier.run(1s);
    const unsigned before = hosts.host(1).answers;
    for (unsigned n = 0; n < 1000; ++n) {
        hosts.give(1, 0, earlier.make(0, 0));
        hosts.run(1ms);
    }
    EXPECT_EQ(hosts.host(1).answers - before, 10U);
    EXPECT_TRUE(hosts.give(1, 1, earlier.make(0, 1)).send) << "each path by itself";
    EXPECT_EQ(hosts.sessions(), 2U);
}

TEST(KeepaliveSession, NobodyAnswersAnAnswerOrAnOfferThatWasTaken)
{
    TwoHosts hosts({1ms});
    const Bytes first = hosts.make(0, 0);
    hosts.run(2s);
    const KeepaliveTaken of_first = hosts.give(1, 0, first);
    EXPECT_EQ(of_first.drop, DropReason::kNotFresh);
    EXPECT_FALSE(of_first.send);

    TwoHosts earlier({1ms}, 77);
    earlier.run(2s);
    ASSERT_TRUE(hosts.host(0).session->take(hosts.now(), 0, {}, true, earlier.make(1, 0), {}, hosts.number()).send);
    const Bytes answer = hosts.make(0, 0);
    const KeepaliveTaken of_answer = hosts.give(1, 0, answer);
    EXPECT_EQ(of_answer.drop, DropReason::kNotFresh);
    EXPECT_FALSE(of_answer.send);
    EXPECT_TRUE(hosts.agree());
}

TEST(KeepaliveSession, RoundTripTimeNeedsNoCommonClock)
{
    TwoHosts hosts({30ms, 200ms});
    hosts.interval = 100ms;
    hosts.run(20s);
    for (const std::size_t n : {0U, 1U}) {
        EXPECT_EQ(hosts.host(n).session->measure(0).rtt, 60ms);
        EXPECT_EQ(hosts.host(n).session->measure(1).rtt, 400ms);
        EXPECT_LT(hosts.host(n).session->measure(0).rtt_variation, 1us);
    }
}

TEST(KeepaliveSession, RoundTripTimeIsSmoothedAsRfc6298Says)
{
    KeepaliveSession host(key(), address("10.0.0.2"), address("10.0.0.3"), 1, random_number(1).octets());
    KeepaliveSession peer(key(), address("10.0.0.3"), address("10.0.0.2"), 1, random_number(2).octets());
    Keepalive octets;
    base::Instant now = kStart;
    std::uint32_t number = 3;
    // The peer holds what it receives for 5 ms; its clock stands still otherwise.
    const auto round_trip = [&](base::Duration there_and_back) {
        host.make(now, 0, {}, std::nullopt, 0, octets);
        peer.take(kStart, 0, {}, true, octets, {}, random_number(number++).octets());
        peer.make(kStart + 5ms, 0, {}, std::nullopt, 0, octets);
        now += there_and_back + 5ms;
        host.take(now, 0, {}, true, octets, {}, random_number(number++).octets());
        now += 1s;
        return host.measure(0);
    };
    EXPECT_FALSE(round_trip(80ms).rtt) << "the answer to the first keepalive: it has no session to measure in";
    EXPECT_EQ(round_trip(80ms).rtt, 80ms);
    EXPECT_EQ(host.measure(0).rtt_variation, 40ms);
    // R' = 160: RTTVAR = 3/4 * 40 + 1/4 * |80 - 160| = 50, SRTT = 7/8 * 80 + 1/8 * 160 = 90
    EXPECT_EQ(round_trip(160ms).rtt, 90ms);
    EXPECT_EQ(host.measure(0).rtt_variation, 50ms);
    // R' = 10: RTTVAR = 3/4 * 50 + 1/4 * 80 = 57.5, SRTT = 7/8 * 90 + 1/8 * 10 = 80
    EXPECT_EQ(round_trip(10ms).rtt, 80ms);
    EXPECT_EQ(host.measure(0).rtt_variation, 57500us);
}

TEST(KeepaliveSession, LossIsKnownInEachDirection)
{
    TwoHosts hosts({1ms, 1ms});
    hosts.interval = 10ms;
    hosts.host(0).traffic[0] = {5000, 100}; // from before the session
    hosts.host(1).traffic[0] = {40, 3000};
    hosts.run(1s);
    EXPECT_EQ(hosts.host(0).session->measure(0).lost_out, 0U);
    EXPECT_EQ(hosts.host(1).session->measure(0).lost_in, 0U);
    hosts.host(0).traffic[0].sent += 1000;
    hosts.host(1).traffic[0].received += 970;
    hosts.host(1).traffic[0].sent += 200;
    hosts.host(0).traffic[0].received += 195;
    hosts.run(100ms);
    const auto measure = [&](std::size_t n, std::size_t path) { return hosts.host(n).session->measure(path); };
    EXPECT_EQ(measure(0, 0).lost_out, 30U);
    EXPECT_EQ(measure(1, 0).lost_in, 30U);
    EXPECT_EQ(measure(1, 0).expected, 1000U);
    EXPECT_EQ(measure(1, 0).lost_out, 5U);
    EXPECT_EQ(measure(0, 0).lost_in, 5U);
    EXPECT_EQ(measure(0, 1).lost_in + measure(0, 1).lost_out, 0U) << "the other path";
    hosts.host(1).traffic[0].received += 10; // late ones
    hosts.run(100ms);
    EXPECT_EQ(measure(0, 0).lost_out, 20U);

    hosts.start(0); // its counts begin anew; ours go on
    hosts.run(1s);
    EXPECT_EQ(measure(1, 0).lost_in, 20U);
    EXPECT_EQ(measure(1, 0).lost_out, 5U);
    hosts.host(0).traffic[0].sent += 10;
    hosts.run(100ms);
    EXPECT_EQ(measure(1, 0).lost_in, 30U);
    EXPECT_EQ(measure(0, 0).lost_out, 10U);
    hosts.host(1).traffic[0].received += 1000; // forged ones, say
    hosts.run(100ms);
    EXPECT_EQ(measure(1, 0).lost_in, 20U);
}

TEST(KeepaliveSession, ChallengeIsAnsweredAtOnceAndBroughtBack)
{
    TwoHosts hosts({1ms});
    hosts.run(2s);
    proto::SessionKeepalive keepalive = *proto::decode_session_keepalive(hosts.make(0, 0));
    proto::SessionKey session_key(key(), {proto::KeyUse::Purpose::kKeepalive, address("10.0.0.2"), address("10.0.0.3"),
                                          keepalive.sender, keepalive.receiver});
    const auto with_challenge = [&](std::uint64_t challenge) {
        keepalive.challenge = challenge;
        ++keepalive.counter;
        Keepalive octets;
        proto::encode_session_keepalive(keepalive, session_key, octets);
        return Bytes(octets.begin(), octets.end());
    };
    EXPECT_TRUE(hosts.give(1, 0, with_challenge(0x1234)).send);
    EXPECT_EQ(proto::decode_session_keepalive(hosts.make(1, 0))->response, 0x1234U);
    EXPECT_FALSE(hosts.give(1, 0, with_challenge(0x1234)).send);
    EXPECT_FALSE(hosts.give(1, 0, with_challenge(0x5678)).send) << "not so soon";
    EXPECT_FALSE(hosts.give(1, 0, with_challenge(0)).send);
    EXPECT_EQ(proto::decode_session_keepalive(hosts.make(1, 0))->response, 0x5678U);
}

TEST(KeepaliveSession, TakesNothingWeaker)
{
    TwoHosts hosts({1ms});
    hosts.run(2s);
    std::array<std::byte, proto::kKeepaliveSize> plain;
    proto::encode_keepalive({address("10.0.0.2"), address("10.0.0.3")}, plain);
    EXPECT_EQ(hosts.give(1, 0, {plain.begin(), plain.end()}).drop, DropReason::kWeakKeepalive);
    Bytes other_version = hosts.make(0, 0);
    proto::encode_gre(base::IpVersion::kV6, std::span(other_version).first<proto::kGreSize>());
    EXPECT_EQ(hosts.give(1, 0, other_version).drop, DropReason::kBadKeepalive);
}

TEST(KeepaliveSession, ProbesAndTheirAnswersAreOfTheSession)
{
    TwoHosts hosts({10ms, 10ms});
    Bytes probe(1472);
    EXPECT_FALSE(hosts.host(0).session->make_probe(0, 5, std::nullopt, probe)) << "there is none yet";
    hosts.run(5s);
    KeepaliveSession &a = *hosts.host(0).session;
    KeepaliveSession &b = *hosts.host(1).session;
    const auto fails = [](proto::DropReason reason) { return tl::unexpected(reason); };
    ASSERT_TRUE(a.make_probe(1, 5, std::nullopt, probe));
    const auto taken = b.take_probe(1, probe);
    ASSERT_TRUE(taken);
    EXPECT_EQ(taken->number, 5U);
    EXPECT_EQ(taken->received, std::nullopt);
    EXPECT_EQ(b.take_probe(0, probe), fails(proto::DropReason::kBadKeepalive)) << "another path";
    EXPECT_EQ(a.take_probe(1, probe), fails(proto::DropReason::kNotFresh)) << "reflected";
    EXPECT_EQ(b.take_probe(1, base::ConstOctets(probe).first(1471)), fails(proto::DropReason::kWrongMac)) << "cut";
    for (const std::size_t at : {7U, 8U, 9U, 44U, 60U, 100U, 1471U}) { // kind, size, number, MAC, padding
        Bytes changed = probe;
        changed[at] ^= std::byte{1};
        EXPECT_EQ(b.take_probe(1, changed), fails(proto::DropReason::kWrongMac)) << at;
    }
    Bytes answer(proto::kMtuProbeSize);
    ASSERT_TRUE(b.make_probe(1, taken->number, 1472, answer));
    EXPECT_EQ(a.take_probe(1, answer)->received, 1472);
    EXPECT_FALSE(a.take_probe(1, hosts.make(1, 1))) << "a keepalive";
    EXPECT_TRUE(b.take_probe(1, probe)) << "keepalives and probes do not make each other late";
    hosts.start(1);
    hosts.run(5s);
    EXPECT_EQ(hosts.host(1).session->take_probe(1, probe), fails(proto::DropReason::kNotFresh)) << "of an earlier one";
    EXPECT_EQ(a.take_probe(1, answer), fails(proto::DropReason::kNotFresh));
}

} // namespace
} // namespace mpt::core
