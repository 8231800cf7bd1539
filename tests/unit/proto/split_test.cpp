// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/split.hpp"

#include "tests/unit/proto/packets.hpp"

#include <gtest/gtest.h>
#include <set>
#include <string>

namespace mpt::proto {
namespace {

using namespace testing;

std::vector<Bytes> split(const SuperPacket &super)
{
    std::vector<Bytes> segments;
    for (std::size_t i = 0; i < super.count(); ++i) {
        Bytes segment(super.header_size());
        super.write_headers(i, segment);
        segment.insert(segment.end(), super.payload(i).begin(), super.payload(i).end());
        segments.push_back(segment);
    }
    return segments;
}

std::vector<Bytes> split(const Description &description, std::uint16_t gso_size)
{
    const Bytes packet = build_partial(description);
    const auto super = SuperPacket::parse(offload_for(description, gso_size), packet);
    EXPECT_TRUE(super);
    return super ? split(*super) : std::vector<Bytes>{};
}

SplitError error(const OffloadHeader &offload, base::ConstOctets packet)
{
    // A copy of exactly that size, so that a memory checker sees a look beyond the end.
    const auto super = SuperPacket::parse(offload, Bytes(packet.begin(), packet.end()));
    EXPECT_FALSE(super);
    return super ? SplitError{0xff} : super.error();
}

// The segment that a sender without offloads would have sent.
Bytes expected_segment(Description d, std::uint16_t gso_size, std::size_t index, std::size_t count)
{
    const auto offset = static_cast<std::ptrdiff_t>(index * gso_size);
    const auto size = static_cast<std::ptrdiff_t>(std::min<std::size_t>(gso_size, d.payload.size() - index * gso_size));
    d.payload = Bytes(d.payload.begin() + offset, d.payload.begin() + offset + size);
    d.sequence += static_cast<std::uint32_t>(offset);
    d.identification = static_cast<std::uint16_t>(d.identification + index);
    if (index != 0)
        d.flags &= static_cast<std::uint8_t>(~kCwr);
    if (index + 1 != count)
        d.flags &= static_cast<std::uint8_t>(~(kFin | kPsh));
    return build(d);
}

void expect_split(const Description &description, std::uint16_t gso_size, std::size_t count)
{
    const std::vector<Bytes> segments = split(description, gso_size);
    ASSERT_EQ(segments.size(), count);
    for (std::size_t i = 0; i < count; ++i) {
        EXPECT_EQ(fault(segments[i]), "") << "segment " << i;
        EXPECT_EQ(segments[i], expected_segment(description, gso_size, i, count)) << "segment " << i;
    }
}

TEST(Split, MakesTheSegmentsThatASenderWouldHaveSent)
{
    for (const unsigned version : {4U, 6U}) {
        for (const bool is_tcp : {true, false}) {
            Description d;
            d.ip_version = version;
            d.is_tcp = is_tcp;
            d.traffic_class = 0xb9;
            d.flow_label = 0xabcde;
            d.payload = noise(4000, 1);
            expect_split(d, 1400, 3); // the last one shorter
            d.payload = noise(4200, 2);
            expect_split(d, 1400, 3); // exactly
            d.payload = noise(4201, 3);
            expect_split(d, 1400, 4); // one octet left
            d.payload = noise(301, 4);
            expect_split(d, 7, 43); // odd sizes
            d.payload = noise(100, 5);
            expect_split(d, 1400, 1); // less than one segment
            if (is_tcp) {
                d.tcp_options = from_hex("0101080a0102030405060708");
                d.payload = noise(4000, 6);
                expect_split(d, 1388, 3);
                d.tcp_options = noise(40, 7);
                expect_split(d, 1360, 3);
            }
        }
    }
}

TEST(Split, LargestPackets)
{
    Description d;
    d.payload = noise(65535 - 40, 1);
    expect_split(d, 1448, 46);
    d.is_tcp = false;
    d.payload = noise(65535 - 28, 1);
    expect_split(d, 1400, 47);
    d.ip_version = 6;
    d.payload = noise(65535 - 8, 1); // the IPv6 header comes on top
    expect_split(d, 65000, 2);
}

TEST(Split, FlagsOfTheFirstAndTheLastSegment)
{
    Description d;
    d.flags = kAck | kPsh | kFin | kEce | kCwr;
    d.payload = noise(300, 1);
    std::vector<Bytes> segments = split(d, 100);
    ASSERT_EQ(segments.size(), 3U);
    const auto flags = [&](std::size_t i) { return std::to_integer<unsigned>(segments[i][33]); };
    EXPECT_EQ(flags(0), kAck | kEce | kCwr);
    EXPECT_EQ(flags(1), kAck | kEce);
    EXPECT_EQ(flags(2), kAck | kEce | kPsh | kFin);

    d.payload = noise(100, 1); // first and last at once
    segments = split(d, 100);
    ASSERT_EQ(segments.size(), 1U);
    EXPECT_EQ(flags(0), kAck | kPsh | kFin | kEce | kCwr);
}

TEST(Split, SequenceNumberAndIdentificationWrap)
{
    Description d;
    d.sequence = 0xffffff00U;
    d.identification = 0xfffe;
    d.payload = noise(1000, 1);
    const std::vector<Bytes> segments = split(d, 200);
    ASSERT_EQ(segments.size(), 5U);
    EXPECT_EQ(get32(segments[1], 24), 0xffffffc8U);
    EXPECT_EQ(get32(segments[2], 24), 0x00000090U);
    EXPECT_EQ(get16(segments[1], 4), 0xffff);
    EXPECT_EQ(get16(segments[2], 4), 0x0000);
    expect_split(d, 200, 5);
}

TEST(Split, UdpChecksumOfZeroIsSentAsOnes)
{
    for (const unsigned version : {4U, 6U}) {
        Description d;
        d.ip_version = version;
        d.is_tcp = false;
        d.payload = noise(1000, 1);
        // The first word of the second datagram makes its checksum come out as zero.
        put16(d.payload, 500, 0);
        Description second = d;
        second.payload.erase(second.payload.begin(), second.payload.begin() + 500);
        put16(d.payload, 500, get16(build(second), d.checksum_at()));
        const std::vector<Bytes> segments = split(d, 500);
        ASSERT_EQ(segments.size(), 2U);
        EXPECT_EQ(get16(segments[1], d.checksum_at()), 0xffff);
        expect_split(d, 500, 2);
    }
}

TEST(Split, TcpChecksumOfZeroStaysZero)
{
    Description d;
    d.payload = noise(100, 1);
    put16(d.payload, 0, 0);
    put16(d.payload, 0, get16(build(d), d.checksum_at()));
    const std::vector<Bytes> segments = split(d, 100);
    ASSERT_EQ(segments.size(), 1U);
    EXPECT_EQ(get16(segments[0], d.checksum_at()), 0x0000);
}

TEST(Split, OptionsAndExtensionHeadersAreRepeated)
{
    Description v4;
    v4.extension = from_hex("94040000"); // router alert
    v4.payload = noise(1000, 1);
    expect_split(v4, 300, 4);

    Description v6;
    v6.ip_version = 6;
    v6.extension_type = 60;
    v6.payload = noise(1000, 1);
    v6.extension = from_hex("0600010400000000"); // destination options, then TCP
    expect_split(v6, 300, 4);
    v6.extension_type = 0;
    v6.extension = from_hex("3c000104000000000601010c000000000000000000000000"); // hop-by-hop, destination options
    expect_split(v6, 300, 4);
    v6.is_tcp = false;
    v6.extension[8] = std::byte{17};
    expect_split(v6, 300, 4);
}

TEST(Split, TakesThePseudoHeaderFromTheChecksumField)
{
    // With a routing header, the pseudo-header has the last destination (RFC 8200 section 8.1), which the kernel has
    // seen to. The test's own checksum knows nothing of that: the sum differs by the difference of the addresses.
    Description d;
    d.ip_version = 6;
    d.extension_type = 43;
    d.extension = from_hex("0602040100000000fec00000000000000000000000000009"); // type 4, one segment left: ...9
    d.payload = noise(1000, 1);
    Bytes packet = build_partial(d);
    put16(packet, d.checksum_at(), get16(packet, d.checksum_at()) + 6); // ...9 instead of ...3
    const auto super = SuperPacket::parse(offload_for(d, 600), packet);
    ASSERT_TRUE(super);
    for (Bytes &segment : split(*super)) {
        EXPECT_EQ(fault(segment), "TCP or UDP checksum");
        segment[39] = std::byte{9}; // as it arrives at the last destination
        EXPECT_EQ(fault(segment), "");
    }
}

TEST(Split, IgnoresTheHeaderLengthHint)
{
    Description d;
    d.payload = noise(1000, 1);
    const Bytes packet = build_partial(d);
    for (const unsigned hdr_len : {0U, 14U, 500U, 65535U}) {
        OffloadHeader offload = offload_for(d, 300);
        offload.hdr_len = static_cast<std::uint16_t>(hdr_len);
        const auto super = SuperPacket::parse(offload, packet);
        ASSERT_TRUE(super);
        EXPECT_EQ(super->header_size(), 40U);
    }
}

TEST(Split, AcceptsTheEcnBitWithTcpOnly)
{
    Description d;
    d.payload = noise(1000, 1);
    OffloadHeader offload = offload_for(d, 300);
    offload.gso_type |= OffloadHeader::kGsoEcn;
    EXPECT_TRUE(SuperPacket::parse(offload, build_partial(d)));
    d.is_tcp = false;
    offload = offload_for(d, 300);
    offload.gso_type |= OffloadHeader::kGsoEcn;
    EXPECT_EQ(error(offload, build_partial(d)), SplitError::kGsoType);
}

TEST(Split, RefusesAnotherGsoTypeThanThePackets)
{
    for (const unsigned version : {4U, 6U}) {
        for (const bool is_tcp : {true, false}) {
            Description d;
            d.ip_version = version;
            d.is_tcp = is_tcp;
            d.payload = noise(1000, 1);
            const Bytes packet = build_partial(d);
            const OffloadHeader right = offload_for(d, 300);
            for (unsigned type = 0; type < 256; ++type) {
                OffloadHeader offload = right;
                offload.gso_type = static_cast<std::uint8_t>(type);
                if ((type & 0x7fU) == right.gso_type && (is_tcp || type < 0x80)) {
                    EXPECT_TRUE(SuperPacket::parse(offload, packet)) << type;
                    continue;
                }
                // A type that fits the IP version fails by its place of the checksum first.
                const SplitError why = error(offload, packet);
                const unsigned of_version = version == 4 ? OffloadHeader::kGsoTcpV4 : OffloadHeader::kGsoTcpV6;
                if ((type & 0x7fU) == of_version || type == OffloadHeader::kGsoUdpL4)
                    EXPECT_EQ(why, SplitError::kChecksumPlace) << type;
                else
                    EXPECT_EQ(why, SplitError::kGsoType) << type;
            }
            OffloadHeader other = right;
            other.gso_type = is_tcp         ? OffloadHeader::kGsoUdpL4
                             : version == 4 ? OffloadHeader::kGsoTcpV4
                                            : OffloadHeader::kGsoTcpV6;
            other.csum_offset = is_tcp ? 6 : 16;
            EXPECT_EQ(error(other, packet), SplitError::kGsoType);
        }
    }
}

TEST(Split, RefusesLies)
{
    for (const unsigned version : {4U, 6U}) {
        for (const bool is_tcp : {true, false}) {
            Description d;
            d.ip_version = version;
            d.is_tcp = is_tcp;
            d.payload = noise(1000, 1);
            const Bytes packet = build_partial(d);
            const OffloadHeader right = offload_for(d, 300);

            OffloadHeader offload = right;
            offload.gso_size = 0;
            EXPECT_EQ(error(offload, packet), SplitError::kGsoSize);

            offload = right;
            offload.flags = 0;
            EXPECT_EQ(error(offload, packet), SplitError::kChecksumPlace);

            for (const unsigned offset : {0U, 4U, 7U, 15U, 17U, 65535U}) {
                offload = right;
                offload.csum_offset = static_cast<std::uint16_t>(offset);
                EXPECT_EQ(error(offload, packet), SplitError::kChecksumPlace) << offset;
            }
            for (const unsigned start : {0U, 19U, 21U, 24U, 39U, 41U, 48U, 64U, 1000U, 60000U, 65535U}) {
                offload = right;
                offload.csum_start = static_cast<std::uint16_t>(start);
                EXPECT_EQ(error(offload, packet),
                          version == 6 && start > 40 ? SplitError::kIpHeader : SplitError::kChecksumPlace)
                    << start;
            }
            for (const int more : {-1, 1, 1000}) { // the length field
                Bytes lie = packet;
                const std::size_t at = version == 4 ? 2 : 4;
                put16(lie, at, static_cast<unsigned>(get16(lie, at) + more));
                EXPECT_EQ(error(right, lie), SplitError::kIpLength) << more;
            }
            for (std::size_t size = 0; size < packet.size(); ++size) { // the packet is cut
                const SplitError why = error(right, base::ConstOctets(packet).first(size));
                EXPECT_TRUE(why == SplitError::kIpHeader || why == SplitError::kIpLength) << size;
            }
            for (const unsigned first : {0x00U, 0x35U, 0x50U, 0x70U, 0xf5U}) { // the version
                Bytes lie = packet;
                lie[0] = static_cast<std::byte>(first);
                const SplitError why = error(right, lie);
                EXPECT_TRUE(why == SplitError::kIpHeader || why == SplitError::kGsoType) << first;
            }
        }
    }
}

TEST(Split, RefusesFragmentsAndImpossibleIpv4Headers)
{
    Description d;
    d.payload = noise(1000, 1);
    for (const unsigned fragment : {0x2000U, 0x2001U, 0x0001U, 0x1fffU, 0x8000U}) {
        d.fragment = static_cast<std::uint16_t>(fragment);
        EXPECT_EQ(error(offload_for(d, 300), build_partial(d)), SplitError::kIpHeader) << fragment;
    }
    d.fragment = 0; // without DF: not a fragment
    EXPECT_TRUE(SuperPacket::parse(offload_for(d, 300), build_partial(d)));
    Bytes packet = build_partial(d);
    packet[0] = std::byte{0x44};
    EXPECT_EQ(error(offload_for(d, 300), packet), SplitError::kIpHeader);
    packet[0] = std::byte{0x46}; // longer than csum_start says
    EXPECT_EQ(error(offload_for(d, 300), packet), SplitError::kChecksumPlace);
}

TEST(Split, RefusesExtensionHeadersThatDoNotFit)
{
    Description d;
    d.ip_version = 6;
    d.payload = noise(1000, 1);
    d.extension_type = 44; // a fragment header
    d.extension = from_hex("0600000000000001");
    const OffloadHeader offload = offload_for(d, 300);
    Bytes packet = build_partial(d);
    EXPECT_EQ(error(offload, packet), SplitError::kIpHeader);
    packet[6] = std::byte{60};
    EXPECT_TRUE(SuperPacket::parse(offload, packet));
    packet[41] = std::byte{1}; // 16 octets: beyond csum_start
    EXPECT_EQ(error(offload, packet), SplitError::kIpHeader);
    packet[41] = std::byte{255}; // beyond the packet
    EXPECT_EQ(error(offload, packet), SplitError::kIpHeader);
    packet[41] = std::byte{0};
    packet[40] = std::byte{17}; // not TCP behind it
    EXPECT_EQ(error(offload, packet), SplitError::kGsoType);
    // The packet, and its length field, end before or inside the extension header; csum_start says that there is more.
    OffloadHeader far = offload;
    far.csum_start = 60000;
    for (std::size_t size = 40; size < 60; ++size) {
        Bytes cut(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(size));
        put16(cut, 4, static_cast<unsigned>(size - 40));
        EXPECT_EQ(error(far, cut), SplitError::kIpHeader) << size;
    }
}

TEST(Split, RefusesImpossibleTransportHeaders)
{
    Description d;
    d.payload = noise(20, 1);
    Bytes packet = build_partial(d);
    for (const unsigned data_offset : {0x00U, 0x10U, 0x40U, 0xb0U, 0xf0U}) {
        packet[32] = static_cast<std::byte>(data_offset);
        EXPECT_EQ(error(offload_for(d, 10), packet), SplitError::kTransport) << data_offset;
    }
    packet[32] = std::byte{0xa0}; // all 20 octets are options, there is no payload
    const auto super = SuperPacket::parse(offload_for(d, 10), packet);
    ASSERT_TRUE(super);
    EXPECT_EQ(super->count(), 1U);
    EXPECT_EQ(super->payload(0).size(), 0U);

    for (const bool is_tcp : {true, false}) { // the packet, and its length field, end inside the transport header
        d.is_tcp = is_tcp;
        const Bytes whole = build_partial(d);
        for (std::size_t size = 20; size < d.header_size(); ++size) {
            Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
            put16(cut, 2, static_cast<unsigned>(size));
            EXPECT_EQ(error(offload_for(d, 10), cut), SplitError::kTransport) << size;
        }
    }
}

TEST(Split, BoundsTheHeaders)
{
    Description d;
    d.ip_version = 6;
    d.extension_type = 60;
    d.payload = noise(1000, 1);
    d.tcp_options = from_hex("01010101");
    d.extension = Bytes(184); // 40 + 184 + 24 = 248
    d.extension[0] = std::byte{6};
    d.extension[1] = std::byte{184 / 8 - 1};
    expect_split(d, 300, 4);
    d.tcp_options = from_hex("0101010101010101");
    EXPECT_EQ(error(offload_for(d, 300), build_partial(d)), SplitError::kHeadersTooLong);
}

TEST(Split, EachErrorHasANameOfItsOwn)
{
    std::set<std::string> names;
    std::size_t count = 0;
    for (; to_string(static_cast<SplitError>(count)) != "unknown"; ++count)
        names.emplace(to_string(static_cast<SplitError>(count)));
    EXPECT_EQ(names.size(), 7U);
    EXPECT_EQ(count, 7U);
}

TEST(CompleteChecksum, MakesWhatTheSenderWouldHaveMade)
{
    for (const unsigned version : {4U, 6U}) {
        for (const bool is_tcp : {true, false}) {
            for (const std::size_t size : {0U, 1U, 2U, 99U, 1400U}) {
                Description d;
                d.ip_version = version;
                d.is_tcp = is_tcp;
                d.payload = noise(size, 1);
                Bytes packet = build_partial(d);
                EXPECT_TRUE(complete_checksum(offload_for(d, 0), packet));
                EXPECT_EQ(packet, build(d));
            }
        }
    }
}

TEST(CompleteChecksum, LeavesPacketsAloneThatDoNotNeedIt)
{
    Description d;
    d.payload = noise(100, 1);
    const Bytes packet = build_partial(d);
    Bytes same = packet;
    OffloadHeader offload = offload_for(d, 0);
    offload.flags = 2; // DATA_VALID
    EXPECT_TRUE(complete_checksum(offload, same));
    EXPECT_EQ(same, packet);
}

TEST(CompleteChecksum, StoresZeroAsOnes)
{
    Description d;
    d.is_tcp = false;
    d.payload = noise(100, 1);
    put16(d.payload, 0, 0);
    put16(d.payload, 0, get16(build(d), d.checksum_at()));
    Bytes packet = build_partial(d);
    EXPECT_TRUE(complete_checksum(offload_for(d, 0), packet));
    EXPECT_EQ(get16(packet, d.checksum_at()), 0xffff);
    EXPECT_EQ(fault(packet), "");
}

TEST(CompleteChecksum, RefusesAPlaceOutsideThePacket)
{
    Description d;
    d.payload = noise(10, 1);
    const Bytes packet = build_partial(d); // 50 octets
    struct Place {
        std::uint16_t start, offset;
        bool inside;
    };
    for (const Place &place : {Place{20, 28, true}, Place{20, 29, false}, Place{48, 0, true}, Place{49, 0, false},
                               Place{50, 0, false}, Place{51, 0, false}, Place{65535, 65535, false},
                               Place{20, 65535, false}, Place{65535, 0, false}, Place{0, 48, true}}) {
        OffloadHeader offload = offload_for(d, 0);
        offload.csum_start = place.start;
        offload.csum_offset = place.offset;
        Bytes changed = packet;
        EXPECT_EQ(complete_checksum(offload, changed), place.inside) << place.start << "+" << place.offset;
        EXPECT_EQ(changed == packet, !place.inside);
    }
    Bytes empty;
    EXPECT_FALSE(complete_checksum(offload_for(d, 0), empty));
}

} // namespace
} // namespace mpt::proto
