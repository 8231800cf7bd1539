// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/source_limiter.hpp"

#include <algorithm>

namespace mpt::core {

SourceLimiter::SourceLimiter(std::uint32_t rate, std::uint32_t burst, std::uint64_t secret)
    : interval_(base::Duration(std::chrono::seconds(1)) / rate), depth_(interval_ * burst), secret_(secret),
      full_at_(kBuckets)
{
}

bool SourceLimiter::allow(base::Instant now, const base::Address &source) noexcept
{
    // Two rounds of splitmix64's finaliser, one for each half of the address.
    std::uint64_t hash = secret_;
    for (const std::size_t half : {0U, 8U}) {
        hash ^= base::load_be<std::uint64_t>(source.mapped().data() + half);
        hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9U;
        hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebU;
        hash ^= hash >> 31;
    }
    base::Instant &full_at = full_at_[hash % kBuckets];
    const base::Instant after = std::max(full_at, now) + interval_;
    if (after - now > depth_)
        return false;
    full_at = after;
    return true;
}

} // namespace mpt::core
