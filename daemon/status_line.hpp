// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/service/manager.hpp"
#include "daemon/sys/event_loop.hpp"

#include <optional>
#include <string>

namespace mpt {

// "2 connections, 3 of 4 paths up", and the first of the problems if there are any.
std::string status_line(const service::Manager &manager);

// Keeps the line current that the service manager shows of the service, by at most one message a second. Observes the
// manager for that, and passes on what it is told.
class StatusLine final : public service::Observer {
public:
    // `loop`, `manager` and `next`, another observer, stay the caller's.
    static base::Result<std::unique_ptr<StatusLine>> start(sys::EventLoop &loop, const service::Manager &manager,
                                                           service::Observer &next);

    // The paths may have changed without its being told.
    void touch();

    void on_connection_added(const service::ConnectionRecord &connection) override;
    void on_connection_removed(const std::string &name) override;
    void on_connection_changed(const service::ConnectionRecord &connection) override;
    void on_path_changed(const service::ConnectionRecord &connection, std::size_t path) override;
    void on_path_status(const service::ConnectionRecord &connection, std::size_t path,
                        const core::StatusChange &change) override;
    void on_settings_changed() override;

private:
    StatusLine(const service::Manager &manager, service::Observer &next) : manager_(manager), next_(next) {}
    void tell();

    const service::Manager &manager_;
    service::Observer &next_;
    std::optional<sys::Timer> timer_;
    bool waits_ = false; // something has changed since the line was told
    base::Instant told_at_{};
    std::string told_;
};

} // namespace mpt
