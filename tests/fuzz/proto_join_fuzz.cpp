// SPDX-License-Identifier: GPL-3.0-or-later
// Input: packets, each behind three octets: two with its size, and one that says what to do with it first.
#include "daemon/proto/checksum.hpp"
#include "daemon/proto/headers.hpp"
#include "daemon/proto/join.hpp"
#include "daemon/proto/split.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

using namespace mpt;
using namespace mpt::proto;

namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint8_t kFixChecksums = 1; // make the checksums right, which no fuzzer would guess
constexpr std::uint8_t kFollowLast = 2;   // instead of the octets given, what would follow the last packet in its flow
constexpr std::size_t kMaxInput = 1U << 16U;

std::size_t transport_of(const Bytes &packet)
{
    return packet[0] < std::byte{0x60} ? ipv4::kHeaderSize : ipv6::kHeaderSize;
}

void fix_checksums(Bytes &packet)
{
    const auto segment = Segment::parse(packet);
    if (!segment)
        return;
    const auto store = [&](std::size_t at, std::uint16_t value) { std::memcpy(packet.data() + at, &value, 2); };
    const base::ConstOctets octets(packet);
    if (segment->is_v4) {
        store(ipv4::kChecksum, 0);
        store(ipv4::kChecksum, finish_checksum(sum_octets(octets.first(ipv4::kHeaderSize))));
    }
    const std::size_t field = segment->transport + (segment->is_tcp ? tcp::kChecksum : udp::kChecksum);
    store(field, 0);
    const base::ConstOctets transport = octets.subspan(segment->transport);
    store(field, finish_udp_checksum(sum_octets(transport) +
                                     pseudo_header_sum(segment->is_v4 ? octets.subspan(ipv4::kAddresses, 8)
                                                                      : octets.subspan(ipv6::kAddresses, 32),
                                                       segment->is_tcp ? kProtocolTcp : kProtocolUdp,
                                                       static_cast<std::uint32_t>(transport.size()))));
}

void advance(Bytes &packet)
{
    const auto segment = Segment::parse(packet);
    if (!segment)
        return;
    if (segment->is_v4) {
        std::byte *const at = packet.data() + ipv4::kIdentification;
        base::store_be(at, static_cast<std::uint16_t>(base::load_be<std::uint16_t>(at) + 1));
    }
    if (segment->is_tcp) {
        std::byte *const at = packet.data() + segment->transport + tcp::kSequence;
        base::store_be(at, static_cast<std::uint32_t>(base::load_be<std::uint32_t>(at) + segment->payload().size()));
    }
}

// Splits what was joined again: it must be the packets of the run, but for identifications that were all the same.
void check(const Join::Packet &joined, const std::vector<const Bytes *> &run)
{
    if (run.size() == 1) {
        if (joined.offload != OffloadHeader{} || !joined.payloads.empty() || joined.header.data() != run[0]->data() ||
            joined.header.size() != run[0]->size())
            std::abort();
        return;
    }
    Bytes whole(joined.header.begin(), joined.header.end());
    for (const base::ConstOctets payload : joined.payloads)
        whole.insert(whole.end(), payload.begin(), payload.end());
    const auto super = SuperPacket::parse(joined.offload, whole);
    if (!super || super->count() != run.size())
        std::abort();
    for (std::size_t i = 0; i < run.size(); ++i) {
        Bytes original = *run[i];
        const std::size_t transport = transport_of(original);
        const bool is_tcp = joined.offload.csum_offset == tcp::kChecksum;
        Bytes again(super->header_size());
        super->write_headers(i, again);
        again.insert(again.end(), super->payload(i).begin(), super->payload(i).end());
        if (transport == ipv4::kHeaderSize) {
            std::copy_n(again.begin() + ipv4::kIdentification, 2, original.begin() + ipv4::kIdentification);
            std::copy_n(again.begin() + ipv4::kChecksum, 2, original.begin() + ipv4::kChecksum);
        }
        // Zero has two forms, 0x0000 and 0xffff, and senders may use either in TCP.
        const auto field = static_cast<std::ptrdiff_t>(transport + (is_tcp ? tcp::kChecksum : udp::kChecksum));
        if (base::load_be<std::uint16_t>(original.data() + field) == 0xffff)
            std::copy_n(again.begin() + field, 2, original.begin() + field);
        if (again != original)
            std::abort();
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    base::Reader reader({reinterpret_cast<const std::byte *>(data), std::min(size, kMaxInput)});
    std::vector<Bytes> packets;
    while (packets.size() < 200) {
        const auto length = reader.read<std::uint16_t>();
        const auto actions = reader.read<std::uint8_t>();
        const auto octets = reader.take(std::min<std::size_t>(length.value_or(0), reader.rest().size()));
        if (!length || !actions || !octets)
            break;
        if ((*actions & kFollowLast) != 0 && !packets.empty()) {
            packets.push_back(packets.back());
            advance(packets.back());
        } else {
            packets.emplace_back(octets->begin(), octets->end());
        }
        if ((*actions & kFixChecksums) != 0)
            fix_checksums(packets.back());
    }

    Join join(true);
    std::vector<const Bytes *> run;
    const auto finish = [&] {
        if (join.count() != run.size())
            std::abort();
        if (!run.empty())
            check(join.finish(), run);
        run.clear();
    };
    for (const Bytes &packet : packets) {
        const auto segment = Segment::parse(packet);
        const bool joined = segment && join.append(*segment);
        if (!joined)
            finish();
        if (joined || (segment && join.start(*segment)))
            run.push_back(&packet);
    }
    finish();
    return 0;
}
