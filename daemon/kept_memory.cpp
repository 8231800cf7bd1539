// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/kept_memory.hpp"

#include "daemon/sys/clock.hpp"
#include "daemon/sys/log.hpp"
#include "daemon/sys/notify.hpp"

#include <thread>
#include <utility>

namespace mpt {

namespace {

constexpr const char *kMemoryName = "memory/connections"; // in the store

constexpr base::Duration kSoon = std::chrono::seconds(2);
constexpr base::Duration kFailurePause = std::chrono::seconds(2);

} // namespace

base::Result<sys::MemoryFile> kept_memory(sys::DescriptorStore &store)
{
    if (sys::FileDescriptor fd = store.take(kMemoryName); fd.valid()) {
        if (auto kept = sys::MemoryFile::adopt(std::move(fd), plane::KeptState::kSize))
            return kept;
        store.forget(kMemoryName);
    }
    auto made = sys::MemoryFile::create("mptd-connections", plane::KeptState::kSize);
    if (made)
        store.keep(kMemoryName, made->fd());
    return made;
}

void pause_after_failure(const plane::KeptState &kept)
{
    const auto since = kept.failed_since();
    const base::Instant now = sys::now();
    if (!since || *since > now || *since < now - kSoon)
        return;
    sys::log(sys::Priority::kWarning, "the process before this one has failed soon after its start: waiting 2 s");
    std::this_thread::sleep_for(kFailurePause);
}

void pause_before_failure()
{
    if (sys::has_service_manager())
        std::this_thread::sleep_for(kFailurePause);
}

} // namespace mpt
