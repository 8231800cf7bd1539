// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/link_flags.hpp"

namespace mpt::plane {

LinkFlag LinkFlags::flag(const std::string &interface)
{
    const std::lock_guard lock(mutex_);
    LinkFlag &flag = flags_[interface];
    if (!flag)
        flag = std::make_shared<std::atomic<bool>>(true);
    return flag;
}

bool LinkFlags::set(const std::string &interface, bool ready)
{
    const std::lock_guard lock(mutex_);
    const auto found = flags_.find(interface);
    return found != flags_.end() && found->second->exchange(ready) != ready;
}

} // namespace mpt::plane
