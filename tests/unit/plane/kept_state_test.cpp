// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/kept_state.hpp"

#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace mpt::plane {
namespace {

using namespace std::chrono_literals;

constexpr base::Instant kNow{1000s};

class KeptStateTest : public ::testing::Test {
protected:
    KeptStateTest() : pages(KeptState::kSize / sizeof(Page) + 1), memory(std::as_writable_bytes(std::span(pages)))
    {
        memory = memory.first(KeptState::kSize);
    }

    static core::ConnectionParameters connection(const std::string &name)
    {
        core::ConnectionParameters parameters;
        parameters.name = name;
        parameters.local = base::Address::parse("10.0.0.2").value();
        parameters.remote = base::Address::parse("10.0.0.3").value();
        parameters.paths.resize(2);
        for (std::size_t i = 0; i < parameters.paths.size(); ++i) {
            parameters.paths[i].interface = "eth" + std::to_string(i);
            parameters.paths[i].remote.address = base::Address::parse("192.0.2.1").value();
        }
        return parameters;
    }
    // One of type 3 whose second path has a peer that may be anywhere.
    static core::ConnectionParameters roaming()
    {
        core::ConnectionParameters parameters = connection("roaming");
        parameters.keepalive_key = proto::ControlKey::parse(std::string(64, '1')).value();
        parameters.paths[1].remote = endpoint("0.0.0.0");
        return parameters;
    }
    static base::Endpoint endpoint(const char *address, std::uint16_t port = 4000)
    {
        return {base::Address::parse(address).value(), port};
    }
    static core::LearnedPeer at(const base::Endpoint &where, base::Duration since = 100s)
    {
        return {where, base::Instant(since)};
    }
    static void set_path(KeptSlot &slot, const core::ConnectionParameters &parameters, std::size_t number,
                         const KeptPath &state)
    {
        slot.set_path(number, identity_of(parameters, number), parameters.paths[number], state);
    }
    // A process notes that the peer is there on both paths, which live, and ends.
    void note_learned(const std::optional<core::LearnedPeer> &learned,
                      const core::ConnectionParameters &parameters = roaming())
    {
        KeptState state(memory, kNow);
        KeptSlot &slot = *state.take(parameters).slot;
        for (std::size_t i = 0; i < parameters.paths.size(); ++i)
            set_path(slot, parameters, i, {{true, true, false}, std::nullopt, learned});
        state.confirm(kNow);
    }
    // What the next one finds of the second path, whose peer is nowhere else.
    std::optional<core::LearnedPeer> learned(const core::ConnectionParameters &parameters = roaming(),
                                             base::Instant now = kNow + 1s)
    {
        const KeptConnection connection = found(parameters, now);
        const auto &path = connection.paths[1];
        EXPECT_TRUE(!path || path->liveness.alive == path->learned.has_value()) << "nobody can be reached nowhere";
        return path ? path->learned : std::nullopt;
    }

    // A process notes this of a connection, and ends.
    void note(const std::string &name, base::Instant when = kNow)
    {
        KeptState state(memory, when);
        const core::ConnectionParameters parameters = connection(name);
        KeptSlot &slot = *state.take(parameters).slot;
        slot.set_next_to_send(0xfffffff0);
        slot.set_next_expected(0);
        set_path(slot, parameters, 0, {{true, true, false}, std::nullopt});
        set_path(slot, parameters, 1, {{false, true, true}, false});
        state.confirm(when);
    }
    // What the next process finds.
    KeptConnection found(const core::ConnectionParameters &parameters, base::Instant now = kNow + 1s)
    {
        KeptState state(memory, now);
        return state.take(parameters).before;
    }
    static void expect_nothing(const KeptConnection &found)
    {
        EXPECT_FALSE(found.next_to_send);
        EXPECT_FALSE(found.next_expected);
        for (const auto &path : found.paths)
            EXPECT_FALSE(path);
    }

