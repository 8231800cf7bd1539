// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace mpt::core {

// A fixed number of equal cells for copies of packets. All is allocated at construction; the memory of a cell is not
// touched before its first use.
class PacketCells {
public:
    using Cell = std::uint32_t;

    PacketCells(std::size_t count, std::size_t octets)
        : stride_((octets + 63) / 64 * 64), storage_(std::make_unique_for_overwrite<std::byte[]>(count * stride_))
    {
        free_.reserve(count);
        retired_.reserve(count);
        for (std::size_t cell = count; cell-- > 0;)
            free_.push_back(static_cast<Cell>(cell));
    }

    bool empty() const noexcept { return free_.empty(); }

    // A copy of the packet, which has no more octets than a cell. Precondition: !empty().
    Cell copy(base::ConstOctets packet) noexcept
    {
        const Cell cell = free_.back();
        free_.pop_back();
        if (!packet.empty())
            std::memcpy(storage_.get() + cell * stride_, packet.data(), packet.size());
        return cell;
    }

    base::ConstOctets octets_of(Cell cell, std::size_t length) const noexcept
    {
        return {storage_.get() + cell * stride_, length};
    }

    void free(Cell cell) noexcept { free_.push_back(cell); }

    // As free(), but what is in it stays until recycle().
    void retire(Cell cell) noexcept { retired_.push_back(cell); }
    bool any_retired() const noexcept { return !retired_.empty(); }
    void recycle() noexcept
    {
        free_.insert(free_.end(), retired_.begin(), retired_.end());
        retired_.clear();
    }

private:
    std::size_t stride_;
    std::unique_ptr<std::byte[]> storage_;
    std::vector<Cell> free_;
    std::vector<Cell> retired_;
};

} // namespace mpt::core
