// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/bus/tree.hpp"

#include <utility>

namespace mpt::bus {

Tree::Tree(const Context &context) : context_(context), manager_(context)
{
    for (const config::TunnelConfig &tunnel : context_.manager.interface().tunnels)
        tunnels_.push_back(std::make_unique<TunnelObject>(context_, tunnel));
    for (const auto &record : context_.manager.connections())
        connections_.emplace(record->config.name, std::make_unique<ConnectionObject>(context_, *record));
}

void Tree::touch_all()
{
    for (const auto &record : context_.manager.connections())
        touch(record->config.name);
}

void Tree::remove(const std::string &connection)
{
    touched_.erase(connection);
    settings_touched_ = true;
    if (const auto found = connections_.find(connection); found != connections_.end()) {
        const auto moved = removed_.insert(connections_.extract(found));
        moved.position->second->renounce();
    }
}

void Tree::status_changed(const std::string &connection, std::size_t path, const core::StatusChange &change)
{
    flush();
    if (const auto found = connections_.find(connection); found != connections_.end())
        found->second->status_changed(path, change);
}

void Tree::flush()
{
    for (const std::string &name : std::exchange(touched_, {})) {
        const service::ConnectionRecord *record = context_.manager.find(name);
        if (record == nullptr)
            continue;
        if (removed_.contains(name)) {
            touched_.insert(name);
            continue;
        }
        const auto found = connections_.find(name);
        if (found != connections_.end()) {
            found->second->changed();
            continue;
        }
        settings_touched_ = true;
        connections_.emplace(name, std::make_unique<ConnectionObject>(context_, *record)).first->second->announce();
    }
    if (!std::exchange(settings_touched_, false))
        return;
    manager_.changed();
    for (const auto &tunnel : tunnels_)
        tunnel->changed();
}

} // namespace mpt::bus
