// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/simulation.hpp"

#include "daemon/base/sequence.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

namespace mpt::sim {

using namespace std::chrono_literals;

namespace {

constexpr Duration kPassDelay = 200us; // a host reads what has arrived after up to so much

double milliseconds(Duration duration)
{
    return static_cast<double>(duration.count()) / 1e6;
}

} // namespace

Simulation::Simulation(std::uint64_t seed, HostSettings a, HostSettings b) : random_(seed)
{
    hosts_[0].settings = std::move(a);
    hosts_[1].settings = std::move(b);
    for (std::size_t host = 0; host < 2; ++host) {
        const std::size_t paths = hosts_[host].settings.weights.size();
        links_[host].resize(paths);
        hosts_[host].sent.resize(paths);
        start(hosts_[host], hosts_[host].settings.first_sequence);
        plan_timer(host);
        push(Event{.at = now_, .kind = Event::kTraffic, .host = static_cast<std::uint32_t>(host)});
    }
}

void Simulation::start(Host &host, std::uint32_t sequence)
{
    const std::size_t paths = host.settings.weights.size();
    host.scheduler.emplace(host.settings.weights);
    host.reorder = std::make_unique<core::ReorderBuffer>(host.settings.reorder, paths);
    host.liveness.assign(paths, core::Liveness(now_, host.settings.liveness));
    host.usable.assign(paths, false);
    host.next_sequence = sequence;
    host.inbox.clear();
    host.offered = host.begun_seen = 0;
    const auto index = static_cast<std::size_t>(&host - hosts_.data());
    for (std::size_t path = 0; path < paths; ++path)
        follow(index, path);
}

void Simulation::restart(std::size_t host, Duration down)
{
    hosts_[host].down_until = now_ + down;
    hosts_[host].timer.reset();
    at(now() + down, [host](Simulation &simulation) {
        Ledger &ledger = simulation.ledgers_[1 - host];
        ledger.forgotten = ledger.state.size();
        simulation.start(simulation.hosts_[host], 0);
        simulation.plan_timer(host);
    });
}

void Simulation::inject(std::size_t host, std::size_t path, std::uint32_t sequence)
{
    ++ledgers_[1 - host].invented;
    push(Event{.at = now_,
               .kind = Event::kArrival,
               .host = static_cast<std::uint32_t>(host),
               .path = static_cast<std::uint32_t>(path),
               .datagram = Datagram{false, sequence, kInvented}});
}

void Simulation::set_weights(std::size_t host, std::vector<std::uint16_t> weights)
{
    hosts_[host].settings.weights = std::move(weights);
    hosts_[host].scheduler->reconfigure(hosts_[host].settings.weights);
}

void Simulation::at(Duration when, std::function<void(Simulation &)> what)
{
    scripts_.push_back(std::move(what));
    push(Event{.at = kStart + when, .kind = Event::kScript, .path = static_cast<std::uint32_t>(scripts_.size() - 1)});
}

void Simulation::run(Duration end)
{
    while (!events_.empty() && events_.top().at <= kStart + end && failure_.empty()) {
        const Event event = events_.top();
        events_.pop();
        now_ = event.at;
        step(event);
    }
    now_ = kStart + end;
}

void Simulation::settle()
{
    traffic_on_ = false;
    run(now() + 30s);
    for (std::size_t host = 0; host < 2; ++host) {
        const core::ReorderCounters &counters = hosts_[host].reorder->counters();
        const std::uint64_t accounted =
            hosts_[host].settings.reorder.window == 0
                ? counters.delivered
                : counters.delivered + counters.late + counters.duplicate + counters.far + counters.too_large;
        if (counters.held_now + counters.aside_now != 0)
            fail(fmt::format("host {} still holds {} and {}", host, counters.held_now, counters.aside_now));
        if (accounted != hosts_[host].offered)
            fail(fmt::format("host {}: of {} packets {} are accounted for", host, hosts_[host].offered, accounted));
    }
    for (const Ledger &ledger : ledgers_)
        if (const auto open = std::count(ledger.state.begin(), ledger.state.end(), Ledger::kUnderWay); open != 0)
            fail(fmt::format("{} packets neither arrived nor were lost", open));
}

void Simulation::push(Event event)
{
    event.order = order_++;
    events_.push(event);
}

void Simulation::step(const Event &event)
{
    switch (event.kind) {
    case Event::kArrival:
        return arrive(event);
    case Event::kPass:
        return pass(event.host);
    case Event::kTimer:
        if (hosts_[event.host].timer == event.at)
            timer(event.host);
        return;
    case Event::kTraffic:
        return traffic(event.host);
    case Event::kScript:
        return scripts_[event.path](*this);
    }
}

void Simulation::transmit(std::size_t from, std::size_t path, Datagram datagram)
{
    Link &link = links_[from][path];
    const LinkSettings &settings = link.settings;
    Ledger &ledger = ledgers_[from];
    const auto lose = [&ledger, &datagram] {
        if (datagram.keepalive)
            return;
        ++ledger.lost_copies;
        if (ledger.state[datagram.id] == Ledger::kUnderWay)
            ledger.state[datagram.id] = Ledger::kLost;
    };
    const int copies = chance() < settings.duplicate ? 2 : 1;
    for (int copy = 0; copy < copies; ++copy) {
        Instant departure = now_;
        if (settings.packets_per_s > 0) {
            departure =
                std::max(now_, link.busy_until) + Duration(static_cast<Duration::rep>(1e9 / settings.packets_per_s));
            if (departure - now_ > settings.queue) {
                lose();
                continue;
            }
            link.busy_until = departure;
        }
        if (settings.cut || chance() < settings.loss) {
            lose();
            continue;
        }
        Instant arrival = departure + settings.delay + settings.stall +
                          Duration(static_cast<Duration::rep>(chance() * static_cast<double>(settings.jitter.count())));
        if (settings.keeps_order || settings.stall > Duration::zero())
            arrival = link.last_arrival = std::max(arrival, link.last_arrival);
        else
            arrival = std::max(arrival, link.last_arrival);
        push(Event{.at = arrival,
                   .kind = Event::kArrival,
                   .host = static_cast<std::uint32_t>(1 - from),
                   .path = static_cast<std::uint32_t>(path),
                   .datagram = datagram});
    }
}

void Simulation::arrive(const Event &event)
{
    Host &host = hosts_[event.host];
    Ledger &ledger = ledgers_[1 - event.host];
    const bool lost = links_[1 - event.host][event.path].settings.cut || now_ < host.down_until;
    if (lost && event.datagram.id != kInvented) {
        if (event.datagram.keepalive)
            return;
        ++ledger.lost_copies;
        if (ledger.state[event.datagram.id] == Ledger::kUnderWay)
            ledger.state[event.datagram.id] = Ledger::kLost;
        return;
    }
    host.inbox.push_back(Arrival{event.path, event.datagram});
    if (host.pass_planned)
        return;
    host.pass_planned = true;
    push(Event{.at = now_ + Duration(static_cast<Duration::rep>(chance() * static_cast<double>(kPassDelay.count()))),
               .kind = Event::kPass,
               .host = event.host});
}

// All that has arrived, merged by number, as the data plane does.
void Simulation::pass(std::size_t host)
{
    Host &self = hosts_[host];
    self.pass_planned = false;
    for (const Arrival &arrival : self.inbox) {
        if (!arrival.datagram.keepalive)
            continue;
        self.liveness[arrival.path].on_keepalive(now_);
        follow(host, arrival.path);
    }
    std::erase_if(self.inbox, [](const Arrival &arrival) { return arrival.datagram.keepalive; });
    if (!self.inbox.empty()) {
        const std::uint32_t first = self.inbox.front().datagram.sequence;
        std::stable_sort(self.inbox.begin(), self.inbox.end(), [first](const Arrival &a, const Arrival &b) {
            return base::sequence_distance(first, a.datagram.sequence) <
                   base::sequence_distance(first, b.datagram.sequence);
        });
        for (const Arrival &arrival : self.inbox) {
            if (self.reorder->needs_recycle())
                take(host);
            offer(host, arrival);
        }
        self.inbox.clear();
        take(host);
    }
    plan_timer(host);
}

void Simulation::offer(std::size_t host, const Arrival &arrival)
{
    Host &self = hosts_[host];
    Ledger &ledger = ledgers_[1 - host];
    const std::uint64_t id = arrival.datagram.id;
    ++self.offered;
    if (id != kInvented) {
        ++ledger.copies;
        if (ledger.state[id] == Ledger::kUnderWay || ledger.state[id] == Ledger::kLost) {
            ledger.state[id] = Ledger::kArrived;
        }
    }
    // The octets are on the stack: they are read back at once if they are delivered directly.
    const std::uint64_t content = id;
    const std::size_t before = out_.size();
    const core::ReorderBuffer::Verdict verdict =
        self.reorder->offer(now_, arrival.path, arrival.datagram.sequence, std::as_bytes(std::span(&content, 1)), out_);
    using Verdict = core::ReorderBuffer::Verdict;
    if (id != kInvented && (verdict == Verdict::kHeld || verdict == Verdict::kDelivered))
        ledger.taken[id] = now_;
    for (std::size_t i = before; i < out_.size(); ++i)
        if (out_[i].data() == std::as_bytes(std::span(&content, 1)).data()) {
            take(host);
            return;
        }
}

// Checks and counts what was delivered.
void Simulation::take(std::size_t host)
{
    Host &self = hosts_[host];
    Ledger &ledger = ledgers_[1 - host];
    const core::ReorderCounters &counters = self.reorder->counters();
    if (counters.restarts + counters.jumps != self.begun_seen) {
        self.begun_seen = counters.restarts + counters.jumps;
        self.begun = now_;
    }
    const core::ReorderSettings &settings = self.settings.reorder;
    for (const base::ConstOctets packet : out_) {
        std::uint64_t id = 0;
        std::memcpy(&id, packet.data(), sizeof id);
        if (id == kInvented) {
            ++ledger.invented_delivered;
            continue;
        }
        if (ledger.state[id] == Ledger::kDelivered) {
            if (order_is_checked && id >= ledger.forgotten)
                fail(fmt::format("packet {} (number {}) delivered twice", id, ledger.sequence[id]));
            continue;
        }
        if (order_is_checked && id >= ledger.forgotten && static_cast<std::int64_t>(id) < ledger.last_delivered)
            fail(fmt::format("packet {} (number {}, path {}) delivered after {} (number {}, path {})", id,
                             ledger.sequence[id], ledger.path[id], ledger.last_delivered,
                             ledger.sequence[static_cast<std::size_t>(ledger.last_delivered)],
                             ledger.path[static_cast<std::size_t>(ledger.last_delivered)]));
        const Duration hold = now_ - ledger.taken[id];
        if (hold > settings.max_delay && ledger.taken[id] > self.begun) // else it may have been set aside
            fail(fmt::format("packet {} held for {} ms", id, milliseconds(hold)));
        if (ledger.delivered != 0)
            ledger.longest_gap = std::max(ledger.longest_gap, now_ - ledger.last_delivery);
        ledger.longest_hold = std::max(ledger.longest_hold, hold);
        ledger.last_delivery = now_;
        ledger.last_delivered = static_cast<std::int64_t>(id);
        ledger.state[id] = Ledger::kDelivered;
        ++ledger.delivered;
    }
    out_.clear();
    self.reorder->recycle();
    if (counters.held_now > settings.window)
        fail(fmt::format("{} packets held in a window of {}", counters.held_now, settings.window));
}

void Simulation::timer(std::size_t host)
{
    Host &self = hosts_[host];
    self.timer.reset();
    if (now_ < self.down_until)
        return;
    for (std::size_t path = 0; path < self.liveness.size(); ++path) {
        const auto due = self.liveness[path].deadline();
        if (!due || *due > now_)
            continue;
        if (self.liveness[path].on_deadline(now_).send_keepalive)
            transmit(host, path, Datagram{true, 0, 0});
        follow(host, path);
    }
    if (const auto due = self.reorder->deadline(); due && *due <= now_) {
        self.reorder->on_deadline(now_, out_);
        take(host);
        if (const auto next = self.reorder->deadline(); next && *next <= now_)
            fail("a deadline that has been served is due again");
    }
    plan_timer(host);
}

void Simulation::plan_timer(std::size_t host)
{
    Host &self = hosts_[host];
    std::optional<Instant> first = self.reorder->deadline();
    for (const core::Liveness &liveness : self.liveness)
        if (const auto due = liveness.deadline())
            first = std::min(first.value_or(*due), *due);
    if (!first || (self.timer && *self.timer <= *first))
        return;
    self.timer = std::max(*first, now_);
    push(Event{.at = *self.timer, .kind = Event::kTimer, .host = static_cast<std::uint32_t>(host)});
}

void Simulation::follow(std::size_t host, std::size_t path)
{
    Host &self = hosts_[host];
    const bool usable = self.liveness[path].usable();
    if (usable == self.usable[path])
        return;
    self.usable[path] = usable;
    self.scheduler->set_usable(path, usable);
    if (usable)
        self.reorder->expect_path(now_, path);
    else
        self.reorder->forget_path(path);
}

void Simulation::traffic(std::size_t host)
{
    Host &self = hosts_[host];
    if (!traffic_on_)
        return;
    const Traffic &traffic = self.settings.traffic;
    const bool on = traffic.on == Duration::zero() || (now_ - kStart) % (traffic.on + traffic.off) < traffic.on;
    Ledger &ledger = ledgers_[host];
    for (unsigned i = 0; on && now_ >= self.down_until && i < traffic.batch; ++i) {
        const auto path = self.scheduler->next();
        if (!path) {
            ++self.unsendable;
            continue;
        }
        const Datagram datagram{false, self.next_sequence++, ledger.state.size()};
        ledger.state.push_back(Ledger::kUnderWay);
        ledger.taken.push_back(Instant{});
        ledger.sequence.push_back(datagram.sequence);
        ledger.path.push_back(static_cast<std::uint8_t>(*path));
        ++self.sent[*path];
        transmit(host, *path, datagram);
    }
    push(Event{.at = now_ + traffic.interval, .kind = Event::kTraffic, .host = static_cast<std::uint32_t>(host)});
}

void Simulation::fail(const std::string &what)
{
    if (failure_.empty())
        failure_ = fmt::format("at {:.3f} ms: {}", milliseconds(now()), what);
}

} // namespace mpt::sim
