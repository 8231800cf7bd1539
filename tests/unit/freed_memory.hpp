// SPDX-License-Identifier: GPL-3.0-or-later
// Replaces operator new and delete of the program: one source file of it includes this.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <new>
#include <string_view>

namespace mpt::test {

// Counts, as long as it lives, the pieces of memory that are given back with a text in them.
class FreedMemory {
public:
    explicit FreedMemory(std::string_view text)
    {
        text_ = text;
        found_ = 0;
    }
    FreedMemory(const FreedMemory &) = delete;
    FreedMemory &operator=(const FreedMemory &) = delete;
    ~FreedMemory() { text_ = {}; }

    std::size_t found() const { return found_; }

    static void look_at(void *memory)
    {
        if (memory != nullptr && !text_.empty() &&
            memmem(memory, malloc_usable_size(memory), text_.data(), text_.size()) != nullptr)
            ++found_;
    }

private:
    static inline std::string_view text_;
    static inline std::size_t found_ = 0;
};

} // namespace mpt::test

void *operator new(std::size_t size)
{
    if (void *memory = std::malloc(size))
        return memory;
    throw std::bad_alloc();
}

void *operator new(std::size_t size, const std::nothrow_t &) noexcept
{
    return std::malloc(size);
}

void operator delete(void *memory) noexcept
{
    mpt::test::FreedMemory::look_at(memory);
    std::free(memory);
}

void operator delete(void *memory, std::size_t) noexcept
{
    operator delete(memory);
}
