// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/service/needs.hpp"
#include "daemon/sys/background.hpp"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace mpt {

// getaddrinfo(3), which waits for name servers.
class NameResolver final : public service::Resolver {
public:
    using Callback = std::function<void(const std::vector<service::ResolvedName> &)>;

    // `loop` stays the caller's.
    explicit NameResolver(sys::EventLoop &loop)
        : lookup_(loop, [this](const std::vector<service::ResolvedName> &names) { callback_(names); })
    {
    }
    // What the loop calls with the answer.
    void set_callback(Callback callback) { callback_ = std::move(callback); }

    base::Result<void> resolve(const std::vector<std::string> &names) override;

private:
    Callback callback_;
    sys::Background<std::vector<service::ResolvedName>> lookup_;
};

} // namespace mpt
