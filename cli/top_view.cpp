// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/top_view.hpp"

#include "cli/status_view.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace mpt::cli {

namespace {

using std::chrono::microseconds;

constexpr int kSum = -1;              // in place of a path's number
constexpr std::size_t kHistory = 240; // measurements
constexpr std::size_t kMaxEvents = 200;
constexpr std::size_t kFixedRows = 3; // headline, columns, keys
constexpr std::size_t kMinSparkColumns = 10;
constexpr std::size_t kMinLeftColumns = 12;
constexpr std::size_t kMaxNameColumns = 40; // longer ones are cut

constexpr std::array<std::pair<std::string_view, Key>, 22> kKeys = {{
    {"\033[A", Key::kUp},    {"\033OA", Key::kUp}, {"k", Key::kUp},           {"\033[B", Key::kDown},
    {"\033OB", Key::kDown},  {"j", Key::kDown},    {"\033[5~", Key::kPageUp}, {"\033[6~", Key::kPageDown},
    {" ", Key::kPageDown},   {"b", Key::kPageUp},  {"\033[H", Key::kHome},    {"\033OH", Key::kHome},
    {"\033[1~", Key::kHome}, {"g", Key::kHome},    {"\033[F", Key::kEnd},     {"\033OF", Key::kEnd},
    {"\033[4~", Key::kEnd},  {"G", Key::kEnd},     {"s", Key::kSort},         {"S", Key::kSort},
    {"q", Key::kQuit},       {"Q", Key::kQuit},
}};

// Of the rows that are free, at most this many are for events.
std::size_t event_rows(std::size_t rows, std::size_t events)
{
    const std::size_t free = rows > kFixedRows ? rows - kFixedRows : 0;
    return events == 0 || free < 6 ? 0 : std::min(events + 1, free / 3);
}

std::size_t body_rows(std::size_t rows, std::size_t events)
{
    return rows > kFixedRows ? rows - kFixedRows - event_rows(rows, events) : 0;
}

std::string cut(const std::string &text, std::size_t columns)
{
    return text.size() <= columns ? text : text.substr(0, columns - 1) + "~";
}

std::string path_label(const Path &path, bool with_remote)
{
    const std::string label = fmt::format("  {:<2} {}", path.number, path.interface);
    return with_remote ? label + "  " + path.remote_address : label;
}

const char *name_of(SortOrder order)
{
    switch (order) {
    case SortOrder::kName:
        return "name";
    case SortOrder::kRate:
        return "rate";
    case SortOrder::kStatus:
        break;
    }
    return "status";
}

double highest(const std::deque<double> &values)
{
    return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

} // namespace

std::vector<Key> parse_keys(std::string_view typed)
{
    std::vector<Key> keys;
    while (!typed.empty()) {
        const auto *found =
            std::find_if(kKeys.begin(), kKeys.end(), [&](const auto &key) { return typed.starts_with(key.first); });
        if (found != kKeys.end()) {
            keys.push_back(found->second);
            typed.remove_prefix(found->first.size());
        } else if (typed.starts_with("\033[") || typed.starts_with("\033O")) {
            // Another key's sequence: up to its final octet (ECMA-48 section 5.4).
            const std::size_t final_octet = typed.find_first_not_of("0123456789;:<=>?", 2);
            typed.remove_prefix(std::min(final_octet, typed.size() - 1) + 1);
        } else {
            typed.remove_prefix(1);
        }
    }
    return keys;
}

// Columns, without the two blanks between them.
struct TopView::Layout {
    bool has_remotes; // there is room for the addresses
    std::size_t left;
    std::size_t state;
    std::size_t spark;
};

void TopView::add(Snapshot snapshot)
{
    const EarlierCounters earlier{&now_};
    const std::uint64_t elapsed = snapshot.monotonic - std::min(snapshot.monotonic, now_.monotonic);
    std::map<HistoryKey, History> kept; // without what is gone
    for (const Connection &connection : snapshot.connections) {
        const auto keep = [&](int number, const Rates &measured) {
            const HistoryKey key{connection.name, number};
            History &history = kept[key] = std::move(history_[key]);
            if (runs_)
                remember(history, measured);
        };
        keep(kSum, rates(earlier.of(connection), connection.counters, elapsed));
        for (const Path &path : connection.paths)
            keep(static_cast<int>(path.number), rates(earlier.of(connection, path), path.counters, elapsed));
    }
    history_ = std::move(kept);
    now_ = std::move(snapshot);
    runs_ = true;
}

void TopView::remember(History &history, const Rates &measured)
{
    history.last = measured;
    history.bits.push_back(measured.bits_out + measured.bits_in);
    if (history.bits.size() > kHistory)
        history.bits.pop_front();
}

const TopView::History &TopView::history_of(const Connection &connection, int number) const
{
    static const History none;
    const auto found = history_.find({connection.name, number});
    return found == history_.end() ? none : found->second;
}

void TopView::set_status(const std::string &object, const std::string &status, const std::string &reason,
                         std::uint64_t monotonic)
{
    for (Connection &connection : now_.connections) {
        for (Path &path : connection.paths) {
            if (path.object != object)
                continue;
            path.status_name = status;
            path.status_reason = reason;
            path.status_since_monotonic = monotonic;
        }
    }
}

void TopView::clear()
{
    runs_ = false;
    now_ = {};
    history_.clear();
}

void TopView::add_event(std::uint64_t realtime, const std::string &words)
{
    events_.emplace_back(realtime, words);
    if (events_.size() > kMaxEvents)
        events_.pop_front();
}

void TopView::press(Key key, std::size_t rows)
{
    const std::size_t page = std::max<std::size_t>(body_rows(rows, events_.size()), 1);
    const auto back = [this](std::size_t lines) { scrolled_ -= std::min(scrolled_, lines); };
    switch (key) {
    case Key::kQuit:
        break;
    case Key::kSort:
        order_ = order_ == SortOrder::kName   ? SortOrder::kRate
                 : order_ == SortOrder::kRate ? SortOrder::kStatus
                                              : SortOrder::kName;
        break;
    case Key::kUp:
        back(1);
        break;
    case Key::kDown:
        ++scrolled_;
        break;
    case Key::kPageUp:
        back(page);
        break;
    case Key::kPageDown:
        scrolled_ += page;
        break;
    case Key::kHome:
        scrolled_ = 0;
        break;
    case Key::kEnd:
        scrolled_ = std::string::npos / 2; // frame() limits it
        break;
    }
}

std::vector<const Connection *> TopView::sorted() const
{
    std::vector<const Connection *> connections;
    for (const Connection &connection : now_.connections)
        connections.push_back(&connection);
    const auto rate = [this](const Connection &c) {
        const History &history = history_of(c, kSum);
        return history.last.bits_out + history.last.bits_in;
    };
    const auto missing = [](const Connection &c) { return c.paths.size() - c.paths_up(); };
    std::stable_sort(connections.begin(), connections.end(), [&](const Connection *a, const Connection *b) {
        switch (order_) {
        case SortOrder::kName:
            break; // as they are
        case SortOrder::kRate:
            return rate(*a) > rate(*b);
        case SortOrder::kStatus:
            // Worst first: without a path, then by the paths that are missing.
            if ((a->paths_up() == 0) != (b->paths_up() == 0))
                return a->paths_up() == 0;
            return missing(*a) > missing(*b);
        }
        return false;
    });
    return connections;
}

void TopView::add_rates(Line &line, const Layout &layout, const History &history, double highest, Style style) const
{
    for (const double rate : {history.last.bits_out, history.last.bits_in})
        line.add("  ").add_right(history.bits.empty() ? "-" : short_number(rate), kRateColumns, style);
    const std::vector<double> values(history.bits.begin(), history.bits.end());
    line.add("  ").add_drawing(sparkline(values, highest, layout.spark, utf8_), layout.spark);
}

std::vector<Line> TopView::rows_of_connections(const Layout &layout, std::uint64_t monotonic) const
{
    std::vector<Line> lines;
    for (const Connection *connection : sorted()) {
        const History &sum = history_of(*connection, kSum);
        const double scale = highest(sum.bits); // of its paths too, so that their shares are seen
        Line line;
        line.add_left(cut(connection->name, layout.left), layout.left + 2, Style::kBold);
        line.add_left(paths_up_text(*connection), layout.state + 2 + kSinceColumns, paths_up_style(*connection));
        add_rates(line, layout, sum, scale, Style::kBold);
        line.add("  ").add_right(percentage(count(connection->counters, "lost"), packets_expected(*connection)),
                                 kLossColumns, Style::kBold);
        lines.push_back(std::move(line));
        for (const Path &path : connection->paths) {
            line = Line();
            line.add_left(cut(path_label(path, layout.has_remotes), layout.left), layout.left + 2);
            line.add_left(state_of(path), layout.state + 2, style_of_status(path.status_name, path.held_back));
            const std::uint64_t since = path.status_since_monotonic;
            line.add_right(since == 0 ? "" : short_duration(microseconds(monotonic > since ? monotonic - since : 0)),
                           kSinceColumns);
            add_rates(line, layout, history_of(*connection, static_cast<int>(path.number)), scale, Style::kPlain);
            lines.push_back(std::move(line));
        }
    }
    return lines;
}

std::vector<Line> TopView::event_lines(std::size_t rows) const
{
    std::vector<Line> lines;
    if (rows == 0)
        return lines;
    lines.emplace_back("EVENTS", Style::kDim);
    for (std::size_t i = events_.size() - std::min(rows - 1, events_.size()); i < events_.size(); ++i)
        lines.push_back(Line(clock_time(microseconds(events_[i].first)), Style::kDim).add(" " + events_[i].second));
    return lines;
}

TopView::Layout TopView::layout(std::size_t columns) const
{
    Layout layout{true, 0, 5, 0};
    std::size_t left = kMinLeftColumns;
    std::size_t with_remotes = kMinLeftColumns;
    for (const Connection &connection : now_.connections) {
        left = std::max(left, std::min(connection.name.size(), kMaxNameColumns));
        layout.state = std::max(layout.state, paths_up_text(connection).size());
        for (const Path &path : connection.paths) {
            layout.state = std::max(layout.state, state_of(path).size());
            left = std::max(left, path_label(path, false).size());
            with_remotes = std::max(with_remotes, path_label(path, true).size());
        }
    }
    // What the left column and the sparkline share.
    const std::size_t taken = 2 + layout.state + 2 + kSinceColumns + 2 * (2 + kRateColumns) + 2 + 2 + kLossColumns;
    const std::size_t shared = columns > taken ? columns - taken : 0;
    const std::size_t free = shared > kMinSparkColumns ? shared - kMinSparkColumns : 0;
    layout.has_remotes = with_remotes <= free;
    layout.left = std::max(std::min(std::max(left, layout.has_remotes ? with_remotes : 0), free), kMinLeftColumns);
    layout.spark = std::max(shared - std::min(shared, layout.left), kMinSparkColumns);
    return layout;
}

std::vector<Line> TopView::frame(std::size_t columns, std::size_t rows, std::uint64_t realtime, std::uint64_t monotonic)
{
    const Layout layout = this->layout(columns);
    std::vector<Line> lines;
    Line head = runs_ ? headline(now_) : Line("mptd does not run", Style::kBad);
    const std::string time = clock_time(microseconds(realtime));
    if (head.columns() + 2 + time.size() <= columns)
        head.fill(columns - time.size()).add(time);
    lines.push_back(std::move(head));
    Line titles;
    titles.add_left("CONNECTION", layout.left + 2, Style::kDim).add_left("STATE", layout.state + 2, Style::kDim);
    titles.add_right("SINCE", kSinceColumns, Style::kDim);
    for (const char *title : {"OUT", "IN"})
        titles.add("  ").add_right(title, kRateColumns, Style::kDim);
    titles.add("  ").add_right("OUT+IN", layout.spark, Style::kDim);
    titles.add("  ").add_right("LOSS", kLossColumns, Style::kDim);
    lines.push_back(std::move(titles));

    const std::size_t body = body_rows(rows, events_.size());
    const std::vector<Line> all = rows_of_connections(layout, monotonic);
    scrolled_ = std::min(scrolled_, all.size() - std::min(all.size(), body));
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(scrolled_);
    lines.insert(lines.end(), first, first + static_cast<std::ptrdiff_t>(std::min(body, all.size() - scrolled_)));
    lines.resize(2 + body);

    for (Line &line : event_lines(event_rows(rows, events_.size())))
        lines.push_back(std::move(line));
    Line keys(fmt::format("q quit   s sort (by {})   arrows scroll", name_of(order_)), Style::kReverse);
    if (all.size() > body)
        keys.add(fmt::format("   lines {}-{} of {}", scrolled_ + 1, std::min(scrolled_ + body, all.size()), all.size()),
                 Style::kReverse);
    lines.push_back(std::move(keys));
    lines.resize(std::min(lines.size(), rows));
    return lines;
}

} // namespace mpt::cli
