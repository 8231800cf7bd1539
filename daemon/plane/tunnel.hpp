// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/plane/sender.hpp"
#include "daemon/plane/tun.hpp"
#include "daemon/plane/tun_writer.hpp"
#include "daemon/sys/event_loop.hpp"

#include <optional>

namespace mpt::plane {

// A tunnel interface at its worker. Made by the control thread, which afterwards reads only the counters.
struct Tunnel {
    explicit Tunnel(Tun device) noexcept : tun(std::move(device)), writer(tun, drops) {}

    Tun tun;
    DropCounters drops; // of packets that belong to no connection, or that the kernel did not take
    TunWriter writer;
    Sender sender;

    // For the worker.
    std::size_t index = 0;        // in ForwardingState::tunnels
    std::uint64_t generation = 0; // of the forwarding state that it was seen in last
    std::optional<sys::EventSource> readable;
    std::optional<sys::Timer> retry; // while the sender is stalled
};

} // namespace mpt::plane
