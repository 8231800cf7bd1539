// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/snapshot.hpp"

#include <algorithm>

namespace mpt::cli {

namespace {

const Counters kNoCounters;

// The properties of one interface of an object.
class Reader {
public:
    explicit Reader(const Properties &properties) : properties_(properties) {}

    template <typename T> void read(const std::string &name, T &value) const
    {
        if (const auto found = properties_.find(name); found != properties_.end())
            value = found->second.get<T>();
    }

    std::string object_path(const std::string &name) const
    {
        sdbus::ObjectPath path;
        read(name, path);
        return path;
    }

private:
    const Properties &properties_;
};

void read_manager(const Reader &reader, Snapshot &snapshot)
{
    reader.read("Version", snapshot.version);
    reader.read("ConfigDirectory", snapshot.config_directory);
    reader.read("ControlPort", snapshot.control_port);
    reader.read("AcceptRemote", snapshot.accept_remote);
    reader.read("CommandTimeout", snapshot.command_timeout);
    reader.read("Workers", snapshot.workers);
    reader.read("StunServers", snapshot.stun_servers);
    reader.read("Problems", snapshot.problems);
}

Tunnel read_tunnel(const std::string &object, const Reader &reader)
{
    Tunnel tunnel;
    tunnel.object = object;
    reader.read("Name", tunnel.name);
    reader.read("Mtu", tunnel.mtu);
    reader.read("MtuReason", tunnel.mtu_reason);
    reader.read("Addresses", tunnel.addresses);
    return tunnel;
}

// Its tunnel is an object path still.
Connection read_connection(const std::string &object, const Reader &reader)
{
    Connection connection;
    connection.object = object;
    reader.read("Name", connection.name);
    reader.read("File", connection.file);
    reader.read("FilePresent", connection.file_present);
    reader.read("Unsaved", connection.unsaved);
    reader.read("CreatedBy", connection.created_by);
    connection.tunnel = reader.object_path("Tunnel");
    reader.read("Permission", connection.permission);
    reader.read("IpVersion", connection.ip_version);
    reader.read("LocalAddress", connection.local_address);
    reader.read("RemoteAddress", connection.remote_address);
    reader.read("LocalPort", connection.local_port);
    reader.read("RemotePort", connection.remote_port);
    reader.read("RemoteControlPort", connection.remote_control_port);
    reader.read("Status", connection.status);
    reader.read("ReorderWindow", connection.reorder_window);
    reader.read("CopyDscp", connection.copy_dscp);
    reader.read("ClampMss", connection.clamp_mss);
    reader.read("MaxBufferDelay", connection.max_buffer_delay);
    reader.read("AuthType", connection.auth_type);
    reader.read("HasKey", connection.has_key);
    std::vector<sdbus::Struct<std::string, std::string>> networks;
    reader.read("Networks", networks);
    for (const auto &network : networks)
        connection.networks.emplace_back(network.get<0>(), network.get<1>());
    return connection;
}

Path read_path(const std::string &object, const Reader &reader)
{
    Path path;
    path.object = object;
    reader.read("Number", path.number);
    reader.read("Interface", path.interface);
    reader.read("IpVersion", path.ip_version);
    reader.read("LocalAddress", path.local_address);
    reader.read("PublicAddress", path.public_address);
    reader.read("PublicPort", path.public_port);
    reader.read("PublicSource", path.public_source);
    reader.read("GatewayAddress", path.gateway_address);
    reader.read("RemoteAddress", path.remote_address);
    reader.read("RemotePort", path.remote_port);
    reader.read("RemoteLearned", path.remote_learned);
    reader.read("RemoteLearnedMonotonic", path.remote_learned_monotonic);
    reader.read("WeightOut", path.weight_out);
    reader.read("WeightIn", path.weight_in);
    reader.read("KeepaliveTime", path.keepalive_time);
    reader.read("DeadTime", path.dead_time);
    reader.read("CommandDefault", path.command_default);
    reader.read("Status", path.status);
    reader.read("StatusName", path.status_name);
    reader.read("StatusReason", path.status_reason);
    reader.read("StatusSince", path.status_since);
    reader.read("StatusSinceMonotonic", path.status_since_monotonic);
    reader.read("HeldBack", path.held_back);
    reader.read("Metered", path.metered);
    reader.read("WaitsFor", path.waits_for);
    return path;
}

template <typename T> void sort_by_name(std::vector<T> &all)
{
    std::sort(all.begin(), all.end(), [](const T &a, const T &b) { return a.name < b.name; });
}

double per_second(const Counters &before, const Counters &after, const std::string &name, std::uint64_t microseconds)
{
    const std::uint64_t first = count(before, name);
    const std::uint64_t last = count(after, name);
    if (last < first || microseconds == 0)
        return 0;
    return static_cast<double>(last - first) * 1e6 / static_cast<double>(microseconds);
}

} // namespace

std::uint64_t count(const Counters &counters, const std::string &name)
{
    const auto found = counters.find(name);
    return found == counters.end() ? 0 : found->second;
}

std::size_t Connection::paths_up() const noexcept
{
    return static_cast<std::size_t>(
        std::count_if(paths.begin(), paths.end(), [](const Path &path) { return path.is_up(); }));
}

const Connection *Snapshot::find(const std::string &name) const noexcept
{
    const auto found = std::find_if(connections.begin(), connections.end(),
                                    [&](const Connection &connection) { return connection.name == name; });
    return found == connections.end() ? nullptr : &*found;
}

Snapshot decode(const Objects &objects)
{
    Snapshot snapshot;
    std::map<std::string, std::vector<Path>> paths; // by the object of their connection
    std::map<std::string, std::string> tunnels;     // names by object
    for (const auto &[object, interfaces] : objects) {
        for (const auto &[interface, properties] : interfaces) {
            const Reader reader(properties);
            if (interface == "org.mptd1.Manager")
                read_manager(reader, snapshot);
            else if (interface == "org.mptd1.Tunnel")
                snapshot.tunnels.push_back(read_tunnel(object, reader));
            else if (interface == "org.mptd1.Connection")
                snapshot.connections.push_back(read_connection(object, reader));
            else if (interface == "org.mptd1.Path")
                paths[reader.object_path("Connection")].push_back(read_path(object, reader));
        }
    }
    for (const Tunnel &tunnel : snapshot.tunnels)
        tunnels[tunnel.object] = tunnel.name;
    for (Connection &connection : snapshot.connections) {
        connection.tunnel = tunnels[connection.tunnel];
        connection.paths = std::move(paths[connection.object]);
        std::sort(connection.paths.begin(), connection.paths.end(),
                  [](const Path &a, const Path &b) { return a.number < b.number; });
    }
    sort_by_name(snapshot.tunnels);
    sort_by_name(snapshot.connections);
    return snapshot;
}

Rates rates(const Counters &before, const Counters &after, std::uint64_t microseconds)
{
    return {8 * per_second(before, after, "octets_out", microseconds),
            8 * per_second(before, after, "octets_in", microseconds),
            per_second(before, after, "packets_out", microseconds),
            per_second(before, after, "packets_in", microseconds)};
}

const Counters &EarlierCounters::of(const Connection &connection) const
{
    const Connection *found = earlier->find(connection.name);
    return found != nullptr ? found->counters : kNoCounters;
}

const Counters &EarlierCounters::of(const Connection &connection, const Path &path) const
{
    if (const Connection *found = earlier->find(connection.name); found != nullptr)
        for (const Path &each : found->paths)
            if (each.number == path.number)
                return each.counters;
    return kNoCounters;
}

} // namespace mpt::cli
