// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/core/keepalive_session.hpp"

#include "tests/unit/core/handshake_fixture.hpp"

#include <map>
#include <memory>
#include <random>

// Two hosts with keepalives of authentication type 3 over paths that delay and lose, on a virtual clock.
namespace mpt::core::testing {

using Keepalive = std::array<std::byte, proto::kSessionKeepaliveSize>;

struct Sent {
    std::size_t to; // host
    std::size_t path;
    Bytes octets;
};

class TwoHosts {
public:
    struct Host {
        base::Address tunnel;
        std::unique_ptr<KeepaliveSession> session{};
        std::vector<base::Instant> next{}; // keepalive of each path
        std::vector<PathTraffic> traffic{};
        std::vector<unsigned> fresh{}; // keepalives of each path that were taken
        std::map<proto::DropReason, unsigned> drops{};
        unsigned answers = 0;
        base::Duration clock{0}; // ahead of the other one's
        base::Instant last_new_session{};
    };

    explicit TwoHosts(std::vector<base::Duration> delays, unsigned seed = 1)
        : delays_(std::move(delays)), random_(seed), hosts_{Host{address("10.0.0.2")}, Host{address("10.0.0.3")}}
    {
        hosts_[1].clock = 5000s;
        start(0);
        start(1);
    }

    // Also once more, as after a restart.
    void start(std::size_t n)
    {
        Host &host = hosts_[n];
        host.session =
            std::make_unique<KeepaliveSession>(key(), host.tunnel, hosts_[1 - n].tunnel, delays_.size(), number());
        host.next.assign(delays_.size(), now_);
        host.traffic.assign(delays_.size(), {});
        host.fresh.assign(delays_.size(), 0);
    }

    void run(base::Duration time)
    {
        const base::Instant end = now_ + time;
        for (;;) {
            base::Instant next = wire_.empty() ? end : std::min(end, wire_.begin()->first);
            for (const Host &host : hosts_)
                for (const base::Instant at : host.next)
                    next = std::min(next, at);
            now_ = std::max(now_, next);
            if (now_ >= end)
                return;
            for (const std::size_t n : {0U, 1U})
                for (std::size_t path = 0; path < delays_.size(); ++path)
                    if (hosts_[n].next[path] <= now_) {
                        hosts_[n].next[path] = now_ + interval;
                        send(n, path);
                    }
            while (!wire_.empty() && wire_.begin()->first <= now_) {
                const Sent sent = std::move(wire_.begin()->second);
                wire_.erase(wire_.begin());
                give(sent.to, sent.path, sent.octets);
            }
        }
    }

    // As if it had come from the wire.
    KeepaliveTaken give(std::size_t n, std::size_t path, const Bytes &octets)
    {
        Host &host = hosts_[n];
        const KeepaliveTaken taken =
            host.session->take(now_ + host.clock, path, source, is_usual, octets, host.traffic[path], number());
        if (taken.drop)
            ++host.drops[*taken.drop];
        else
            ++host.fresh[path];
        if (taken.is_new_session)
            host.last_new_session = now_;
        if (taken.send) {
            ++host.answers;
            send(n, path);
        }
        return taken;
    }

    Bytes make(std::size_t n, std::size_t path)
    {
        Keepalive octets;
        hosts_[n].session->make(now_ + hosts_[n].clock, path, hosts_[n].traffic[path], 7, 0, octets);
        return {octets.begin(), octets.end()};
    }

    void send(std::size_t n, std::size_t path)
    {
        Bytes octets = make(n, path);
        if (is_recording)
            recorded.push_back({1 - n, path, octets});
        if (std::uniform_real_distribution<>()(random_) < loss || cut_towards == 1 - n)
            return;
        const auto late =
            std::chrono::duration_cast<base::Duration>(jitter * std::uniform_real_distribution<>()(random_));
        wire_.emplace(now_ + delays_[path] + late, Sent{1 - n, path, std::move(octets)});
    }

    // Nothing is under way any more.
    void drain() { wire_.clear(); }

    Host &host(std::size_t n) { return hosts_[n]; }
    base::Instant now() const { return now_; }
    std::mt19937 &random() { return random_; }

    // Whether both take what the other one makes.
    bool agree() { return !give(0, 0, make(1, 0)).drop && !give(1, 0, make(0, 0)).drop; }

    std::uint64_t sessions() const { return hosts_[0].session->sessions() + hosts_[1].session->sessions(); }

    proto::RandomNumber number()
    {
        proto::RandomNumber number;
        for (std::byte &octet : number)
            octet = static_cast<std::byte>(random_());
        return number;
    }

    base::Duration interval = 1s;
    std::chrono::duration<double> jitter{0};
    double loss = 0;
    base::Endpoint source{}; // of what is given
    bool is_usual = true;
    std::size_t cut_towards = 2; // a host; 2: none
    bool is_recording = false;
    std::vector<Sent> recorded{};

private:
    std::vector<base::Duration> delays_;
    std::mt19937 random_;
    base::Instant now_ = kStart;
    std::multimap<base::Instant, Sent> wire_{};
    std::array<Host, 2> hosts_;
};

} // namespace mpt::core::testing
