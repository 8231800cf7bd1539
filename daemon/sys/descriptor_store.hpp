// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/sys/file_descriptor.hpp"

#include <map>
#include <string>

namespace mpt::sys {

// Descriptors that the service manager keeps for the service while no process of it runs (FDSTORE=1 in sd_notify(3)):
// over a restart, also after a crash. Without a service manager, or a store, nothing is kept. Names are of printable
// ASCII without ':'.
class DescriptorStore {
public:
    // What was kept, as it was passed to this process: of one process, once.
    static DescriptorStore receive();

    // What was kept under the name, now the caller's, and still kept; invalid if nothing was.
    FileDescriptor take(const std::string &name);
    // Keeps it from now on, while the descriptor stays the caller's.
    void keep(const std::string &name, int fd);
    // Lets go of what is kept under the name.
    void forget(const std::string &name);
    // Lets go of everything that was not taken.
    void forget_rest();

private:
    std::map<std::string, FileDescriptor> received_;
};

} // namespace mpt::sys
