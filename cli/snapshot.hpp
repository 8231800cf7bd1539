// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <sdbus-c++/sdbus-c++.h>
#include <string>
#include <utility>
#include <vector>

// What mptd said about itself at one time.
namespace mpt::cli {

using Properties = std::map<std::string, sdbus::Variant>;
using Interfaces = std::map<std::string, Properties>;
using Objects = std::map<sdbus::ObjectPath, Interfaces>; // what GetManagedObjects() returns

using Counters = std::map<std::string, std::uint64_t>;

// 0 if there is no such counter.
std::uint64_t count(const Counters &counters, const std::string &name);

// The members are the properties of org.mptd1.Path; times in microseconds.
struct Path {
    std::string object;
    std::uint32_t number = 0;
    std::string interface;
    std::uint8_t ip_version = 0;
    std::string local_address;
    std::string public_address;
    std::uint16_t public_port = 0;
    std::string public_source;
    std::string gateway_address;
    std::string remote_address;
    std::uint16_t remote_port = 0;
    std::uint64_t remote_learned = 0; // 0: the file names them
    std::uint64_t remote_learned_monotonic = 0;
    std::uint16_t weight_out = 0;
    std::uint16_t weight_in = 0;
    std::uint64_t keepalive_time = 0;
    std::uint64_t dead_time = 0;
    bool command_default = false;
    std::uint8_t status = 0;
    std::string status_name;
    std::string status_reason;
    std::uint64_t status_since = 0;
    std::uint64_t status_since_monotonic = 0;
    bool held_back = false;
    bool metered = false;
    std::string waits_for;
    Counters counters;

    bool is_up() const noexcept { return status_name == "up"; }
};

// Those of org.mptd1.Connection.
struct Connection {
    std::string object;
    std::string name;
    std::string file;
    bool file_present = true;
    std::string created_by; // the peer that did; empty if it has a file
    bool unsaved = false;
    std::string tunnel; // its name
    std::uint8_t permission = 0;
    std::uint8_t ip_version = 0;
    std::string local_address;
    std::string remote_address;
    std::uint16_t local_port = 0;
    std::uint16_t remote_port = 0;
    std::uint16_t remote_control_port = 0;
    std::uint8_t status = 0;
    std::uint16_t reorder_window = 0;
    bool copy_dscp = false;
    bool clamp_mss = false;
    std::uint64_t max_buffer_delay = 0;
    std::uint8_t auth_type = 0;
    bool has_key = false;
    std::vector<std::pair<std::string, std::string>> networks; // source, destination
    std::vector<Path> paths;                                   // by number
    Counters counters;

    std::size_t paths_up() const noexcept;
};

// Those of org.mptd1.Tunnel.
struct Tunnel {
    std::string object;
    std::string name;
    std::uint32_t mtu = 0;
    std::string mtu_reason;
    std::vector<std::string> addresses;
    Counters counters;
};

struct Snapshot {
    // Of org.mptd1.Manager.
    std::string version;
    std::string config_directory;
    std::uint16_t control_port = 0;
    bool accept_remote = false;
    std::uint64_t command_timeout = 0;
    std::uint32_t workers = 0;
    std::vector<std::string> stun_servers;
    std::vector<std::string> problems;

    std::vector<Tunnel> tunnels;         // by name
    std::vector<Connection> connections; // by name
    std::uint64_t monotonic = 0;         // CLOCK_MONOTONIC in microseconds when the counters were read

    // nullptr if there is none.
    const Connection *find(const std::string &name) const noexcept;
};

// A property that is missing keeps its default, so that a younger command understands an older daemon; one of a wrong
// type throws sdbus::Error.
Snapshot decode(const Objects &objects);

// Bits and packets in a second, between two snapshots.
struct Rates {
    double bits_out = 0;
    double bits_in = 0;
    double packets_out = 0;
    double packets_in = 0;
};

// Of a path or a connection; all 0 if the counters were started anew in between.
Rates rates(const Counters &before, const Counters &after, std::uint64_t microseconds);

// The counters that `connection` and its path had in an earlier snapshot; empty if they were not there.
struct EarlierCounters {
    const Snapshot *earlier;

    const Counters &of(const Connection &connection) const;
    const Counters &of(const Connection &connection, const Path &path) const;
};

} // namespace mpt::cli
