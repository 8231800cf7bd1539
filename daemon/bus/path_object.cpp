// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/bus/path_object.hpp"

#include "daemon/bus/paths.hpp"
#include "daemon/bus/text.hpp"
#include "daemon/sys/clock.hpp"

#include <chrono>

namespace mpt::bus {

namespace {

std::string text_of(const base::Address &address)
{
    return address.is_unspecified() ? std::string() : address.to_string();
}

} // namespace

PathObject::PathObject(const Context &context, const service::ConnectionRecord &connection, std::size_t number)
    : AdaptorInterfaces(context.connection, path_of(connection.config.name, number)), context_(context),
      connection_(connection), number_(number), snapshot_(*this, kProperties)
{
    registerAdaptor();
}

PathObject::~PathObject()
{
    context_.gate.object_gone(getObjectPath());
    unregisterAdaptor();
}

void PathObject::changed()
{
    if (const auto names = snapshot_.changes(); !names.empty())
        getObject().emitPropertiesChangedSignal(INTERFACE_NAME, names);
}

void PathObject::status_changed(const core::StatusChange &change)
{
    changed();
    emitStatusChanged(std::string(service::name_of(change.from)), std::string(service::name_of(change.to)),
                      std::string(service::name_of(change.reason)), StatusSince());
}

Question PathObject::question(const char *message) const
{
    return {Action::kControl, message, {{"connection", connection_.config.name}, {"path", std::to_string(number_)}}};
}

void PathObject::set_up(sdbus::Result<> &&result, bool up, bool force)
{
    answer(context_, getObject(),
           question(up ? "Authentication is required to set path $(path) of connection $(connection) up."
                       : "Authentication is required to set path $(path) of connection $(connection) down."),
           std::move(result),
           [connection = connection_.config.name, number = number_, up, force](service::Manager &manager,
                                                                               service::Notices &) {
               return manager.set_path(connection, number, up, force);
           });
}

void PathObject::Up(sdbus::Result<> &&result)
{
    set_up(std::move(result), true, false);
}

void PathObject::Down(sdbus::Result<> &&result, bool force)
{
    set_up(std::move(result), false, force);
}

void PathObject::SetWeight(sdbus::Result<> &&result, std::uint16_t weight)
{
    Question asked = question("Authentication is required to give path $(path) of connection $(connection) the weight "
                              "$(weight).");
    asked.details["weight"] = std::to_string(weight);
    answer(context_, getObject(), std::move(asked), std::move(result),
           [connection = connection_.config.name, number = number_, weight](service::Manager &manager,
                                                                            service::Notices &) {
               return manager.set_weight(connection, number, weight);
           });
}

void PathObject::SetWeightIn(sdbus::Result<> &&result, std::uint16_t weight)
{
    Question asked = question("Authentication is required to have the peer give path $(path) of connection "
                              "$(connection) the weight $(weight).");
    asked.details["weight"] = std::to_string(weight);
    answer(context_, getObject(), std::move(asked), std::move(result),
           [connection = connection_.config.name, number = number_, weight](service::Manager &manager,
                                                                            service::Notices &) {
               return manager.set_weight_in(connection, number, weight);
           });
}

sdbus::ObjectPath PathObject::Connection()
{
    return connection_path(connection_.config.name);
}

std::string PathObject::Interface()
{
    return config().interface_name;
}

std::uint8_t PathObject::IpVersion()
{
    return static_cast<std::uint8_t>(config().ip_ver);
}

std::string PathObject::LocalAddress()
{
    return text_of(record().parameters.local.address);
}

std::string PathObject::PublicAddress()
{
    return text_of(service::public_address(connection_, number_).endpoint.address);
}

std::uint16_t PathObject::PublicPort()
{
    return service::public_address(connection_, number_).endpoint.port;
}

std::string PathObject::PublicSource()
{
    return std::string(service::name_of(service::public_address(connection_, number_).source));
}

std::string PathObject::GatewayAddress()
{
    const std::optional<service::PathRoute> &route = record().route;
    return text_of(route && route->gateway ? *route->gateway : config().gateway_ipaddr);
}

std::string PathObject::RemoteAddress()
{
    return text_of(record().parameters.peer().address);
}

std::uint16_t PathObject::RemotePort()
{
    const base::Endpoint &peer = record().parameters.peer();
    return peer.address.is_unspecified() ? 0 : peer.port;
}

std::uint64_t PathObject::RemoteLearned()
{
    const auto &learned = record().parameters.learned;
    return learned ? realtime_of(learned->since, learned_) : 0;
}

std::uint64_t PathObject::RemoteLearnedMonotonic()
{
    const auto &learned = record().parameters.learned;
    return learned ? base::microseconds(learned->since) : 0;
}

std::uint16_t PathObject::WeightOut()
{
    return config().weight_out;
}

std::uint16_t PathObject::WeightIn()
{
    return config().weight_in;
}

std::uint64_t PathObject::KeepaliveTime()
{
    return base::microseconds(config().keepalive);
}

std::uint64_t PathObject::DeadTime()
{
    return base::microseconds(config().dead);
}

bool PathObject::CommandDefault()
{
    return config().cmd_default;
}

std::uint8_t PathObject::Status()
{
    return static_cast<std::uint8_t>(state().status);
}

std::string PathObject::StatusName()
{
    return std::string(service::name_of(state().status));
}

std::string PathObject::StatusReason()
{
    return std::string(service::name_of(state().reason));
}

std::uint64_t PathObject::realtime_of(base::Instant instant, Moment &known)
{
    if (instant != known.monotonic) {
        const auto then = std::chrono::system_clock::now().time_since_epoch() - (sys::now() - instant);
        known = {instant, base::microseconds(then)};
    }
    return known.realtime;
}

std::uint64_t PathObject::StatusSince()
{
    return realtime_of(state().since, since_);
}

std::uint64_t PathObject::StatusSinceMonotonic()
{
    return base::microseconds(state().since);
}

bool PathObject::HeldBack()
{
    return state().held_back;
}

std::string PathObject::WaitsFor()
{
    if (record().waits_for.empty() && record().parameters.peer().address.is_unspecified())
        return "the peer has not spoken yet, and its address is not known";
    return printable(record().waits_for);
}

} // namespace mpt::bus
