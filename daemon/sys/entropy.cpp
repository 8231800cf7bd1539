// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/entropy.hpp"

#include <cerrno>
#include <exception>
#include <sys/random.h>

namespace mpt::sys {

void fill_random(std::span<std::byte> octets) noexcept
{
    while (!octets.empty()) {
        const ssize_t size = getrandom(octets.data(), octets.size(), 0);
        if (size > 0)
            octets = octets.subspan(static_cast<std::size_t>(size));
        else if (errno != EINTR)
            std::terminate(); // no kernel that we run on is without it
    }
}

} // namespace mpt::sys
