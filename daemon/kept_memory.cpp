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

bool is_soon_after(base::Instant start)
{
    const base::Instant now = sys::now();
    return start <= now && now - start < kSoon;
}

} // namespace

base::Result<sys::MemoryFile> kept_memory(sys::DescriptorStore &store)
{
    const auto adopt = [](sys::FileDescriptor fd) {
        return sys::MemoryFile::adopt(std::move(fd), plane::KeptState::kSize);
    };
    if (auto kept = store.adopt(kMemoryName, adopt))
        return kept;
    auto made = sys::MemoryFile::create("mptd-connections", plane::KeptState::kSize);
    if (made) // if it cannot be kept now, this process has nothing to leave
        store.keep(kMemoryName, made->fd());
    return made;
}

void pause_after_failure(const plane::KeptState &kept)
{
    const auto since = kept.failed_since();
    if (!since || !is_soon_after(*since))
        return;
    sys::log(sys::Priority::kWarning, "the process before this one has failed soon after its start: waiting 2 s");
    std::this_thread::sleep_for(kFailurePause);
}

void pause_before_failure(base::Instant began)
{
    if (!sys::has_service_manager() || !is_soon_after(began))
        return;
    sys::log(sys::Priority::kWarning, "failed soon after the start: waiting 2 s before the end");
    std::this_thread::sleep_for(kFailurePause);
}

} // namespace mpt
