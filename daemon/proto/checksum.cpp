// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/proto/checksum.hpp"

#include "daemon/proto/native.hpp"

#include <cstddef>
#include <cstring>

namespace mpt::proto {

namespace {

// One's complement addition in 64 bits.
std::uint64_t add_carry(std::uint64_t sum, std::uint64_t value) noexcept
{
    std::uint64_t result = 0;
    const bool carry = __builtin_add_overflow(sum, value, &result);
    return result + carry;
}

} // namespace

PartialSum sum_octets(base::ConstOctets octets) noexcept
{
    const std::byte *at = octets.data();
    std::size_t left = octets.size();

    // Four chains of add-with-carry keep the processor's units busy, one chain waits for itself. The loads stay apart:
    // gathered in an array, g++ 12 takes them through vector registers and the stack at half the speed.
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    std::uint64_t c = 0;
    std::uint64_t d = 0;
    for (; left >= 64; at += 64, left -= 64) {
        a = add_carry(a, load_native<std::uint64_t>(at));
        b = add_carry(b, load_native<std::uint64_t>(at + 8));
        c = add_carry(c, load_native<std::uint64_t>(at + 16));
        d = add_carry(d, load_native<std::uint64_t>(at + 24));
        a = add_carry(a, load_native<std::uint64_t>(at + 32));
        b = add_carry(b, load_native<std::uint64_t>(at + 40));
        c = add_carry(c, load_native<std::uint64_t>(at + 48));
        d = add_carry(d, load_native<std::uint64_t>(at + 56));
    }
    a = add_carry(add_carry(a, b), add_carry(c, d));
    for (; left >= 8; at += 8, left -= 8)
        a = add_carry(a, load_native<std::uint64_t>(at));

    PartialSum sum = (a >> 32) + (a & 0xffffffffU);
    if ((left & 4U) != 0) {
        sum += load_native<std::uint32_t>(at);
        at += 4;
    }
    if ((left & 2U) != 0) {
        sum += load_native<std::uint16_t>(at);
        at += 2;
    }
    if ((left & 1U) != 0) {
        std::uint16_t last = 0;
        std::memcpy(&last, at, 1);
        sum += last;
    }
    return sum;
}

} // namespace mpt::proto
