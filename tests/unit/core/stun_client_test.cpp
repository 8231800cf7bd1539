// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/stun_client.hpp"

#include "tests/unit/core/clock.hpp"

#include <gtest/gtest.h>
#include <set>
#include <string>

namespace mpt::core {
namespace {

using namespace std::chrono_literals;
using testing::kStart;
using Trouble = StunClient::Trouble;

base::Endpoint udp(const char *address, std::uint16_t port)
{
    return {base::Address::parse(address).value(), port};
}

const base::Endpoint kFirst = udp("203.0.113.1", 3478);
const base::Endpoint kSecond = udp("203.0.113.2", 3478);
const base::Endpoint kOutside = udp("198.51.100.7", 40000);
const base::Endpoint kMoved = udp("198.51.100.8", 40001);

class StunClientTest : public ::testing::Test {
protected:
    StunClientTest() { client.set_servers(now, {kFirst, kSecond}); }

    // As it would be drawn: always another one.
    proto::RandomNumber random(unsigned jitter = 0)
    {
        proto::RandomNumber number{};
        number[0] = static_cast<std::byte>(++drawn);
        number[12] = static_cast<std::byte>(jitter >> 8);
        number[13] = static_cast<std::byte>(jitter);
        return number;
    }
    StunClient::Step step() { return client.on_deadline(now, random()); }
    // The request that is due now or next.
    StunClient::Request next_request()
    {
        now = std::max(now, client.deadline().value());
        const auto request = step().request;
        EXPECT_TRUE(request);
        return request.value_or(StunClient::Request{});
    }
    std::optional<StunClient::Outcome> answer(const base::Endpoint &source, const proto::StunTransaction &transaction,
                                              const std::optional<base::Endpoint> &mapped, std::uint16_t error = 0)
    {
        return client.on_answer(now, source, {transaction, error, mapped}, random());
    }
    // Lets a server be asked until it has proven silent; how long that took.
    base::Duration exhaust(const base::Endpoint &server)
    {
        const base::Instant begin = now;
        for (;;) {
            now = std::max(now, client.deadline().value());
            const auto done = step();
            if (done.outcome) {
                EXPECT_EQ(done.outcome->server, server);
                EXPECT_EQ(done.outcome->trouble, Trouble::kSilent);
                return now - begin;
            }
            EXPECT_EQ(done.request->server, server);
        }
    }

