// SPDX-License-Identifier: GPL-3.0-or-later
// Input: a UDP payload as the data port receives it.
#include "daemon/proto/gre.hpp"
#include "daemon/proto/inner.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

using namespace mpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const base::ConstOctets datagram(reinterpret_cast<const std::byte *>(data), size);
    const auto packet = proto::decode_gre(datagram);
    if (!packet) {
        if (static_cast<std::size_t>(packet.error()) >= proto::kDropReasonCount)
            std::abort();
        return 0;
    }

    // What was accepted is said again by the encoder.
    std::array<std::byte, proto::kGreSequencedSize> header{};
    const std::size_t header_size = packet->has_sequence ? proto::kGreSequencedSize : proto::kGreSize;
    if (packet->has_sequence)
        proto::encode_gre(packet->version, packet->sequence, header);
    else
        proto::encode_gre(packet->version, std::span(header).first<proto::kGreSize>());
    if (header_size + packet->payload.size() != size ||
        !std::equal(datagram.begin(), datagram.begin() + static_cast<std::ptrdiff_t>(header_size), header.begin()))
        std::abort();

    if (!packet->is_control) {
        const proto::InnerAddresses addresses = proto::inner_addresses(packet->version, packet->payload);
        if (packet->version == base::IpVersion::kV4 && (!addresses.source.is_v4() || !addresses.destination.is_v4()))
            std::abort();
    }
    return 0;
}
