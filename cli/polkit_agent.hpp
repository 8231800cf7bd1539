// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <sys/types.h>

namespace mpt::cli {

// Asks for passwords on the terminal while it exists, if the session has no agent of its own that does: polkit's
// pkttyagent(1), as systemctl(1) runs it. Without that program nothing happens.
class PolkitAgent {
public:
    PolkitAgent();
    ~PolkitAgent();
    PolkitAgent(const PolkitAgent &) = delete;
    PolkitAgent &operator=(const PolkitAgent &) = delete;

private:
    pid_t process_ = -1;
};

} // namespace mpt::cli
