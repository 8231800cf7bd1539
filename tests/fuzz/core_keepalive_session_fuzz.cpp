// SPDX-License-Identifier: GPL-3.0-or-later
// Input: what happens to two hosts with keepalives of authentication type 3, one octet after the other: time,
// keepalives that are sent, arrive, come again, late, changed, by another path or from another address, restarts.
#include "daemon/core/path_validation.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

using namespace mpt;

namespace {

using Octets = std::array<std::byte, proto::kSessionKeepaliveSize>;

constexpr std::size_t kPaths = 2;
constexpr std::size_t kMostKept = 64;
constexpr std::size_t kSources = 4; // addresses that keepalives come from; the first one is where the peer is

void require(bool holds)
{
    if (!holds)
        std::abort();
}

class Hosts {
public:
    Hosts()
    {
        start(0);
        start(1);
    }

    void step(std::uint8_t what, std::uint8_t which, std::uint8_t change)
    {
        const std::size_t host = what & 1;
        const std::size_t path = (what >> 1) & 1;
        switch ((what >> 2) % 6) {
        case 0:
            now_ += std::chrono::milliseconds(which);
            break;
        case 1:
            send(host, path);
            break;
        case 2:
            start(host);
            break;
        case 3: // changed, or reflected
            deliver(which, host, path, change);
            break;
        default:
            deliver(which, std::nullopt, path, change);
            break;
        }
    }

    // Without further trouble they agree.
    void settle()
    {
        for (unsigned n = 0; n < 4; ++n) {
            now_ += std::chrono::seconds(1);
            for (const std::size_t host : {0U, 1U}) {
                Octets octets = make(host, 0);
                // What is due at once is sent so, to and fro.
                std::size_t to = 1 - host;
                for (unsigned hops = 0; take(to, 0, octets).send; ++hops) {
                    require(hops < 8);
                    octets = make(to, 0);
                    to = 1 - to;
                }
            }
        }
        require(!take(0, 0, make(1, 0)).drop);
        require(!take(1, 0, make(0, 0)).drop);
    }

private:
    struct Sent {
        std::size_t from;
        std::size_t path;
        Octets octets;
        bool was_fresh = false;
    };
    struct Place {
        core::PathValidation validation;
        std::uint64_t session = 0;
        std::optional<base::Instant> last_try; // of a new address, in this session
        base::Endpoint left;                   // when it moved last
    };

    static base::Endpoint source(std::size_t number)
    {
        return {*base::Address::parse("192.0.2.1"), static_cast<std::uint16_t>(1000 + number % kSources)};
    }

    void start(std::size_t host)
    {
        const proto::ControlKey key =
            *proto::ControlKey::parse("A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1D2");
        const std::array addresses{*base::Address::parse("10.0.0.2"), *base::Address::parse("10.0.0.3")};
        sessions_[host].emplace(key, addresses[host], addresses[1 - host], kPaths, number());
        for (Place &place : places_[host]) {
            place = {};
            place.validation.set_address(source(0), true, 0);
        }
    }

    proto::RandomNumber number()
    {
        proto::RandomNumber number{};
        base::store_be(number.data(), ++last_number_);
        return number;
    }

    Octets make(std::size_t host, std::size_t path, const base::Endpoint &to)
    {
        Octets octets;
        sessions_[host]->make(now_, path, {}, std::nullopt, places_[host][path].validation.challenge_for(to), octets);
        return octets;
    }

    Octets make(std::size_t host, std::size_t path) { return make(host, path, source(0)); }

    core::KeepaliveTaken take(std::size_t host, std::size_t path, base::ConstOctets octets,
                              const base::Endpoint &from = source(0))
    {
        Place &place = places_[host][path];
        core::PathValidation &validation = place.validation;
        const base::Endpoint before = validation.address();
        const std::uint64_t asked = validation.challenge_for(from);
        core::KeepaliveTaken taken = sessions_[host]->take(now_, path, from, from == before, octets, {}, number());
        const core::Whereabouts where = validation.on_keepalive(now_, from, taken, ++last_number_);
        require(!taken.drop || !where.challenge);
        require(!taken.drop || taken.counter != 0 || (!where.lives && !where.has_moved));
        require(where.has_moved == (validation.address() != before));
        if (where.has_moved) { // what was asked there has come back from there, or the peer has never left
            require(validation.address() == from);
            require((!taken.drop && asked != 0 && taken.response == asked) || from == place.left);
            place.left = before;
        }
        require(!where.lives || validation.address() == from);
        require(!where.challenge || validation.challenge_for(from) != 0);
        if (taken.counter != 0 && std::exchange(place.session, taken.session) != taken.session)
            place.last_try.reset();
        if (where.is_used) {
            require(!place.last_try || now_ - *place.last_try >= core::kCandidateInterval);
            place.last_try = now_;
        }
        taken.send = taken.send || where.challenge;
        return taken;
    }

    void send(std::size_t host, std::size_t path, const base::Endpoint &to = source(0))
    {
        if (sent_.size() == kMostKept)
            sent_.erase(sent_.begin());
        sent_.push_back({host, path, make(host, path, to)});
    }

    void deliver(std::uint8_t which, std::optional<std::size_t> to, std::size_t path, std::uint8_t change)
    {
        if (sent_.empty())
            return;
        Sent &sent = sent_[which % sent_.size()];
        Octets octets = sent.octets;
        if (to)
            octets[change % octets.size()] ^= std::byte{1} << (change % 8);
        const std::size_t host = to.value_or(1 - sent.from);
        const base::Endpoint from = to ? source(0) : source(change);
        const auto taken = take(host, to ? path : sent.path, octets, from);
        if (to)
            require(taken.drop && *taken.drop != proto::DropReason::kNotFresh && !taken.send);
        if (!to && !taken.drop) {
            require(!sent.was_fresh); // nothing is fresh twice
            sent.was_fresh = true;
        }
        require(taken.drop.has_value() || !taken.is_new_session || taken.send);
        if (taken.send)
            send(host, to ? path : sent.path, from);
    }

    base::Instant now_{std::chrono::seconds(1000)};
    std::array<std::optional<core::KeepaliveSession>, 2> sessions_;
    std::array<std::array<Place, kPaths>, 2> places_;
    std::vector<Sent> sent_;
    std::uint64_t last_number_ = 0;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    Hosts hosts;
    for (size = std::min<std::size_t>(size, 3000); size >= 3; size -= 3, data += 3)
        hosts.step(data[0], data[1], data[2]);
    hosts.settle();
    return 0;
}
