// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/time.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

namespace mpt::core {

// What a connection's peer is still to be told about its paths, their status and the weights that it shall use: one
// exchange at a time (see HandshakeInitiator), of each path only the latest, and an exchange that failed is tried
// again, after 1 s and then ever later up to a minute, until the peer has answered or the matter is out of date.
class StatusTeller {
public:
    struct Report {
        std::size_t path;
        std::optional<bool> up{};              // the status
        std::optional<std::uint16_t> weight{}; // weight_out of the peer's path

        friend bool operator==(const Report &, const Report &) = default;
    };

    // The peer shall know that; replaces what it was to be told about the path.
    void tell(base::Instant now, std::size_t path, bool up);
    void tell_weight(base::Instant now, std::size_t path, std::uint16_t weight);

    // The path's status is not to be told any more. An exchange that runs goes on.
    void forget(std::size_t path);

    // The exchange to begin now; nothing if one is running or none is due.
    std::optional<Report> start(base::Instant now);

    // How the exchange that start() named has ended: the peer has answered, whatever it said...
    void on_answer();
    // ... or has not: it is tried again unless there is news of the path or it was forgotten.
    void on_failure(base::Instant now);

    // A path has come up, so that what failed may work now: everything is due at once.
    void hurry(base::Instant now);

    bool is_running() const noexcept { return running_.has_value(); }
    // When start() has something; nothing if it has not or an exchange is running.
    std::optional<base::Instant> deadline() const noexcept;

private:
    struct Pending {
        std::optional<bool> up;
        std::optional<std::uint16_t> weight;
        base::Instant due;
        base::Duration delay; // before the next try, should this one fail
    };

    Pending &renew(base::Instant now, std::size_t path);

    std::map<std::size_t, Pending> pending_; // by path; the running one stays until it is answered
    std::optional<Report> running_;
    bool is_stale_ = false; // of the running one: there is news of its path, or it was forgotten
};

} // namespace mpt::core
