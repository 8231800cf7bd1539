// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/bus/backlog.hpp"

#include "daemon/bus/message.hpp"

#include <cstdint>
#include <string_view>
#include <systemd/sd-bus.h>

namespace mpt::bus {

namespace {

// A client reads hundreds of objects with one call; what a reload changes is told in more messages than these.
constexpr std::uint64_t kMaxWaiting = 64;

bool is_full(sd_bus *bus) noexcept
{
    std::uint64_t waiting = 0;
    return sd_bus_get_n_queued_write(bus, &waiting) >= 0 && waiting >= kMaxWaiting;
}

bool starts_with(const char *text, std::string_view start) noexcept
{
    return text != nullptr && std::string_view(text).starts_with(start);
}

// One that changes nothing.
bool is_question(sd_bus_message *call) noexcept
{
    return starts_with(sd_bus_message_get_interface(call), "org.freedesktop.DBus.") ||
           sd_bus_message_is_method_call(call, nullptr, "GetStatistics") > 0;
}

// sd-bus asks it about each message first; what is taken here (not 0) goes no further.
int take(sd_bus_message *message, void *, sd_bus_error *) noexcept
{
    if (sd_bus_message_is_method_call(message, nullptr, nullptr) <= 0)
        return 0;
    if (sd_bus_message_get_expect_reply(message) <= 0)
        return is_question(message) ? 1 : 0;
    if (!is_full(sd_bus_message_get_bus(message)))
        return 0;
    sd_bus_reply_method_errorf(message, "org.mptd1.Error.LimitsExceeded",
                               "the bus takes the answers too slowly: try again later");
    return 1;
}

} // namespace

Backlog::Backlog(sdbus::IProxy &proxy) : bus_(bus_of(proxy))
{
    if (const int error = sd_bus_add_filter(bus_, nullptr, take, nullptr); error < 0)
        throw sdbus::createError(-error, "adding a filter");
}

bool Backlog::is_full() const noexcept
{
    return bus::is_full(bus_);
}

} // namespace mpt::bus
