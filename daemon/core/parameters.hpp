// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/time.hpp"
#include "daemon/proto/control_key.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mpt::core {

// The status of a path as the configuration files and the deployed protocol number it (guide 2.6.3.2, status).
enum class PathStatus : std::uint8_t {
    kUp = 0x00,             // OK: carries data
    kDead = 0x80,           // no keepalive for dead_time, or started so: up again with the first keepalive
    kInterfaceDown = 0x81,  // its interface is missing, down or without carrier
    kAddressMissing = 0x82, // its interface does not have its address
    kSetDown = 0x83,        // by hand: stays so until set up by hand
    kDisabled = 0xff,       // cannot be used: its sockets could not be made
};

// Where a peer was found, and when.
struct LearnedPeer {
    base::Endpoint at;
    base::Instant since;

    friend bool operator==(const LearnedPeer &, const LearnedPeer &) = default;
};

// What the data plane must know of a path; its own address is the one in use, whatever the file says.
struct PathParameters {
    std::string interface;               // name of the interface its packets leave by
    base::Endpoint local;                // private address, local_port
    base::Endpoint remote;               // remote_ipaddr, remote_port; unspecified: to be learned
    std::optional<LearnedPeer> learned;  // from keepalives of authentication type 3: where the peer is now
    bool is_proved = true;               // that the peer is at `remote`: false if only a peer says so
    std::uint16_t weight = 1;            // 1-10000 (guide weight_out)
    base::Duration keepalive{0};         // time between keepalives; 0: none are sent and none are waited for
    base::Duration dead{0};              // without a keepalive for so long the path is dead
    PathStatus status = PathStatus::kUp; // how it starts

    // Where its packets go; unspecified if that is not known.
    const base::Endpoint &peer() const { return learned ? learned->at : remote; }
};

// Whether a path is still the one of that number, though addresses that were found, or settings, may have changed.
inline bool is_same_path(const PathParameters &before, const PathParameters &after)
{
    return before.interface == after.interface && before.remote.address == after.remote.address;
}

// Networks that a connection routes between (guide 2.6.3.3).
struct NetworkParameters {
    base::Prefix source;
    base::Prefix destination;
};

// What the data plane must know of a connection.
struct ConnectionParameters {
    std::string name;
    std::string tunnel;             // name of the tunnel interface
    std::size_t mtu = 0;            // of the tunnel, octets
    std::size_t largest_packet = 0; // that the peer may send
    base::Address local;            // tunnel addresses, of one IP version
    base::Address remote;
    std::uint16_t reorder_window = 0; // packets, 0-10000; 0: never wait for a missing one
    base::Duration max_buffer_delay{0};
    bool copy_dscp = false;                  // of packets to the outer headers
    bool clamp_mss = false;                  // of TCP connections, to the tunnel's MTU
    std::vector<PathParameters> paths;       // 1-20; index = number of the path
    std::vector<NetworkParameters> networks; // 0-20
    std::vector<base::Address> addresses;    // of the tunnel interface, of both versions; `local` may be among them
    // The least MTU that a tunnel may have which follows its paths: probes show what they carry. 0: there are none.
    std::uint32_t probes_from = 0;
    // Of authentication type 3: nothing but its keepalives is taken. Nothing: those without MAC are.
    std::optional<proto::ControlKey> keepalive_key;
};

// Whether a connection still is with the same host, so that what was agreed with it and learned of it holds.
inline bool is_same_peer(const ConnectionParameters &before, const ConnectionParameters &after)
{
    return before.local == after.local && before.remote == after.remote && before.keepalive_key == after.keepalive_key;
}

} // namespace mpt::core
