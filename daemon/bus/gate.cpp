// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/bus/gate.hpp"

#include "daemon/bus/errors.hpp"
#include "daemon/bus/paths.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <fmt/format.h>
#include <utility>

namespace mpt::bus {

namespace {

constexpr const char *kAuthority = "org.freedesktop.PolicyKit1.Authority";

// A person types a password.
constexpr std::chrono::microseconds kInteractivePatience = std::chrono::minutes(5);
constexpr std::chrono::microseconds kDriverPatience = std::chrono::seconds(25);

// Calls that wait for polkit: of everybody, and of one connection to the bus or one user (who may have many). Until the
// bus has told the user, only the connection counts: what one user asks may not be in the way of root.
constexpr std::ptrdiff_t kMaxPending = 512;
constexpr std::ptrdiff_t kMaxPendingOfCaller = 16;

constexpr std::uint32_t kAllowUserInteraction = 1; // CheckAuthorizationFlags of polkit

using Subject = sdbus::Struct<std::string, std::map<std::string, sdbus::Variant>>;
using Verdict = sdbus::Struct<bool, bool, std::map<std::string, std::string>>;

const char *name_of(Action action)
{
    return action == Action::kControl ? "org.mptd1.control" : "org.mptd1.configure";
}

} // namespace

Gate::Gate(sdbus::IConnection &connection, const service::Manager &manager)
    : manager_(manager), driver_(sdbus::createProxy(connection, kDriver, "/org/freedesktop/DBus")),
      polkit_(sdbus::createProxy(connection, "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority"))
{
}

void Gate::submit(Caller caller, Question question, std::unique_ptr<Request> request)
{
    const auto of_caller = std::count_if(pending_.begin(), pending_.end(),
                                         [&](const auto &entry) { return entry.second.caller.name == caller.name; });
    if (of_caller >= kMaxPendingOfCaller)
        return request->refuse(limits_exceeded("too many calls wait for their authorization: try again later"));
    const Number number = ++last_number_;
    driver_->callMethodAsync("GetConnectionUnixUser")
        .onInterface(kDriver)
        .withTimeout(kDriverPatience)
        .withArguments(caller.name)
        .uponReplyInvoke(
            [this, number](const sdbus::Error *error, std::uint32_t user) { on_user(number, error, user); });
    pending_.emplace(number, Pending{std::move(caller), std::move(question), std::move(request), {}});
}

void Gate::on_user(Number number, const sdbus::Error *error, std::uint32_t user)
{
    const auto found = pending_.find(number);
    if (found == pending_.end())
        return;
    if (error != nullptr)
        return take(number)->refuse(not_authorized("the bus does not say who calls: " + error->getMessage()));
    if (user == 0)
        return take(number)->run();
    const auto of_user =
        std::count_if(pending_.begin(), pending_.end(), [&](const auto &entry) { return entry.second.user == user; });
    const auto of_all = std::count_if(pending_.begin(), pending_.end(),
                                      [](const auto &entry) { return entry.second.user.has_value(); });
    if (of_user >= kMaxPendingOfCaller || of_all >= kMaxPending)
        return take(number)->refuse(
            limits_exceeded(fmt::format("too many calls{} wait for their authorization: try again later",
                                        of_user >= kMaxPendingOfCaller ? fmt::format(" of user {}", user) : "")));
    found->second.user = user;
    try {
        ask_polkit(number, found->second);
    } catch (const std::exception &thrown) {
        take(number)->refuse(not_authorized(fmt::format("polkit cannot be asked: {}", thrown.what())));
    }
}

void Gate::ask_polkit(Number number, const Pending &pending)
{
    std::map<std::string, std::string> details = pending.question.details;
    details["polkit.message"] = pending.question.message;
    details["polkit.gettext_domain"] = "mptd";
    const bool interactive = pending.caller.interactive;
    polkit_->callMethodAsync("CheckAuthorization")
        .onInterface(kAuthority)
        .withTimeout(interactive ? kInteractivePatience : std::chrono::microseconds(manager_.interface().cmd_timeout))
        .withArguments(Subject{"system-bus-name", {{"name", pending.caller.name}}}, name_of(pending.question.action),
                       details, interactive ? kAllowUserInteraction : 0U, std::to_string(number))
        .uponReplyInvoke([this, number](const sdbus::Error *error, const Verdict &verdict) {
            on_polkit(number, error, verdict.get<0>(), verdict.get<1>());
        });
}

void Gate::on_polkit(Number number, const sdbus::Error *error, bool authorized, bool challenge)
{
    const auto found = pending_.find(number);
    if (found == pending_.end())
        return;
    const std::string action = name_of(found->second.question.action);
    const bool asked_nobody = challenge && !found->second.caller.interactive;
    const auto request = take(number);
    if (error != nullptr) {
        if (error->getName() == "org.freedesktop.DBus.Error.NoReply") // in time
            cancel(number);
        return request->refuse(not_authorized(fmt::format("{} is needed, and polkit does not say who has it ({}): "
                                                          "see whether polkit.service runs, or do it as root",
                                                          action, error->getMessage())));
    }
    if (authorized)
        return request->run();
    request->refuse(not_authorized(
        asked_nobody
            ? fmt::format("{} is needed, which takes a password: call with interactive authorization, or as root",
                          action)
            : fmt::format("{} is needed: polkit has refused it", action)));
}

void Gate::caller_gone(const std::string &name)
{
    take_all([&](const Caller &caller) { return caller.name == name; });
}

void Gate::object_gone(const std::string &path)
{
    for (const auto &request : take_all([&](const Caller &caller) { return caller.object == path; }))
        request->refuse(error_of({base::ErrorCode::kNotFound, fmt::format("{} has gone while the call waited", path)}));
}

template <typename Of> std::vector<std::unique_ptr<Request>> Gate::take_all(Of of)
{
    std::vector<std::unique_ptr<Request>> taken;
    for (auto entry = pending_.begin(); entry != pending_.end();) {
        if (!of(entry->second.caller)) {
            ++entry;
            continue;
        }
        if (entry->second.user)
            cancel(entry->first);
        taken.push_back(std::move(entry->second.request));
        entry = pending_.erase(entry);
    }
    return taken;
}

// Nobody needs the answer, and no dialogue need be open for it.
void Gate::cancel(Number number) noexcept
{
    try {
        polkit_->callMethod("CancelCheckAuthorization")
            .onInterface(kAuthority)
            .withArguments(std::to_string(number))
            .dontExpectReply();
    } catch (const std::exception &) { // the bus is gone: so is the question
    }
}

std::unique_ptr<Request> Gate::take(Number number)
{
    auto entry = pending_.extract(number);
    return std::move(entry.mapped().request);
}

} // namespace mpt::bus
