// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/snapshot.hpp"
#include "cli/text.hpp"

#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// What `mpt top` shows and what keys mean, without a terminal.
namespace mpt::cli {

enum class Key { kQuit, kSort, kUp, kDown, kPageUp, kPageDown, kHome, kEnd };

// What was typed; other keys are left out.
std::vector<Key> parse_keys(std::string_view typed);

enum class SortOrder { kName, kRate, kStatus };

class TopView {
public:
    explicit TopView(bool utf8) : utf8_(utf8) {}

    // Takes the next measurement. The rates of the first one are not known.
    void add(Snapshot snapshot);
    // A path that the last snapshot knows has another status now.
    void set_status(const std::string &object, const std::string &status, const std::string &reason,
                    std::uint64_t monotonic);
    // mptd has ended: nothing is known until the next add().
    void clear();
    void add_event(std::uint64_t realtime, const std::string &words);
    // kQuit does nothing here.
    void press(Key key, std::size_t rows);

    // `rows` lines of at most `columns` columns. The times are of CLOCK_REALTIME and CLOCK_MONOTONIC.
    std::vector<Line> frame(std::size_t columns, std::size_t rows, std::uint64_t realtime, std::uint64_t monotonic);

private:
    struct History {
        Rates last;
        std::deque<double> bits; // a second, out and in together, the newest last
    };
    using HistoryKey = std::pair<std::string, int>; // connection, number of the path or kSum
    struct Layout;

    static void remember(History &history, const Rates &measured);
    const History &history_of(const Connection &connection, int number) const;
    std::vector<const Connection *> sorted() const;
    Layout layout(std::size_t columns) const;
    std::vector<Line> rows_of_connections(const Layout &layout, std::uint64_t monotonic) const;
    void add_rates(Line &line, const Layout &layout, const History &history, double highest, Style style) const;
    std::vector<Line> event_lines(std::size_t rows) const;

    bool utf8_;
    bool runs_ = false;
    Snapshot now_;
    std::map<HistoryKey, History> history_;
    std::deque<std::pair<std::uint64_t, std::string>> events_;
    SortOrder order_ = SortOrder::kName;
    std::size_t scrolled_ = 0; // lines
};

} // namespace mpt::cli
