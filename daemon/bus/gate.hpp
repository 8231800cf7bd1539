// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/bus/message.hpp"
#include "daemon/service/manager.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <sdbus-c++/sdbus-c++.h>
#include <string>
#include <vector>

namespace mpt::bus {

// A method call that may have to wait until it is allowed.
class Request {
public:
    virtual ~Request() = default;

    // Does it and answers the caller.
    virtual void run() noexcept = 0;
    virtual void refuse(const sdbus::Error &error) noexcept = 0;
};

// The polkit actions (org.mptd1.policy).
enum class Action { kControl, kConfigure };

// What polkit is asked, and through it perhaps a person.
struct Question {
    Action action;
    std::string message;                        // may name details as $(key)
    std::map<std::string, std::string> details; // of checked values only: they are shown
};

// Lets calls through that their caller may make: root always, others if polkit says so. Nothing is waited for: other
// calls are served meanwhile. No polkit, none that answers within five minutes (within cmd_timeout if no person may be
// asked), a caller that has gone: no.
class Gate {
public:
    // Both stay the caller's.
    Gate(sdbus::IConnection &connection, const service::Manager &manager);

    void submit(Caller caller, Question question, std::unique_ptr<Request> request);
    // Nobody has this unique name any more.
    void caller_gone(const std::string &name);
    // Refuses the calls of an object that is about to go. sd-bus compares an answer with a signature that it does not
    // own and that goes with the object: without it no call must succeed any more (an error is compared with nothing).
    void object_gone(const std::string &path);

private:
    struct Pending {
        Caller caller;
        Question question;
        std::unique_ptr<Request> request;
        std::optional<std::uint32_t> user; // who asks, once that is known; polkit is asked then
    };
    // Answers find what they are for by its number: it may have gone.
    using Number = std::uint64_t;

    void on_user(Number number, const sdbus::Error *error, std::uint32_t user);
    void ask_polkit(Number number, const Pending &pending);
    void on_polkit(Number number, const sdbus::Error *error, bool authorized, bool challenge);
    void cancel(Number number) noexcept;
    std::unique_ptr<Request> take(Number number);
    // Takes out the calls that `of` is true for; polkit need not answer any more.
    template <typename Of> std::vector<std::unique_ptr<Request>> take_all(Of of);

    const service::Manager &manager_;
    std::unique_ptr<sdbus::IProxy> driver_;
    std::unique_ptr<sdbus::IProxy> polkit_;
    std::map<Number, Pending> pending_;
    Number last_number_ = 0;
};

} // namespace mpt::bus
