// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/plane/plane.hpp"
#include "daemon/service/peers.hpp"
#include "daemon/service/records.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace mpt {

// All counters of a connection or a tunnel, by name; drop_REASON only where something was dropped.
service::ConnectionStatistics statistics_of(const plane::ConnectionEntry &entry);
service::Counters statistics_of(const plane::Tunnel &tunnel);

// All counters, one line for each tunnel, connection, path and socket, as "statistics tunnel=tun0 key=value ...", one
// for the control port, and "statistics end".
std::string statistics(const plane::Plane &plane, const service::Peers &peers);

// Tells what was dropped since it was asked last.
class DropReport {
public:
    // One line for each tunnel, connection, path or socket that dropped something.
    std::vector<std::string> update(const plane::Plane &plane);

private:
    std::map<std::string, std::uint64_t> last_; // by what and reason
};

} // namespace mpt
