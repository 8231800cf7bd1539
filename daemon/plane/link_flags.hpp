// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace mpt::plane {

// Shared by the table below and by the paths of an interface at their workers; true while it can carry packets.
using LinkFlag = std::shared_ptr<std::atomic<bool>>;

// Which interfaces can carry packets, for workers to read without waiting. Any thread may set and look up.
class LinkFlags {
public:
    // The flag of an interface; one that nothing was said of can.
    LinkFlag flag(const std::string &interface);
    // False if it was so already, or nobody has asked for the flag.
    bool set(const std::string &interface, bool ready);

private:
    std::mutex mutex_;
    std::map<std::string, LinkFlag> flags_;
};

} // namespace mpt::plane
