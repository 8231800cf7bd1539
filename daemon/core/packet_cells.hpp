// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace mpt::core {

// A fixed number of equal cells for copies of packets. All is allocated at construction; memory is not touched before
// the first use of a cell.
class PacketCells {
public:
    using Cell = std::uint32_t; // from 1
    static constexpr Cell kNone = 0;

    PacketCells(std::size_t count, std::size_t octets)
        : stride_((octets + 63) / 64 * 64), storage_(std::make_unique_for_overwrite<std::byte[]>(count * stride_)),
          unused_(static_cast<Cell>(count))
    {
        free_.reserve(count);
        retired_.reserve(count);
    }

    bool empty() const noexcept { return free_.empty() && unused_ == 0; }

    // A copy of the packet, which has no more octets than a cell. Precondition: !empty().
    Cell copy(base::ConstOctets packet) noexcept
    {
        Cell cell = kNone;
        if (free_.empty()) {
            cell = unused_--;
        } else {
            cell = free_.back();
            free_.pop_back();
        }
        if (!packet.empty())
            std::memcpy(start(cell), packet.data(), packet.size());
        return cell;
    }

    base::ConstOctets octets_of(Cell cell, std::size_t length) const noexcept { return {start(cell), length}; }

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
    std::byte *start(Cell cell) const noexcept { return storage_.get() + (cell - 1) * stride_; }

    std::size_t stride_;
    std::unique_ptr<std::byte[]> storage_;
    Cell unused_; // cells 1 to this one were never used
    std::vector<Cell> free_;
    std::vector<Cell> retired_;
};

} // namespace mpt::core
