// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/bus/deferred.hpp"

#include "daemon/bus/errors.hpp"

#include <exception>
#include <utility>
#include <vector>

namespace mpt::bus {

std::uint64_t Deferred::keep(const std::string &object, sdbus::Result<> &&call)
{
    static std::uint64_t last = 0; // never used again, on another connection either; the control thread's
    calls_.emplace(++last, Call{object, std::move(call)});
    return last;
}

void Deferred::answer(std::uint64_t number, const base::Result<void> &result) noexcept
{
    const auto call = calls_.extract(number);
    if (!call)
        return;
    try {
        if (result)
            call.mapped().result.returnResults();
        else
            call.mapped().result.returnError(error_of(result.error()));
    } catch (const std::exception &) { // the bus is gone, and so is the caller
    }
}

void Deferred::object_gone(const std::string &path) noexcept
{
    std::vector<std::uint64_t> numbers;
    for (const auto &[number, call] : calls_)
        if (call.object == path)
            numbers.push_back(number);
    for (const std::uint64_t number : numbers)
        answer(number, base::fail(base::ErrorCode::kNotFound, path + " has gone meanwhile"));
}

} // namespace mpt::bus
