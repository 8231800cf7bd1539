// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/path_mtu_search.hpp"

#include <algorithm>
#include <utility>

namespace mpt::core {

std::optional<std::uint32_t> PathMtuSearch::on_deadline(base::Instant now, std::uint32_t ceiling,
                                                        base::Duration rtt) noexcept
{
    if (!next_ || now < *next_)
        return std::nullopt;
    if (probed_ != 0 && !lives_) {
        next_.reset();
        return std::nullopt;
    }
    if (ceiling < kLeast) {
        probed_ = 0;
        next_.reset();
        return std::nullopt;
    }
    if (probed_ != 0 && tries_ == kMaxProbes)
        fail(now);
    if (phase_ != Phase::kBase)
        follow(ceiling);
    else if (ceiling < base_)
        next_ = now + kConfirm; // the kernel knows more than could be found
    const std::uint32_t size = *next_ > now ? 0 : choose(now);
    if (size == 0)
        return std::nullopt;
    if (std::exchange(probed_, size) != size)
        tries_ = 0;
    ++tries_;
    lives_ = false;
    next_ = now + kTimeout + 2 * rtt;
    return size;
}

void PathMtuSearch::follow(std::uint32_t ceiling) noexcept
{
    const std::uint32_t before = std::exchange(ceiling_, ceiling);
    if (ceiling == before)
        return;
    if (ceiling <= low_) {
        low_ = ceiling;
        found_.reset();
        phase_ = Phase::kConfirm;
        probed_ = 0;
    } else if (ceiling > before) {
        high_ = ceiling + 1;
        phase_ = Phase::kSearch;
        probed_ = 0;
    } else {
        high_ = std::min(high_, ceiling + 1);
    }
}

std::uint32_t PathMtuSearch::choose(base::Instant now) noexcept
{
    if (phase_ == Phase::kBase)
        return base_;
    if (phase_ == Phase::kConfirm) {
        if (low_ == ceiling_ || now < raise_at_)
            return low_;
        high_ = ceiling_ + 1;
        phase_ = Phase::kSearch;
    }
    if (high_ - low_ > 1)
        return high_ > ceiling_ ? ceiling_ : low_ + (high_ - low_) / 2; // most often it is the whole
    phase_ = Phase::kConfirm;
    found_ = low_ < ceiling_ ? std::optional(low_) : std::nullopt;
    raise_at_ = now + kRaise;
    next_ = now + kConfirm;
    return 0;
}

// The size that is probed does not get through.
void PathMtuSearch::fail(base::Instant now) noexcept
{
    const std::uint32_t size = std::exchange(probed_, 0);
    switch (phase_) {
    case Phase::kBase:
        // If something larger got through before it is not the size, but the path.
        phase_ = low_ != 0 ? Phase::kConfirm : Phase::kBase;
        next_ = now + (low_ != 0 ? kConfirm : kRaise);
        break;
    case Phase::kSearch:
        high_ = size;
        if (!found_)
            found_ = low_;
        break;
    case Phase::kConfirm:
        phase_ = Phase::kBase;
        break;
    }
}

void PathMtuSearch::on_refused() noexcept
{
    probed_ = 0;
    next_.reset(); // another time, perhaps with another ceiling
}

void PathMtuSearch::on_answer(base::Instant now, std::uint32_t size) noexcept
{
    if (size != std::exchange(probed_, probed_ == size ? 0 : probed_))
        return;
    next_ = now;
    switch (phase_) {
    case Phase::kBase:
        if (low_ > base_) { // which does not get through any more
            high_ = low_;
            found_ = base_;
        }
        low_ = base_;
        phase_ = Phase::kSearch;
        break;
    case Phase::kSearch:
        low_ = size;
        break;
    case Phase::kConfirm:
        next_ = now + kConfirm;
        break;
    }
}

void PathMtuSearch::on_alive(base::Instant now) noexcept
{
    lives_ = true;
    if (!next_)
        next_ = now;
}

} // namespace mpt::core
