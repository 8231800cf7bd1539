// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/send_batch.hpp"

#include "tests/unit/plane/loopback.hpp"

#include <list>
#include <memory>
#include <string>

namespace mpt::plane {
namespace {

constexpr base::Instant kStart{std::chrono::hours(1)};

class SendBatchTest : public LoopbackTest {
protected:
    void SetUp() override
    {
        LoopbackTest::SetUp();
        if (IsSkipped() || HasFatalFailure())
            return;
        peer.emplace(endpoint("10.7.0.2", 5000));
        socket = UdpSocket::connect(endpoint("10.7.0.1", 4000), "lo", endpoint("10.7.0.2", 5000)).value();
        path.socket = socket.get();
        batch->start(path);
    }

    // Queues datagrams of these sizes, each with a header of 8 octets and contents of its own.
    void add(std::initializer_list<std::size_t> sizes, std::uint8_t traffic_class = 0)
    {
        for (const std::size_t size : sizes) {
            std::string text(size, '\0');
            for (std::size_t i = 0; i < size; ++i)
                text[i] = static_cast<char>(texts.size() + i);
            texts.push_back(text);
            const base::ConstOctets octets = std::as_bytes(std::span(texts.back()));
            batch->add(octets.first(8), octets.subspan(8), traffic_class);
        }
    }

    void expect_all_received()
    {
        for (const std::string &text : texts)
            ASSERT_EQ(peer->receive(), text);
    }

