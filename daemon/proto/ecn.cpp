// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/ecn.hpp"

#include "daemon/proto/checksum.hpp"
#include "daemon/proto/headers.hpp"
#include "daemon/proto/native.hpp"

namespace mpt::proto {

namespace {

// The ECN field of an IPv6 header is in the upper half of its second octet.
constexpr unsigned kIpv6Shift = 4;

void set_ecn(std::uint8_t ecn, base::IpVersion version, base::Octets packet) noexcept
{
    std::byte &octet = packet[1];
    if (version == base::IpVersion::kV6) {
        octet = (octet & static_cast<std::byte>(~(kEcnMask << kIpv6Shift) & 0xff)) |
                static_cast<std::byte>(ecn << kIpv6Shift);
        return;
    }
    const auto before = load_native<std::uint16_t>(packet.data());
    octet = (octet & static_cast<std::byte>(~kEcnMask & 0xff)) | static_cast<std::byte>(ecn);
    const auto after = load_native<std::uint16_t>(packet.data());
    std::byte *checksum = packet.data() + ipv4::kChecksum;
    store_native(checksum, update_checksum(load_native<std::uint16_t>(checksum), before, after));
}

} // namespace

std::uint8_t traffic_class(base::IpVersion version, base::ConstOctets packet) noexcept
{
    if (version == base::IpVersion::kV4)
        return octet(packet, ipv4::kTypeOfService);
    return static_cast<std::uint8_t>(octet(packet, 0) << 4 | octet(packet, 1) >> 4);
}

bool take_ecn(std::uint8_t outer_traffic_class, base::IpVersion version, base::Octets packet) noexcept
{
    const std::uint8_t outer = outer_traffic_class & kEcnMask;
    const std::uint8_t inner = traffic_class(version, packet) & kEcnMask;
    if (inner == kEcnNone)
        return outer != kEcnCongested;
    if (outer == kEcnCongested && inner != kEcnCongested)
        set_ecn(kEcnCongested, version, packet);
    else if (outer == kEct1 && inner == kEct0)
        set_ecn(kEct1, version, packet);
    return true;
}

} // namespace mpt::proto
