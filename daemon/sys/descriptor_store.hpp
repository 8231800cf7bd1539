// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/time.hpp"
#include "daemon/sys/file_descriptor.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace mpt::sys {

// Descriptors that the service manager keeps for the service while no process of it runs (FDSTORE=1 in sd_notify(3)):
// over a restart, also after a crash. Without a service manager, or a store, nothing is kept. Names are of printable
// ASCII without ':', and short: the kernel takes 128 KiB for all of them together (MAX_ARG_STRLEN in execve(2)).
class DescriptorStore {
public:
    // What was kept, as it was passed to this process: of one process, once.
    static DescriptorStore receive();

    // Whether nothing is kept.
    bool is_empty() const noexcept { return names_.empty(); }

    // What was kept under the name, now the caller's, and still kept; invalid if nothing was.
    FileDescriptor take(const std::string &name);
    // All of those whose name begins so, by name; likewise.
    std::map<std::string, FileDescriptor> take_all(const std::string &prefix);
    // Keeps it from now on, while the descriptor stays the caller's. Positive if the service manager was told, 0 if
    // there is none, or no room, negative if it cannot be told now.
    int keep(const std::string &name, int fd);
    // Lets go of what is kept under the name; likewise.
    int forget(const std::string &name);
    // Keeps these, and lets go of all others whose name begins so. The service manager takes its time over each one: of
    // many, only some are dealt with by one call. False if there are more, or it cannot be told now: to be called again
    // after pause().
    bool keep_just(const std::string &prefix, const std::map<std::string, int> &wanted);
    // Twice what the service manager takes over one call of keep_just(): it has all other services to look after.
    base::Duration pause() const noexcept;
    // Lets go of the others, all at once: for who waits for their ports.
    void forget_others(const std::string &prefix, const std::map<std::string, int> &wanted);
    // Waits, for half a second at most, until the service manager has closed what was let go since the last call (since
    // systemd 254: has begun to); false if that was nothing.
    bool wait_for_closing();
    // Lets go of everything that was not taken, but what has these names.
    void forget_rest(const std::set<std::string> &wanted);

private:
    // What is kept under names that begin so and are not among these.
    std::vector<std::string> others(const std::string &prefix, const std::map<std::string, int> &wanted) const;

    std::map<std::string, FileDescriptor> received_;
    std::set<std::string> names_; // of all that is kept
    bool is_closing_ = false;     // something, since the last wait_for_closing()
};

} // namespace mpt::sys
