// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/mailbox.hpp"

#include "daemon/plane/forwarding_state.hpp"
#include "daemon/sys/error.hpp"

#include <cerrno>
#include <cstdint>
#include <sys/eventfd.h>
#include <unistd.h>

namespace mpt::plane {

base::Result<Wakeup> Wakeup::create()
{
    sys::FileDescriptor fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!fd.valid())
        return sys::system_failure(errno, "making an eventfd");
    return Wakeup(std::move(fd));
}

void Wakeup::signal() const noexcept
{
    // It fails only when 2^64 - 2 wake-ups wait already, and then the other side is woken anyway.
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(fd_.get(), &one, sizeof one);
}

void Wakeup::clear() const noexcept
{
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t size = read(fd_.get(), &count, sizeof count);
}

Mailbox::~Mailbox()
{
    delete state_.load();
}

void Mailbox::post(std::unique_ptr<const ForwardingState> state) noexcept
{
    delete state_.exchange(state.release(), std::memory_order_acq_rel);
    wakeup_.signal();
}

std::unique_ptr<const ForwardingState> Mailbox::take() noexcept
{
    wakeup_.clear();
    return std::unique_ptr<const ForwardingState>(state_.exchange(nullptr, std::memory_order_acq_rel));
}

} // namespace mpt::plane
