// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/auto_mtu.hpp"

#include <algorithm>
#include <utility>

namespace mpt::core {

bool AutoMtu::update(base::Instant now, std::uint32_t room) noexcept
{
    if (mtu_ == 0 || room <= mtu_) {
        since_.reset();
        return std::exchange(mtu_, room) != room;
    }
    if (!since_) {
        since_ = now;
        least_ = room;
    }
    least_ = std::min(least_, room);
    if (now - *since_ < kHold)
        return false;
    since_.reset();
    mtu_ = least_;
    return true;
}

} // namespace mpt::core
