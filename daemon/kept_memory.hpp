// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/result.hpp"
#include "daemon/plane/kept_state.hpp"
#include "daemon/sys/descriptor_store.hpp"
#include "daemon/sys/memory_file.hpp"

namespace mpt {

// The memory for what is known of the connections, as the process before this one has left it; new if there was none,
// or none of this version. Without a service manager it ends with this process.
base::Result<sys::MemoryFile> kept_memory(sys::DescriptorStore &store);

// The service manager starts a process that has failed anew at once, so that those that use the tunnels hardly notice.
// If it had failed soon after its own start, the next one waits here for a while.
void pause_after_failure(const plane::KeptState &kept);
// For a process that was passed nothing and has failed: maybe nothing is kept at all, and the next one will not know of
// it. If it has failed soon after it began, and a service manager has started it, it waits here.
void pause_before_failure(base::Instant began);

} // namespace mpt
