// SPDX-License-Identifier: GPL-3.0-or-later
// Input: an offload header, then a packet, as a tun hands them out.
#include "daemon/proto/checksum.hpp"
#include "daemon/proto/inner.hpp"
#include "daemon/proto/split.hpp"

#include <cstdlib>
#include <vector>

using namespace mpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const base::ConstOctets input(reinterpret_cast<const std::byte *>(data), size);
    if (size < proto::kOffloadHeaderSize)
        return 0;
    const base::ConstOctets packet = input.subspan(proto::kOffloadHeaderSize);
    const auto super =
        proto::SuperPacket::parse(proto::decode_offload(input.first<proto::kOffloadHeaderSize>()), packet);
    if (!super)
        return 0;
    if (super->count() == 0 || super->header_size() > proto::kMaxInnerHeaders)
        std::abort();

    // The payloads are the packet's, one behind the other, and each segment is a packet that a peer would take.
    const std::byte *expected = packet.data() + super->header_size();
    for (std::size_t i = 0; i < super->count(); ++i) {
        const base::ConstOctets payload = super->payload(i);
        if (payload.data() != expected || (payload.empty() && super->count() != 1))
            std::abort();
        expected += payload.size();
        std::vector<std::byte> segment(super->header_size());
        super->write_headers(i, segment);
        segment.insert(segment.end(), payload.begin(), payload.end());
        const auto version = proto::check_inner(segment);
        if (!version)
            std::abort();
        const std::size_t ip_size = *version == base::IpVersion::kV4 ? proto::ipv4_header_size(segment) : 0;
        if (ip_size != 0 && proto::fold(proto::sum_octets(base::ConstOctets(segment).first(ip_size))) != 0xffff)
            std::abort();
    }
    if (expected != packet.data() + packet.size())
        std::abort();
    return 0;
}
