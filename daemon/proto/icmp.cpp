// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/icmp.hpp"

#include "daemon/proto/checksum.hpp"
#include "daemon/proto/headers.hpp"
#include "daemon/proto/inner.hpp"

#include <algorithm>
#include <cstring>

namespace mpt::proto {

namespace {

constexpr std::uint8_t kProtocolIcmp = 1;
constexpr std::uint8_t kProtocolIcmpV6 = 58;
constexpr std::size_t kIcmpHeaderSize = 8;   // with the unused word
constexpr std::size_t kMaxIcmpV4Error = 576; // RFC 1812 section 4.3.2.3
constexpr std::uint8_t kHopLimit = 64;

// True if an ICMPv4 message of this type is an error or a redirect (RFC 1122 section 3.2.2).
bool is_icmp_error(std::uint8_t type) noexcept
{
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

bool may_be_answered(const base::Address &address) noexcept
{
    static const base::Address broadcast = base::Address::from_octets(
        std::span<const std::byte, 4>(std::array{std::byte{255}, std::byte{255}, std::byte{255}, std::byte{255}}));
    return !address.is_multicast() && !address.is_unspecified() && address != broadcast;
}

bool deserves_error_v4(base::ConstOctets packet) noexcept
{
    const auto fragment = base::load_be<std::uint16_t>(packet.data() + ipv4::kFragment);
    if ((fragment & 0x1fffU) != 0)
        return false;
    const std::size_t header_size = ipv4_header_size(packet);
    return std::to_integer<std::uint8_t>(packet[ipv4::kProtocol]) != kProtocolIcmp ||
           (packet.size() > header_size && !is_icmp_error(std::to_integer<std::uint8_t>(packet[header_size])));
}

bool deserves_error_v6(base::ConstOctets packet) noexcept
{
    // ICMPv6 behind an extension header is not looked for: the rate of errors is bounded anyway.
    return std::to_integer<std::uint8_t>(packet[ipv6::kNextHeader]) != kProtocolIcmpV6 ||
           (packet.size() > ipv6::kHeaderSize && std::to_integer<std::uint8_t>(packet[ipv6::kHeaderSize]) >= 128);
}

// `kind` is type and code, `rest` the second word of the ICMP header.
base::ConstOctets write_error(base::ConstOctets packet, const base::Address &from, std::uint16_t kind,
                              std::uint32_t rest, std::span<std::byte, kMaxIcmpError> to) noexcept
{
    const bool v4 = from.is_v4();
    const InnerAddresses addresses = inner_addresses(from.version(), packet);
    if (!may_be_answered(addresses.source) || !may_be_answered(addresses.destination) ||
        !(v4 ? deserves_error_v4(packet) : deserves_error_v6(packet)))
        return {};
    const std::size_t ip_size = v4 ? ipv4::kHeaderSize : ipv6::kHeaderSize;
    const std::size_t room = (v4 ? kMaxIcmpV4Error : kMaxIcmpError) - ip_size - kIcmpHeaderSize;
    const base::ConstOctets quoted = packet.first(std::min(packet.size(), room));
    const std::size_t icmp_size = kIcmpHeaderSize + quoted.size();
    base::Writer writer(to);
    if (v4)
        writer.write<std::uint16_t>(0x4500)
            .write(static_cast<std::uint16_t>(ip_size + icmp_size))
            .write<std::uint32_t>(0) // identification, fragment
            .write(kHopLimit)
            .write(kProtocolIcmp)
            .write<std::uint16_t>(0); // checksum
    else
        writer.write<std::uint32_t>(0x60000000)
            .write(static_cast<std::uint16_t>(icmp_size))
            .write(kProtocolIcmpV6)
            .write(kHopLimit);
    writer.put(from.octets()).put(addresses.source.octets());
    writer.write(kind).zeros(2).write(rest).put(quoted);

    const base::Octets icmp = base::Octets(to).subspan(ip_size, icmp_size);
    PartialSum sum = sum_octets(icmp);
    if (!v4)
        sum += pseudo_header_sum(base::ConstOctets(to).subspan(ipv6::kAddresses, 2 * ipv6::kAddressSize),
                                 kProtocolIcmpV6, static_cast<std::uint32_t>(icmp_size));
    const std::uint16_t checksum = finish_checksum(sum);
    std::memcpy(icmp.data() + 2, &checksum, sizeof checksum);
    if (v4) {
        const std::uint16_t header_checksum = finish_checksum(sum_octets(base::ConstOctets(to).first(ip_size)));
        std::memcpy(to.data() + ipv4::kChecksum, &header_checksum, sizeof header_checksum);
    }
    return writer.written();
}

} // namespace

base::ConstOctets write_unreachable(base::ConstOctets packet, const base::Address &from,
                                    std::span<std::byte, kMaxIcmpError> to) noexcept
{
    // Type and code: 3, 1 host unreachable; 1, 3 address unreachable.
    return write_error(packet, from, from.is_v4() ? 0x0301 : 0x0103, 0, to);
}

base::ConstOctets write_too_big(base::ConstOctets packet, const base::Address &from, std::uint32_t mtu,
                                std::span<std::byte, kMaxIcmpError> to) noexcept
{
    const bool v4 = from.is_v4();
    const bool may_be_fragmented =
        v4 && (base::load_be<std::uint16_t>(packet.data() + ipv4::kFragment) & ipv4::kDontFragment) == 0;
    if (may_be_fragmented || (!v4 && mtu < ipv6::kMinMtu))
        return {};
    return write_error(packet, from, v4 ? 0x0304 : 0x0200, v4 ? std::min(mtu, 0xffffU) : mtu, to);
}

} // namespace mpt::proto
