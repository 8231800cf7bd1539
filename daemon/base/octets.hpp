// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace mpt::base {

using ConstOctets = std::span<const std::byte>;
using Octets = std::span<std::byte>;

// The octets of a text and the text of octets; both refer to what they were given.
inline ConstOctets as_octets(std::string_view text) noexcept
{
    return std::as_bytes(std::span(text));
}

inline std::string_view as_text(ConstOctets octets) noexcept
{
    return {reinterpret_cast<const char *>(octets.data()), octets.size()};
}

// The value with its octets in reverse order.
template <typename T> constexpr T byte_swap(T value) noexcept
{
    static_assert(sizeof(T) == 1 || sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8);
    if constexpr (sizeof(T) == 2)
        return static_cast<T>(__builtin_bswap16(value));
    else if constexpr (sizeof(T) == 4)
        return static_cast<T>(__builtin_bswap32(value));
    else if constexpr (sizeof(T) == 8)
        return static_cast<T>(__builtin_bswap64(value));
    else
        return value;
}

// Between the machine's order and network order.
template <typename T> constexpr T network_order(T value) noexcept
{
    return std::endian::native == std::endian::little ? byte_swap(value) : value;
}

// Loads and stores an unsigned value in network order; the caller vouches that sizeof(T) octets are there.
template <typename T> T load_be(const std::byte *from) noexcept
{
    T value{};
    std::memcpy(&value, from, sizeof value);
    return network_order(value);
}

template <typename T> void store_be(std::byte *to, T value) noexcept
{
    value = network_order(value);
    std::memcpy(to, &value, sizeof value);
}

// Reads big-endian values from the front of a span; nothing is read beyond its end.
class Reader {
public:
    explicit Reader(ConstOctets octets) noexcept : rest_(octets) {}

    // The next value, or nothing (and nothing consumed) if fewer octets are left.
    template <typename T> std::optional<T> read() noexcept
    {
        if (rest_.size() < sizeof(T))
            return std::nullopt;
        const T value = load_be<T>(rest_.data());
        rest_ = rest_.subspan(sizeof(T));
        return value;
    }

    // The next `count` octets, or nothing (and nothing consumed) if fewer are left.
    std::optional<ConstOctets> take(std::size_t count) noexcept
    {
        if (rest_.size() < count)
            return std::nullopt;
        const ConstOctets taken = rest_.first(count);
        rest_ = rest_.subspan(count);
        return taken;
    }

    ConstOctets rest() const noexcept { return rest_; }

private:
    ConstOctets rest_;
};

// Writes big-endian values to the front of a span. A write that does not fit writes nothing and makes ok() false for
// good.
class Writer {
public:
    explicit Writer(Octets octets) noexcept : octets_(octets) {}

    template <typename T> Writer &write(T value) noexcept
    {
        if (reserve(sizeof(T))) {
            store_be<T>(octets_.data() + written_, value);
            written_ += sizeof(T);
        }
        return *this;
    }

    Writer &put(ConstOctets source) noexcept
    {
        if (reserve(source.size()) && !source.empty()) {
            std::memcpy(octets_.data() + written_, source.data(), source.size());
            written_ += source.size();
        }
        return *this;
    }

    Writer &zeros(std::size_t count) noexcept
    {
        if (reserve(count)) {
            std::memset(octets_.data() + written_, 0, count);
            written_ += count;
        }
        return *this;
    }

    bool ok() const noexcept { return ok_; }
    std::size_t size() const noexcept { return written_; }
    ConstOctets written() const noexcept { return octets_.first(written_); }

private:
    bool reserve(std::size_t count) noexcept
    {
        ok_ = ok_ && count <= octets_.size() - written_;
        return ok_;
    }

    Octets octets_;
    std::size_t written_ = 0;
    bool ok_ = true;
};

} // namespace mpt::base
