// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/bus/message.hpp"

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <systemd/sd-bus.h>

namespace mpt::bus {

namespace {

// Reaches the message of sd-bus in one of sdbus-c++.
struct Inside : sdbus::Message {
    static sd_bus_message *of(const sdbus::Message &message)
    {
        return static_cast<sd_bus_message *>(message.*(&Inside::msg_));
    }
};

} // namespace

Caller caller_of(const sdbus::IObject &object)
{
    const sdbus::Message *message = object.getCurrentlyProcessedMessage();
    return {message->getSender(), object.getObjectPath(),
            sd_bus_message_get_allow_interactive_authorization(Inside::of(*message)) > 0};
}

sd_bus *bus_of(sdbus::IProxy &proxy)
{
    return sd_bus_message_get_bus(Inside::of(proxy.createMethodCall("org.freedesktop.DBus.Peer", "Ping")));
}

sdbus::ObjectPath encode(const std::string &prefix, const std::string &name)
{
    char *path = nullptr;
    if (const int error = sd_bus_path_encode(prefix.c_str(), name.c_str(), &path); error < 0)
        throw sdbus::createError(-error, "making an object path");
    const std::unique_ptr<char, decltype(&std::free)> owner(path, &std::free);
    return path;
}

} // namespace mpt::bus
