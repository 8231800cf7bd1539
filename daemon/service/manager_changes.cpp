// SPDX-License-Identifier: GPL-3.0-or-later
// What people ask the manager for while it runs (guide, chapter 4).
#include "daemon/service/manager.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>
#include <utility>

namespace mpt::service {

namespace {

base::Failure no_connection(std::string_view file)
{
    return base::fail(base::ErrorCode::kNotFound, fmt::format("no connection of the file {} is running", file));
}

base::Failure no_path(const std::string &connection, std::size_t path)
{
    return base::fail(base::ErrorCode::kNotFound, fmt::format("there is no path {} of {}", path, connection));
}

void append(std::vector<std::string> &to, const std::vector<std::string> &lines)
{
    to.insert(to.end(), lines.begin(), lines.end());
}

base::Result<void> check_weight(unsigned weight)
{
    if (weight >= 1 && weight <= config::kMaxWeight)
        return {};
    return base::fail(base::ErrorCode::kInvalidArgument,
                      fmt::format("a weight is 1 to {}, not {}", config::kMaxWeight, weight));
}

} // namespace

ConnectionRecord *Manager::find_record(std::string_view name) const
{
    const auto found = std::find_if(connections_.begin(), connections_.end(),
                                    [&](const auto &record) { return record->config.name == name; });
    return found == connections_.end() ? nullptr : found->get();
}

const ConnectionRecord *Manager::find_file(std::string_view file) const
{
    const auto found = std::find_if(connections_.begin(), connections_.end(),
                                    [&](const auto &record) { return record->config.file == file; });
    return found == connections_.end() ? nullptr : found->get();
}

const ConnectionRecord *Manager::find(std::string_view name) const
{
    return find_record(name);
}

base::Result<std::vector<ConnectionRecord *>> Manager::select(const std::string &file)
{
    std::vector<ConnectionRecord *> selected;
    for (const auto &record : connections_)
        if (file.empty() || record->config.file == file)
            selected.push_back(record.get());
    if (selected.empty() && !file.empty())
        return no_connection(file);
    return selected;
}

const ConnectionRecord *Manager::find_between(const base::Address &local, const base::Address &remote) const
{
    const auto found = std::find_if(connections_.begin(), connections_.end(), [&](const auto &record) {
        return record->config.ip_local == local && record->config.ip_remote == remote;
    });
    return found == connections_.end() ? nullptr : found->get();
}

std::vector<config::ConnectionConfig> Manager::others(const std::string &file) const
{
    std::vector<config::ConnectionConfig> all;
    for (const auto &record : connections_)
        if (record->config.file != file)
            all.push_back(record->config);
    return all;
}

std::vector<std::string> Manager::problems() const
{
    std::vector<std::string> all;
    for (const auto &[file, lines] : problems_)
        append(all, lines);
    for (const auto &record : connections_)
        if (!record->file_present && record->created_by.empty())
            all.push_back(fmt::format("connections/{} is gone; connection {} goes on: write the file again with `mpt "
                                      "save`, or end the connection with `mpt delete`",
                                      record->config.file, record->config.name));
    append(all, route_problems_);
    return all;
}

// ---- reload

base::Result<void> Manager::reload(const std::string &file, Notices &notices)
{
    if (!file.empty())
        if (auto named = check_file_name(file); !named)
            return named;
    std::vector<const ConnectionRecord *> running;
    for (const auto &record : connections_)
        running.push_back(record.get());
    const auto loaded = load_connections(
        directory_, interface_, file.empty() ? std::vector<std::string>{} : std::vector{file}, running, notices);
    if (!loaded) {
        if (loaded.error().code == base::ErrorCode::kNotFound && find_file(file) != nullptr) {
            note_presence({}, file);
            return base::fail(base::ErrorCode::kNotFound,
                              loaded.error().text + ": its connection goes on; `mpt save` writes the file again, `mpt "
                                                    "delete` ends the connection");
        }
        return base::Failure(loaded.error());
    }
    if (file.empty()) {
        problems_.clear();
        reload_interface(notices);
    }
    problems_.erase(file);
    problems_.insert(loaded->problems.begin(), loaded->problems.end());

    std::vector<Change> changes;
    for (const config::ConnectionConfig &config : loaded->accepted)
        changes.push_back({config, config});
    note_presence(loaded->present, file);
    if (!changes.empty()) {
        if (auto taken = take_effect(changes, notices); !taken)
            return taken;
        plane_.settle();
    }
    if (observer_ != nullptr)
        observer_->on_settings_changed();

    std::vector<std::string> errors;
    for (const auto &[wrong, lines] : problems_)
        if (file.empty() || wrong == file)
            append(errors, lines);
    if (!errors.empty())
        return base::fail(base::ErrorCode::kInvalidConfig, fmt::format("{}", fmt::join(errors, "\n")));
    return {};
}

void Manager::reload_interface(Notices &notices)
{
    Notices said;
    auto loaded = load_interface(directory_, said);
    if (!loaded) {
        std::vector<std::string> lines;
        for (const Notice &notice : said)
            if (notice.level == Notice::Level::kError)
                lines.push_back(notice.text);
        if (lines.empty())
            lines.push_back(loaded.error().text);
        problems_[kInterfaceFile] = lines;
        notices.insert(notices.end(), said.begin(), said.end());
        notices.push_back({Notice::Level::kError, "interface.conf is not applied: everything goes on as it was",
                           Event::kInterfaceNotApplied});
        return;
    }
    notices.insert(notices.end(), said.begin(), said.end());
    interface_.accept_remote = loaded->accept_remote;
    interface_.cmd_timeout = loaded->cmd_timeout;
    interface_.max_peer_connections = loaded->max_peer_connections;
    interface_.allow_default_key = loaded->allow_default_key;
    interface_.stun_servers = loaded->stun_servers;
    std::vector<std::string> waiting;
    if (loaded->cmdport_local != interface_.cmdport_local)
        waiting.emplace_back("cmdport_local");
    if (loaded->workers != interface_.workers)
        waiting.emplace_back("workers");
    if (loaded->tunnels != interface_.tunnels)
        waiting.emplace_back("the tunnels");
    if (!waiting.empty())
        notices.push_back({Notice::Level::kWarning,
                           fmt::format("interface.conf: what it says of {} needs a restart of mptd; the other "
                                       "keys are applied",
                                       fmt::join(waiting, ", "))});
}

bool Manager::is_same_place(const ConnectionRecord &record, const config::ConnectionConfig &config) const
{
    return record.config.name == config.name && record.tunnel == tunnel_of(config).name;
}

bool Manager::close_left(const ConnectionRecord &record, const config::ConnectionConfig &config)
{
    bool any = false;
    for (std::size_t i = 0; i < record.paths.size(); ++i) {
        const config::PathConfig &before = record.config.paths[i];
        const bool stays = i < config.paths.size() && record.config.local_port == config.local_port &&
                           before.interface_name == config.paths[i].interface_name &&
                           before.private_ipaddr == config.paths[i].private_ipaddr;
        if (!stays && record.paths[i].waits_for.empty())
            any = plane_.close_path(record.config.name, i, true, true) || any;
    }
    return any;
}

void Manager::end_connection(const ConnectionRecord &record)
{
    plane_.remove_connection(record.config.name);
    const auto at =
        std::find_if(connections_.begin(), connections_.end(), [&](const auto &each) { return each.get() == &record; });
    const std::unique_ptr<ConnectionRecord> ended = std::move(*at); // until everybody has let go of it
    connections_.erase(at);
    if (observer_ != nullptr)
        observer_->on_connection_removed(ended->config.name);
}

base::Result<void> Manager::take_effect(const std::vector<Change> &changes, Notices &notices)
{
    // What gets another name or tunnel ends first, and what gets other sockets closes the old ones, so that the new
    // ones find names and sockets free.
    bool any_free = false;
    std::map<std::string, std::vector<PathRecord>> ended; // their paths, by file
    for (const auto &[filed, config] : changes) {
        const ConnectionRecord *record = find_file(config.file);
        if (record != nullptr && is_same_place(*record, config)) {
            any_free = close_left(*record, config) || any_free;
        } else if (record != nullptr) {
            any_free = true;
            ended[config.file] = record->paths;
            end_connection(*record);
        }
    }
    if (any_free) {
        if (auto committed = plane_.commit(); !committed)
            return committed;
        plane_.settle();
    }
    for (const Change &change : changes) {
        apply(change, notices);
        if (const auto before = ended.find(change.config.file); before != ended.end())
            repeat_orders(*find_record(change.config.name), before->second);
    }
    if (auto committed = plane_.commit(); !committed)
        return committed;
    update_routes(notices);
    return {};
}

void Manager::repeat_orders(ConnectionRecord &record, const std::vector<PathRecord> &before)
{
    for (std::size_t path = 0; path < std::min(record.paths.size(), before.size()); ++path) {
        PathRecord &now = record.paths[path];
        if (!before[path].by_hand || !core::is_same_path(before[path].parameters, now.parameters))
            continue;
        now.by_hand = before[path].by_hand;
        plane_.set_path(record.config.name, path, *now.by_hand);
    }
}

void Manager::apply(const Change &change, Notices &notices)
{
    const auto &[filed, config] = change;
    ConnectionRecord *record = find_record(config.name);
    if (record == nullptr) {
        ConnectionRecord &added = add_connection(config);
        added.filed = filed;
        notices.push_back({Notice::Level::kInfo, fmt::format("connection {} is new", config.name),
                           Event::kConnectionNew, config.name});
        follow_all(added, notices);
        if (observer_ != nullptr)
            observer_->on_connection_added(added);
        return;
    }
    record->filed = filed;
    record->created_by.clear(); // it has a file now
    configure(*record, config);
    plane_.set_connection(parameters_of(*record));
    notices.push_back({Notice::Level::kInfo, fmt::format("connection {} has changed", config.name),
                       Event::kConnectionChanged, config.name});
    follow_all(*record, notices);
    if (observer_ == nullptr)
        return;
    observer_->on_connection_changed(*record);
    for (std::size_t path = 0; path < record->paths.size(); ++path)
        observer_->on_path_changed(*record, path);
}

void Manager::note_presence(const std::vector<std::string> &present, const std::string &file)
{
    for (const auto &record : connections_) {
        if (!file.empty() && record->config.file != file)
            continue;
        const bool is_present = std::find(present.begin(), present.end(), record->config.file) != present.end();
        if (std::exchange(record->file_present, is_present) != is_present && observer_ != nullptr)
            observer_->on_connection_changed(*record);
    }
}

// ---- restart, delete, save, create

base::Result<void> Manager::restart(const std::string &file, Notices &notices)
{
    const auto selected = select(file);
    if (!selected)
        return base::Failure(selected.error());
    for (const ConnectionRecord *record : *selected)
        plane_.remove_connection(record->config.name);
    if (auto committed = plane_.commit(); !committed)
        return committed;
    plane_.settle(); // the sockets are closed
    for (ConnectionRecord *record : *selected) {
        plane_.set_connection(parameters_of(*record));
        follow_all(*record, notices);
        repeat_orders(*record, record->paths);
        notices.push_back({Notice::Level::kInfo, fmt::format("connection {} is started again", record->config.name)});
    }
    auto committed = plane_.commit();
    plane_.settle();
    for (const ConnectionRecord *record : *selected)
        for (std::size_t path = 0; observer_ != nullptr && path < record->paths.size(); ++path)
            observer_->on_path_changed(*record, path);
    return committed;
}

base::Result<void> Manager::remove(const std::string &file)
{
    if (auto named = check_file_name(file); !named)
        return named;
    const ConnectionRecord *record = find_file(file);
    // The file first: if it cannot be renamed, the next start would bring the connection back.
    auto disabled = directory_.disable_connection(file);
    if (!disabled && disabled.error().code != base::ErrorCode::kNotFound)
        return disabled;
    if (!disabled && record == nullptr)
        return base::fail(base::ErrorCode::kNotFound,
                          fmt::format("there is neither a file connections/{} nor a connection of it", file));
    problems_.erase(file);
    base::Result<void> committed;
    if (record != nullptr) {
        end_connection(*record);
        committed = plane_.commit();
        Notices notices; // of others' routes: told by problems()
        update_routes(notices);
    }
    if (observer_ != nullptr)
        observer_->on_settings_changed();
    return committed;
}

base::Result<std::vector<std::string>> Manager::save(const std::string &file)
{
    const auto selected = select(file);
    if (!selected)
        return base::Failure(selected.error());
    std::vector<std::string> written;
    std::vector<std::string> errors;
    base::ErrorCode code = base::ErrorCode::kSystem;
    for (ConnectionRecord *record : *selected) {
        const auto saved = save(*record);
        if (!saved) {
            code = saved.error().code;
            errors.push_back(saved.error().text);
        } else if (*saved) {
            written.push_back(record->config.file);
            if (observer_ != nullptr)
                observer_->on_connection_changed(*record);
        }
    }
    if (!written.empty() && observer_ != nullptr)
        observer_->on_settings_changed();
    if (!errors.empty())
        return base::fail(code, fmt::format("{}", fmt::join(errors, "\n")));
    return written;
}

base::Result<bool> Manager::save(ConnectionRecord &record)
{
    const std::string &file = record.config.file;
    const auto before = directory_.read_connection(file);
    if (!before && before.error().code != base::ErrorCode::kNotFound)
        return base::Failure(before.error());
    if (before && !record.is_unsaved()) {
        record.file_present = true;
        return false;
    }
    auto text = base::Result<base::SecretText>(config::serialise(record.config));
    if (before) {
        const auto parsed = config::parse_connection(file, *before);
        if (!parsed.value || *parsed.value != record.filed)
            return base::fail(
                base::ErrorCode::kConflict,
                fmt::format("connections/{} was changed since it was read, and is left as it is: apply it "
                            "first with `mpt reload`, which drops what was changed at run time",
                            file));
        text = config::edit(*before, record.config);
    }
    if (!text)
        return base::Failure(text.error());
    if (auto written = directory_.write_connection(file, *text); !written)
        return base::Failure(written.error());
    record.filed = record.config;
    record.file_present = true;
    record.created_by.clear();
    return true;
}

base::Result<void> Manager::add_created(const config::ConnectionConfig &config, const std::string &peer,
                                        Notices &notices)
{
    ConnectionRecord &record = add_connection(config, peer);
    notices.push_back(
        {Notice::Level::kInfo,
         fmt::format("connection {} is created by {}; `mpt save {}` keeps it", config.name, peer, config.file),
         Event::kConnectionCreated, config.name});
    follow_all(record, notices);
    auto committed = plane_.commit();
    update_routes(notices);
    if (observer_ != nullptr) {
        observer_->on_connection_added(record);
        observer_->on_settings_changed();
    }
    return committed;
}

base::Result<void> Manager::complete(const config::ConnectionConfig &filed, const config::ConnectionConfig &config,
                                     Notices &notices)
{
    auto taken = take_effect({{filed, config}}, notices);
    if (observer_ != nullptr)
        observer_->on_settings_changed();
    return taken;
}

// ---- interfaces

base::Result<void> Manager::add_address(const std::string &interface, const base::Prefix &address)
{
    return network_.add_address(interface, address);
}

base::Result<void> Manager::remove_address(const std::string &interface, const base::Prefix &address)
{
    return network_.remove_address(interface, address);
}

base::Result<void> Manager::set_interface(const std::string &interface, bool up)
{
    return network_.set_interface(interface, up);
}

base::Result<void> Manager::set_metered(const std::string &interface, bool metered)
{
    if (metered && !network_.interface_exists(interface))
        return base::fail(base::ErrorCode::kNotFound, fmt::format("there is no interface {}", interface));
    const bool changed = metered ? metered_.insert(interface).second : metered_.erase(interface) > 0;
    if (!changed || observer_ == nullptr)
        return {};
    for (const auto &record : connections_)
        for (std::size_t path = 0; path < record->paths.size(); ++path)
            if (record->config.paths[path].interface_name == interface)
                observer_->on_path_changed(*record, path);
    return {};
}

bool Manager::uses_interface(const std::string &interface) const
{
    const auto is_its = [&](const config::PathConfig &path) { return path.interface_name == interface; };
    return std::any_of(interface_.tunnels.begin(), interface_.tunnels.end(),
                       [&](const config::TunnelConfig &tunnel) { return tunnel.name == interface; }) ||
           std::any_of(connections_.begin(), connections_.end(), [&](const auto &record) {
               return std::any_of(record->config.paths.begin(), record->config.paths.end(), is_its);
           });
}

// ---- paths

base::Result<void> Manager::set_path(const std::string &connection, std::size_t path, bool up, bool force)
{
    ConnectionRecord *record = find_record(connection);
    if (record == nullptr || path >= record->paths.size())
        return no_path(connection, path);
    const auto is_up = [&](std::size_t i) { return path_state(connection, i).status == core::PathStatus::kUp; };
    if (up && path_state(connection, path).status == core::PathStatus::kDead &&
        record->paths[path].parameters.peer().address.is_unspecified())
        return base::fail(base::ErrorCode::kConflict,
                          fmt::format("path {} of {} comes up with the first keepalive of the peer: its address is not "
                                      "known (remote_ipaddr)",
                                      path, connection));
    bool others = false;
    for (std::size_t i = 0; i < record->paths.size(); ++i)
        others = others || (i != path && is_up(i));
    if (!up && !force && is_up(path) && !others)
        return base::fail(base::ErrorCode::kConflict,
                          fmt::format("path {} is the last one of {} that is up: without it the tunnel carries nothing "
                                      "(--force sets it down all the same)",
                                      path, connection));
    record->paths[path].by_hand = up;
    plane_.set_path(connection, path, up);
    auto committed = plane_.commit();
    plane_.settle();
    return committed;
}

base::Result<void> Manager::set_path_by_peer(const std::string &connection, std::size_t path, bool up)
{
    const ConnectionRecord *record = find(connection);
    if (record == nullptr || path >= record->paths.size())
        return no_path(connection, path);
    // One whose interface is down, or that was set down by hand, still learns what it will be afterwards.
    if (path_state(connection, path).status == (up ? core::PathStatus::kUp : core::PathStatus::kDead))
        return {};
    plane_.set_path_by_peer(connection, path, up);
    return plane_.commit();
}

base::Result<void> Manager::set_weight(const std::string &connection, std::size_t path, unsigned weight)
{
    ConnectionRecord *record = find_record(connection);
    if (record == nullptr || path >= record->paths.size())
        return no_path(connection, path);
    if (auto checked = check_weight(weight); !checked)
        return checked;
    record->config.paths[path].weight_out = static_cast<std::uint16_t>(weight);
    record->paths[path].parameters.weight = static_cast<std::uint16_t>(weight);
    plane_.set_connection(parameters_of(*record));
    auto committed = plane_.commit();
    if (observer_ != nullptr) {
        observer_->on_path_changed(*record, path);
        observer_->on_connection_changed(*record);
    }
    return committed;
}

base::Result<void> Manager::set_weight_in(const std::string &connection, std::size_t path, unsigned weight)
{
    ConnectionRecord *record = find_record(connection);
    if (record == nullptr || path >= record->paths.size())
        return no_path(connection, path);
    if (auto checked = check_weight(weight); !checked)
        return checked;
    if (record->config.auth_type != config::AuthType::kHmacSha256)
        return base::fail(
            base::ErrorCode::kNotSupported,
            fmt::format("the peer of {} cannot be told a weight: that needs auth_type = 3 on both hosts", connection));
    if ((record->config.permission & config::kSend) == 0 || !record->config.remote_cmd_port)
        return base::fail(base::ErrorCode::kNotSupported,
                          fmt::format("the peer of {} may not be told a weight: that needs permission = 1 or 3, and "
                                      "remote_cmd_port",
                                      connection));
    record->config.paths[path].weight_in = static_cast<std::uint16_t>(weight);
    if (observer_ != nullptr) {
        observer_->on_path_changed(*record, path);
        observer_->on_connection_changed(*record);
    }
    return {};
}

PathState Manager::path_state(const std::string &connection, std::size_t path) const
{
    return plane_.path_state(connection, path);
}

ConnectionStatistics Manager::statistics(const std::string &connection) const
{
    return plane_.statistics(connection);
}

Counters Manager::tunnel_statistics(const std::string &tunnel) const
{
    return plane_.tunnel_statistics(tunnel);
}

} // namespace mpt::service