    unsigned drawn = 0;
    base::Instant now = kStart;
    StunClient client{base::IpVersion::kV4};
};

TEST_F(StunClientTest, AsksAtOnceAndRepeatsAsTheStandardSays)
{
    // RFC 8489 section 6.2.1: "requests are sent at 0 ms, 500 ms, 1500 ms, 3500 ms, 7500 ms, 15500 ms, and 31500 ms",
    // and at 39500 ms the transaction has failed.
    const proto::StunTransaction transaction = next_request().transaction;
    std::vector<base::Duration> sent{now - kStart};
    for (;;) {
        EXPECT_FALSE(client.on_deadline(*client.deadline() - 1ns, random()).request);
        now = *client.deadline();
        const auto done = step();
        if (!done.request)
            break;
        EXPECT_EQ(done.request->transaction, transaction) << "the same one";
        sent.push_back(now - kStart);
    }
    EXPECT_EQ(sent, (std::vector<base::Duration>{0ms, 500ms, 1500ms, 3500ms, 7500ms, 15500ms, 31500ms}));
    EXPECT_EQ(now - kStart, 39500ms);
}

TEST_F(StunClientTest, GoesOnAskingTheOneThatAnswers)
{
    exhaust(kFirst);
    const auto request = next_request();
    EXPECT_EQ(request.server, kSecond) << "at once";
    const auto outcome = answer(kSecond, request.transaction, kOutside);
    ASSERT_TRUE(outcome);
    EXPECT_FALSE(outcome->trouble);
    EXPECT_EQ(client.found(), kOutside);
    const base::Instant answered = now;
    const auto again = next_request();
    EXPECT_EQ(again.server, kSecond);
    EXPECT_NE(again.transaction, request.transaction);
    EXPECT_EQ(now - answered, StunClient::kInterval);
    // And when that one falls silent, the first again.
    exhaust(kSecond);
    EXPECT_EQ(next_request().server, kFirst);
    EXPECT_EQ(client.found(), kOutside) << "what was found stays";
}

TEST_F(StunClientTest, KeepsTheBindingBeforeNatsForgetIt)
{
    std::set<base::Duration> waits;
    for (const unsigned jitter : {0x0000U, 0x8000U, 0xffffU}) {
        const auto request = next_request();
        ASSERT_TRUE(client.on_answer(now, kFirst, {request.transaction, 0, kOutside}, random(jitter)));
        waits.insert(*client.deadline() - now);
    }
    EXPECT_EQ(waits.size(), 3U) << "not all ports at the same moment for ever";
    EXPECT_EQ(*waits.rbegin(), 25s);
    EXPECT_GT(*waits.begin(), 20s - 1ns);
}

TEST_F(StunClientTest, FollowsANatThatChangesItsMind)
{
    answer(kFirst, next_request().transaction, kOutside);
    const auto outcome = answer(kFirst, next_request().transaction, kMoved);
    EXPECT_FALSE(outcome->trouble);
    EXPECT_EQ(client.found(), kMoved);
}

TEST_F(StunClientTest, TakesOnlyTheAnswerToWhatItAsked)
{
    EXPECT_FALSE(answer(kFirst, {}, kOutside)) << "nothing was asked";
    const auto request = next_request();
    proto::StunTransaction wrong = request.transaction;
    wrong[11] ^= std::byte{1};
    const base::Instant due = *client.deadline();
    EXPECT_FALSE(answer(kFirst, wrong, kMoved));
    EXPECT_FALSE(answer(kSecond, request.transaction, kMoved)) << "another server's";
    EXPECT_FALSE(answer({kFirst.address, 3479}, request.transaction, kMoved));
    EXPECT_FALSE(answer(kFirst, wrong, std::nullopt, 500));
    EXPECT_FALSE(client.found());
    EXPECT_EQ(client.deadline(), due) << "and changes nothing";
    EXPECT_TRUE(answer(kFirst, request.transaction, kOutside));
    EXPECT_FALSE(answer(kFirst, request.transaction, kMoved)) << "the second answer to the same";
    EXPECT_EQ(client.found(), kOutside);
}

TEST_F(StunClientTest, AServerThatRefusesOrLiesIsLeftForTheNext)
{
    struct Case {
        std::optional<base::Endpoint> mapped;
        std::uint16_t error;
        Trouble trouble;
    };
    for (const Case &one :
         {Case{std::nullopt, 401, Trouble::kRefused}, Case{std::nullopt, 0, Trouble::kUnusable},
          Case{udp("127.0.0.1", 40000), 0, Trouble::kImpossible}, Case{udp("0.0.0.0", 40000), 0, Trouble::kImpossible},
          Case{udp("224.0.0.1", 40000), 0, Trouble::kImpossible},
          Case{udp("255.255.255.255", 40000), 0, Trouble::kImpossible},
          Case{udp("169.254.1.1", 40000), 0, Trouble::kImpossible},
          Case{udp("198.51.100.7", 0), 0, Trouble::kImpossible},
          Case{udp("2001:db8::1", 40000), 0, Trouble::kImpossible}}) {
        client = StunClient(base::IpVersion::kV4);
        client.set_servers(now, {kFirst, kSecond});
        answer(kFirst, next_request().transaction, kOutside);
        const auto request = next_request();
        const auto outcome = answer(kFirst, request.transaction, one.mapped, one.error);
        ASSERT_TRUE(outcome);
        EXPECT_EQ(outcome->trouble, one.trouble);
        EXPECT_EQ(outcome->error, one.error);
        EXPECT_EQ(outcome->said, one.mapped);
        EXPECT_EQ(client.found(), kOutside) << "the last good address stays";
        const base::Instant asked = now;
        EXPECT_EQ(next_request().server, kSecond);
        EXPECT_EQ(now, asked) << "at once";
    }
}

TEST_F(StunClientTest, WaitsWhenNobodyIsOfUse)
{
    answer(kFirst, next_request().transaction, std::nullopt, 500);
    answer(kSecond, next_request().transaction, std::nullopt, 500);
    const base::Instant failed = now;
    EXPECT_EQ(next_request().server, kFirst);
    EXPECT_EQ(now - failed, StunClient::kInterval);
}

TEST_F(StunClientTest, FindsAddressesOfIpv6)
{
    StunClient six(base::IpVersion::kV6);
    const base::Endpoint server = udp("2001:db8::3478", 3478);
    six.set_servers(now, {server});
    for (const auto &[said, is_good] :
         {std::pair{"::1", false}, std::pair{"::", false}, std::pair{"ff02::1", false}, std::pair{"fe80::1", false},
          std::pair{"198.51.100.7", false}, std::pair{"2001:db8::7", true}}) {
        now = *six.deadline();
        const auto request = six.on_deadline(now, random()).request;
        ASSERT_TRUE(request);
        const auto outcome = six.on_answer(now, server, {request->transaction, 0, udp(said, 40000)}, random());
        EXPECT_EQ(!outcome->trouble, is_good) << said;
    }
}

TEST_F(StunClientTest, FollowsTheServersThatItIsGiven)
{
    const auto request = next_request();
    const base::Instant due = *client.deadline();
    client.set_servers(now, {kFirst, kSecond});
    EXPECT_EQ(client.deadline(), due) << "nothing new";
    client.set_servers(now, {kSecond});
    EXPECT_FALSE(answer(kFirst, request.transaction, kOutside)) << "nobody asks that one any more";
    EXPECT_EQ(next_request().server, kSecond);
    client.set_servers(now, {});
    EXPECT_FALSE(client.deadline());
    EXPECT_FALSE(client.is_asking());
    EXPECT_FALSE(step().request);
}

} // namespace
} // namespace mpt::core
