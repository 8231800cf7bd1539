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
    return flag(interface)->exchange(ready) != ready;
}

} // namespace mpt::plane
