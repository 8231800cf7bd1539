// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/bus/connector.hpp"

#include <utility>

namespace mpt::bus {

namespace {

base::Result<std::unique_ptr<sdbus::IConnection>> connect(const std::string &match, sdbus::message_handler on_signal)
{
    try {
        auto connection = sdbus::createSystemBusConnection();
        connection->addMatch(match, std::move(on_signal), sdbus::floating_slot);
        return connection;
    } catch (const sdbus::Error &error) {
        return base::fail(base::ErrorCode::kSystem, error.getMessage());
    }
}

} // namespace

Connector::Connector(sys::EventLoop &loop, std::string match, sdbus::message_handler on_signal, Callback callback)
    : match_(std::move(match)), on_signal_(std::move(on_signal)), attempt_(loop, std::move(callback))
{
}

base::Result<void> Connector::start()
{
    return attempt_.start([match = match_, on_signal = on_signal_] { return connect(match, on_signal); },
                          "connects to the system bus");
}

} // namespace mpt::bus
