// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/json.hpp"
#include "cli/status_view.hpp"

#include <algorithm>

// What is written here is documented in mpt(1) and changes only by additions, as long as "schema" stays.
namespace mpt::cli {

namespace {

constexpr unsigned kSchema = 1;

class Writer {
public:
    Writer(const Snapshot *earlier, const Snapshot &now) : earlier_(earlier), now_(now) {}

    std::string write(const std::string &only)
    {
        json_.begin_object().member("schema", kSchema);
        json_.member("version", now_.version).member("config_directory", now_.config_directory);
        json_.member("control_port", now_.control_port).member("accept_remote", now_.accept_remote);
        json_.member("command_timeout_usec", now_.command_timeout).member("workers", now_.workers);
        json_.member("monotonic_usec", now_.monotonic);
        texts("stun_servers", now_.stun_servers);
        texts("problems", now_.problems);
        json_.key("tunnels").begin_array();
        for (const Tunnel &tunnel : now_.tunnels)
            write(tunnel);
        json_.end_array();
        json_.key("connections").begin_array();
        for (const Connection &connection : now_.connections)
            if (only.empty() || connection.name == only)
                write(connection);
        json_.end_array().end_object();
        return json_.text() + '\n';
    }

private:
    void texts(const char *name, const std::vector<std::string> &values)
    {
        json_.key(name).begin_array();
        for (const std::string &value : values)
            json_.value(value);
        json_.end_array();
    }

    void counters(const Counters &counters)
    {
        json_.key("counters").begin_object();
        for (const auto &[name, value] : counters)
            json_.member(name, value);
        json_.end_object();
    }

    void rates_since(const Counters &before, const Counters &after)
    {
        const std::uint64_t elapsed = now_.monotonic - std::min(now_.monotonic, earlier_->monotonic);
        const Rates measured = rates(before, after, elapsed);
        json_.key("rates").begin_object();
        json_.member("bits_out", measured.bits_out).member("bits_in", measured.bits_in);
        json_.member("packets_out", measured.packets_out).member("packets_in", measured.packets_in);
        json_.end_object();
    }

    void write(const Tunnel &tunnel)
    {
        json_.begin_object()
            .member("name", tunnel.name)
            .member("mtu", tunnel.mtu)
            .member("mtu_reason", tunnel.mtu_reason);
        texts("addresses", tunnel.addresses);
        counters(tunnel.counters);
        json_.end_object();
    }

    void write(const Connection &connection)
    {
        json_.begin_object().member("name", connection.name).member("file", connection.file);
        json_.member("file_present", connection.file_present).member("unsaved", connection.unsaved);
        json_.member("created_by", connection.created_by);
        json_.member("tunnel", connection.tunnel).member("permission", connection.permission);
        json_.member("ip_version", connection.ip_version);
        json_.member("local_address", connection.local_address).member("remote_address", connection.remote_address);
        json_.member("local_port", connection.local_port).member("remote_port", connection.remote_port);
        json_.member("remote_control_port", connection.remote_control_port).member("status", connection.status);
        json_.member("reorder_window", connection.reorder_window)
            .member("copy_dscp", connection.copy_dscp)
            .member("clamp_mss", connection.clamp_mss);
        json_.member("max_buffer_delay_usec", connection.max_buffer_delay);
        json_.member("auth_type", connection.auth_type).member("has_key", connection.has_key);
        json_.key("networks").begin_array();
        for (const auto &[source, destination] : connection.networks)
            json_.begin_object().member("source", source).member("destination", destination).end_object();
        json_.end_array();
        if (earlier_ != nullptr)
            rates_since(EarlierCounters{earlier_}.of(connection), connection.counters);
        counters(connection.counters);
        json_.key("paths").begin_array();
        for (const Path &path : connection.paths)
            write(connection, path);
        json_.end_array().end_object();
    }

    void write(const Connection &connection, const Path &path)
    {
        json_.begin_object().member("number", path.number).member("interface", path.interface);
        json_.member("ip_version", path.ip_version).member("local_address", path.local_address);
        json_.member("public_address", path.public_address).member("public_port", path.public_port);
        json_.member("public_source", path.public_source).member("gateway_address", path.gateway_address);
        json_.member("remote_address", path.remote_address).member("remote_port", path.remote_port);
        json_.member("remote_learned_usec", path.remote_learned);
        json_.member("remote_learned_monotonic_usec", path.remote_learned_monotonic);
        json_.member("weight_out", path.weight_out).member("weight_in", path.weight_in);
        json_.member("keepalive_time_usec", path.keepalive_time).member("dead_time_usec", path.dead_time);
        json_.member("command_default", path.command_default);
        json_.member("status", path.status_name).member("status_code", path.status);
        json_.member("status_reason", path.status_reason).member("status_since_usec", path.status_since);
        json_.member("status_since_monotonic_usec", path.status_since_monotonic);
        json_.member("held_back", path.held_back).member("metered", path.metered).member("waits_for", path.waits_for);
        if (earlier_ != nullptr)
            rates_since(EarlierCounters{earlier_}.of(connection, path), path.counters);
        counters(path.counters);
        json_.end_object();
    }

    const Snapshot *earlier_; // nullptr: no rates
    const Snapshot &now_;
    JsonWriter json_{true};
};

} // namespace

std::string status_json(const Snapshot *earlier, const Snapshot &now, const std::string &only)
{
    return Writer(earlier, now).write(only);
}

} // namespace mpt::cli
