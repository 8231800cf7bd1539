// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <span>

namespace mpt::sys {

// Random octets that nobody can predict (getrandom(2)). Does not return before the kernel has some.
void fill_random(std::span<std::byte> octets) noexcept;

} // namespace mpt::sys
