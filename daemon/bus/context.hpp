// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/bus/deferred.hpp"
#include "daemon/bus/errors.hpp"
#include "daemon/bus/gate.hpp"
#include "daemon/service/manager.hpp"

#include <exception>
#include <functional>
#include <memory>
#include <sdbus-c++/sdbus-c++.h>
#include <string>
#include <type_traits>
#include <utility>

namespace mpt::bus {

// What the program says of itself.
struct Identity {
    std::string version;
    std::string config_directory;
};

// What the objects on one connection to the bus work with.
struct Context {
    sdbus::IConnection &connection;
    service::Manager &manager;
    Gate &gate;
    const Identity &identity;
    std::function<void(service::Notices &)> tell; // the administrator; empties it
    std::function<void()> flush;                  // sends the signals of what has changed so far
    // Creates the peer's side of the connection of a file, and answers the call of this number.
    std::function<void(const std::string &file, std::uint64_t call)> create;
    Deferred &deferred;
};

// A request whose work is a function that returns a base::Result<Out> or, without Out, a base::Result<void>. What the
// work is for must be looked up in it: it may have changed while the request waited.
template <typename Work, typename... Out> class WorkRequest final : public Request {
public:
    WorkRequest(const Context &context, sdbus::Result<Out...> &&result, Work work)
        : context_(context), result_(std::move(result)), work_(std::move(work))
    {
    }

    void run() noexcept override
    {
        try {
            service::Notices notices;
            const auto done = work_(context_.manager, notices);
            context_.tell(notices);
            context_.flush(); // before the answer: who waits for that knows all then
            if (!done)
                refuse(error_of(done.error()));
            else if constexpr (sizeof...(Out) == 0)
                result_.returnResults();
            else
                result_.returnResults(*done);
        } catch (const std::exception &thrown) {
            refuse(error_of({base::ErrorCode::kSystem, thrown.what()}));
        }
    }

    void refuse(const sdbus::Error &error) noexcept override
    {
        try {
            result_.returnError(error);
        } catch (const std::exception &) { // the bus is gone, and so is the caller
        }
    }

private:
    const Context &context_;
    sdbus::Result<Out...> result_;
    Work work_;
};

// A create, which is answered when the peer has answered.
class CreateRequest final : public Request {
public:
    // `file` is looked up when the request is allowed.
    CreateRequest(const Context &context, const sdbus::IObject &object, sdbus::Result<> &&result,
                  std::function<base::Result<std::string>()> file)
        : context_(context), object_(object.getObjectPath()), result_(std::move(result)), file_(std::move(file))
    {
    }

    void run() noexcept override
    {
        const auto file = file_();
        if (!file)
            return refuse(error_of(file.error()));
        const std::uint64_t call = context_.deferred.keep(object_, std::move(result_));
        try {
            context_.create(*file, call);
        } catch (const std::exception &thrown) {
            context_.deferred.answer(call, base::fail(base::ErrorCode::kSystem, thrown.what()));
        }
    }

    void refuse(const sdbus::Error &error) noexcept override
    {
        try {
            result_.returnError(error);
        } catch (const std::exception &) { // as above
        }
    }

private:
    const Context &context_;
    const std::string object_;
    sdbus::Result<> result_;
    std::function<base::Result<std::string>()> file_;
};

// The answer to the call that `object` is handling: `work` is done as soon as its caller is known to be allowed to.
template <typename Work, typename... Out>
void answer(const Context &context, const sdbus::IObject &object, Question &&question, sdbus::Result<Out...> &&result,
            Work work)
{
    context.gate.submit(caller_of(object), std::move(question),
                        std::make_unique<WorkRequest<Work, Out...>>(context, std::move(result), std::move(work)));
}

// Throws what a call with a wrong argument gets for an answer.
template <typename T> T checked(base::Result<T> result)
{
    if (!result)
        throw error_of(result.error());
    if constexpr (!std::is_void_v<T>)
        return std::move(*result);
}

} // namespace mpt::bus
