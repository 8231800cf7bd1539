// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/kept_state.hpp"

#include "daemon/proto/fingerprint.hpp"

namespace mpt::plane {

namespace {

using namespace std::chrono_literals;

constexpr std::array<char, 8> kMagic{'m', 'p', 't', 'd', 'k', 'e', 'p', 't'};
constexpr std::uint32_t kLayoutVersion = 2;
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

// 0 if none can be made: that is nobody's.
std::uint64_t identity_of(const core::ConnectionParameters &connection) noexcept
{
    const auto identity =
        proto::fingerprint({connection.local.mapped(), connection.remote.mapped(), base::as_octets(connection.name),
                            connection.keepalive_key ? connection.keepalive_key->octets() : base::ConstOctets()});
    return identity ? *identity | 1 : 0;
}

} // namespace

std::uint64_t identity_of(const core::PathParameters &path) noexcept
{
    const auto identity = proto::fingerprint({path.remote.address.mapped(), base::as_octets(path.interface)});
    return identity.value_or(0) & ~kKnown;
}

void KeptSlot::set_path(std::size_t path, std::uint64_t identity, const KeptPath &state) noexcept
{
    std::uint64_t known = kValid;
    known |= state.liveness.alive ? kAlive : 0;
    known |= state.liveness.lived ? kLived : 0;
    if (state.by_hand)
        known |= *state.by_hand ? kSetUp : kSetDown;
    store(paths_[path], identity | known);
}

std::optional<KeptPath> KeptSlot::path_in(std::size_t path, std::uint64_t identity) const noexcept
{
    const std::uint64_t value = paths_[path];
    if (identity == 0 || (value & ~kKnown) != identity || (value & kValid) == 0)
        return std::nullopt;
    KeptPath state{{(value & kAlive) != 0, (value & kLived) != 0}, std::nullopt};
    if ((value & (kSetUp | kSetDown)) != 0)
        state.by_hand = (value & kSetDown) == 0;
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
        for (KeptSlot &slot : memory_.slots)
            if (slot.connection_ % 2 == 0 || !left_.try_emplace(slot.connection_, &slot).second)
                give_back(slot);
        const base::Instant confirmed{base::Duration(header.confirmed_at)};
        is_fresh_ = confirmed <= now && confirmed > now - kFreshness;
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
        if (is_fresh_)
            place.before.next_expected = KeptSlot::number_in(place.slot->next_expected_);
        for (std::size_t i = 0; is_fresh_ && i < parameters.paths.size(); ++i)
            place.before.paths[i] = place.slot->path_in(i, identity_of(parameters.paths[i]));
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
    if (const std::uint64_t connection = identity_of(parameters); connection != 0)
        KeptSlot::store(slot.connection_, connection);
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
