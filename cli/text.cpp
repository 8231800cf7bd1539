// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <fmt/chrono.h>
#include <fmt/format.h>

namespace mpt::cli {

namespace {

using std::chrono::microseconds;

constexpr std::array<std::string_view, 8> kBlocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::string_view kAsciiBlocks = "_.:-=+*#";
static_assert(kBlocks.size() == kAsciiBlocks.size());

constexpr std::string_view kUnits = "kMGTPE"; // of 1000s

// org.mptd1.Path StatusReason, and in words.
constexpr std::array<std::array<std::string_view, 2>, 9> kReasons = {{
    {"start", "since the start"},
    {"keepalive", "a keepalive came"},
    {"keepalives-missed", "no keepalives from the peer"},
    {"by-hand", "set by hand"},
    {"by-peer", "set by the peer"},
    {"interface", "its interface"},
    {"address", "its local address"},
    {"socket", "its sockets could not be opened"},
    {"settings", "its settings were changed"},
}};

std::tm local_time(microseconds realtime)
{
    const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(realtime).count();
    std::tm time{};
    localtime_r(&seconds, &time);
    return time;
}

std::string_view escape_code(Style style)
{
    switch (style) {
    case Style::kPlain:
        break;
    case Style::kBold:
        return "\033[1m";
    case Style::kDim:
        return "\033[2m";
    case Style::kGood:
        return "\033[32m";
    case Style::kWarning:
        return "\033[33m";
    case Style::kBad:
        return "\033[1;31m";
    case Style::kReverse:
        return "\033[7m";
    }
    return "";
}

} // namespace

std::string printable(std::string_view text)
{
    std::string shown(text);
    std::replace_if(
        shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return shown;
}

std::string short_number(double value)
{
    if (!(value >= 0.5)) // also not a number
        return "0";
    if (value < 999.5)
        return fmt::format("{:.0f}", value);
    std::size_t unit = 0;
    for (value /= 1000; value >= 999.5 && unit + 1 < kUnits.size(); ++unit)
        value /= 1000;
    return fmt::format("{:.{}f}{}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, kUnits[unit]);
}

std::string percentage(std::uint64_t part, std::uint64_t whole)
{
    if (whole == 0)
        return "-";
    const double value = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
    if (part == 0)
        return "0%";
    if (value < 0.01)
        return "<0.01%";
    return fmt::format("{:.{}f}%", value, value < 0.995 ? 2 : value < 9.95 ? 1 : 0);
}

std::string short_duration(microseconds duration)
{
    const auto total = std::max<std::int64_t>(std::chrono::duration_cast<std::chrono::seconds>(duration).count(), 0);
    const std::int64_t days = total / 86400;
    const std::int64_t hours = total / 3600 % 24;
    const std::int64_t minutes = total / 60 % 60;
    if (days >= 100)
        return fmt::format("{}d", days);
    if (days > 0)
        return fmt::format("{}d{:02}h", days, hours);
    if (hours > 0)
        return fmt::format("{}h{:02}m", hours, minutes);
    if (minutes > 0)
        return fmt::format("{}m{:02}s", minutes, total % 60);
    return fmt::format("{}s", total);
}

std::string clock_time(microseconds realtime)
{
    return fmt::format("{:%H:%M:%S}", local_time(realtime));
}

std::string timestamp(microseconds realtime)
{
    const std::tm time = local_time(realtime);
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}{:%z}", time, realtime.count() % 1000000, time);
}

std::string sparkline(std::span<const double> values, double highest, std::size_t columns, bool utf8)
{
    if (values.size() > columns)
        values = values.last(columns);
    std::string line(columns - values.size(), ' ');
    for (const double value : values) {
        const double share = highest > 0 ? std::clamp(value / highest, 0.0, 1.0) : 0.0;
        const auto level = std::min(static_cast<std::size_t>(share * kBlocks.size()), kBlocks.size() - 1);
        if (utf8)
            line += kBlocks[level];
        else
            line += kAsciiBlocks[level];
    }
    return line;
}

std::string status_words(std::string_view status)
{
    std::string words(status);
    std::replace(words.begin(), words.end(), '-', ' ');
    return words;
}

std::string reason_words(std::string_view reason)
{
    const auto *found =
        std::find_if(kReasons.begin(), kReasons.end(), [&](const auto &each) { return each[0] == reason; });
    return std::string(found == kReasons.end() ? reason : (*found)[1]);
}

Style style_of_status(std::string_view status, bool held_back)
{
    if (status == "up")
        return held_back ? Style::kWarning : Style::kGood;
    return status == "set-down" || status == "disabled" ? Style::kWarning : Style::kBad;
}

Line &Line::add(std::string_view text, Style style)
{
    return add_drawing(printable(text), text.size(), style);
}

Line &Line::add_left(std::string_view text, std::size_t columns, Style style)
{
    const std::size_t end = columns_ + columns;
    return add(text, style).fill(end);
}

Line &Line::add_right(std::string_view text, std::size_t columns, Style style)
{
    if (text.size() < columns)
        fill(columns_ + columns - text.size());
    return add(text, style);
}

Line &Line::add_drawing(std::string_view text, std::size_t columns, Style style)
{
    if (columns > 0)
        spans_.push_back({std::string(text), columns, style});
    columns_ += columns;
    return *this;
}

Line &Line::fill(std::size_t column)
{
    if (columns_ < column)
        add(std::string(column - columns_, ' '));
    return *this;
}

std::string Line::to_string(bool colour, std::size_t max_columns) const
{
    std::string text;
    std::size_t left = max_columns;
    for (const Span &span : spans_) {
        // Only a drawing has other than one octet a column; it is shown whole or not at all.
        const bool is_drawing = span.text.size() != span.columns;
        if (left == 0 || (is_drawing && span.columns > left))
            break;
        const std::string_view shown =
            is_drawing ? std::string_view(span.text) : std::string_view(span.text).substr(0, left);
        const bool styled = colour && span.style != Style::kPlain;
        if (styled)
            text += escape_code(span.style);
        text += shown;
        if (styled)
            text += "\033[0m";
        left -= std::min(left, span.columns);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
}

std::vector<Line> wrap(std::string_view text, std::size_t columns, std::size_t indent, Style style)
{
    std::vector<Line> lines;
    std::string line;
    const auto end_line = [&] {
        lines.push_back(Line(std::string(indent, ' ')).add(line, style));
        line.clear();
    };
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        const std::string_view word = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (word.empty())
            continue;
        if (!line.empty() && indent + line.size() + 1 + word.size() > columns)
            end_line();
        line += line.empty() ? "" : " ";
        line += word;
    }
    if (!line.empty())
        end_line();
    return lines;
}

} // namespace mpt::cli
