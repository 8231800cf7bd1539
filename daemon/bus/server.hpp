// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/bus/connector.hpp"
#include "daemon/bus/context.hpp"
#include "daemon/service/manager.hpp"
#include "daemon/sys/event_loop.hpp"

#include <functional>
#include <memory>
#include <string>

namespace mpt::bus {

// org.mptd1 on the system bus. Without a bus, or while another program has the name, it says so once and tries again
// every few seconds: nothing else depends on it.
class Server final : public service::Observer {
public:
    using Tell = std::function<void(service::Notices &)>; // for the administrator; empties the notices

    // Starts with the loop, and calls `settled` when the first attempt has succeeded or failed. `loop` and `manager`
    // stay the caller's.
    static base::Result<std::unique_ptr<Server>> create(sys::EventLoop &loop, service::Manager &manager,
                                                        Identity identity, Tell tell, Create create,
                                                        std::function<void()> settled);
    ~Server() override;

    // Paths may have changed their status without on_path_status().
    void refresh();

    void on_connection_added(const service::ConnectionRecord &connection) override;
    void on_connection_removed(const std::string &name) override;
    void on_connection_changed(const service::ConnectionRecord &connection) override;
    void on_path_changed(const service::ConnectionRecord &connection, std::size_t path) override;
    void on_path_status(const service::ConnectionRecord &connection, std::size_t path,
                        const core::StatusChange &change) override;
    void on_settings_changed() override;

private:
    enum class State { kNew, kNoBus, kRefused, kInQueue, kOnBus };
    struct Session; // one connection to the bus, and all that is on it

    Server(sys::EventLoop &loop, service::Manager &manager, Identity identity, Tell tell, Create create,
           std::function<void()> settled);
    void create_for(const std::string &file, std::uint64_t call);
    void connect();
    void on_connected(base::Result<std::unique_ptr<sdbus::IConnection>> connection);
    void request_name();
    void on_name(const sdbus::Error *error, std::uint32_t answer);
    void on_name_owner_changed(sdbus::Message &signal);
    sys::Wait wait_for();
    void process();
    void on_timer();
    void lose(const std::string &why) { lose(State::kNoBus, why); }
    void lose(State state, const std::string &why);
    void say(State state, service::Notice::Level level, const std::string &text);
    void settle();
    // Does it with the objects on the bus, if there are any.
    template <typename Work> void with_tree(Work work);
    void flush();

    sys::EventLoop &loop_;
    service::Manager &manager_;
    const Identity identity_;
    const Tell tell_;
    const Create create_;
    std::function<void()> settled_; // called and emptied
    Connector connector_;
    sys::Timer timer_; // until the next attempt, or until the session that was lost is put away
    std::unique_ptr<Session> session_;
    State said_ = State::kNew; // last, so that it is not said again
};

} // namespace mpt::bus
