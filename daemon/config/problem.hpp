// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mpt::config {

enum class Severity {
    kWarning, // the file is used as it is
    kError,   // the file is not used
};

// Something wrong with a configuration file.
struct Problem {
    Severity severity = Severity::kError;
    std::string file;  // as the caller named it
    unsigned line = 0; // from 1; 0: it is about no single line
    std::string key;   // empty: it is about no single key
    std::string value; // as written; empty where there is none, and for secrets
    std::string text;  // what is wrong and what was expected

    // "connections/a.conf:12: weight_out = 0: must be 1 to 10000". One line whatever the file holds: octets that are
    // not printable ASCII are escaped, long values cut.
    std::string to_string() const;

    friend bool operator==(const Problem &, const Problem &) = default;
};

bool has_errors(const std::vector<Problem> &problems);

// What a file says, and what is wrong with it. The value is there exactly if no problem is an error.
template <typename T> struct Parsed {
    std::optional<T> value;
    std::vector<Problem> problems; // by line
};

// Collects the problems of one file: all of them, but of each severity only so many that a file of garbage stays
// readable (and its report small).
class Problems {
public:
    static constexpr std::size_t kMaxOfASeverity = 100;

    explicit Problems(std::string_view file) : file_(file) {}

    void error(unsigned line, std::string_view key, std::string_view value, std::string text);
    void warning(unsigned line, std::string_view key, std::string_view value, std::string text);

    // False once no further warning will be kept, so that a caller need not work out its text.
    bool takes_warnings() const noexcept { return warnings_ < kMaxOfASeverity; }

    // The problems by line; the value too if none of them is an error.
    template <typename T> Parsed<T> finish(T value) &&
    {
        Parsed<T> parsed;
        if (errors_ == 0)
            parsed.value = std::move(value);
        parsed.problems = sorted();
        return parsed;
    }

private:
    void add(Problem problem, std::size_t &count);
    std::vector<Problem> sorted();

    std::string file_;
    std::vector<Problem> problems_;
    std::size_t errors_ = 0;
    std::size_t warnings_ = 0;
};

} // namespace mpt::config
