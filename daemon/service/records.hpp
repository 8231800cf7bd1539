// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/time.hpp"
#include "daemon/config/connection.hpp"
#include "daemon/core/liveness.hpp"
#include "daemon/core/parameters.hpp"
#include "daemon/proto/control_key.hpp"
#include "daemon/service/routes.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// What is known of the tunnels' connections while they run.
namespace mpt::service {

// What a notice is about, for those that look for it.
enum class Event {
    kOther,
    kPathUp,
    kPathDown,
    kPathWaits,
    kPathDisabled,
    kPathMoved,
    kConnectionNew,
    kConnectionChanged,
    kConnectionCreated, // by a peer
    kCreateRefused,
    kFileLeftOut,
    kInterfaceNotApplied,
    kPeerSilent,
};

// Something that the administrator should be told; who calls decides how.
struct Notice {
    enum class Level { kError, kWarning, kInfo };
    Level level;
    std::string text; // one line
    Event event = Event::kOther;
    std::string connection{};          // its name, of an event that concerns one
    std::optional<std::size_t> path{}; // likewise
};
using Notices = std::vector<Notice>;

// A path of a running connection.
struct PathRecord {
    core::PathParameters parameters; // local address unspecified while it is not known
    std::string waits_for;           // why it has no sockets, in words; empty if it has
    base::Address last_local{};      // the automatic local address that was known last: the peer knows the path by it
    // Up or down as it was last set by hand; nothing if it never was.
    std::optional<bool> by_hand = std::nullopt;
    std::optional<PathRoute> route = std::nullopt; // of ours, where the kernel would not know the way
    std::vector<PathRoute> server_routes{};        // likewise, to STUN servers
    std::optional<base::Endpoint> found{};         // the public address and port, as a STUN server saw them last
    base::Endpoint observed{};                     // where the peer says that our packets come from; port 0: unknown
    // Changes of its status and moves of its peer, as far as they are counted together, and since when.
    unsigned told = 0;
    base::Instant told_since{};
};

// A running connection.
struct ConnectionRecord {
    config::ConnectionConfig config; // in effect
    config::ConnectionConfig filed;  // what its file said when it was read or written last
    bool file_present = true;        // at the last reload
    std::string created_by;          // the peer that did, "ADDRESS:PORT"; empty if it was read from a file
    std::string tunnel;              // name of its interface
    std::vector<PathRecord> paths;

    // What was changed at run time is not in the file.
    bool is_unsaved() const { return config != filed; }
};

// Where a path's public address is known from.
enum class PublicSource {
    kConfigured, // public_ipaddr
    kStun,       // a STUN server has told it
    kPeer,       // the peer of a connection of type 3 has
    kPrivate,    // nobody has: it is the path's own
};

struct PublicAddress {
    base::Endpoint endpoint; // unspecified and 0: it is not known
    PublicSource source = PublicSource::kPrivate;
};

// A path's own end as the peer sees it, as far as that is known.
PublicAddress public_address(const ConnectionRecord &record, std::size_t path);

// The live state of a path.
struct PathState {
    core::PathStatus status = core::PathStatus::kDisabled;
    core::StatusReason reason = core::StatusReason::kStart;
    base::Instant since{};  // of the status
    bool held_back = false; // up, but unused since it flaps

    friend bool operator==(const PathState &, const PathState &) = default;
};

// A counter since the start, or a time in microseconds of CLOCK_MONOTONIC where the name ends with _usec (0: never).
// mptd(8) lists the names.
struct Counter {
    std::string name;
    std::uint64_t value = 0;
};
using Counters = std::vector<Counter>;

struct ConnectionStatistics {
    Counters connection;
    std::vector<Counters> paths; // by number
};

// The key that the connection's messages are authenticated with; none with a type that has none.
proto::ControlKey key_of(const config::ConnectionConfig &config);

// "connection A, path 0 (eth1)"
std::string path_title(const ConnectionRecord &record, std::size_t path);

// "up", "dead", "interface-down", "address-missing", "set-down", "disabled".
std::string_view name_of(core::PathStatus status) noexcept;
// "start", "keepalive", "keepalives-missed", "by-hand", "by-peer", "interface", "address", "socket", "settings".
std::string_view name_of(core::StatusReason reason) noexcept;
// "configured", "stun", "peer", "private".
std::string_view name_of(PublicSource source) noexcept;
// What a path has become and why, for people: "set down (by hand)".
std::string words_of(const core::StatusChange &change);

} // namespace mpt::service
