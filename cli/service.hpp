// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/command.hpp"
#include "cli/snapshot.hpp"

#include <chrono>
#include <connection_proxy.hpp>
#include <functional>
#include <manager_proxy.hpp>
#include <memory>
#include <optional>
#include <path_proxy.hpp>
#include <string>
#include <tunnel_proxy.hpp>

namespace mpt::cli {

inline constexpr const char *kServiceName = "org.mptd1";

// The polkit actions that changes need.
inline constexpr const char *kControl = "org.mptd1.control";
inline constexpr const char *kConfigure = "org.mptd1.configure";

// What mptd tells by signals.
class SignalHandler {
public:
    virtual ~SignalHandler() = default;
    // mptd has come or gone.
    virtual void on_service(bool runs) = 0;
    virtual void on_path_status(const std::string &object, const std::string &from, const std::string &to,
                                const std::string &reason, std::uint64_t since) = 0;
    virtual void on_added(const std::string &object, const Interfaces &interfaces) = 0;
    virtual void on_removed(const std::string &object) = 0;
    virtual void on_problems(const std::vector<std::string> &problems) = 0;
};

// A connection to the system bus, used by one thread. Whatever is called, mptd is not started by it.
class Bus {
public:
    // CommandError (kUnavailable) if there is no bus.
    Bus();

    // The unique name of mptd, nothing if it does not run.
    std::optional<std::string> owner();

    // From now on dispatch() tells `handler`, which must live as long as the bus.
    void watch(SignalHandler &handler);
    void dispatch();
    // For poll(2): readable (or its events) means that dispatch() has something to do; milliseconds until it has in any
    // case, -1 for never.
    sdbus::IConnection::PollData poll_data() const { return connection_->getEventLoopPollData(); }

    sdbus::IConnection &connection() { return *connection_; }

private:
    void on_signal(sdbus::Message &message);
    void on_owner_changed(sdbus::Message &message);

    std::unique_ptr<sdbus::IConnection> connection_;
    SignalHandler *handler_ = nullptr;
    std::string owner_; // whose signals are listened to; empty: nobody's
};

// The methods of one interface of an object, as its XML describes them.
template <typename Interface> class Proxy final : public sdbus::ProxyInterfaces<Interface> {
public:
    using sdbus::ProxyInterfaces<Interface>::ProxyInterfaces;
};

template <> class Proxy<org::mptd1::Path_proxy> final : public sdbus::ProxyInterfaces<org::mptd1::Path_proxy> {
public:
    using ProxyInterfaces::ProxyInterfaces;

private:
    // Signals come by Bus::watch().
    void onStatusChanged(const std::string &, const std::string &, const std::string &, const std::uint64_t &) override
    {
    }
};

using ManagerProxy = Proxy<org::mptd1::Manager_proxy>;
using PathProxy = Proxy<org::mptd1::Path_proxy>;

// Who has to work on a call once it is allowed.
enum class Work {
    kHere, // the daemon, at once
    kPeer, // the peer too, who has the time for a command once more
};

// How long to wait for the answer to a call that polkit decides on. `command_timeout` is the Manager's CommandTimeout;
// where a person may be asked, that is what takes time before the call is allowed.
std::chrono::microseconds patience(bool asks_person, std::chrono::microseconds command_timeout, Work work);

// The daemon that runs now.
class Service {
public:
    // CommandError (kUnavailable) if it does not run.
    explicit Service(Bus &bus);

    // Everything but the counters.
    Snapshot snapshot();
    // The counters too, of all connections or of the one with this name.
    Snapshot snapshot_with_counters(const std::string &connection = {});
    void read_counters(Snapshot &snapshot, const std::string &connection = {});

    ManagerProxy manager();
    PathProxy path(const std::string &object);

    // Makes a call that polkit decides on: a person may be asked, if `settings` say so and there is a terminal. Errors
    // of the bus become a CommandError that names the action.
    void change(const Settings &settings, const char *action, const std::function<void()> &call,
                Work work = Work::kHere);

private:
    Bus &bus_;
    std::string owner_;
};

// What a person should read and do about an error of the bus. `action` is the polkit action of the call, or nullptr.
CommandError explain(const sdbus::Error &error, const char *action);

CommandError not_running();

// Of CLOCK_MONOTONIC and CLOCK_REALTIME, in microseconds.
std::uint64_t monotonic_now();
std::uint64_t realtime_now();

} // namespace mpt::cli
