// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/liveness.hpp"

#include "tests/unit/core/clock.hpp"

#include <gtest/gtest.h>
#include <ostream>

namespace mpt::core {

// For messages of failed checks.
std::ostream &operator<<(std::ostream &stream, PathStatus status)
{
    return stream << "0x" << std::hex << static_cast<int>(status) << std::dec;
}

namespace {

using namespace std::chrono_literals;
using testing::kStart;

LivenessSettings settings(base::Duration keepalive, base::Duration dead, PathStatus initial = PathStatus::kUp)
{
    return LivenessSettings{keepalive, dead, initial};
}

// Runs all deadlines up to `until`; counts the keepalives, gives the last change.
struct Outcome {
    unsigned keepalives = 0;
    std::optional<StatusChange> change;
    std::optional<base::Instant> changed_at;
};

Outcome run(Liveness &path, base::Instant until)
{
    Outcome result;
    for (auto at = path.deadline(); at && *at <= until; at = path.deadline()) {
        const LivenessActions actions = path.on_deadline(*at);
        result.keepalives += actions.send_keepalive ? 1 : 0;
        if (actions.change) {
            result.change = actions.change;
            result.changed_at = *at;
        }
        if (path.deadline() && *path.deadline() <= *at) {
            ADD_FAILURE() << "a deadline that has been served is due again";
            break;
        }
    }
    return result;
}

TEST(Liveness, KeepalivesAreSentFromTheStartAtTheirInterval)
{
    Liveness path(kStart, settings(5s, 15s));
    EXPECT_EQ(path.deadline(), kStart);
    EXPECT_EQ(run(path, kStart + 14s).keepalives, 3U); // 0, 5, 10 s
    EXPECT_EQ(path.status(), PathStatus::kUp);
}

TEST(Liveness, DeadAfterTheDeadTimeOfGraceThenUpByTheFirstKeepalive)
{
    Liveness path(kStart, settings(5s, 15s));
    EXPECT_FALSE(run(path, kStart + 15s - 1ns).change.has_value());
    const Outcome dead = run(path, kStart + 15s);
    ASSERT_TRUE(dead.change.has_value());
    EXPECT_EQ(dead.change->from, PathStatus::kUp);
    EXPECT_EQ(dead.change->to, PathStatus::kDead);
    EXPECT_EQ(dead.change->reason, StatusReason::kKeepalivesMissed);
    EXPECT_FALSE(path.usable());
    EXPECT_EQ(path.since(), kStart + 15s);

    EXPECT_EQ(run(path, kStart + 30s).keepalives, 3U) << "a dead path goes on sending keepalives";

    const auto up = path.on_keepalive(kStart + 31s);
    ASSERT_TRUE(up.has_value());
    EXPECT_EQ(up->from, PathStatus::kDead);
    EXPECT_EQ(up->to, PathStatus::kUp);
    EXPECT_EQ(up->reason, StatusReason::kKeepalive);
    EXPECT_TRUE(path.usable());
    EXPECT_EQ(path.changes(), 2U);
}

TEST(Liveness, EveryKeepaliveGivesTheDeadTimeAgain)
{
    Liveness path(kStart, settings(10ms, 30ms));
    base::Instant now = kStart;
    for (int i = 0; i < 100; ++i) {
        now += 29ms;
        EXPECT_FALSE(run(path, now).change.has_value());
        EXPECT_FALSE(path.on_keepalive(now).has_value());
    }
    EXPECT_EQ(path.last_keepalive(), now);
    EXPECT_EQ(run(path, now + 1s).changed_at, now + 30ms);
}

TEST(Liveness, DataIsNoProofWhereThereAreKeepalives)
{
    Liveness path(kStart, settings(1s, 3s));
    EXPECT_FALSE(path.on_data(kStart + 2s).has_value());
    EXPECT_EQ(run(path, kStart + 10s).changed_at, kStart + 3s);
    EXPECT_FALSE(path.on_data(kStart + 11s).has_value());
    EXPECT_EQ(path.status(), PathStatus::kDead);
}

TEST(Liveness, WithoutKeepalivesNothingIsSentAndNothingIsDead)
{
    Liveness path(kStart, settings(0s, 0s));
    EXPECT_FALSE(path.deadline().has_value());
    EXPECT_FALSE(path.on_deadline(kStart + 1000h).send_keepalive);
    EXPECT_TRUE(path.usable());
}

TEST(Liveness, StartsDeadAndComesUpWithTheFirstKeepalive)
{
    Liveness path(kStart, settings(1s, 3s, PathStatus::kDead));
    EXPECT_EQ(path.status(), PathStatus::kDead);
    EXPECT_EQ(run(path, kStart + 1s).keepalives, 2U);
    EXPECT_TRUE(path.on_keepalive(kStart + 1s).has_value());
    EXPECT_TRUE(path.usable());
}

// Its address may be one that a peer has made up.
TEST(Liveness, StartsDeadAndSendsOneKeepaliveASecondUntilOneComes)
{
    Liveness path(kStart, settings(10ms, 50ms, PathStatus::kDead));
    EXPECT_EQ(run(path, kStart + 10500ms).keepalives, 11U);
    path.on_keepalive(kStart + 10500ms);
    EXPECT_EQ(path.deadline(), kStart + 10500ms) << "the peer is told at once";
    EXPECT_EQ(run(path, kStart + 10545ms).keepalives, 5U);
    EXPECT_EQ(run(path, kStart + 11545ms).keepalives, 100U) << "once it has lived it is looked for";
    EXPECT_EQ(path.status(), PathStatus::kDead);

    Liveness long_interval(kStart, settings(5s, 15s, PathStatus::kDead));
    EXPECT_EQ(run(long_interval, kStart + 14s).keepalives, 3U);
}

TEST(Liveness, StartsDeadAndComesUpByHandWithGrace)
{
    Liveness path(kStart, settings(1s, 3s, PathStatus::kDead));
    const auto up = path.set_by_hand(kStart + 10s, true);
    ASSERT_TRUE(up.has_value());
    EXPECT_EQ(up->to, PathStatus::kUp);
    EXPECT_EQ(up->reason, StatusReason::kByHand);
    EXPECT_EQ(run(path, kStart + 60s).changed_at, kStart + 13s);
}

TEST(Liveness, StartsDeadWithoutKeepalivesAndComesUpWithAPacket)
{
    Liveness path(kStart, settings(0s, 0s, PathStatus::kDead));
    EXPECT_FALSE(path.usable());
    EXPECT_TRUE(path.on_data(kStart + 1s).has_value());
    EXPECT_TRUE(path.usable());
}

TEST(Liveness, DownByHandStaysUntilUpByHand)
{
    Liveness path(kStart, settings(1s, 3s));
    const auto down = path.set_by_hand(kStart + 1s, false);
    ASSERT_TRUE(down.has_value());
    EXPECT_EQ(down->to, PathStatus::kSetDown);
    EXPECT_EQ(run(path, kStart + 20s).keepalives, 0U) << "none are sent on it";
    EXPECT_FALSE(path.on_keepalive(kStart + 20s).has_value());
    EXPECT_FALSE(path.set_by_peer(kStart + 21s, true).has_value());
    EXPECT_FALSE(path.set_interface(kStart + 22s, false).has_value());
    EXPECT_FALSE(path.set_interface(kStart + 23s, true).has_value());
    EXPECT_EQ(path.status(), PathStatus::kSetDown);
    const auto up = path.set_by_hand(kStart + 30s, true);
    ASSERT_TRUE(up.has_value());
    EXPECT_EQ(up->to, PathStatus::kUp);
    EXPECT_EQ(path.deadline(), kStart + 30s) << "a keepalive at once";
    EXPECT_EQ(run(path, kStart + 60s).changed_at, kStart + 33s);
}

TEST(Liveness, UpByHandDoesNotHideAFault)
{
    Liveness path(kStart, settings(1s, 3s));
    path.set_by_hand(kStart, false);
    path.set_interface(kStart + 1s, false);
    const auto change = path.set_by_hand(kStart + 2s, true);
    ASSERT_TRUE(change.has_value());
    EXPECT_EQ(change->to, PathStatus::kInterfaceDown);
}

TEST(Liveness, DownByThePeerEndsWithAKeepalive)
{
    Liveness path(kStart, settings(1s, 3s));
    const auto down = path.set_by_peer(kStart + 1s, false);
    ASSERT_TRUE(down.has_value());
    EXPECT_EQ(down->to, PathStatus::kDead);
    EXPECT_EQ(down->reason, StatusReason::kByPeer);
    EXPECT_TRUE(path.on_keepalive(kStart + 2s).has_value());
    EXPECT_TRUE(path.usable());
}

TEST(Liveness, DownByThePeerWithoutKeepalivesEndsOnlyByThePeerOrByHand)
{
    Liveness path(kStart, settings(0s, 0s));
    path.set_by_peer(kStart + 1s, false);
    EXPECT_FALSE(path.on_data(kStart + 2s).has_value()) << "it may have been on its way";
    EXPECT_FALSE(path.reconfigure(kStart + 3s, settings(0s, 0s)).has_value());
    EXPECT_EQ(path.status(), PathStatus::kDead);
    EXPECT_TRUE(path.set_by_peer(kStart + 4s, true).has_value());
    EXPECT_TRUE(path.usable());

    Liveness started_dead(kStart, settings(0s, 0s, PathStatus::kDead));
    started_dead.set_by_peer(kStart + 1s, false);
    EXPECT_FALSE(started_dead.on_data(kStart + 2s).has_value());
}

// Else a peer that creates a connection could have us send to whomever it names.
TEST(Liveness, ThePeersWordWakesNoPathThatHasNotLived)
{
    for (const base::Duration interval : {0s, 1s}) {
        Liveness path(kStart, settings(interval, 3 * interval, PathStatus::kDead));
        for (const bool up : {true, false, true})
            EXPECT_FALSE(path.set_by_peer(kStart + 1s, up).has_value());
        path.set_interface(kStart + 2s, false);
        path.set_by_peer(kStart + 2s, false);
        path.set_interface(kStart + 3s, true);
        EXPECT_FALSE(path.set_by_peer(kStart + 3s, true).has_value());
        EXPECT_EQ(path.status(), PathStatus::kDead);
        EXPECT_TRUE((interval == 0s ? path.on_data(kStart + 4s) : path.on_keepalive(kStart + 4s)).has_value());
        path.set_by_peer(kStart + 5s, false);
        EXPECT_TRUE(path.set_by_peer(kStart + 6s, true).has_value()) << "now it has";
    }
}

TEST(Liveness, DownByThePeerOutlastsAFault)
{
    Liveness path(kStart, settings(0s, 0s));
    path.set_interface(kStart + 1s, false);
    EXPECT_FALSE(path.set_by_peer(kStart + 2s, false).has_value()) << "it shows no difference yet";
    EXPECT_EQ(path.set_interface(kStart + 3s, true)->to, PathStatus::kDead);
}

TEST(Liveness, FaultsAreToldApartAndTheFirstOneShows)
{
    Liveness path(kStart, settings(1s, 3s));
    EXPECT_EQ(path.set_socket(kStart, false)->to, PathStatus::kDisabled);
    EXPECT_EQ(path.set_address(kStart, false)->to, PathStatus::kAddressMissing);
    EXPECT_EQ(path.set_interface(kStart, false)->to, PathStatus::kInterfaceDown);
    EXPECT_EQ(path.set_by_hand(kStart, false)->to, PathStatus::kSetDown);
    EXPECT_FALSE(path.deadline().has_value()) << "no keepalives while it cannot be used";
    EXPECT_EQ(path.set_by_hand(kStart, true)->to, PathStatus::kInterfaceDown);
    EXPECT_EQ(path.set_interface(kStart, true)->to, PathStatus::kAddressMissing);
    EXPECT_EQ(path.set_address(kStart, true)->to, PathStatus::kDisabled);
    EXPECT_EQ(path.set_socket(kStart, true)->to, PathStatus::kUp);
}

TEST(Liveness, AfterAFaultThePathIsWhatItWasWithTheDeadTimeAsGrace)
{
    Liveness path(kStart, settings(1s, 3s));
    path.on_keepalive(kStart + 1s);
    ASSERT_TRUE(path.set_interface(kStart + 1500ms, false).has_value());
    const auto back = path.set_interface(kStart + 2s, true);
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(back->to, PathStatus::kUp);
    EXPECT_EQ(back->reason, StatusReason::kInterface);
    EXPECT_EQ(path.deadline(), kStart + 2s) << "the peer gets a keepalive at once";
    EXPECT_EQ(run(path, kStart + 20s).changed_at, kStart + 5s);

    // It was dead before: so it is afterwards.
    path.set_interface(kStart + 20s, false);
    EXPECT_EQ(path.set_interface(kStart + 21s, true)->to, PathStatus::kDead);
    EXPECT_EQ(path.on_keepalive(kStart + 22s)->to, PathStatus::kUp);
}

TEST(Liveness, AfterAFaultAPathWithoutKeepalivesIsWhatItWas)
{
    Liveness up(kStart, settings(0s, 0s));
    up.set_interface(kStart + 1s, false);
    EXPECT_EQ(up.set_interface(kStart + 2s, true)->to, PathStatus::kUp);

    Liveness dead(kStart, settings(0s, 0s, PathStatus::kDead));
    dead.set_interface(kStart + 1s, false);
    EXPECT_EQ(dead.set_interface(kStart + 2s, true)->to, PathStatus::kDead);
}

TEST(Liveness, ToldTheSameTwiceNothingChanges)
{
    Liveness path(kStart, settings(1s, 3s));
    EXPECT_FALSE(path.set_interface(kStart, true).has_value());
    EXPECT_FALSE(path.set_address(kStart, true).has_value());
    EXPECT_FALSE(path.set_socket(kStart, true).has_value());
    EXPECT_TRUE(path.usable());
    EXPECT_EQ(path.changes(), 0U);
}

TEST(Liveness, ACallThatComesLateMakesUpForNoKeepalives)
{
    Liveness path(kStart, settings(1s, 100s));
    EXPECT_TRUE(path.on_deadline(kStart).send_keepalive);
    EXPECT_TRUE(path.on_deadline(kStart + 10500ms).send_keepalive);
    EXPECT_FALSE(path.on_deadline(kStart + 10600ms).send_keepalive);
    EXPECT_EQ(path.deadline(), kStart + 11500ms);
}

TEST(Liveness, NewSettingsAreUsedAtOnce)
{
    Liveness path(kStart, settings(10s, 30s));
    path.on_deadline(kStart);
    EXPECT_FALSE(path.reconfigure(kStart + 25s, settings(100ms, 300ms)).has_value());
    EXPECT_EQ(path.deadline(), kStart + 25s);
    const Outcome dead = run(path, kStart + 60s);
    EXPECT_EQ(dead.changed_at, kStart + 25300ms) << "the new dead time, from the change";

    const auto off = path.reconfigure(kStart + 70s, settings(0s, 0s));
    ASSERT_TRUE(off.has_value());
    EXPECT_EQ(off->to, PathStatus::kUp);
    EXPECT_EQ(off->reason, StatusReason::kSettings);

    EXPECT_FALSE(path.reconfigure(kStart + 100s, settings(1s, 3s)).has_value());
    EXPECT_EQ(run(path, kStart + 200s).changed_at, kStart + 103s);
}

TEST(Liveness, TheSameSettingsChangeNothing)
{
    Liveness path(kStart, settings(1s, 3s));
    path.on_deadline(kStart);
    path.reconfigure(kStart + 2s, settings(1s, 3s));
    EXPECT_EQ(run(path, kStart + 10s).changed_at, kStart + 3s);
}

// Goes down and comes up again at `up`; gives when it may be used then.
base::Instant flap(Liveness &path, base::Instant up)
{
    path.set_interface(up - 1ms, false);
    EXPECT_FALSE(path.usable());
    path.set_interface(up, true);
    EXPECT_EQ(path.status(), PathStatus::kUp) << "the status follows at once";
    return path.held_back_until().value_or(up);
}

TEST(Liveness, TheThirdFlapWithinAMinuteHoldsThePathBack)
{
    Liveness path(kStart, settings(1s, 1000s));
    EXPECT_EQ(flap(path, kStart + 10s), kStart + 10s);
    EXPECT_EQ(flap(path, kStart + 20s), kStart + 20s);
    EXPECT_TRUE(path.usable());
    EXPECT_EQ(flap(path, kStart + 30s), kStart + 31s);
    EXPECT_FALSE(path.usable());
    run(path, kStart + 31s - 1ns);
    EXPECT_FALSE(path.usable());
    run(path, kStart + 31s);
    EXPECT_TRUE(path.usable());
    EXPECT_EQ(flap(path, kStart + 32s), kStart + 34s) << "doubled";
}

TEST(Liveness, ThreeFlapsInMoreThanAMinuteDoNot)
{
    Liveness path(kStart, settings(1s, 1000s));
    flap(path, kStart + 10s);
    flap(path, kStart + 41s);
    EXPECT_EQ(flap(path, kStart + 72s), kStart + 72s);
}

TEST(Liveness, TheHoldBackDoublesToAMinuteAndAQuietMinuteEndsIt)
{
    Liveness path(kStart, settings(1s, 100000s));
    base::Instant now = kStart;
    for (int i = 0; i < 2; ++i)
        flap(path, now += 1s);
    base::Duration expected = 1s;
    for (int i = 0; i < 10; ++i) {
        const base::Instant until = flap(path, now += 1s);
        EXPECT_EQ(until - now, expected);
        expected = std::min<base::Duration>(2 * expected, 60s);
        run(path, until);
        now = until;
    }
    // Held back for a minute is not quiet for a minute.
    EXPECT_EQ(flap(path, now + 59s) - (now + 59s), 60s);
    now = *path.held_back_until();
    run(path, now);
    EXPECT_EQ(flap(path, now + 62s), now + 62s) << "forgotten after a quiet minute";
}

TEST(Liveness, AFlapWhileHeldBackIsNotForgottenHoweverLate)
{
    Liveness path(kStart, settings(1s, 100000s));
    base::Instant now = kStart;
    base::Instant until;
    for (int i = 0; i < 9; ++i)
        until = flap(path, now += 1s);
    ASSERT_EQ(until - now, 60s);
    EXPECT_EQ(flap(path, now + 61s - 2ms) - (now + 61s - 2ms), 60s);
}

TEST(Liveness, ALongDeadPathIsNotHeldBackForOldFlaps)
{
    Liveness path(kStart, settings(1s, 3s));
    for (int i = 0; i < 3; ++i)
        flap(path, kStart + (i + 1) * 1s);
    run(path, kStart + 600s);
    ASSERT_EQ(path.status(), PathStatus::kDead);
    path.on_keepalive(kStart + 601s);
    EXPECT_TRUE(path.usable());
}

TEST(Liveness, ByHandIsNoFlapAndUpByHandEndsAHoldBack)
{
    Liveness path(kStart, settings(1s, 1000s));
    for (int i = 0; i < 5; ++i) {
        path.set_by_hand(kStart + 1s * i, false);
        path.set_by_hand(kStart + 1s * i, true);
    }
    EXPECT_TRUE(path.usable());
    for (int i = 0; i < 3; ++i)
        flap(path, kStart + 10s);
    EXPECT_FALSE(path.usable());
    EXPECT_FALSE(path.set_by_hand(kStart + 10s, true).has_value());
    EXPECT_TRUE(path.usable());
}

TEST(Liveness, ByThePeerIsNoFlap)
{
    Liveness path(kStart, settings(1s, 1000s));
    for (int i = 0; i < 5; ++i) {
        path.set_by_peer(kStart + 1s * i, false);
        path.set_by_peer(kStart + 1s * i, true);
    }
    EXPECT_TRUE(path.usable());
}

TEST(Liveness, GoesDownWhileHeldBack)
{
    Liveness path(kStart, settings(1s, 3s));
    for (int i = 0; i < 3; ++i)
        flap(path, kStart + 1s);
    EXPECT_TRUE(path.held_back_until().has_value());
    path.set_interface(kStart + 1100ms, false);
    EXPECT_FALSE(path.held_back_until().has_value());
    EXPECT_FALSE(path.deadline().has_value());
}

TEST(Liveness, AnotherOneGoesOnWhereItWas)
{
    Liveness lived(kStart, settings(1s, 3s, PathStatus::kDead));
    lived.on_keepalive(kStart);
    Liveness alive(kStart + 9s, settings(1s, 3s, PathStatus::kDead), lived.memory());
    EXPECT_EQ(alive.status(), PathStatus::kUp);
    EXPECT_EQ(run(alive, kStart + 11s + 999ms).keepalives, 3U); // at once, and it has its dead time as grace
    EXPECT_EQ(alive.status(), PathStatus::kUp);
    EXPECT_EQ(run(alive, kStart + 12s).change->to, PathStatus::kDead);

    Liveness dead(kStart + 13s, settings(1s, 3s, PathStatus::kUp), alive.memory());
    EXPECT_EQ(dead.status(), PathStatus::kDead);
    EXPECT_EQ(run(dead, kStart + 15s).keepalives, 3U); // it has lived: its peer is asked as often as others
    EXPECT_EQ(Liveness(kStart, settings(100ms, 3s, PathStatus::kUp), LivenessMemory{false, false, false}).status(),
              PathStatus::kDead);
}

TEST(Liveness, WhatWasKnownDoesNotStandAgainstTheConfiguration)
{
    const LivenessMemory alive{true, true, false};
    const LivenessMemory dead{false, true, false};
    EXPECT_EQ(Liveness(kStart, settings(1s, 3s, PathStatus::kSetDown), alive).status(), PathStatus::kSetDown);
    // Without keepalives nothing would bring it up.
    EXPECT_EQ(Liveness(kStart, settings(0s, 3s, PathStatus::kUp), dead).status(), PathStatus::kUp);
    EXPECT_EQ(Liveness(kStart, settings(0s, 3s, PathStatus::kDead), alive).status(), PathStatus::kUp);
}

TEST(Liveness, ThePeersWordIsKnownToTheNext)
{
    Liveness path(kStart, settings(0s, 3s, PathStatus::kUp));
    path.set_by_peer(kStart, false);
    Liveness next(kStart + 1s, settings(0s, 3s, PathStatus::kUp), path.memory());
    EXPECT_EQ(next.status(), PathStatus::kDead);
    EXPECT_EQ(Liveness(kStart + 2s, settings(0s, 3s, PathStatus::kUp), next.memory()).status(), PathStatus::kDead);
    next.set_by_peer(kStart + 2s, true);
    EXPECT_EQ(next.status(), PathStatus::kUp);
    EXPECT_FALSE(next.memory().told_dead);

    // Keepalives that are missed are no word.
    Liveness lost(kStart, settings(1s, 3s, PathStatus::kUp));
    run(lost, kStart + 3s);
    EXPECT_EQ(lost.status(), PathStatus::kDead);
    EXPECT_FALSE(lost.memory().told_dead);
    lost.set_by_peer(kStart + 4s, false);
    lost.on_keepalive(kStart + 5s);
    EXPECT_FALSE(lost.memory().told_dead);
}

} // namespace
} // namespace mpt::core
