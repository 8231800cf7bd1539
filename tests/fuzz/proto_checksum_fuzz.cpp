// SPDX-License-Identifier: GPL-3.0-or-later
// Input: an offload header, then a packet, as a tun hands them out. The checksum is completed, and all sums are
// compared with a plain loop.
#include "daemon/proto/checksum.hpp"
#include "daemon/proto/split.hpp"

#include <cstdlib>
#include <vector>

using namespace mpt;

namespace {

// RFC 1071 section 1, octet by octet, in network order.
std::uint16_t plain_sum(base::ConstOctets octets)
{
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < octets.size(); ++i) {
        sum += std::to_integer<std::uint32_t>(octets[i]) << (i % 2 == 0 ? 8U : 0U);
        sum = (sum & 0xffffU) + (sum >> 16U);
    }
    return static_cast<std::uint16_t>(sum);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const base::ConstOctets input(reinterpret_cast<const std::byte *>(data), size);
    if (size < proto::kOffloadHeaderSize)
        return 0;
    const proto::OffloadHeader offload = proto::decode_offload(input.first<proto::kOffloadHeaderSize>());
    std::vector<std::byte> packet(input.begin() + proto::kOffloadHeaderSize, input.end());

    const std::size_t cut = packet.empty() ? 0 : offload.gso_size % packet.size();
    const base::ConstOctets all(packet);
    const proto::PartialSum tail = proto::sum_octets(all.subspan(cut));
    const proto::PartialSum sum =
        proto::sum_octets(all.first(cut)) + (cut % 2 == 0 ? tail : proto::at_odd_offset(tail));
    if (base::network_order(proto::fold(sum)) != plain_sum(all))
        std::abort();

    const std::vector<std::byte> before = packet;
    const bool completed = proto::complete_checksum(offload, packet);
    const bool asked = (offload.flags & proto::OffloadHeader::kNeedsCsum) != 0;
    const std::size_t field = std::size_t{offload.csum_start} + offload.csum_offset;
    if (completed != (!asked || field + 2 <= packet.size()))
        std::abort();
    for (std::size_t i = 0; i < packet.size(); ++i) {
        if (packet[i] != before[i] && !(asked && (i == field || i == field + 1)))
            std::abort();
    }
    return 0;
}
