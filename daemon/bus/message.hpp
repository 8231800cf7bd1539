// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <sdbus-c++/sdbus-c++.h>
#include <string>

struct sd_bus;

// What sd-bus knows and sdbus-c++ 1.2 does not tell.
namespace mpt::bus {

// Who calls a method of which object.
struct Caller {
    std::string name;         // unique name on the bus
    std::string object;       // path
    bool interactive = false; // a person may be asked for a password meanwhile
};

// Of the method call that the object is handling just now.
Caller caller_of(const sdbus::IObject &object);

// The connection that the proxy is on, which keeps it.
sd_bus *bus_of(sdbus::IProxy &proxy);

// The object path below `prefix` for any name (sd_bus_path_encode(3)).
sdbus::ObjectPath encode(const std::string &prefix, const std::string &name);

} // namespace mpt::bus
