// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/service.hpp"

#include <functional>
#include <map>
#include <set>
#include <string>

namespace mpt::cli {

// Something that has happened.
struct Event {
    enum class Kind { kService, kPathStatus, kConnectionAdded, kConnectionRemoved, kProblem, kProblemSolved };

    Kind kind = Kind::kService;
    std::uint64_t time = 0; // CLOCK_REALTIME, microseconds
    bool runs = false;      // kService: mptd has started, else it has ended
    std::string connection; // name
    std::string file;       // kConnectionAdded
    std::uint32_t path = 0; // kPathStatus: number, and the next five
    std::string interface;
    std::string from;
    std::string to;
    std::string reason;
    std::string object;
    std::string text; // kProblem, kProblemSolved
};

// "TIME path-status connection=a path=1 interface=eth2 from=up to=dead reason=keepalives-missed"; mpt(1) has them all.
std::string event_line(const Event &event);
// The same as an object, in one line.
std::string event_json(const Event &event);
// "to-host-b path 1 (eth2): up, now dead: no keepalives from the peer"
std::string event_words(const Event &event);

// Makes events of signals.
class Follower final : public SignalHandler {
public:
    explicit Follower(std::function<void(const Event &)> tell) : tell_(std::move(tell)) {}

    // What there is already: it makes no event.
    void know(const Snapshot &snapshot);

    void on_service(bool runs) override;
    void on_path_status(const std::string &object, const std::string &from, const std::string &to,
                        const std::string &reason, std::uint64_t since) override;
    void on_added(const std::string &object, const Interfaces &interfaces) override;
    void on_removed(const std::string &object) override;
    void on_problems(const std::vector<std::string> &problems) override;

private:
    struct KnownPath {
        std::string connection; // object
        std::uint32_t number = 0;
        std::string interface;
    };

    std::function<void(const Event &)> tell_;
    std::map<std::string, std::string> connections_; // names by object
    std::map<std::string, KnownPath> paths_;         // by object
    std::set<std::string> problems_;
};

} // namespace mpt::cli
