// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/time.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mpt::core {

// A limit on how many datagrams of each source address are looked at: a token bucket for each, in a table of fixed size
// that is allocated once. Sources whose addresses share a place of the table share a bucket.
class SourceLimiter {
public:
    // On average `rate` a second, from 1, at most `burst` at a time. `secret` is random, so that nobody can choose an
    // address that shares the bucket of another.
    SourceLimiter(std::uint32_t rate, std::uint32_t burst, std::uint64_t secret);

    // Whether one more is allowed now; it counts then.
    bool allow(base::Instant now, const base::Address &source) noexcept;

private:
    static constexpr std::size_t kBuckets = 4096; // a power of two

    base::Duration interval_; // a token's worth
    base::Duration depth_;    // a full bucket's worth
    std::uint64_t secret_;
    std::vector<base::Instant> full_at_; // when each bucket will be full again
};

} // namespace mpt::core
