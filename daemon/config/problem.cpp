// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/problem.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace mpt::config {

namespace {

constexpr std::size_t kMaxShown = 80; // octets of a key or value

std::string printable(std::string_view text, std::size_t max = std::string_view::npos)
{
    std::string shown;
    for (const char c : text.substr(0, max)) {
        if (c >= ' ' && c <= '~')
            shown += c;
        else
            shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
    if (text.size() > max)
        shown += "...";
    return shown;
}

} // namespace

std::string Problem::to_string() const
{
    std::string all = printable(file);
    if (line != 0)
        all += fmt::format(":{}", line);
    if (!key.empty())
        all += ": " + printable(key, kMaxShown);
    if (!value.empty())
        all += " = " + printable(value, kMaxShown);
    return all + ": " + printable(text);
}

bool has_errors(const std::vector<Problem> &problems)
{
    return std::any_of(problems.begin(), problems.end(),
                       [](const Problem &problem) { return problem.severity == Severity::kError; });
}

void Problems::error(unsigned line, std::string_view key, std::string_view value, std::string text)
{
    add({Severity::kError, file_, line, std::string(key), std::string(value), std::move(text)}, errors_);
}

void Problems::warning(unsigned line, std::string_view key, std::string_view value, std::string text)
{
    add({Severity::kWarning, file_, line, std::string(key), std::string(value), std::move(text)}, warnings_);
}

void Problems::add(Problem problem, std::size_t &count)
{
    if (++count <= kMaxOfASeverity)
        problems_.push_back(std::move(problem));
}

std::vector<Problem> Problems::sorted()
{
    std::stable_sort(problems_.begin(), problems_.end(),
                     [](const Problem &a, const Problem &b) { return a.line < b.line; });
    const auto say_more = [this](Severity severity, std::size_t count, std::string_view what) {
        if (count > kMaxOfASeverity)
            problems_.push_back(
                {severity, file_, 0, {}, {}, fmt::format("and {} more {}", count - kMaxOfASeverity, what)});
    };
    say_more(Severity::kError, errors_, "errors");
    say_more(Severity::kWarning, warnings_, "warnings");
    return std::move(problems_);
}

} // namespace mpt::config
