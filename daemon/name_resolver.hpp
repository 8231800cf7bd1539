// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/service/needs.hpp"
#include "daemon/sys/event_loop.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace mpt {

// getaddrinfo(3), which waits for name servers: a thread made for it waits instead of the event loop, and ends.
class NameResolver final : public service::Resolver {
public:
    using Callback = std::function<void(const std::vector<service::ResolvedName> &)>;

    // `loop` stays the caller's.
    explicit NameResolver(sys::EventLoop &loop) : loop_(loop) {}
    // What the loop calls with the answer.
    void set_callback(Callback callback) { callback_ = std::move(callback); }

    base::Result<void> resolve(const std::vector<std::string> &names) override;

private:
    struct Attempt;
    void finish();

    sys::EventLoop &loop_;
    Callback callback_;
    // Shared with the thread: either may end first.
    std::shared_ptr<Attempt> attempt_;
    sys::EventSource source_;
};

} // namespace mpt
