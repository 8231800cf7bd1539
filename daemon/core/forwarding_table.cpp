// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/forwarding_table.hpp"

#include <algorithm>
#include <bit>
#include <fmt/format.h>
#include <tuple>

namespace mpt::core {

namespace {

std::array<std::uint64_t, 1> key4(const std::byte *source, const std::byte *destination) noexcept
{
    return {std::uint64_t{base::load_be<std::uint32_t>(source)} << 32 | base::load_be<std::uint32_t>(destination)};
}

std::array<std::uint64_t, 4> key6(const std::byte *source, const std::byte *destination) noexcept
{
    return {base::load_be<std::uint64_t>(source), base::load_be<std::uint64_t>(source + 8),
            base::load_be<std::uint64_t>(destination), base::load_be<std::uint64_t>(destination + 8)};
}

// The first `length` of `width` bits set, from the top; length may exceed width.
std::uint64_t leading_bits(unsigned length, unsigned width) noexcept
{
    const std::uint64_t all = width == 64 ? UINT64_MAX : (std::uint64_t{1} << width) - 1;
    return length >= width ? all : all & ~(all >> length);
}

std::array<std::uint64_t, 1> mask4(unsigned source, unsigned destination) noexcept
{
    return {leading_bits(source, 32) << 32 | leading_bits(destination, 32)};
}

std::array<std::uint64_t, 4> mask6(unsigned source, unsigned destination) noexcept
{
    const auto low = [](unsigned length) { return length > 64 ? leading_bits(length - 64, 64) : 0; };
    return {leading_bits(source, 64), low(source), leading_bits(destination, 64), low(destination)};
}

} // namespace

template <std::size_t Words>
auto ForwardingTable::Family<Words>::masked(const Key &key, const Key &mask) noexcept -> Key
{
    Key result{};
    for (std::size_t i = 0; i < Words; ++i)
        result[i] = key[i] & mask[i];
    return result;
}

template <std::size_t Words> std::size_t ForwardingTable::Family<Words>::hash(const Key &key) noexcept
{
    // Multiply and fold (as the finaliser of MurmurHash3 does) a word.
    std::uint64_t mixed = 0;
    for (const std::uint64_t word : key) {
        mixed = (mixed ^ word) * 0xff51afd7ed558ccdU;
        mixed ^= mixed >> 32;
    }
    mixed *= 0xc4ceb9fe1a85ec53U;
    return static_cast<std::size_t>(mixed ^ mixed >> 32);
}

// The slot that holds the key, or the free one where it would go.
template <std::size_t Words>
std::size_t ForwardingTable::Family<Words>::probe(const Lengths &lengths, const Key &key) const noexcept
{
    std::size_t index = hash(key) & lengths.slot_mask;
    while (slots_[lengths.first + index].value != kEmpty && slots_[lengths.first + index].key != key)
        index = (index + 1) & lengths.slot_mask;
    return lengths.first + index;
}

template <std::size_t Words> void ForwardingTable::Family<Words>::begin_lengths(const Key &mask, std::size_t entries)
{
    const std::size_t count = std::bit_ceil(2 * entries);
    lengths_.push_back(Lengths{mask, slots_.size(), count - 1});
    slots_.resize(slots_.size() + count);
}

template <std::size_t Words> bool ForwardingTable::Family<Words>::insert(const Key &key, std::uint32_t value)
{
    const Key wanted = masked(key, lengths_.back().mask);
    Slot &slot = slots_[probe(lengths_.back(), wanted)];
    if (slot.value != kEmpty)
        return slot.value == value;
    slot = Slot{wanted, value};
    return true;
}

template <std::size_t Words>
std::optional<std::uint32_t> ForwardingTable::Family<Words>::find(const Key &key) const noexcept
{
    for (const Lengths &lengths : lengths_) {
        const Slot &slot = slots_[probe(lengths, masked(key, lengths.mask))];
        if (slot.value != kEmpty)
            return slot.value;
    }
    return std::nullopt;
}

base::Result<ForwardingTable> ForwardingTable::build(std::span<const ForwardingEntry> entries)
{
    for (const ForwardingEntry &entry : entries)
        if (entry.source.address.version() != entry.destination.address.version())
            return base::fail(base::ErrorCode::kInvalidArgument,
                              fmt::format("the networks {} and {} are of different IP versions: give both of one",
                                          entry.source.to_string(), entry.destination.to_string()));

    // Longest first; entries of one combination of lengths (and version) side by side.
    std::vector<ForwardingEntry> sorted(entries.begin(), entries.end());
    const auto order = [](const ForwardingEntry &entry) {
        return std::tuple(entry.source.address.is_v4(), entry.destination.length, entry.source.length);
    };
    std::stable_sort(sorted.begin(), sorted.end(),
                     [&order](const ForwardingEntry &a, const ForwardingEntry &b) { return order(a) > order(b); });

    ForwardingTable table;
    for (auto first = sorted.begin(); first != sorted.end();) {
        const auto last = std::find_if(first, sorted.end(), [&order, first](const ForwardingEntry &entry) {
            return order(entry) != order(*first);
        });
        const bool v4 = first->source.address.is_v4();
        const auto count = static_cast<std::size_t>(last - first);
        if (v4)
            table.v4_.begin_lengths(mask4(first->source.length, first->destination.length), count);
        else
            table.v6_.begin_lengths(mask6(first->source.length, first->destination.length), count);
        for (; first != last; ++first) {
            const std::byte *source = first->source.address.octets().data();
            const std::byte *destination = first->destination.address.octets().data();
            if (!(v4 ? table.v4_.insert(key4(source, destination), first->value)
                     : table.v6_.insert(key6(source, destination), first->value)))
                return base::fail(
                    base::ErrorCode::kAlreadyExists,
                    fmt::format("packets from {} to {} would belong to two connections: change one of them",
                                first->source.network().to_string(), first->destination.network().to_string()));
        }
    }
    return table;
}

std::optional<std::uint32_t> ForwardingTable::find(const base::Address &source,
                                                   const base::Address &destination) const noexcept
{
    const bool v4 = source.is_v4();
    if (v4 != destination.is_v4())
        return std::nullopt;
    return v4 ? v4_.find(key4(source.octets().data(), destination.octets().data()))
              : v6_.find(key6(source.octets().data(), destination.octets().data()));
}

} // namespace mpt::core
