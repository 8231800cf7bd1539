// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/notify.hpp"

#include <systemd/sd-daemon.h>

namespace mpt::sys {

void notify(const char *state) noexcept
{
    sd_notify(0, state);
}

} // namespace mpt::sys
