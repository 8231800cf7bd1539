// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/snapshot.hpp"
#include "cli/text.hpp"

#include <string>
#include <vector>

namespace mpt::cli {

// The tables of `mpt status`.

// The widest of each that text.hpp makes.
inline constexpr std::size_t kSinceColumns = 6;
inline constexpr std::size_t kRateColumns = 5;
inline constexpr std::size_t kLossColumns = 6;

// All of it, or one connection with its counters (`only` not empty, and there). Rates are those since `earlier`, an
// older snapshot of the same daemon. No line is wider than `columns` but where a single name or address is.
std::vector<Line> status_table(const Snapshot &earlier, const Snapshot &now, const std::string &only,
                               std::size_t columns);

// The documented object (mpt(1)), indented. Without rates if `earlier` is nullptr.
std::string status_json(const Snapshot *earlier, const Snapshot &now, const std::string &only);

// What a path's status is called in a table.
std::string state_of(const Path &path);

// "2 of 3 up" and how that is to be seen.
std::string paths_up_text(const Connection &connection);
Style paths_up_style(const Connection &connection);

// What the number of packets that were lost is a part of: all that were numbered by the peer.
std::uint64_t packets_expected(const Connection &connection);

// "mptd 0.1.0: 2 connections, 3 of 4 paths up, 1 problem"
Line headline(const Snapshot &snapshot);

} // namespace mpt::cli
