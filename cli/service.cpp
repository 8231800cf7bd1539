// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/service.hpp"

#include "cli/polkit_agent.hpp"
#include "cli/text.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <fmt/format.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

namespace mpt::cli {

namespace {

using namespace std::chrono_literals;

constexpr const char *kRoot = "/org/mptd1";
constexpr const char *kBusName = "org.freedesktop.DBus";

constexpr auto kReadTimeout = 10s;
// Beyond what the daemon itself allows for the work on a request.
constexpr auto kGrace = 5s;
// A person looks for a password.
constexpr auto kPersonTimeout = 5min;

std::uint64_t now(clockid_t clock)
{
    timespec time{};
    clock_gettime(clock, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1000000 + static_cast<std::uint64_t>(time.tv_nsec) / 1000;
}

// Gives access to what sdbus-c++ keeps to itself: the connection that the message was made for.
class OpenMessage : public sdbus::Message {
public:
    explicit OpenMessage(const sdbus::Message &message) : Message(message) {}

    sd_bus *bus() const { return sd_bus_message_get_bus(static_cast<sd_bus_message *>(msg_)); }
};

// From now on all calls carry the flag that allows polkit to ask somebody.
void allow_questions(sdbus::IConnection &connection, const std::string &destination)
{
    const auto proxy = sdbus::createProxy(connection, destination, kRoot);
    const auto message = proxy->createMethodCall("org.freedesktop.DBus.Peer", "Ping");
    sd_bus_set_allow_interactive_authorization(OpenMessage(message).bus(), 1);
}

bool is_one_of(const std::string &name, std::initializer_list<std::string_view> names)
{
    return std::find(names.begin(), names.end(), name) != names.end();
}

// The object went while we asked.
bool is_gone(const sdbus::Error &error)
{
    return is_one_of(error.getName(),
                     {"org.freedesktop.DBus.Error.UnknownObject", "org.freedesktop.DBus.Error.UnknownMethod",
                      "org.freedesktop.DBus.Error.UnknownInterface", "org.mptd1.Error.NotFound"});
}

} // namespace

std::uint64_t monotonic_now()
{
    return now(CLOCK_MONOTONIC);
}

std::uint64_t realtime_now()
{
    return now(CLOCK_REALTIME);
}

CommandError not_running()
{
    return {kUnavailable, "mptd does not run\nstart it: systemctl start mptd"};
}

CommandError explain(const sdbus::Error &error, const char *action)
{
    const std::string &name = error.getName();
    const std::string &text = error.getMessage();
    if (is_one_of(name, {"org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner"}))
        return not_running();
    if (is_one_of(name, {"org.freedesktop.DBus.Error.AccessDenied", "org.mptd1.Error.NotAuthorized",
                         "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
                         "org.freedesktop.PolicyKit1.Error.NotAuthorized"})) {
        if (action == nullptr)
            return {kNotAuthorised, fmt::format("not allowed: {}", text)};
        return {
            kNotAuthorised,
            fmt::format("not authorised: {}\nit needs the polkit action {}: run it as root (sudo mpt ...), or ask the "
                        "administrator for a polkit rule",
                        text, action)};
    }
    if (is_one_of(name, {"org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.Timeout",
                         "org.freedesktop.DBus.Error.Disconnected"}))
        return {kUnavailable, fmt::format("mptd gave no answer ({})\nlook at it: systemctl status mptd", text)};
    if (name == "org.mptd1.Error.InvalidConfig")
        return {kConfig, text};
    if (is_one_of(name, {"org.freedesktop.DBus.Error.UnknownMethod", "org.freedesktop.DBus.Error.UnknownInterface",
                         "org.freedesktop.DBus.Error.InvalidArgs"}))
        return {kFailed,
                fmt::format("{}\nmpt and mptd may be of different versions: compare them with mpt version", text)};
    if (name.starts_with("org.mptd1.Error."))
        return {kFailed, text};
    return {kFailed, fmt::format("{} ({})", text, name)};
}

Bus::Bus()
{
    try {
        connection_ = sdbus::createSystemBusConnection();
    } catch (const sdbus::Error &error) {
        throw CommandError(kUnavailable, fmt::format("there is no system bus: {}\nlook at it: systemctl status dbus",
                                                     error.getMessage()));
    }
    connection_->setMethodCallTimeout(kReadTimeout);
}

std::optional<std::string> Bus::owner()
{
    const auto proxy = sdbus::createProxy(*connection_, kBusName, "/org/freedesktop/DBus");
    try {
        std::string owner;
        proxy->callMethod("GetNameOwner").onInterface(kBusName).withArguments(kServiceName).storeResultsTo(owner);
        return owner;
    } catch (const sdbus::Error &error) {
        if (error.getName() != "org.freedesktop.DBus.Error.NameHasNoOwner")
            throw;
        return std::nullopt;
    }
}

void Bus::watch(SignalHandler &handler)
{
    handler_ = &handler;
    // A signal that is not what it should be is none; nor may an exception cross sd-bus.
    const auto guarded = [this](void (Bus::*take)(sdbus::Message &)) {
        return [this, take](sdbus::Message &message) {
            try {
                (this->*take)(message);
            } catch (const std::exception &) {
            }
        };
    };
    connection_->addMatch(fmt::format("type='signal',sender='{0}',interface='{0}',member='NameOwnerChanged',arg0='{1}'",
                                      kBusName, kServiceName),
                          guarded(&Bus::on_owner_changed), sdbus::floating_slot);
    connection_->addMatch(fmt::format("type='signal',sender='{}',path_namespace='{}'", kServiceName, kRoot),
                          guarded(&Bus::on_signal), sdbus::floating_slot);
    owner_ = owner().value_or("");
}

void Bus::dispatch()
{
    try {
        while (connection_->processPendingRequest()) {
        }
    } catch (const sdbus::Error &error) {
        throw CommandError(kUnavailable, fmt::format("the system bus is gone: {}", error.getMessage()));
    }
}

void Bus::on_owner_changed(sdbus::Message &message)
{
    std::string name;
    std::string before;
    std::string after;
    message >> name >> before >> after;
    if (name != kServiceName || message.getSender() != kBusName)
        return;
    owner_ = after;
    handler_->on_service(!after.empty());
}

void Bus::on_signal(sdbus::Message &message)
{
    // Anybody may send a signal to us alone.
    if (message.getSender() != owner_)
        return;
    const std::string member = message.getMemberName();
    const std::string interface = message.getInterfaceName();
    if (interface == "org.mptd1.Path" && member == "StatusChanged") {
        std::string from;
        std::string to;
        std::string reason;
        std::uint64_t since = 0;
        message >> from >> to >> reason >> since;
        handler_->on_path_status(message.getPath(), from, to, reason, since);
    } else if (interface == "org.freedesktop.DBus.ObjectManager" && member == "InterfacesAdded") {
        sdbus::ObjectPath object;
        Interfaces interfaces;
        message >> object >> interfaces;
        handler_->on_added(object, interfaces);
    } else if (interface == "org.freedesktop.DBus.ObjectManager" && member == "InterfacesRemoved") {
        sdbus::ObjectPath object;
        message >> object;
        handler_->on_removed(object);
    } else if (interface == "org.freedesktop.DBus.Properties" && member == "PropertiesChanged") {
        std::string changed;
        Properties properties;
        message >> changed >> properties;
        if (const auto problems = properties.find("Problems");
            changed == "org.mptd1.Manager" && problems != properties.end())
            handler_->on_problems(problems->second.get<std::vector<std::string>>());
    }
}

Service::Service(Bus &bus) : bus_(bus)
{
    auto owner = bus.owner();
    if (!owner)
        throw not_running();
    owner_ = std::move(*owner);
}

Snapshot Service::snapshot()
{
    const auto proxy = sdbus::createProxy(bus_.connection(), owner_, kRoot);
    Objects objects;
    proxy->callMethod("GetManagedObjects").onInterface("org.freedesktop.DBus.ObjectManager").storeResultsTo(objects);
    // The root itself is no managed object.
    Properties manager;
    proxy->callMethod("GetAll")
        .onInterface("org.freedesktop.DBus.Properties")
        .withArguments("org.mptd1.Manager")
        .storeResultsTo(manager);
    objects[sdbus::ObjectPath(kRoot)]["org.mptd1.Manager"] = std::move(manager);
    Snapshot snapshot = decode(objects);
    snapshot.monotonic = monotonic_now();
    return snapshot;
}

Snapshot Service::snapshot_with_counters(const std::string &connection)
{
    Snapshot taken = snapshot();
    read_counters(taken, connection);
    return taken;
}

void Service::read_counters(Snapshot &snapshot, const std::string &connection)
{
    const auto ask = [&](const auto &call) {
        try {
            call();
        } catch (const sdbus::Error &error) {
            if (!is_gone(error))
                throw;
        }
    };
    for (Tunnel &tunnel : snapshot.tunnels)
        ask([&] {
            tunnel.counters = Proxy<org::mptd1::Tunnel_proxy>(bus_.connection(), owner_, tunnel.object).GetStatistics();
        });
    for (Connection &each : snapshot.connections) {
        if (!connection.empty() && each.name != connection)
            continue;
        ask([&] {
            auto [own, paths] =
                Proxy<org::mptd1::Connection_proxy>(bus_.connection(), owner_, each.object).GetStatistics();
            each.counters = std::move(own);
            for (std::size_t i = 0; i < std::min(paths.size(), each.paths.size()); ++i)
                each.paths[i].counters = std::move(paths[i]);
        });
    }
    snapshot.monotonic = monotonic_now();
}

ManagerProxy Service::manager()
{
    return ManagerProxy(bus_.connection(), owner_, kRoot);
}

PathProxy Service::path(const std::string &object)
{
    return PathProxy(bus_.connection(), owner_, object);
}

std::chrono::microseconds patience(bool asks_person, std::chrono::microseconds command_timeout, Work work)
{
    return (asks_person ? std::chrono::microseconds(kPersonTimeout) : command_timeout) +
           (work == Work::kPeer ? command_timeout : std::chrono::microseconds(0)) + kGrace;
}

void Service::change(const Settings &settings, const char *action, const std::function<void()> &call, Work work)
{
    const bool asks = settings.ask_password && geteuid() != 0 && isatty(STDIN_FILENO) != 0;
    try {
        const std::chrono::microseconds command_timeout(manager().CommandTimeout());
        std::optional<PolkitAgent> agent;
        if (asks) {
            agent.emplace();
            allow_questions(bus_.connection(), owner_);
        }
        bus_.connection().setMethodCallTimeout(patience(asks, command_timeout, work));
        call();
    } catch (const sdbus::Error &error) {
        throw explain(error, action);
    }
}

} // namespace mpt::cli