    struct alignas(4096) Page {
        std::byte octets[4096];
    };
    std::vector<Page> pages;
    base::Octets memory;
};

TEST_F(KeptStateTest, TheNextProcessFindsWhatWasNoted)
{
    note("a");
    const KeptConnection now = found(connection("a"));
    EXPECT_EQ(now.next_to_send, 0xfffffff0);
    EXPECT_EQ(now.next_expected, 0U); // 0 is a number, too
    ASSERT_TRUE(now.paths[0] && now.paths[1]);
    EXPECT_TRUE(now.paths[0]->liveness.alive);
    EXPECT_EQ(now.paths[0]->by_hand, std::nullopt);
    EXPECT_FALSE(now.paths[1]->liveness.alive);
    EXPECT_TRUE(now.paths[1]->liveness.lived);
    EXPECT_TRUE(now.paths[1]->liveness.told_dead && !now.paths[0]->liveness.told_dead);
    EXPECT_EQ(now.paths[1]->by_hand, false);
    expect_nothing(found(connection("b")));
}

TEST_F(KeptStateTest, WhatIsNotTheSameAnyMoreIsNotFound)
{
    note("a");
    core::ConnectionParameters other_peer = connection("a");
    other_peer.remote = base::Address::parse("10.0.0.4").value();
    expect_nothing(found(other_peer));
    core::ConnectionParameters other_key = connection("a");
    other_key.keepalive_key = proto::ControlKey::parse(std::string(64, '1')).value();
    expect_nothing(found(other_key));
    core::ConnectionParameters other_path = connection("a");
    other_path.paths[0].interface = "eth7";
    other_path.paths[1].remote.address = base::Address::parse("192.0.2.2").value();
    other_path.paths.push_back(connection("a").paths[0]); // under another number
    const KeptConnection now = found(other_path);
    EXPECT_TRUE(now.next_to_send);
    for (const auto &path : now.paths)
        EXPECT_FALSE(path);
}

TEST_F(KeptStateTest, AConnectionThatWasNamedAnewIsFoundAsSuch)
{
    core::ConnectionParameters parameters = connection("a");
    {
        KeptState state(memory, kNow);
        KeptSlot &slot = *state.take(parameters).slot;
        slot.set_next_to_send(5);
        parameters.keepalive_key = proto::ControlKey::parse(std::string(64, '1')).value();
        KeptState::rename(slot, parameters);
    }
    expect_nothing(found(connection("a")));
    EXPECT_EQ(found(parameters).next_to_send, 5U);
    parameters.keepalive_key = proto::ControlKey::parse(std::string(64, '2')).value();
    expect_nothing(found(parameters));
}

TEST_F(KeptStateTest, PathsAndPeerMayHaveBecomeAnythingAfterAMinute)
{
    for (const base::Duration later : {61s, -1s}) { // or with a clock that is not ours
        note("a");
        const KeptConnection now = found(connection("a"), kNow + later);
        EXPECT_TRUE(now.next_to_send) << "no number is used twice, however much later";
        EXPECT_FALSE(now.next_expected);
        EXPECT_FALSE(now.paths[0]);
    }
    note("a");
    const KeptConnection now = found(connection("a"), kNow + 59s);
    EXPECT_TRUE(now.next_expected);
    EXPECT_TRUE(now.paths[0]);
}

TEST_F(KeptStateTest, WhatWasTooOldStaysSo)
{
    note("a");
    {
        KeptState state(memory, kNow + 61s);
        state.take(connection("a"));
        state.confirm(kNow + 61s); // though nothing has come from the peer since
    }
    const KeptConnection now = found(connection("a"), kNow + 62s);
    EXPECT_EQ(now.next_to_send, 0xfffffff0);
    EXPECT_FALSE(now.next_expected);
    for (const auto &path : now.paths)
        EXPECT_FALSE(path);
}

TEST_F(KeptStateTest, OnlyTheFirstConnectionOfAProcessGoesOn)
{
    note("a");
    KeptState state(memory, kNow);
    const KeptState::Place first = state.take(connection("a"));
    EXPECT_TRUE(first.before.next_to_send);
    const KeptState::Place second = state.take(connection("a"));
    EXPECT_NE(second.slot, first.slot);
    expect_nothing(second.before);
}

TEST_F(KeptStateTest, WhatNobodyHasTakenIsForgotten)
{
    note("a");
    note("b");
    {
        KeptState state(memory, kNow);
        state.take(connection("a"));
        state.forget_rest();
        expect_nothing(state.take(connection("b")).before);
    }
    EXPECT_TRUE(found(connection("a")).next_to_send);
    expect_nothing(found(connection("b")));
}

TEST_F(KeptStateTest, SlotsThatAreGivenBackAreUsedAgain)
{
    KeptState state(memory, kNow);
    std::set<KeptSlot *> slots;
    KeptState::Place place;
    while ((place = state.take(connection(std::to_string(slots.size())))).slot != nullptr)
        EXPECT_TRUE(slots.insert(place.slot).second);
    EXPECT_GE(slots.size(), 1000U);
    (*slots.begin())->set_next_to_send(5);
    state.give_back(**slots.begin());
    EXPECT_EQ(state.take(connection("one more")).slot, *slots.begin());
    expect_nothing(found(connection("one more")));
}

TEST_F(KeptStateTest, OfARetiredSlotNothingIsLeftThoughItIsStillWritten)
{
    {
        KeptState state(memory, kNow);
        KeptSlot &slot = *state.take(connection("a")).slot;
        KeptState::retire(slot);
        slot.set_next_to_send(5);
        const KeptState::Place again = state.take(connection("a"));
        again.slot->set_next_to_send(7);
        state.confirm(kNow);
    }
    KeptState state(memory, kNow);
    EXPECT_EQ(state.take(connection("a")).before.next_to_send, 7U);
    std::size_t free = 0;
    while (state.take(connection(std::to_string(free))).slot != nullptr)
        ++free;
    EXPECT_GE(free, 2047U) << "it is free for the next process";
}

TEST_F(KeptStateTest, WhereThePeerIsIsFoundAgain)
{
    for (const char *address : {"203.0.113.7", "203.0.113.8"}) {
        note_learned(at(endpoint(address, 40000)));
        EXPECT_EQ(learned(), at(endpoint(address, 40000)));
    }
    note_learned(at(endpoint("203.0.113.8", 40001), 700s));
    EXPECT_EQ(learned(), at(endpoint("203.0.113.8", 40001), 700s));
    EXPECT_EQ(learned(roaming(), kNow + 61s), std::nullopt) << "somebody else may be there by now";

    core::ConnectionParameters ipv6 = roaming();
    ipv6.paths[1].remote = endpoint("::");
    note_learned(at(endpoint("2001:db8::7", 40000)), ipv6);
    EXPECT_EQ(learned(ipv6), at(endpoint("2001:db8::7", 40000)));
    EXPECT_EQ(learned(), std::nullopt);
}

TEST_F(KeptStateTest, WhereThePeerIsWasSaidOfItAlone)
{
    const core::LearnedPeer where = at(endpoint("203.0.113.7", 40000));
    std::vector<core::ConnectionParameters> others(5, roaming());
    others[0].keepalive_key = proto::ControlKey::parse(std::string(64, '2')).value();
    others[1].keepalive_key.reset();
    others[2].paths[1].interface = "eth7";
    others[3].paths[1].remote.address = endpoint("192.0.2.2").address;
    others[4].paths[1].remote.port = 4001;
    for (const core::ConnectionParameters &other : others) {
        note_learned(where);
        const KeptConnection now = found(other);
        EXPECT_FALSE(now.paths[1] && (now.paths[1]->learned || now.paths[1]->liveness.alive));
    }
    // The control thread names the slot anew before the worker follows.
    note_learned(where);
    {
        KeptState state(memory, kNow);
        KeptState::rename(*state.take(roaming()).slot, others[0]);
    }
    EXPECT_EQ(learned(others[0]), std::nullopt);
    note_learned(where);
    note_learned(std::nullopt); // forgotten
    EXPECT_EQ(found(roaming()).paths[1]->learned, std::nullopt);
}

TEST_F(KeptStateTest, NoPeerIsWhereNobodyCanBe)
{
    for (const base::Endpoint &nowhere : {endpoint("127.0.0.1"), endpoint("224.0.0.1"), endpoint("255.255.255.255"),
                                          endpoint("0.0.0.0"), endpoint("203.0.113.7", 0), endpoint("2001:db8::7")}) {
        note_learned(at(nowhere));
        EXPECT_EQ(learned(), std::nullopt) << nowhere.to_string();
    }
}

TEST_F(KeptStateTest, AHalfWrittenPeerIsNone)
{
    core::ConnectionParameters ipv6 = roaming();
    ipv6.paths[1].remote = endpoint("::");
    const std::optional<core::LearnedPeer> places[] = {at(endpoint("2001:db8:1::7", 40000)),
                                                       at(endpoint("2001:db8:2::8", 40001), 101s)};
    std::vector<std::vector<std::byte>> images;
    images.emplace_back(memory.begin(), memory.end()); // nothing
    for (const auto &place : places) {
        note_learned(place, ipv6);
        images.emplace_back(memory.begin(), memory.end());
    }
    // The words of each path that belong together: two of the address, ports and time, and the check.
    std::vector<std::size_t> differing;
    for (std::size_t octet = 0; octet < memory.size(); octet += 8)
        if (std::memcmp(&images[1][octet], &images[2][octet], 8) != 0)
            differing.push_back(octet);
    ASSERT_EQ(differing.size(), 2 * 4U);
    differing.erase(differing.begin(), differing.begin() + 4); // of the first path
    for (const auto &[before, after] : {std::pair(1, 2), std::pair(2, 1), std::pair(1, 0), std::pair(2, 0)})
        for (unsigned words = 0; words < 16; ++words) {
            const auto &from = images[static_cast<std::size_t>(before)];
            const auto &to = images[static_cast<std::size_t>(after)];
            std::memcpy(memory.data(), from.data(), from.size());
            bool all_of_before = true;
            bool all_of_after = true;
            for (std::size_t word = 0; word < 4; ++word) {
                const std::size_t octet = differing[word];
                if ((words >> word & 1) != 0)
                    std::memcpy(&memory[octet], &to[octet], 8);
                all_of_before = all_of_before && std::memcmp(&memory[octet], &from[octet], 8) == 0;
                all_of_after = all_of_after && std::memcmp(&memory[octet], &to[octet], 8) == 0;
            }
            const auto now = learned(ipv6);
            const auto whole = all_of_before                ? places[before - 1]
                               : all_of_after && after != 0 ? places[after - 1]
                                                            : std::nullopt;
            EXPECT_EQ(now, whole) << before << " to " << after << ", words " << words;
        }
}

TEST_F(KeptStateTest, TellsOfAProcessThatFailed)
{
    EXPECT_EQ(KeptState(memory, kNow).failed_since(), std::nullopt);
    KeptState(memory, kNow).begin(kNow + 1s);
    EXPECT_EQ(KeptState(memory, kNow).failed_since(), kNow + 1s);
    KeptState(memory, kNow).end_well();
    EXPECT_EQ(KeptState(memory, kNow).failed_since(), std::nullopt);
}

TEST_F(KeptStateTest, AnotherVersionIsIgnored)
{
    note("a");
    for (const std::size_t octet : {0U, 8U, 12U}) { // the magic number, the version, the slots
        std::vector<std::byte> before(memory.begin(), memory.end());
        memory[octet] ^= std::byte{0x40};
        expect_nothing(found(connection("a")));
        std::memcpy(memory.data(), before.data(), before.size());
    }
    EXPECT_TRUE(found(connection("a")).next_to_send);
}

TEST_F(KeptStateTest, GarbageIsNoNumberAndNoPath)
{
    note("a");
    const std::vector<std::byte> good(memory.begin(), memory.end());
    std::mt19937 random(1);
    for (int round = 0; round < 20; ++round) {
        // Whatever stands there but the header and whose slot it is.
        std::memcpy(memory.data(), good.data(), good.size());
        for (std::size_t i = 64 + 8; i < 64 + sizeof(KeptSlot); ++i)
            memory[i] = std::byte(random());
        expect_nothing(found(connection("a")));
        // Everything.
        for (std::size_t i = 32; i < memory.size(); ++i)
            memory[i] = std::byte(random());
        KeptState state(memory, kNow);
        for (int i = 0; i < 100; ++i)
            expect_nothing(state.take(connection(std::to_string(i))).before);
        state.forget_rest();
        EXPECT_NE(state.take(connection("new")).slot, nullptr);
    }
}

} // namespace
} // namespace mpt::plane
