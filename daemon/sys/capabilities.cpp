// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/capabilities.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace mpt::sys {

namespace {

using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

// glibc has no function for it. The ambient set follows the permitted and inheritable ones.
void set(const Sets &sets) noexcept
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    syscall(SYS_capset, &header, sets.data());
}

} // namespace

void drop_capability(int capability) noexcept
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    Sets sets{};
    if (syscall(SYS_capget, &header, sets.data()) != 0)
        return;
    __user_cap_data_struct &part = sets.at(static_cast<std::size_t>(capability) / 32);
    const std::uint32_t rest = ~(std::uint32_t{1} << (static_cast<unsigned>(capability) % 32));
    part.effective &= rest;
    part.permitted &= rest;
    part.inheritable &= rest;
    set(sets);
}

void drop_capabilities() noexcept
{
    set({});
}

} // namespace mpt::sys
