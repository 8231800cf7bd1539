// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/bus/message.hpp"

#include <string>

// Where the objects are on the bus.
namespace mpt::bus {

inline constexpr const char *kName = "org.mptd1";
inline constexpr const char *kRoot = "/org/mptd1";
inline constexpr const char *kDriver = "org.freedesktop.DBus"; // the bus itself: name and interface

inline sdbus::ObjectPath tunnel_path(const std::string &tunnel)
{
    return encode("/org/mptd1/tunnel", tunnel);
}

inline sdbus::ObjectPath connection_path(const std::string &connection)
{
    return encode("/org/mptd1/connection", connection);
}

inline sdbus::ObjectPath path_of(const std::string &connection, std::size_t number)
{
    return connection_path(connection) + "/path/" + std::to_string(number);
}

} // namespace mpt::bus
