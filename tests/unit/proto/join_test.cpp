// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/join.hpp"

#include "tests/unit/proto/packets.hpp"

#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <string>

namespace mpt::proto {
namespace {

using namespace testing;

// The segment that follows `d` by `index` places in its flow.
Description following(Description d, std::size_t index)
{
    d.sequence += static_cast<std::uint32_t>(index * d.payload.size());
    d.identification = static_cast<std::uint16_t>(d.identification + index);
    d.payload = noise(d.payload.size(), static_cast<unsigned>(index));
    return d;
}

Description make(unsigned ip_version, bool is_tcp)
{
    Description d;
    d.ip_version = ip_version;
    d.is_tcp = is_tcp;
    d.payload = noise(500, 0);
    return d;
}

bool start(Join &join, const Bytes &packet)
{
    const auto segment = Segment::parse(packet);
    return segment && join.start(*segment);
}

bool append(Join &join, const Bytes &packet)
{
    const auto segment = Segment::parse(packet);
    return segment && join.append(*segment);
}

// True if the second packet continues a run that the first one starts. Both must be able to start one.
bool joins(const Bytes &first, const Bytes &second)
{
    Join join(true);
    EXPECT_TRUE(start(join, second));
    EXPECT_TRUE(start(join, first));
    return append(join, second);
}

bool joins(const Description &first, const Description &second)
{
    return joins(build(first), build(second));
}

Bytes flat(const Join::Packet &packet)
{
    Bytes octets(packet.header.begin(), packet.header.end());
    for (const base::ConstOctets payload : packet.payloads)
        octets.insert(octets.end(), payload.begin(), payload.end());
    return octets;
}

TEST(Join, MakesTheSuperPacketThatTheKernelExpects)
{
    for (const unsigned version : {4U, 6U}) {
        for (const bool is_tcp : {true, false}) {
            Description first = make(version, is_tcp);
            first.tcp_options = is_tcp ? from_hex("0101080a0102030405060708") : Bytes{};
            Description second = following(first, 1);
            Description third = following(first, 2);
            third.payload.resize(99);
            const Bytes packets[] = {build(first), build(second), build(third)};

            Join join(true);
            ASSERT_TRUE(start(join, packets[0]));
            ASSERT_TRUE(append(join, packets[1]));
            ASSERT_TRUE(append(join, packets[2]));
            EXPECT_EQ(join.count(), 3U);
            const Join::Packet joined = join.finish();

            Description whole = first;
            whole.payload.insert(whole.payload.end(), second.payload.begin(), second.payload.end());
            whole.payload.insert(whole.payload.end(), third.payload.begin(), third.payload.end());
            EXPECT_EQ(flat(joined), build_partial(whole));
            EXPECT_EQ(joined.offload, offload_for(whole, 500));

            // Payloads are not copied.
            ASSERT_EQ(joined.payloads.size(), 3U);
            EXPECT_EQ(joined.payloads[1].data(), packets[1].data() + first.header_size());
            EXPECT_EQ(join.count(), 0U);
        }
    }
}

TEST(Join, OneSegmentComesOutAsItCameIn)
{
    for (const unsigned version : {4U, 6U}) {
        for (const bool is_tcp : {true, false}) {
            const Bytes packet = build(make(version, is_tcp));
            Join join(true);
            ASSERT_TRUE(start(join, packet));
            const Join::Packet alone = join.finish();
            EXPECT_EQ(alone.offload, OffloadHeader{});
            EXPECT_EQ(alone.header.data(), packet.data());
            EXPECT_EQ(alone.header.size(), packet.size());
            EXPECT_TRUE(alone.payloads.empty());
        }
    }
}

TEST(Join, NothingFollowsWithoutAStart)
{
    const Description first = make(4, true);
    const Bytes packets[] = {build(first), build(following(first, 1)), build(following(first, 2))};
    Join join(true);
    EXPECT_FALSE(append(join, packets[0]));
    ASSERT_TRUE(start(join, packets[0]));
    ASSERT_TRUE(append(join, packets[1]));
    join.finish();
    EXPECT_EQ(join.count(), 0U);
    EXPECT_FALSE(append(join, packets[2]));
    ASSERT_TRUE(start(join, packets[2])); // and a new run has nothing of the old one
    EXPECT_EQ(flat(join.finish()), packets[2]);
}

TEST(Join, PushEndsTheRunAndIsKept)
{
    for (const unsigned version : {4U, 6U}) {
        const Description first = make(version, true);
        Description second = following(first, 1);
        second.flags = kAck | kPsh;
        const Bytes packets[] = {build(first), build(second), build(following(first, 2))};
        Join join(true);
        ASSERT_TRUE(start(join, packets[0]));
        ASSERT_TRUE(append(join, packets[1]));
        EXPECT_FALSE(append(join, packets[2]));
        EXPECT_EQ(std::to_integer<unsigned>(join.finish().header[first.ip_header_size() + 13]), kAck | kPsh);

        ASSERT_TRUE(start(join, packets[1])); // also when it is the first one
        EXPECT_FALSE(append(join, packets[2]));

        // The push of one run is not in the next one.
        join.finish();
        ASSERT_TRUE(start(join, packets[0]));
        const Bytes plain = build(following(first, 1));
        ASSERT_TRUE(append(join, plain));
        EXPECT_EQ(std::to_integer<unsigned>(join.finish().header[first.ip_header_size() + 13]), kAck);
    }
}

TEST(Join, AShorterSegmentEndsTheRunAndALongerOneDoesNotJoin)
{
    for (const bool is_tcp : {true, false}) {
        const Description first = make(6, is_tcp);
        Description shorter = following(first, 1);
        shorter.payload.pop_back();
        Description next = following(first, 2);
        next.sequence -= 1;
        next.payload.resize(400);
        const Bytes packets[] = {build(first), build(shorter), build(next)};
        Join join(true);
        ASSERT_TRUE(start(join, packets[0]));
        ASSERT_TRUE(append(join, packets[1]));
        EXPECT_FALSE(append(join, packets[2]));

        Description longer = following(first, 1);
        longer.payload.emplace_back();
        EXPECT_FALSE(joins(first, longer));
    }
}

TEST(Join, SequenceNumberWraps)
{
    Description first = make(4, true);
    first.sequence = 0xffffff00U;
    EXPECT_TRUE(joins(first, following(first, 1)));
    EXPECT_EQ(following(first, 1).sequence, 0x000000f4U);
}

TEST(Join, RefusesWhatIsNotTheNextOfTheSameFlow)
{
    using Change = std::function<void(Description &)>;
    const std::map<std::string, Change> both{
        {"traffic class", [](Description &d) { d.traffic_class = 0x08; }},
        {"congestion experienced", [](Description &d) { d.traffic_class = 0x03; }},
        {"hop limit", [](Description &d) { d.hop_limit = 63; }},
        {"address", [](Description &d) { d.last_address_octet = 9; }},
        {"source port", [](Description &d) { d.source_port = 40001; }},
        {"destination port", [](Description &d) { d.destination_port = 5202; }},
        {"protocol", [](Description &d) { d.is_tcp = !d.is_tcp; }},
        {"IP version", [](Description &d) { d.ip_version = 10 - d.ip_version; }},
    };
    const std::map<std::string, Change> ipv4{
        {"DF", [](Description &d) { d.fragment = 0; }},
    };
    const std::map<std::string, Change> ipv6{
        {"flow label", [](Description &d) { d.flow_label = 1; }},
    };
    const std::map<std::string, Change> tcp{
        {"sequence, gap", [](Description &d) { d.sequence += 1; }},
        {"sequence, overlap", [](Description &d) { d.sequence -= 1; }},
        {"sequence, same", [](Description &d) { d.sequence -= 500; }},
        {"sequence, high bit", [](Description &d) { d.sequence ^= 0x80000000U; }},
        {"acknowledgment", [](Description &d) { d.acknowledgment += 1; }},
        {"window", [](Description &d) { d.window += 1; }},
        {"urgent pointer", [](Description &d) { d.urgent = 1; }},
        {"ECE", [](Description &d) { d.flags |= kEce; }},
        {"option", [](Description &d) { d.tcp_options[11] ^= std::byte{1}; }},
        {"options' size", [](Description &d) { d.tcp_options.resize(8); }},
    };
    for (const unsigned version : {4U, 6U}) {
        for (const bool is_tcp : {true, false}) {
            Description first = make(version, is_tcp);
            if (is_tcp)
                first.tcp_options = from_hex("0101080a0102030405060708");
            const Description next = following(first, 1);
            ASSERT_TRUE(joins(first, next));

            std::map<std::string, Change> changes = both;
            changes.insert((version == 4 ? ipv4 : ipv6).begin(), (version == 4 ? ipv4 : ipv6).end());
            if (is_tcp)
                changes.insert(tcp.begin(), tcp.end());
            for (const auto &[name, change] : changes) {
                Description changed = next;
                change(changed);
                EXPECT_FALSE(joins(first, changed)) << name << ", IPv" << version << (is_tcp ? ", TCP" : ", UDP");
            }
            for (std::size_t at = version == 4 ? 12 : 8; at < first.ip_header_size(); ++at) { // addresses
                Bytes packet = build(next);
                packet[at] ^= std::byte{0x01};
                fix_checksums(packet);
                EXPECT_FALSE(joins(build(first), packet)) << at;
            }
        }
    }
}

TEST(Join, ReservedBitsOfTcpMustBeTheSame)
{
    const Description first = make(6, true);
    Bytes packet = build(following(first, 1));
    packet[52] ^= std::byte{0x01};
    fix_checksums(packet);
    EXPECT_FALSE(joins(build(first), packet));
}

TEST(Join, TcpDoesNotContinueUdp)
{
    const Description first = make(4, false);
    Description next = following(first, 1);
    next.is_tcp = true;
    next.sequence = 0; // what a run of UDP might take for the next one
    const Bytes packets[] = {build(first), build(next)};
    Join join(true);
    ASSERT_TRUE(start(join, packets[0]));
    EXPECT_FALSE(append(join, packets[1]));
}

TEST(Join, UdpContinuesAfterATcpRunThatWasPushed)
{
    Description pushed = make(4, true);
    pushed.flags = kAck | kPsh;
    const Description first = make(4, false);
    const Bytes packets[] = {build(pushed), build(first), build(following(first, 1))};
    Join join(true);
    ASSERT_TRUE(start(join, packets[0]));
    join.finish();
    ASSERT_TRUE(start(join, packets[1]));
    EXPECT_TRUE(append(join, packets[2]));
}

TEST(Join, EceJoinsWithEce)
{
    Description first = make(4, true);
    first.flags = kAck | kEce;
    EXPECT_TRUE(joins(first, following(first, 1)));
}

TEST(Join, IdentificationsFollowTheKernelsRules)
{
    const auto run = [](std::uint16_t fragment, std::vector<unsigned> identifications) {
        std::vector<Bytes> packets;
        Description d = make(4, false);
        d.fragment = fragment;
        for (const unsigned identification : identifications) {
            d.identification = static_cast<std::uint16_t>(identification);
            packets.push_back(build(d));
        }
        Join join(true);
        EXPECT_TRUE(start(join, packets[0]));
        std::size_t count = 1;
        while (count < packets.size() && append(join, packets[count]))
            ++count;
        return count;
    };
    constexpr std::uint16_t df = 0x4000;
    EXPECT_EQ(run(df, {7, 8, 9, 10}), 4U);
    EXPECT_EQ(run(0, {7, 8, 9, 10}), 4U);
    EXPECT_EQ(run(0, {0xfffe, 0xffff, 0, 1}), 4U);
    EXPECT_EQ(run(df, {0, 0, 0, 0}), 4U);
    EXPECT_EQ(run(0, {0, 0}), 1U); // without DF all the same is a fault of the sender that must not be hidden
    EXPECT_EQ(run(df, {7, 9}), 1U);
    EXPECT_EQ(run(df, {7, 6}), 1U);
    EXPECT_EQ(run(0, {7, 9}), 1U);
    EXPECT_EQ(run(df, {7, 7, 8}), 2U); // the second one has decided
    EXPECT_EQ(run(df, {7, 8, 8}), 2U);
    EXPECT_EQ(run(df, {7, 8, 9, 9}), 3U);
    EXPECT_EQ(run(df, {7, 8, 7}), 2U);
}

TEST(Join, ARefusedSecondSegmentDoesNotDecideAboutIdentifications)
{
    const Description first = make(4, false);
    Bytes corrupt = build(first); // the same identification
    corrupt.back() ^= std::byte{1};
    const Bytes packets[] = {build(first), build(following(first, 1)), build(following(first, 2))};
    Join join(true);
    ASSERT_TRUE(start(join, packets[0]));
    EXPECT_FALSE(append(join, corrupt));
    EXPECT_TRUE(append(join, packets[1]));
    EXPECT_TRUE(append(join, packets[2]));
    EXPECT_EQ(join.count(), 3U);
}

TEST(Join, NeverTakesACorruptedPacket)
{
    for (const unsigned version : {4U, 6U}) {
        for (const bool is_tcp : {true, false}) {
            Description first = make(version, is_tcp);
            first.payload.resize(50);
            const Bytes good = build(first);
            const Bytes next = build(following(first, 1));
            ASSERT_TRUE(joins(good, next));
            for (std::size_t bit = 0; bit < 8 * next.size(); ++bit) {
                const std::byte mask{static_cast<std::uint8_t>(1U << (bit % 8))};
                Bytes corrupt = next;
                corrupt[bit / 8] ^= mask;
                Join join(true);
                ASSERT_TRUE(start(join, good));
                EXPECT_FALSE(append(join, corrupt)) << "octet " << bit / 8;

                // In IPv6, no checksum covers traffic class, flow label and hop limit.
                if (version == 6 && (bit < 32 || bit / 8 == 7))
                    continue;
                corrupt = good;
                corrupt[bit / 8] ^= mask;
                EXPECT_FALSE(start(join, corrupt)) << "octet " << bit / 8;
            }
        }
    }
}

TEST(Join, TakesNoMoreSegmentsThanAllowed)
{
    Description first = make(4, true);
    first.payload.resize(10);
    Join join(true);
    std::vector<Bytes> packets;
    for (std::size_t i = 0; i <= Join::kMaxSegments; ++i)
        packets.push_back(build(following(first, i)));
    ASSERT_TRUE(start(join, packets[0]));
    for (std::size_t i = 1; i < Join::kMaxSegments; ++i)
        ASSERT_TRUE(append(join, packets[i])) << i;
    EXPECT_FALSE(append(join, packets[Join::kMaxSegments]));
    EXPECT_EQ(join.finish().payloads.size(), Join::kMaxSegments);
}

TEST(Join, TakesNoMoreOctetsThanAPacketHas)
{
    for (const unsigned version : {4U, 6U}) {
        Description first = make(version, false);
        const std::size_t room = 65535 - first.header_size();
        first.payload.resize(room / 4); // four fit
        Description last = first;
        last.payload.resize(room - 3 * first.payload.size());
        Join join(true);
        std::vector<Bytes> packets;
        for (std::size_t i = 0; i < 5; ++i)
            packets.push_back(build(following(first, i)));
        ASSERT_TRUE(start(join, packets[0]));
        for (std::size_t i = 1; i < 4; ++i)
            ASSERT_TRUE(append(join, packets[i]));
        EXPECT_FALSE(append(join, packets[4]));
        const Bytes joined = flat(join.finish());
        EXPECT_EQ(joined.size(), first.header_size() + 4 * first.payload.size());

        first.payload.resize(room / 2 + 1); // two do not
        EXPECT_FALSE(joins(first, following(first, 1)));
        first.payload.resize(room / 2);
        EXPECT_TRUE(joins(first, following(first, 1)));
    }
}

TEST(Join, UdpOnlyWhereTheTunTakesIt)
{
    const Bytes udp = build(make(4, false));
    const Bytes tcp = build(make(4, true));
    Join join(false);
    EXPECT_FALSE(start(join, udp));
    EXPECT_EQ(join.count(), 0U);
    EXPECT_TRUE(start(join, tcp));
}

TEST(Segment, IsOnlyWhatMayBeJoined)
{
    const auto parses = [](const Description &d) { return Segment::parse(build(d)).has_value(); };
    for (const unsigned version : {4U, 6U}) {
        Description tcp = make(version, true);
        EXPECT_TRUE(parses(tcp));
        for (unsigned flags = 0; flags < 256; ++flags) {
            tcp.flags = static_cast<std::uint8_t>(flags);
            EXPECT_EQ(parses(tcp), (flags & 0x10U) != 0 && (flags & 0xa7U) == 0) << flags; // ACK; FIN SYN RST URG CWR
        }
        tcp = make(version, true);
        tcp.payload.clear();
        EXPECT_FALSE(parses(tcp));
        tcp.payload.resize(1);
        EXPECT_TRUE(parses(tcp));

        Description udp = make(version, false);
        EXPECT_TRUE(parses(udp));
        Bytes packet = build(udp);
        put16(packet, udp.checksum_at(), 0); // no checksum
        EXPECT_FALSE(Segment::parse(packet));
        for (const unsigned length : {0U, 8U, 507U, 509U}) {
            packet = build(udp);
            put16(packet, udp.ip_header_size() + 4, length);
            fix_checksums(packet);
            EXPECT_FALSE(Segment::parse(packet)) << length;
        }
        udp.payload.clear();
        EXPECT_FALSE(parses(udp));

        for (const unsigned protocol : {0U, 1U, 2U, 43U, 44U, 58U, 60U, 132U, 136U}) {
            packet = build(make(version, true));
            packet[version == 4 ? 9 : 6] = static_cast<std::byte>(protocol);
            EXPECT_FALSE(Segment::parse(packet)) << protocol;
        }
        for (const unsigned data_offset : {0x00U, 0x40U, 0xf0U}) {
            Description small = make(version, true);
            small.payload.resize(40);
            packet = build(small);
            packet[small.ip_header_size() + 12] = static_cast<std::byte>(data_offset);
            EXPECT_FALSE(Segment::parse(packet)) << data_offset;
        }
        for (const bool is_tcp : {true, false}) { // every cut, with and without a length field that knows
            packet = build(make(version, is_tcp));
            for (std::size_t size = 0; size < packet.size(); ++size) {
                Bytes cut(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(size));
                EXPECT_FALSE(Segment::parse(cut)) << size;
                if (size < (version == 4 ? 20 : 40))
                    continue;
                put16(cut, version == 4 ? 2 : 4, static_cast<unsigned>(version == 4 ? size : size - 40));
                EXPECT_EQ(Segment::parse(cut).has_value(), is_tcp && size > (version == 4 ? 40 : 60)) << size;
            }
        }
    }
    Description v4 = make(4, true);
    for (const unsigned fragment : {0x2000U, 0x0001U, 0x6000U, 0x8000U, 0xc000U}) {
        v4.fragment = static_cast<std::uint16_t>(fragment);
        EXPECT_FALSE(parses(v4)) << fragment;
    }
    v4 = make(4, true);
    v4.extension = from_hex("94040000");
    EXPECT_FALSE(parses(v4));
    Bytes options = build(make(4, true)); // a TCP header without payload before its ports
    options[0] = std::byte{0x46};
    EXPECT_FALSE(Segment::parse(options));
    Description v6 = make(6, true);
    v6.extension_type = 60;
    v6.extension = from_hex("0600010400000000");
    EXPECT_FALSE(parses(v6));
}

} // namespace
} // namespace mpt::proto
