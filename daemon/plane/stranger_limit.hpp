// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/core/source_limiter.hpp"

namespace mpt::plane {

// How many keepalives are verified that come from elsewhere and are of no session whose key is at hand, so that a key
// must be derived for each. A host that has restarted sends few of them. Those of the session are not limited: to
// verify one takes less than to receive it, and so no flood keeps a peer away that has only moved.
class StrangerLimit {
public:
    // `secret` is random.
    explicit StrangerLimit(std::uint64_t secret) : each_(kEach, kEach, secret), all_(kAll, kAll, 0) {}

    bool allow(base::Instant now, const base::Address &source) noexcept
    {
        return each_.allow(now, source) && all_.allow(now, {});
    }

private:
    // A second, and at once. Behind one address may be a thousand hosts, which all begin anew when this one does.
    static constexpr std::uint32_t kEach = 1000;
    static constexpr std::uint32_t kAll = 5000; // some per cent of a processor

    core::SourceLimiter each_;
    core::SourceLimiter all_;
};

} // namespace mpt::plane
