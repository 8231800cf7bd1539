// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <memory>
#include <string.h> // explicit_bzero()
#include <string>

namespace mpt::base {

// Wipes memory before it gives it back.
template <typename T> struct WipingAllocator {
    using value_type = T;

    WipingAllocator() noexcept = default;
    // An allocator is one for other types, too. NOLINTNEXTLINE(google-explicit-constructor)
    template <typename U> WipingAllocator(const WipingAllocator<U> &) noexcept {}

    T *allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
    void deallocate(T *memory, std::size_t count) noexcept
    {
        explicit_bzero(memory, count * sizeof(T));
        std::allocator<T>().deallocate(memory, count);
    }

    friend bool operator==(const WipingAllocator &, const WipingAllocator &) noexcept { return true; }
};

// Text that is a key, or may hold one: no copy of it stays behind in memory that is free. Up to 15 octets a string
// keeps within itself, where they are not wiped; no key is as short.
using SecretText = std::basic_string<char, std::char_traits<char>, WipingAllocator<char>>;

} // namespace mpt::base
