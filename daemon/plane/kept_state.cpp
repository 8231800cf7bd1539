// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/kept_state.hpp"

#include "daemon/proto/fingerprint.hpp"

#include <cstring>
#include <span>

namespace mpt::plane {

namespace {

using namespace std::chrono_literals;

constexpr std::array<char, 8> kMagic{'m', 'p', 't', 'd', 'k', 'e', 'p', 't'};
constexpr std::uint32_t kLayoutVersion = 3;
constexpr std::uint32_t kKeptSlots = 2048;
constexpr base::Duration kFreshness = 60s; // after which paths and peers may have become anything

constexpr std::uint64_t kRetired = 2; // the identity of none

// What is known of a path, in the lowest octet beside its identity.
constexpr std::uint64_t kKnown = 0xff;
constexpr std::uint64_t kValid = 0x01; // so that it is not 0
constexpr std::uint64_t kAlive = 0x02;
constexpr std::uint64_t kLived = 0x04;
constexpr std::uint64_t kSetUp = 0x08; // by hand
constexpr std::uint64_t kSetDown = 0x10;
constexpr std::uint64_t kLearned = 0x20; // where the peer is
constexpr std::uint64_t kToldDead = 0x40;

base::ConstOctets key_of(const core::ConnectionParameters &connection) noexcept
{
    return connection.keepalive_key ? connection.keepalive_key->octets() : base::ConstOctets();
}

// 0 if none can be made: that is nobody's.
std::uint64_t identity_of(const core::ConnectionParameters &connection) noexcept
{
    const auto identity = proto::fingerprint(
        {connection.local.mapped(), connection.remote.mapped(), base::as_octets(connection.name), key_of(connection)});
    return identity ? *identity | 1 : 0;
}

} // namespace

std::uint64_t identity_of(const core::ConnectionParameters &connection, std::size_t path) noexcept
{
    const core::PathParameters &parameters = connection.paths[path];
    const auto identity = proto::fingerprint(
        {connection.local.mapped(), connection.remote.mapped(), base::as_octets(connection.name), key_of(connection),
         parameters.remote.address.mapped(), base::as_octets(parameters.interface)});
    return identity.value_or(0) & ~kKnown;
}

KeptSlot::Learned KeptSlot::encode(const core::LearnedPeer &peer, const core::PathParameters &path) noexcept
{
    Learned learned;
    std::memcpy(learned.address, peer.at.address.mapped().data(), sizeof learned.address);
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(peer.since.time_since_epoch()).count();
    learned.ports_and_time =
        std::uint64_t{peer.at.port} << 48 | std::uint64_t{path.remote.port} << 32 | static_cast<std::uint32_t>(seconds);
    return learned;
}

// Not 0. It need not withstand anybody, but be another one for each mixture of what was there and what is to be.
std::uint64_t KeptSlot::check_of(const Learned &learned, std::uint64_t identity) noexcept
{
    return proto::fingerprint({std::as_bytes(std::span(&learned, 1)), std::as_bytes(std::span(&identity, 1))})
               .value_or(0) |
           1;
}

std::optional<core::LearnedPeer> KeptSlot::learned_in(const PathEntry &entry, std::uint64_t identity,
                                                      const core::PathParameters &path) noexcept
{
    std::array<std::byte, sizeof entry.learned.address> address;
    std::memcpy(address.data(), entry.learned.address, sizeof address);
    const std::chrono::seconds since(static_cast<std::uint32_t>(entry.learned.ports_and_time));
    const core::LearnedPeer peer{{base::Address::from_octets(std::span<const std::byte, sizeof address>(address)),
                                  static_cast<std::uint16_t>(entry.learned.ports_and_time >> 48)},
                                 base::Instant(since)};
    const bool may_be = peer.at.address.version() == path.remote.address.version() && peer.at.address.is_unicast() &&
                        !peer.at.address.is_loopback() && peer.at.port != 0;
    if (!may_be || entry.check != check_of(entry.learned, identity) ||
        entry.learned.ports_and_time != encode(peer, path).ports_and_time)
        return std::nullopt;
    return peer;
}

void KeptSlot::set_path(std::size_t number, std::uint64_t identity, const core::PathParameters &path,
                        const KeptPath &state) noexcept
{
    PathEntry &entry = paths_[number];
    std::uint64_t known = identity | kValid;
    known |= state.liveness.alive ? kAlive : 0;
    known |= state.liveness.lived ? kLived : 0;
    known |= state.liveness.told_dead ? kToldDead : 0;
    if (state.by_hand)
        known |= *state.by_hand ? kSetUp : kSetDown;
    if (state.learned) {
        known |= kLearned;
        const Learned now = encode(*state.learned, path);
        if (entry.check == 0 || (entry.known & ~kKnown) != identity || now != entry.learned) {
            store(entry.learned.address[0], now.address[0]);
            store(entry.learned.address[1], now.address[1]);
            store(entry.learned.ports_and_time, now.ports_and_time);
            store(entry.check, check_of(now, identity));
        }
    }
    store(entry.known, known);
}

std::optional<KeptPath> KeptSlot::path_in(std::size_t number,
                                          const core::ConnectionParameters &connection) const noexcept
{
    const PathEntry &entry = paths_[number];
    const std::uint64_t identity = identity_of(connection, number);
    if (identity == 0 || (entry.known & ~kKnown) != identity || (entry.known & kValid) == 0)
        return std::nullopt;
    KeptPath state{{(entry.known & kAlive) != 0, (entry.known & kLived) != 0, (entry.known & kToldDead) != 0},
                   std::nullopt,
                   std::nullopt};
    if ((entry.known & (kSetUp | kSetDown)) != 0)
        state.by_hand = (entry.known & kSetDown) == 0;
    if ((entry.known & kLearned) != 0) {
        if (connection.keepalive_key)
            state.learned = learned_in(entry, identity, connection.paths[number]);
        state.liveness.alive = state.liveness.alive && state.learned; // nobody knows where it was
    }
    return state;
}

std::optional<std::uint32_t> KeptSlot::number_in(std::uint64_t value) noexcept
{
    const auto number = static_cast<std::uint32_t>(value);
    return value == checked(number) ? std::optional(number) : std::nullopt;
}

struct KeptState::Memory {
    Header header;
    std::array<KeptSlot, kKeptSlots> slots;
};

const std::size_t KeptState::kSize = sizeof(Memory);

KeptState::KeptState(base::Octets memory, base::Instant now) : memory_(*reinterpret_cast<Memory *>(memory.data()))
{
    Header &header = memory_.header;
    if (header.magic == kMagic && header.version == kLayoutVersion && header.slots == kKeptSlots) {
        const base::Instant confirmed{base::Duration(header.confirmed_at)};
        const bool is_fresh = confirmed <= now && confirmed > now - kFreshness;
        for (KeptSlot &slot : memory_.slots) {
            if (slot.connection_ % 2 == 0 || !left_.try_emplace(slot.connection_, &slot).second) {
                give_back(slot);
            } else if (!is_fresh) { // nor may confirm() make it so
                KeptSlot::store(slot.next_expected_, 0);
                for (auto &path : slot.paths_)
                    KeptSlot::store(path.known, 0);
            }
        }
        if (header.began_at != 0)
            failed_since_ = base::Instant(base::Duration(header.began_at));
    } else {
        for (KeptSlot &slot : memory_.slots)
            slot = {};
        header = {kMagic, kLayoutVersion, kKeptSlots, 0, 0};
    }
}

KeptState::Place KeptState::take(const core::ConnectionParameters &parameters)
{
    Place place;
    const std::uint64_t connection = identity_of(parameters);
    if (connection == 0)
        return place;
    if (const auto left = left_.extract(connection); !left.empty()) {
        place.slot = left.mapped();
        place.before.next_to_send = KeptSlot::number_in(place.slot->next_to_send_);
        place.before.next_expected = KeptSlot::number_in(place.slot->next_expected_);
        for (std::size_t i = 0; i < parameters.paths.size(); ++i)
            place.before.paths[i] = place.slot->path_in(i, parameters);
    }
    for (std::size_t tried = 0; tried < kKeptSlots && place.slot == nullptr; ++tried) {
        KeptSlot &slot = memory_.slots[next_++ % kKeptSlots];
        if (slot.connection_ != 0)
            continue;
        slot = {};
        KeptSlot::store(slot.connection_, connection);
        place.slot = &slot;
    }
    return place;
}

void KeptState::rename(KeptSlot &slot, const core::ConnectionParameters &parameters) noexcept
{
    const std::uint64_t connection = identity_of(parameters);
    KeptSlot::store(slot.connection_, connection != 0 ? connection : kRetired);
}

void KeptState::retire(KeptSlot &slot) noexcept
{
    KeptSlot::store(slot.connection_, kRetired);
}

void KeptState::forget_rest() noexcept
{
    for (const auto &[connection, slot] : left_)
        give_back(*slot);
    left_.clear();
}

void KeptState::begin(base::Instant now) noexcept
{
    memory_.header.began_at = now.time_since_epoch().count();
}

void KeptState::end_well() noexcept
{
    memory_.header.began_at = 0;
}

void KeptState::confirm(base::Instant now) noexcept
{
    memory_.header.confirmed_at = now.time_since_epoch().count();
}

} // namespace mpt::plane
