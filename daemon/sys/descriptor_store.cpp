// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/descriptor_store.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fmt/format.h>
#include <systemd/sd-daemon.h>
#include <utility>

namespace mpt::sys {

namespace {

constexpr std::size_t kRoom = 8192; // FileDescriptorStoreMax= in the unit

// Each one that is added is compared with all that are there, by systemd.
constexpr std::size_t kAtOnce = 64;
constexpr base::Duration kComparison = std::chrono::microseconds(1);
constexpr base::Duration kLeastPause = std::chrono::milliseconds(20);

// How long the service manager may take to close a descriptor: to wait for it is a courtesy to who wants its port.
constexpr base::Duration kPatience = std::chrono::milliseconds(500);

} // namespace

DescriptorStore DescriptorStore::receive()
{
    DescriptorStore store;
    char **names = nullptr;
    const int count = sd_listen_fds_with_names(1, &names);
    for (int i = 0; i < count; ++i) {
        store.received_.insert_or_assign(names[i], FileDescriptor(SD_LISTEN_FDS_START + i));
        store.names_.insert(names[i]);
    }
    for (int i = 0; i < count; ++i)
        std::free(names[i]);
    std::free(names);
    return store;
}

FileDescriptor DescriptorStore::take(const std::string &name)
{
    auto found = received_.extract(name);
    return found.empty() ? FileDescriptor() : std::move(found.mapped());
}

std::map<std::string, FileDescriptor> DescriptorStore::take_all(const std::string &prefix)
{
    std::map<std::string, FileDescriptor> taken;
    for (auto at = received_.lower_bound(prefix); at != received_.end() && at->first.starts_with(prefix);)
        taken.insert(received_.extract(at++));
    return taken;
}

int DescriptorStore::keep(const std::string &name, int fd)
{
    if (names_.size() >= kRoom)
        return 0;
    // FDPOLL=0: systemd would let go of what reports an error, and that is decided here.
    const int sent = sd_pid_notify_with_fds(0, 0, fmt::format("FDSTORE=1\nFDPOLL=0\nFDNAME={}", name).c_str(), &fd, 1);
    if (sent > 0)
        names_.insert(name);
    return sent;
}

int DescriptorStore::forget(const std::string &name)
{
    const int sent = sd_notify(0, fmt::format("FDSTOREREMOVE=1\nFDNAME={}", name).c_str());
    if (sent > 0) {
        names_.erase(name);
        is_closing_ = true;
    }
    return sent;
}

bool DescriptorStore::keep_just(const std::string &prefix, const std::map<std::string, int> &wanted)
{
    std::size_t count = 0;
    for (const std::string &name : others(prefix, wanted)) {
        if (count++ == kAtOnce)
            return false;
        if (const int sent = forget(name); sent <= 0)
            return sent == 0;
    }
    for (const auto &[name, fd] : wanted) {
        if (names_.contains(name))
            continue;
        if (count++ == kAtOnce)
            return false;
        if (const int sent = keep(name, fd); sent <= 0)
            return sent == 0;
    }
    return true;
}

base::Duration DescriptorStore::pause() const noexcept
{
    return std::max(kLeastPause, 2 * static_cast<int>(kAtOnce * names_.size()) * kComparison);
}

void DescriptorStore::forget_others(const std::string &prefix, const std::map<std::string, int> &wanted)
{
    for (const std::string &name : others(prefix, wanted))
        forget(name);
}

std::vector<std::string> DescriptorStore::others(const std::string &prefix,
                                                 const std::map<std::string, int> &wanted) const
{
    std::vector<std::string> names;
    for (auto at = names_.lower_bound(prefix); at != names_.end() && at->starts_with(prefix); ++at)
        if (!wanted.contains(*at))
            names.push_back(*at);
    return names;
}

bool DescriptorStore::wait_for_closing()
{
    if (!is_closing_)
        return false;
    is_closing_ = false;
    sd_notify_barrier(0, base::microseconds(kPatience));
    return true;
}

void DescriptorStore::forget_rest(const std::set<std::string> &wanted)
{
    std::erase_if(received_, [&](const auto &received) {
        if (wanted.contains(received.first))
            return false;
        forget(received.first);
        return true;
    });
}

} // namespace mpt::sys
