// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

namespace mpt::sys {

// Capabilities (capabilities(7)) belong to a thread, and one that it starts begins with the same. What a thread gives
// up it never gets back.

// The calling thread gives up one, such as CAP_NET_BIND_SERVICE, or all of them.
void drop_capability(int capability) noexcept;
void drop_capabilities() noexcept;

} // namespace mpt::sys
