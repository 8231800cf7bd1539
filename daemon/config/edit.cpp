// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/edit.hpp"

#include <algorithm>

namespace mpt::config {

LineEditor::LineEditor(std::string_view text) : line_end_("\n")
{
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
        lines_.push_back({base::SecretText(text.substr(0, end)), {}, false});
        text.remove_prefix(end);
    }
    if (!lines_.empty() && lines_.front().text.ends_with("\r\n"))
        line_end_ = "\r\n";
}

void LineEditor::set(const IniEntry &entry, std::string_view key, std::string_view value)
{
    base::SecretText &line = lines_[entry.line - 1].text;
    line.replace(entry.value_column, entry.value.size(), value);
    line.replace(entry.key_column, entry.key.size(), key);
}

void LineEditor::remove(unsigned line)
{
    lines_[line - 1].is_removed = true;
}

void LineEditor::insert_after(unsigned line, std::string_view lines)
{
    lines_[line - 1].after += with_line_ends(lines);
}

void LineEditor::append(std::string_view lines)
{
    lines_.back().after += with_line_ends(lines);
}

base::SecretText LineEditor::text() const
{
    base::SecretText all;
    for (const Line &line : lines_) {
        if (!line.is_removed)
            all += line.text;
        if (!line.after.empty() && !all.empty() && !all.ends_with('\n'))
            all += line_end_;
        all += line.after;
    }
    return all;
}

base::SecretText LineEditor::with_line_ends(std::string_view lines) const
{
    base::SecretText all;
    for (const char c : lines) {
        if (c == '\n')
            all += line_end_;
        else
            all += c;
    }
    return all;
}

base::Failure edit_failure(std::string_view file, std::string_view what, const std::vector<Problem> &problems)
{
    const auto first = std::find_if(problems.begin(), problems.end(),
                                    [](const Problem &problem) { return problem.severity == Severity::kError; });
    std::string text = fmt::format("{} cannot be changed: {}", file, what);
    if (first != problems.end())
        text += " (" + first->to_string() + ")";
    return base::fail(base::ErrorCode::kInvalidConfig, std::move(text));
}

} // namespace mpt::config
