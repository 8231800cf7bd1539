// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/bus/server.hpp"

#include "daemon/bus/backlog.hpp"
#include "daemon/bus/paths.hpp"
#include "daemon/bus/tree.hpp"
#include "daemon/sys/clock.hpp"

#include <cerrno>
#include <chrono>
#include <exception>
#include <fmt/format.h>
#include <limits>
#include <sys/epoll.h>
#include <utility>

namespace mpt::bus {

namespace {

constexpr base::Duration kRetry = std::chrono::seconds(3);

// Connections to the bus that end: the new owner of their name is nobody.
constexpr const char *kEndOfCallers = "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
                                      "member='NameOwnerChanged',arg2=''";

// Answers to RequestName.
constexpr std::uint32_t kOwner = 1;
constexpr std::uint32_t kInQueue = 2;

} // namespace

struct Server::Session {
    Session(std::unique_ptr<sdbus::IConnection> bus, Server &server)
        : connection(std::move(bus)), driver(sdbus::createProxy(*connection, kDriver, "/org/freedesktop/DBus")),
          backlog(*driver),
          gate(*connection, server.manager_), context{*connection,
                                                      server.manager_,
                                                      gate,
                                                      server.identity_,
                                                      server.tell_,
                                                      [&server] { server.flush(); },
                                                      [&server](const std::string &file, std::uint64_t call) {
                                                          server.create_for(file, call);
                                                      },
                                                      deferred},
          tree(context)
    {
    }

