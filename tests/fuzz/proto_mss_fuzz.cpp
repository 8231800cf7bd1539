// SPDX-License-Identifier: GPL-3.0-or-later
// Input: the MTU of the tunnel in two octets, then a packet.
#include "daemon/proto/checksum.hpp"
#include "daemon/proto/inner.hpp"
#include "daemon/proto/mss.hpp"

#include <cstdlib>
#include <vector>

using namespace mpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    if (size < 2)
        return 0;
    const base::ConstOctets input(reinterpret_cast<const std::byte *>(data), size);
    const std::size_t mtu = base::load_be<std::uint16_t>(input.data());
    std::vector<std::byte> packet(input.begin() + 2, input.end()); // exactly as long: nothing behind it is readable
    const auto version = proto::check_inner(packet);
    if (!version)
        return 0;
    const std::vector<std::byte> before = packet;
    proto::clamp_mss(*version, packet, mtu);

    // The sum over everything, checksum and all, is the same (extension headers and IPv4 options have even lengths).
    const auto sum = [](const std::vector<std::byte> &octets) {
        const std::uint16_t folded = proto::fold(proto::sum_octets(octets));
        return folded == 0xffff ? std::uint16_t{0} : folded;
    };
    if (packet != before && !proto::may_announce_mss(*version, before))
        std::abort();
    if (packet.size() != before.size() || sum(packet) != sum(before))
        std::abort();
    // The IP header is as it was, and a second time there is nothing to do.
    const std::size_t ip_size = *version == base::IpVersion::kV4 ? proto::ipv4_header_size(packet) : 40;
    if (!std::equal(before.begin(), before.begin() + static_cast<std::ptrdiff_t>(ip_size), packet.begin()))
        std::abort();
    std::vector<std::byte> again = packet;
    proto::clamp_mss(*version, again, mtu);
    if (again != packet)
        std::abort();
    return 0;
}
