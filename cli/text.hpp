// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// What people read. Nothing here knows a terminal or the bus.
namespace mpt::cli {

// One printable ASCII character for each octet: '?' for all others, so that no text of somebody else moves a cursor or
// breaks a table.
std::string printable(std::string_view text);

// Three digits and a unit of 1000s: "0", "999", "1.23k", "94.2M", "942M". At most 5 columns.
std::string short_number(double value);

// "0%", "<0.01%", "0.02%", "1.5%", "12%", "100%"; "-" if there is nothing to be a part of.
std::string percentage(std::uint64_t part, std::uint64_t whole);

// The two largest units: "0s", "59s", "5m07s", "3h05m", "12d04h", "400d"; at most 6 columns up to 27 years.
std::string short_duration(std::chrono::microseconds duration);

// Local time of CLOCK_REALTIME: "10:11:12", and "2026-11-22T10:11:12.123456+0100".
std::string clock_time(std::chrono::microseconds realtime);
std::string timestamp(std::chrono::microseconds realtime);

// One column for each value, the newest (last) at the right, as high as it is of `highest`. Without UTF-8 in ASCII.
std::string sparkline(std::span<const double> values, double highest, std::size_t columns, bool utf8);

// What mptd calls the status and its reason ("interface-down", "keepalives-missed"), for people.
std::string status_words(std::string_view status);
std::string reason_words(std::string_view reason);

enum class Style { kPlain, kBold, kDim, kGood, kWarning, kBad, kReverse };

Style style_of_status(std::string_view status, bool held_back);

// A line with its styles. What is added is made printable first.
class Line {
public:
    Line() = default;
    explicit Line(std::string_view text, Style style = Style::kPlain) { add(text, style); }

    Line &add(std::string_view text, Style style = Style::kPlain);
    // Aligned within so many columns; a longer text is not cut.
    Line &add_left(std::string_view text, std::size_t columns, Style style = Style::kPlain);
    Line &add_right(std::string_view text, std::size_t columns, Style style = Style::kPlain);
    // Text of ours that takes so many columns, unchanged.
    Line &add_drawing(std::string_view text, std::size_t columns, Style style = Style::kPlain);
    // Blanks up to this column.
    Line &fill(std::size_t column);

    std::size_t columns() const noexcept { return columns_; }
    // Without trailing blanks; cut at `max_columns`. With colour as ECMA-48 says.
    std::string to_string(bool colour, std::size_t max_columns = std::string::npos) const;

private:
    struct Span {
        std::string text;
        std::size_t columns;
        Style style;
    };

    std::vector<Span> spans_;
    std::size_t columns_ = 0;
};

// The text broken at blanks into lines of so many columns with this indentation; longer words stay whole.
std::vector<Line> wrap(std::string_view text, std::size_t columns, std::size_t indent, Style style = Style::kPlain);

} // namespace mpt::cli
