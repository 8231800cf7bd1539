// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/source_filter.hpp"

#include "daemon/proto/inner.hpp"

#include <algorithm>
#include <cstring>

namespace mpt::plane {

void SourceFilter::follow(const core::ForwardingTable &table, std::uint32_t connection) noexcept
{
    table_ = &table;
    connection_ = connection;
    passed_size_ = 0;
}

SourceFilter::Verdict SourceFilter::check(base::ConstOctets packet) noexcept
{
    const bool v4 = proto::version_nibble(packet) == 4;
    const base::ConstOctets addresses = v4 ? packet.subspan(proto::ipv4::kAddresses, 2 * proto::ipv4::kAddressSize)
                                           : packet.subspan(proto::ipv6::kAddresses, 2 * proto::ipv6::kAddressSize);
    if (addresses.size() == passed_size_ && std::memcmp(addresses.data(), passed_.data(), passed_size_) == 0)
        return Verdict::kPass;
    const auto [source, destination] = proto::inner_addresses(v4 ? base::IpVersion::kV4 : base::IpVersion::kV6, packet);
    if (table_ != nullptr && table_->find(destination, source) == connection_) {
        std::copy(addresses.begin(), addresses.end(), passed_.begin());
        passed_size_ = addresses.size();
        return Verdict::kPass;
    }
    if (source.is_link_local() || source.is_unspecified() || destination.is_link_local() || destination.is_multicast())
        return Verdict::kNoise;
    return Verdict::kSpoofed;
}

} // namespace mpt::plane