    std::unique_ptr<sdbus::IConnection> connection;
    std::unique_ptr<sdbus::IProxy> driver;
    Backlog backlog;
    Gate gate;
    Deferred deferred;
    Context context;
    Tree tree;
    sys::EventSource source;
    bool lost = false;
};

Server::Server(sys::EventLoop &loop, service::Manager &manager, Identity identity, Tell tell, Create create,
               std::function<void()> settled)
    : loop_(loop), manager_(manager), identity_(std::move(identity)), tell_(std::move(tell)),
      create_(std::move(create)), settled_(std::move(settled)),
      connector_(
          loop, kEndOfCallers, [this](sdbus::Message &signal) { on_name_owner_changed(signal); },
          [this](auto connection) { on_connected(std::move(connection)); })
{
}

Server::~Server() = default;

base::Result<std::unique_ptr<Server>> Server::create(sys::EventLoop &loop, service::Manager &manager, Identity identity,
                                                     Tell tell, Create create, std::function<void()> settled)
{
    std::unique_ptr<Server> server(
        new Server(loop, manager, std::move(identity), std::move(tell), std::move(create), std::move(settled)));
    auto timer = loop.make_timer([raw = server.get()] { raw->on_timer(); });
    if (!timer)
        return base::Failure(timer.error());
    server->timer_ = std::move(*timer);
    server->timer_.set(sys::now());
    return server;
}

// ---- the connection

void Server::on_timer()
{
    if (session_ != nullptr) { // lost
        session_.reset();
        timer_.set(sys::now() + kRetry);
    } else if (auto started = connector_.start(); !started) {
        lose(started.error().text);
    }
}

void Server::on_connected(base::Result<std::unique_ptr<sdbus::IConnection>> connection)
{
    if (!connection)
        return lose(connection.error().text);
    try {
        session_ = std::make_unique<Session>(std::move(*connection), *this);
        auto source = loop_.watch(
            session_->connection->getEventLoopPollData().fd, [this] { return wait_for(); }, [this] { process(); });
        if (!source)
            return lose(source.error().text);
        session_->source = std::move(*source);
        request_name();
    } catch (const sdbus::Error &error) {
        lose(error.getMessage());
    }
}

void Server::request_name()
{
    session_->driver->callMethodAsync("RequestName")
        .onInterface(kDriver)
        .withArguments(kName, std::uint32_t{0})
        .uponReplyInvoke([this](const sdbus::Error *error, std::uint32_t answered) { on_name(error, answered); });
}

void Server::on_name(const sdbus::Error *error, std::uint32_t answer)
{
    if (error != nullptr)
        return lose(State::kRefused, fmt::format("the name {} is refused: {}", kName, error->getMessage()));
    if (answer == kOwner)
        say(State::kOnBus, service::Notice::Level::kInfo, fmt::format("{} is on the system bus", kName));
    else if (answer == kInQueue)
        say(State::kInQueue, service::Notice::Level::kWarning,
            fmt::format("another program has the name {} on the system bus: mpt talks to that one until it ends",
                        kName));
    settle();
}

sys::Wait Server::wait_for()
{
    with_tree([](Tree &tree) {
        tree.bury();
        tree.flush();
    });
    if (session_->lost)
        return {};
    try {
        const auto wanted = session_->connection->getEventLoopPollData();
        sys::Wait wait;
        wait.events = static_cast<std::uint32_t>(wanted.events); // poll and epoll have the same bits
        if (session_->backlog.is_full())
            wait.events &= ~static_cast<std::uint32_t>(EPOLLIN);
        if (wanted.timeout_usec != std::numeric_limits<std::uint64_t>::max())
            wait.deadline = base::Instant(std::chrono::microseconds(wanted.timeout_usec));
        return wait;
    } catch (const sdbus::Error &error) {
        lose(error.getMessage());
        return {};
    }
}

// One message; those that wait let the others of the loop have their turn in between.
void Server::process()
{
    if (session_->lost)
        return;
    try {
        session_->connection->processPendingRequest();
    } catch (const sdbus::Error &error) {
        lose(error.getMessage());
    }
}

// There is no session, or it is of no more use; it may be at work just now, and is put away later.
void Server::lose(State state, const std::string &why)
{
    say(state, service::Notice::Level::kWarning,
        fmt::format("mpt does not work without the system bus ({}): it is tried again every {} s", why,
                    std::chrono::duration_cast<std::chrono::seconds>(kRetry).count()));
    if (session_ != nullptr)
        session_->lost = true;
    timer_.set(session_ != nullptr ? sys::now() : sys::now() + kRetry);
    settle();
}

void Server::say(State state, service::Notice::Level level, const std::string &text)
{
    if (std::exchange(said_, state) == state)
        return;
    service::Notices notices{{level, text}};
    tell_(notices);
}

void Server::settle()
{
    if (const auto settled = std::exchange(settled_, nullptr))
        settled();
}

void Server::on_name_owner_changed(sdbus::Message &signal)
{
    std::string name;
    signal >> name;
    if (session_ != nullptr)
        session_->gate.caller_gone(name);
}

void Server::create_for(const std::string &file, std::uint64_t call)
{
    create_(file, [this, call](const base::Result<void> &result) {
        flush();
        if (session_ != nullptr && !session_->lost)
            session_->deferred.answer(call, result);
    });
}

// ---- what the manager tells

template <typename Work> void Server::with_tree(Work work)
{
    if (session_ == nullptr || session_->lost)
        return;
    try {
        work(session_->tree);
    } catch (const sdbus::Error &error) {
        lose(error.getMessage());
    }
}

void Server::flush()
{
    with_tree([](Tree &tree) { tree.flush(); });
}

void Server::refresh()
{
    with_tree([](Tree &tree) { tree.touch_all(); });
}

void Server::on_connection_added(const service::ConnectionRecord &connection)
{
    with_tree([&](Tree &tree) { tree.touch(connection.config.name); });
}

void Server::on_connection_removed(const std::string &name)
{
    with_tree([&](Tree &tree) { tree.remove(name); });
}

void Server::on_connection_changed(const service::ConnectionRecord &connection)
{
    with_tree([&](Tree &tree) { tree.touch(connection.config.name); });
}

void Server::on_path_changed(const service::ConnectionRecord &connection, std::size_t)
{
    with_tree([&](Tree &tree) { tree.touch(connection.config.name); });
}

void Server::on_path_status(const service::ConnectionRecord &connection, std::size_t path,
                            const core::StatusChange &change)
{
    with_tree([&](Tree &tree) { tree.status_changed(connection.config.name, path, change); });
}

void Server::on_settings_changed()
{
    with_tree([](Tree &tree) { tree.touch_settings(); });
}

} // namespace mpt::bus
