// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/service/records.hpp"

#include <cstdint>
#include <map>
#include <string>

namespace mpt::bus {

inline std::map<std::string, std::uint64_t> map_of(const service::Counters &counters)
{
    std::map<std::string, std::uint64_t> map;
    for (const service::Counter &counter : counters)
        map.emplace(counter.name, counter.value);
    return map;
}

} // namespace mpt::bus
