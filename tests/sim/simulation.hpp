// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/core/liveness.hpp"
#include "daemon/core/reorder_buffer.hpp"
#include "daemon/core/scheduler.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <vector>

// Two hosts, each with the scheduler, reorder buffer and path liveness of one connection, over virtual links on a
// virtual clock. The same seed gives the same run. What the hosts may never do is checked at every packet.
namespace mpt::sim {

using base::Duration;
using base::Instant;

// One direction of a path.
struct LinkSettings {
    Duration delay{std::chrono::milliseconds(10)};
    Duration jitter{0};                             // added at random, up to so much
    bool keeps_order = true;                        // if not, jitter reorders
    double loss = 0;                                // share of the packets
    double duplicate = 0;                           // share of the packets that come twice
    double packets_per_s = 0;                       // 0: any number
    Duration queue{std::chrono::milliseconds(100)}; // what would have to wait longer is dropped
    bool cut = false;                               // what would be sent or would arrive is lost
    Duration stall{0}; // what is sent arrives so much later, in order: a queue that empties in the end
};

struct Traffic {
    Duration interval{std::chrono::milliseconds(1)};
    unsigned batch = 1; // packets each time
    Duration on{0};     // then silent for `off`; 0: always on
    Duration off{0};
};

struct HostSettings {
    std::vector<std::uint16_t> weights;
    core::ReorderSettings reorder{1000, std::chrono::milliseconds(100), 64};
    core::LivenessSettings liveness;
    Traffic traffic;
    std::uint32_t first_sequence = 0; // a host that remembers goes on with it
};

// What became of the packets of one direction, by their number of order since the start of the run.
struct Ledger {
    enum State : std::uint8_t { kUnderWay, kLost, kArrived, kDelivered };
    std::vector<State> state;
    std::vector<Instant> taken; // when the reorder buffer took the copy that it delivers
    std::vector<std::uint32_t> sequence;
    std::vector<std::uint8_t> path;
    std::uint64_t copies = 0;      // offered
    std::uint64_t lost_copies = 0; // by links, and by a host that was down
    std::uint64_t delivered = 0;
    std::int64_t last_delivered = -1;
    std::uint64_t forgotten = 0; // sent before the receiver lost its memory: it cannot know what it had of them
    Instant last_delivery;
    Duration longest_hold{0};
    Duration longest_gap{0};    // between deliveries
    std::uint64_t invented = 0; // offered by an adversary
    std::uint64_t invented_delivered = 0;
};

class Simulation {
public:
    Simulation(std::uint64_t seed, HostSettings a, HostSettings b);

    // Runs until `end`, counted from the start.
    void run(Duration end);
    // Stops the traffic and lets everything come to rest.
    void settle();
    // At this time from the start, does this.
    void at(Duration when, std::function<void(Simulation &)> what);

    LinkSettings &link(std::size_t from, std::size_t path) { return links_[from][path].settings; }
    void set_cut(std::size_t path, bool cut) { link(0, path).cut = link(1, path).cut = cut; }

    // The host loses all it knew, is silent for so long, and begins again at number 0.
    void restart(std::size_t host, Duration down);
    // A packet with an invented number arrives at the host by the path.
    void inject(std::size_t host, std::size_t path, std::uint32_t sequence);
    void set_traffic(std::size_t host, Traffic traffic) { hosts_[host].settings.traffic = traffic; }
    void set_weights(std::size_t host, std::vector<std::uint16_t> weights);
    // The next to deliver at the host, as far as an adversary can know it.
    std::uint32_t sent_sequence(std::size_t from) const { return hosts_[from].next_sequence; }

    Duration now() const { return now_ - kStart; }
    const Ledger &ledger(std::size_t from) const { return ledgers_[from]; }
    const core::ReorderCounters &counters(std::size_t host) const { return hosts_[host].reorder->counters(); }
    const core::Liveness &liveness(std::size_t host, std::size_t path) const { return hosts_[host].liveness[path]; }
    std::uint64_t sent_by(std::size_t host, std::size_t path) const { return hosts_[host].sent[path]; }
    std::uint64_t unsendable(std::size_t host) const { return hosts_[host].unsendable; }

    // Delivery out of order is allowed: an adversary takes part, or there is no window.
    bool order_is_checked = true;

    // The first thing that must not happen and did; empty if none.
    const std::string &failure() const { return failure_; }

private:
    static constexpr Instant kStart{std::chrono::seconds(1000)};
    static constexpr std::uint64_t kInvented = UINT64_MAX;

    struct Datagram {
        bool keepalive = false;
        std::uint32_t sequence = 0;
        std::uint64_t id = 0;
    };

    struct Link {
        LinkSettings settings;
        Instant busy_until;
        Instant last_arrival;
    };

    struct Arrival {
        std::size_t path;
        Datagram datagram;
    };

    struct Host {
        HostSettings settings;
        std::optional<core::Scheduler> scheduler;
        std::unique_ptr<core::ReorderBuffer> reorder;
        std::vector<core::Liveness> liveness;
        std::vector<bool> usable;
        std::uint32_t next_sequence = 0;
        std::vector<Arrival> inbox;
        bool pass_planned = false;
        std::optional<Instant> timer;
        Instant down_until;
        std::vector<std::uint64_t> sent;
        std::uint64_t unsendable = 0;
        std::uint64_t begun_seen = 0; // restarts and jumps of the other host's numbers
        Instant begun;                // the last one
        std::uint64_t offered = 0;    // to the present reorder buffer
    };

    struct Event {
        enum Kind : std::uint8_t { kArrival, kPass, kTimer, kTraffic, kScript };
        Instant at;
        std::uint64_t order = 0;
        Kind kind = kScript;
        std::uint32_t host = 0;
        std::uint32_t path = 0;
        Datagram datagram{};
        bool operator>(const Event &other) const { return at != other.at ? at > other.at : order > other.order; }
    };

    void push(Event event);
    void step(const Event &event);
    void start(Host &host, std::uint32_t sequence);
    void transmit(std::size_t from, std::size_t path, Datagram datagram);
    void arrive(const Event &event);
    void pass(std::size_t host);
    void offer(std::size_t host, const Arrival &arrival);
    void take(std::size_t host);
    void timer(std::size_t host);
    void plan_timer(std::size_t host);
    void follow(std::size_t host, std::size_t path);
    void traffic(std::size_t host);
    void fail(const std::string &what);
    double chance() { return std::uniform_real_distribution<double>(0, 1)(random_); }

    std::mt19937_64 random_;
    Instant now_ = kStart;
    std::uint64_t order_ = 0;
    std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
    std::vector<std::function<void(Simulation &)>> scripts_;
    std::array<Host, 2> hosts_;
    std::array<std::vector<Link>, 2> links_; // by the sending host
    std::array<Ledger, 2> ledgers_;          // by the sending host
    std::vector<base::ConstOctets> out_;
    bool traffic_on_ = true;
    std::string failure_;
};

} // namespace mpt::sim
