// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/snapshot.hpp"
#include "cli/text.hpp"

#include <string>
#include <vector>

// What a daemon might say.
namespace mpt::cli {

inline constexpr std::size_t kColumns = 80; // of the terminal

inline Path sample_path(std::uint32_t number, const std::string &status = "up")
{
    Path path;
    path.object = "/org/mptd1/connection/a/path/" + std::to_string(number);
    path.number = number;
    path.interface = "eth" + std::to_string(number + 1);
    path.local_address = "192.0.2.1";
    path.remote_address = "198.51.100." + std::to_string(number + 1);
    path.weight_out = 10000;
    path.status_name = status;
    path.status_reason = status == "up" ? "keepalive" : "keepalives-missed";
    path.status_since_monotonic = 1;
    return path;
}

inline Connection sample_connection(const std::string &name, std::vector<Path> paths)
{
    Connection connection;
    connection.object = "/org/mptd1/connection/" + name;
    connection.name = name;
    connection.file = name + ".conf";
    connection.tunnel = "tun0";
    connection.local_address = "10.0.0.1";
    connection.remote_address = "10.0.0.2";
    connection.paths = std::move(paths);
    return connection;
}

inline Snapshot sample_snapshot(std::vector<Connection> connections)
{
    Snapshot snapshot;
    snapshot.version = "1.2.3";
    snapshot.monotonic = 2'000'001;
    snapshot.tunnels.push_back({"/org/mptd1/tunnel/tun0", "tun0", 1452, "", {"10.0.0.1/24"}, {}});
    snapshot.connections = std::move(connections);
    return snapshot;
}

inline std::vector<std::string> plain(const std::vector<Line> &lines)
{
    std::vector<std::string> texts;
    for (const Line &line : lines)
        texts.push_back(line.to_string(false));
    return texts;
}

} // namespace mpt::cli
