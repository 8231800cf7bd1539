// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/status_line.hpp"

#include "daemon/sys/clock.hpp"
#include "daemon/sys/notify.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace mpt {

namespace {

constexpr base::Duration kPause = std::chrono::seconds(1);
constexpr std::size_t kMaxProblem = 200; // octets: it is one line of a terminal, or two

} // namespace

std::string status_line(const service::Manager &manager)
{
    std::size_t paths = 0;
    std::size_t up = 0;
    for (const auto &connection : manager.connections()) {
        paths += connection->paths.size();
        for (std::size_t i = 0; i < connection->paths.size(); ++i)
            up += manager.path_state(connection->config.name, i).status == core::PathStatus::kUp ? 1 : 0;
    }
    const std::size_t connections = manager.connections().size();
    std::string line = connections == 0 ? "no connections configured"
                                        : fmt::format("{} connection{}, {} of {} paths up", connections,
                                                      connections == 1 ? "" : "s", up, paths);
    if (const auto problems = manager.problems(); !problems.empty())
        line += fmt::format("; {} problem{}: {}", problems.size(), problems.size() == 1 ? "" : "s",
                            problems.front().substr(0, kMaxProblem));
    return line;
}

base::Result<std::unique_ptr<StatusLine>> StatusLine::start(sys::EventLoop &loop, const service::Manager &manager,
                                                            service::Observer &next)
{
    std::unique_ptr<StatusLine> line(new StatusLine(manager, next));
    auto timer = loop.make_timer([l = line.get()] { l->tell(); });
    if (!timer)
        return base::Failure(timer.error());
    line->timer_ = std::move(*timer);
    line->tell();
    return line;
}

void StatusLine::touch()
{
    if (!std::exchange(waits_, true))
        timer_->set(std::max(sys::now(), told_at_ + kPause));
}

void StatusLine::tell()
{
    waits_ = false;
    told_at_ = sys::now();
    std::string line = status_line(manager_);
    if (line == told_)
        return;
    sys::notify_status(line);
    told_ = std::move(line);
}

void StatusLine::on_connection_added(const service::ConnectionRecord &connection)
{
    touch();
    next_.on_connection_added(connection);
}

void StatusLine::on_connection_removed(const std::string &name)
{
    touch();
    next_.on_connection_removed(name);
}

void StatusLine::on_connection_changed(const service::ConnectionRecord &connection)
{
    touch();
    next_.on_connection_changed(connection);
}

void StatusLine::on_path_changed(const service::ConnectionRecord &connection, std::size_t path)
{
    touch();
    next_.on_path_changed(connection, path);
}

void StatusLine::on_path_status(const service::ConnectionRecord &connection, std::size_t path,
                                const core::StatusChange &change)
{
    touch();
    next_.on_path_status(connection, path, change);
}

void StatusLine::on_settings_changed()
{
    touch();
    next_.on_settings_changed();
}

} // namespace mpt
