// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/octets.hpp"
#include "daemon/base/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace mpt::core {

// Packets from `source` to `destination` belong to `value` (an index of the caller's: the connection). The pair of
// tunnel addresses of a connection is an entry whose two prefixes have full length. Both prefixes are of one IP
// version; host bits are ignored.
struct ForwardingEntry {
    base::Prefix source;
    base::Prefix destination;
    std::uint32_t value = 0; // below 2^32 - 1
};

// Finds the connection of a packet from the tunnel: the pair of tunnel addresses first, then the longest prefix, the
// destination's length before the source's. Does not change once it is built. A lookup costs a hash probe for each
// combination of prefix lengths in use, however many entries there are.
// Whether connection X may send a packet with these inner addresses is asked in the direction of the answer:
// find(destination, source) == X.
class ForwardingTable {
public:
    ForwardingTable() = default;

    // kAlreadyExists if two entries have the same prefixes and different values, kInvalidArgument if the prefixes of an
    // entry are of different IP versions.
    static base::Result<ForwardingTable> build(std::span<const ForwardingEntry> entries);

    std::optional<std::uint32_t> find(const base::Address &source, const base::Address &destination) const noexcept;

private:
    // The entries of one IP version, by a key of `Words` words in the machine's order: source, then destination.
    template <std::size_t Words> class Family {
    public:
        using Key = std::array<std::uint64_t, Words>;

        // False if the key is there with another value. Combinations of lengths come longest first (order()).
        bool insert(const Key &key, std::uint32_t value);
        void begin_lengths(const Key &mask, std::size_t entries);
        std::optional<std::uint32_t> find(const Key &key) const noexcept;

    private:
        static constexpr std::uint32_t kEmpty = UINT32_MAX;

        struct Slot {
            Key key{};
            std::uint32_t value = kEmpty;
        };

        // The entries with one combination of prefix lengths: an open-addressed table with a free slot at least.
        struct Lengths {
            Key mask{};
            std::size_t first = 0;     // slot
            std::size_t slot_mask = 0; // number of slots - 1, a power of two less one
        };

        static Key masked(const Key &key, const Key &mask) noexcept;
        static std::size_t hash(const Key &key) noexcept;
        std::size_t probe(const Lengths &lengths, const Key &key) const noexcept;

        std::vector<Lengths> lengths_;
        std::vector<Slot> slots_;
    };

    using Family4 = Family<1>;
    using Family6 = Family<4>;

    Family4 v4_;
    Family6 v6_;
};

} // namespace mpt::core