    std::optional<UdpPeer> peer;
    std::shared_ptr<UdpSocket> socket;
    Path path;
    std::unique_ptr<SendBatch> batch = std::make_unique<SendBatch>();
    std::list<std::string> texts;
};

TEST_F(SendBatchTest, DatagramsArriveAsTheyWereWhateverTheirSizes)
{
    add({100, 100, 100, 60, 100, 100, 8, 1400, 1400, 1400, 1400, 1399, 1398, 20, 20, 1400});
    EXPECT_EQ(batch->flush(kStart), SendBatch::Outcome::kDone);
    expect_all_received();
    EXPECT_EQ(path.counters.packets_out.get(), 16U);
    // Inner octets: all but the GRE header of 8 octets each.
    EXPECT_EQ(path.counters.octets_out.get(), 5 * 92U + 52 + 0 + 5 * 1392 + 1391 + 1390 + 2 * 12);
}

TEST_F(SendBatchTest, MoreThanTheKernelTakesAtOnceIsSentInParts)
{
    for (int i = 0; i < 300; ++i)
        add({1000});
    EXPECT_FALSE(batch->full());
    EXPECT_EQ(batch->flush(kStart), SendBatch::Outcome::kDone);
    expect_all_received();
}

TEST_F(SendBatchTest, EachDatagramHasItsTrafficClass)
{
    const int on = 1;
    ASSERT_EQ(setsockopt(peer->fd(), IPPROTO_IP, IP_RECVTOS, &on, sizeof on), 0);
    add({100, 100}, 0xb9);
    add({100, 100});
    add({100}, 0xba);
    add({3000, 3000}, 0xbb); // one by one
    EXPECT_EQ(batch->flush(kStart), SendBatch::Outcome::kDone);
    auto text = texts.begin();
    for (const std::uint8_t expected : {std::uint8_t{0xb9}, std::uint8_t{0xb9}, std::uint8_t{0}, std::uint8_t{0},
                                        std::uint8_t{0xba}, std::uint8_t{0xbb}, std::uint8_t{0xbb}}) {
        std::array<char, 4000> octets;
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control;
        iovec part{octets.data(), octets.size()};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t size = recvmsg(peer->fd(), &message, 0);
        ASSERT_GT(size, 0);
        EXPECT_EQ(std::string(octets.data(), static_cast<std::size_t>(size)), *text++);
        ASSERT_NE(CMSG_FIRSTHDR(&message), nullptr);
        EXPECT_EQ(*CMSG_DATA(CMSG_FIRSTHDR(&message)), expected);
    }
}

TEST_F(SendBatchTest, ItIsFullBeforeItOverflows)
{
    int count = 0;
    for (; !batch->full(); ++count)
        add({8U + static_cast<std::size_t>(count % 2)}); // each larger one begins a message of its own
    EXPECT_EQ(batch->flush(kStart), SendBatch::Outcome::kDone);
    expect_all_received();
    EXPECT_EQ(path.counters.packets_out.get(), static_cast<std::uint64_t>(count));
}

TEST_F(SendBatchTest, WhatTheKernelDoesNotSplitIsSentOneByOne)
{
    add({3000, 3000, 3000, 500}); // larger than the MTU: each goes out in fragments
    EXPECT_EQ(batch->flush(kStart), SendBatch::Outcome::kDone);
    expect_all_received();
    EXPECT_EQ(path.counters.packets_out.get(), 4U);
    EXPECT_LT(socket->largest_segment(), 3000U); // not tried again
    EXPECT_GE(socket->largest_segment(), 1400U); // but smaller ones are
}

TEST_F(SendBatchTest, WhatIsTooLargeForThePathIsRefusedWhereItMayNotBeFragmented)
{
    socket->set_fragmentation(false);
    add({1472, 3000, 3000, 1473, 1472, 100}); // and 28 octets of headers each
    EXPECT_EQ(batch->flush(kStart), SendBatch::Outcome::kDone);
    for (const std::size_t fits : {0U, 4U, 5U})
        EXPECT_EQ(peer->receive(), *std::next(texts.begin(), static_cast<std::ptrdiff_t>(fits)));
    EXPECT_EQ(path.counters.packets_out.get(), 3U);
    std::uint64_t too_big = 0;
    path.counters.drops.visit([&](std::string_view reason, std::uint64_t count) {
        if (reason == "too big")
            too_big = count;
        else
            EXPECT_EQ(count, 0U) << reason;
    });
    EXPECT_EQ(too_big, 3U);
    // The first of them, without the GRE header of 8 octets.
    const base::ConstOctets refused = batch->refused();
    EXPECT_EQ(std::string(reinterpret_cast<const char *>(refused.data()), refused.size()),
              std::next(texts.begin())->substr(8, 1280));
    batch->start(path);
    EXPECT_TRUE(batch->refused().empty());
    add({8 + 40, 1500, 100});
    EXPECT_EQ(batch->flush(kStart), SendBatch::Outcome::kDone);
    EXPECT_EQ(batch->refused().size(), 1280U);
    const auto discovery = [&] {
        int value = -1;
        socklen_t length = sizeof value;
        getsockopt(socket->fd(), IPPROTO_IP, IP_MTU_DISCOVER, &value, &length);
        return value;
    };
    socket->set_fragmentation(true);
    EXPECT_EQ(discovery(), IP_PMTUDISC_WANT);
    const int without_discovery = IP_PMTUDISC_DONT; // as net.ipv4.ip_no_pmtu_disc = 1 makes a new one
    setsockopt(socket->fd(), IPPROTO_IP, IP_MTU_DISCOVER, &without_discovery, sizeof without_discovery);
    socket->set_fragmentation(true);
    EXPECT_EQ(discovery(), IP_PMTUDISC_DONT);
    batch->start(path);
    texts.clear();
    add({3000});
    EXPECT_EQ(batch->flush(kStart), SendBatch::Outcome::kDone);
    std::string last;
    while (last.size() != 3000)
        ASSERT_NE(last = peer->receive(), "");
    EXPECT_EQ(last, texts.back());
}

TEST_F(SendBatchTest, WhatIsTooLargeForADatagramIsDropped)
{
    add({65508, 65536, 65543, 65544, 100});
    EXPECT_EQ(batch->flush(kStart), SendBatch::Outcome::kDone);
    EXPECT_EQ(peer->receive(), texts.back());
    EXPECT_EQ(path.counters.packets_out.get(), 1U);
}

TEST_F(SendBatchTest, WithoutSegmentationOffloadItSendsEachDatagram)
{
    socket->refuse_segments(0);
    add({100, 100, 100, 60});
    EXPECT_EQ(batch->flush(kStart), SendBatch::Outcome::kDone);
    expect_all_received();
}

TEST_F(SendBatchTest, WhatCannotBeSentIsCountedAndTheRestGoesOn)
{
    add({100});
    ASSERT_EQ(std::system("ip link set lo down"), 0);
    EXPECT_EQ(batch->flush(kStart), SendBatch::Outcome::kDone);
    EXPECT_EQ(path.counters.packets_out.get(), 0U);
    std::uint64_t errors = 0;
    path.counters.drops.visit([&](std::string_view reason, std::uint64_t count) {
        if (reason == "send error")
            errors = count;
    });
    EXPECT_EQ(errors, 1U);
}

TEST_F(SendBatchTest, AFullSendBufferBlocksUntilTheRestIsDropped)
{
    // A slow link holds back what a socket with a small send buffer may have on its way.
    ASSERT_EQ(std::system("tc qdisc add dev lo root tbf rate 8kbit burst 1600 limit 10mb"), 0);
    const int small = 1;
    setsockopt(socket->fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    socket->refuse_segments(0);
    for (int i = 0; i < 64; ++i)
        add({1000});
    EXPECT_EQ(batch->flush(kStart), SendBatch::Outcome::kBlocked);
    const std::uint64_t sent = path.counters.packets_out.get();
    EXPECT_LT(sent, 64U);
    batch->give_up(kStart);
    EXPECT_EQ(batch->flush(kStart), SendBatch::Outcome::kDone);
    // From now on it is not waited for, until its buffer has had room for a while.
    batch->start(path);
    add({1000, 900, 1000, 900});
    EXPECT_EQ(batch->flush(kStart + std::chrono::milliseconds(900)), SendBatch::Outcome::kDone);
    batch->start(path);
    add({1000, 900, 1000, 900});
    EXPECT_EQ(batch->flush(kStart + std::chrono::seconds(2)), SendBatch::Outcome::kBlocked);
    batch->drop_rest();
    std::uint64_t dropped = 0;
    path.counters.drops.visit([&](std::string_view reason, std::uint64_t count) {
        if (reason == "send buffer")
            dropped = count;
    });
    EXPECT_EQ(path.counters.packets_out.get() + dropped, 64U + 8);
}

} // namespace
} // namespace mpt::plane
