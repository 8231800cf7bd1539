// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/join.hpp"
#include "daemon/proto/split.hpp"

#include "tests/unit/proto/packets.hpp"

#include <gtest/gtest.h>
#include <random>

namespace mpt::proto {
namespace {

using namespace testing;

// Any super-packet that may be joined again, with the size of its segments.
std::pair<Description, std::uint16_t> random_super_packet(std::mt19937 &random)
{
    const auto upto = [&](std::size_t limit) { return random() % (limit + 1); };
    Description d;
    d.ip_version = upto(1) == 0 ? 4 : 6;
    d.is_tcp = upto(2) != 0;
    d.traffic_class = static_cast<std::uint8_t>(random());
    d.hop_limit = static_cast<std::uint8_t>(random());
    d.identification = static_cast<std::uint16_t>(random());
    d.fragment = upto(1) == 0 ? 0x4000 : 0;
    d.flow_label = static_cast<std::uint32_t>(upto(0xfffff));
    d.source_port = static_cast<std::uint16_t>(random());
    d.destination_port = static_cast<std::uint16_t>(random());
    d.sequence = static_cast<std::uint32_t>(random());
    d.acknowledgment = static_cast<std::uint32_t>(random());
    d.window = static_cast<std::uint16_t>(random());
    d.flags = static_cast<std::uint8_t>(0x10U | (upto(1) * 0x08U) | (upto(1) * 0x40U)); // ACK, PSH, ECE
    if (d.is_tcp)
        d.tcp_options = noise(4 * upto(10), static_cast<unsigned>(random()));
    const std::size_t segment = upto(2) == 0 ? 1 + upto(40) : 1 + upto(1459);
    const std::size_t limit = std::min<std::size_t>(segment * Join::kMaxSegments, 65535 - d.header_size());
    d.payload = noise(segment + 1 + upto(limit - segment - 1), static_cast<unsigned>(random()));
    return {d, static_cast<std::uint16_t>(segment)};
}

TEST(RoundTrip, SplitAndJoinedAgainIsTheSameSuperPacket)
{
    std::mt19937 random(20150927); // NOLINT(cert-msc32-c,cert-msc51-cpp): the same packets in every run
    for (int round = 0; round < 1500; ++round) {
        const auto [description, gso_size] = random_super_packet(random);
        const Bytes original = build_partial(description);
        const OffloadHeader offload = offload_for(description, gso_size);
        const auto super = SuperPacket::parse(offload, original);
        ASSERT_TRUE(super) << round;
        ASSERT_EQ(super->count(), (description.payload.size() + gso_size - 1) / gso_size);

        std::vector<Bytes> segments;
        for (std::size_t i = 0; i < super->count(); ++i) {
            Bytes &segment = segments.emplace_back(super->header_size());
            super->write_headers(i, segment);
            segment.insert(segment.end(), super->payload(i).begin(), super->payload(i).end());
            ASSERT_EQ(fault(segment), "") << "round " << round << ", segment " << i;
        }
        Join join(true);
        for (std::size_t i = 0; i < segments.size(); ++i) {
            const auto segment = Segment::parse(segments[i]);
            ASSERT_TRUE(segment);
            ASSERT_TRUE(i == 0 ? join.start(*segment) : join.append(*segment)) << "round " << round << ", " << i;
        }
        const Join::Packet joined = join.finish();
        Bytes octets(joined.header.begin(), joined.header.end());
        for (const base::ConstOctets payload : joined.payloads)
            octets.insert(octets.end(), payload.begin(), payload.end());
        ASSERT_EQ(octets, original) << round;
        ASSERT_EQ(joined.offload, offload) << round;
    }
}

} // namespace
} // namespace mpt::proto
