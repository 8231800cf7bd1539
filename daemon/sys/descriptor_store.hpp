// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/result.hpp"
#include "daemon/base/time.hpp"
#include "daemon/sys/file_descriptor.hpp"

#include <map>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
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

    // What `adopt`, from a descriptor to a Result, makes of what was kept under the name, and still is; kNotFound if
    // nothing was. What it refuses is let go, and closed as after wait_for_closing(): another one can take its place.
    template <typename Adopt> std::invoke_result_t<Adopt &, FileDescriptor> adopt(const std::string &name, Adopt adopt)
    {
        FileDescriptor kept = take(name);
        if (!kept.valid())
            return base::fail(base::ErrorCode::kNotFound, name + " was not kept");
        auto adopted = adopt(std::move(kept));
        if (!adopted) {
            forget(name);
            wait_for_closing();
        }
        return adopted;
    }
    // All that was kept under names that begin so, by name: now the caller's, and still kept.
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
    // What was kept under the name, now the caller's; invalid if nothing was.
    FileDescriptor take(const std::string &name);
    // What is kept under names that begin so and are not among these.
    std::vector<std::string> others(const std::string &prefix, const std::map<std::string, int> &wanted) const;

    std::map<std::string, FileDescriptor> received_;
    std::set<std::string> names_; // of all that is kept
    bool is_closing_ = false;     // something, since the last wait_for_closing()
};

} // namespace mpt::sys
