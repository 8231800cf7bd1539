// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/config/connection.hpp"
#include "daemon/config/interface.hpp"
#include "daemon/config/problem.hpp"

#include <span>
#include <vector>

namespace mpt::config {

// What is wrong between files that are each right by themselves: names, tunnel addresses, sockets and networks that two
// connections would share, and what does not fit the tunnels. A problem belongs to the file that must not be used; of
// two that exclude each other that is the one whose file name comes later, and a connection with an error of its own
// excludes no other.
// Also for conf.template, alone: its ip_local, ports and paths are checked in the same way.
std::vector<Problem> check_connections(const InterfaceConfig &interface, std::span<const ConnectionConfig> connections);

} // namespace mpt::config
