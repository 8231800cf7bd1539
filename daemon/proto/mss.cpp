// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/mss.hpp"

#include "daemon/proto/checksum.hpp"

namespace mpt::proto {

namespace {

// RFC 9293 section 3.1
constexpr std::uint8_t kEndOfOptions = 0;
constexpr std::uint8_t kNoOperation = 1;
constexpr std::uint8_t kMaximumSegmentSize = 2;
constexpr std::size_t kMssOptionSize = 4;

// Where the TCP header of a packet begins; its size if there is none to be found.
std::size_t tcp_at(base::IpVersion version, base::ConstOctets packet) noexcept
{
    if (version == base::IpVersion::kV4) {
        const auto fragment = base::load_be<std::uint16_t>(packet.data() + ipv4::kFragment);
        const bool is_whole = (fragment & ~ipv4::kDontFragment) == 0;
        return octet(packet, ipv4::kProtocol) == kProtocolTcp && is_whole ? ipv4_header_size(packet) : packet.size();
    }
    std::uint8_t next = octet(packet, ipv6::kNextHeader);
    std::size_t at = ipv6::kHeaderSize;
    while (ipv6::is_skippable(next) && at + 2 <= packet.size()) {
        next = octet(packet, at);
        at += (octet(packet, at + 1) + std::size_t{1}) * 8;
    }
    return next == kProtocolTcp ? at : packet.size();
}

// Lowers the 16 bits at an offset of a TCP header to `limit`, if they are more.
void lower(base::Octets header, std::size_t at, std::size_t limit) noexcept
{
    std::byte *const field = header.data() + at;
    const auto before = load_native<std::uint16_t>(field);
    if (base::network_order(before) <= limit)
        return;
    const auto after = base::network_order(static_cast<std::uint16_t>(limit));
    store_native(field, after);
    // An option may be at an odd offset; then its octets count in two words (RFC 1071 section 2 (B)).
    std::byte *const checksum = header.data() + tcp::kChecksum;
    const auto sum = load_native<std::uint16_t>(checksum);
    store_native(checksum, at % 2 == 0 ? update_checksum(sum, before, after)
                                       : update_checksum(sum, base::byte_swap(before), base::byte_swap(after)));
}

} // namespace

void clamp_mss(base::IpVersion version, base::Octets packet, std::size_t mtu) noexcept
{
    const std::size_t start = tcp_at(version, packet);
    if (start + tcp::kHeaderSize > packet.size() || (octet(packet, start + tcp::kFlags) & tcp::kSyn) == 0)
        return;
    const std::size_t size = std::size_t{octet(packet, start + tcp::kDataOffset)} / 16 * 4;
    const std::size_t headers = (version == base::IpVersion::kV4 ? ipv4::kHeaderSize : ipv6::kHeaderSize) +
                                tcp::kHeaderSize; // RFC 6691: without the options of either
    if (start + size > packet.size() || mtu <= headers)
        return;
    const base::Octets header = packet.subspan(start, size);
    for (std::size_t at = tcp::kHeaderSize; at < size;) {
        const std::uint8_t kind = octet(header, at);
        if (kind == kEndOfOptions)
            return;
        if (kind == kNoOperation) {
            ++at;
            continue;
        }
        const std::size_t length = at + 1 < size ? octet(header, at + 1) : 0;
        if (length < 2 || at + length > size)
            return;
        if (kind == kMaximumSegmentSize && length == kMssOptionSize)
            lower(header, at + 2, mtu - headers);
        at += length;
    }
}

} // namespace mpt::proto
