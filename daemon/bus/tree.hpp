// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/bus/connection_object.hpp"
#include "daemon/bus/context.hpp"
#include "daemon/bus/manager_object.hpp"
#include "daemon/bus/tunnel_object.hpp"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace mpt::bus {

// All objects on one connection to the bus, as the manager has them. What changes is told with flush(), once however
// often it has changed. Everything here may throw sdbus::Error, when the bus is gone.
class Tree {
public:
    // `context` stays the caller's.
    explicit Tree(const Context &context);

    // The connection is new, or something of it or its paths has changed.
    void touch(const std::string &connection) { touched_.insert(connection); }
    void touch_all();
    void touch_settings() { settings_touched_ = true; }
    // The record has gone. Its object has until bury(), since it may be what asked for that and has to be answered.
    void remove(const std::string &connection);
    // Whatever was asked has been answered: objects that were removed go.
    void bury() { removed_.clear(); }
    void status_changed(const std::string &connection, std::size_t path, const core::StatusChange &change);
    // Objects are those of the manager then, and everybody knows. What comes back under the name of an object that was
    // removed waits until that one is buried.
    void flush();

private:
    const Context &context_;
    ManagerObject manager_;
    std::vector<std::unique_ptr<TunnelObject>> tunnels_;
    std::map<std::string, std::unique_ptr<ConnectionObject>> connections_; // by name
    std::map<std::string, std::unique_ptr<ConnectionObject>> removed_;
    std::set<std::string> touched_;
    bool settings_touched_ = false;
};

} // namespace mpt::bus
