// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/descriptor_store.hpp"

#include <cstdlib>
#include <fmt/format.h>
#include <systemd/sd-daemon.h>
#include <utility>

namespace mpt::sys {

DescriptorStore DescriptorStore::receive()
{
    DescriptorStore store;
    char **names = nullptr;
    const int count = sd_listen_fds_with_names(1, &names);
    for (int i = 0; i < count; ++i)
        store.received_.insert_or_assign(names[i], FileDescriptor(SD_LISTEN_FDS_START + i));
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

void DescriptorStore::keep(const std::string &name, int fd)
{
    // FDPOLL=0: it decides by itself what is of no use any more.
    sd_pid_notify_with_fds(0, 0, fmt::format("FDSTORE=1\nFDPOLL=0\nFDNAME={}", name).c_str(), &fd, 1);
}

void DescriptorStore::forget(const std::string &name)
{
    sd_notify(0, fmt::format("FDSTOREREMOVE=1\nFDNAME={}", name).c_str());
}

void DescriptorStore::forget_rest()
{
    for (const auto &[name, fd] : received_)
        forget(name);
    received_.clear();
}

} // namespace mpt::sys
