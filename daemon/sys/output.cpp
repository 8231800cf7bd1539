// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/output.hpp"

#include "daemon/sys/log.hpp"

#include <sys/epoll.h>
#include <utility>

namespace mpt::sys {

namespace {

constexpr std::size_t kMaxWaiting = 4 << 20; // octets; the statistics of 1000 connections are less

} // namespace

void Output::write(std::string_view text)
{
    if (waiting_.size() + text.size() > kMaxWaiting)
        return;
    const bool is_first = waiting_.empty();
    waiting_ += text;
    if (is_first)
        write_on();
}

void Output::write_on()
{
    waiting_.erase(0, write_line(fd_, waiting_));
    if (waiting_.empty()) {
        if (source_)
            source_->disable();
    } else if (source_) {
        source_->enable();
    } else if (auto source = loop_.watch(fd_, EPOLLOUT, [this](std::uint32_t events) { on_event(events); })) {
        source_ = std::move(*source);
    } else {
        waiting_.clear(); // a file, which takes everything unless it is full
    }
}

void Output::on_event(std::uint32_t events)
{
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) // nobody is there any more
        waiting_.clear();
    write_on();
}

} // namespace mpt::sys
