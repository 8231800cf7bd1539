// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/bus/connector.hpp"

#include "daemon/sys/error.hpp"
#include "daemon/sys/file_descriptor.hpp"

#include <cerrno>
#include <future>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <system_error>
#include <thread>
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

struct Connector::Attempt {
    std::promise<base::Result<std::unique_ptr<sdbus::IConnection>>> promise;
    sys::FileDescriptor done; // eventfd, readable when the promise is kept
};

Connector::Connector(sys::EventLoop &loop, std::string match, sdbus::message_handler on_signal, Callback callback)
    : loop_(loop), match_(std::move(match)), on_signal_(std::move(on_signal)), callback_(std::move(callback))
{
}

Connector::~Connector() = default;

base::Result<void> Connector::start()
{
    auto attempt = std::make_shared<Attempt>();
    attempt->done = sys::FileDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!attempt->done.valid())
        return sys::system_failure(errno, "making an eventfd");
    auto source = loop_.watch(attempt->done.get(), EPOLLIN, [this](std::uint32_t) { finish(); });
    if (!source)
        return base::Failure(source.error());
    try {
        std::thread([attempt, match = match_, on_signal = on_signal_]() mutable noexcept {
            attempt->promise.set_value(connect(match, std::move(on_signal)));
            eventfd_write(attempt->done.get(), 1);
        }).detach();
    } catch (const std::system_error &error) {
        return sys::system_failure(error.code().value(), "starting a thread that connects to the system bus");
    }
    source_ = std::move(*source);
    attempt_ = std::move(attempt);
    return {};
}

void Connector::finish()
{
    const auto attempt = std::exchange(attempt_, nullptr);
    source_.disable();
    callback_(attempt->promise.get_future().get());
}

} // namespace mpt::bus
