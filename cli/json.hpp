// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace mpt::cli {

// Writes JSON (RFC 8259), in one line or indented. The caller opens and closes; commas and indentation come by
// themselves.
class JsonWriter {
public:
    explicit JsonWriter(bool indented) : indented_(indented) {}

    JsonWriter &begin_object();
    JsonWriter &end_object();
    JsonWriter &begin_array();
    JsonWriter &end_array();
    // The name of the next value, within an object.
    JsonWriter &key(std::string_view name);

    // `text` is UTF-8, as the bus delivers it. Control characters are escaped, those of a terminal (C1) as well.
    JsonWriter &value(std::string_view text);
    JsonWriter &value(const char *text) { return value(std::string_view(text)); }
    JsonWriter &value(bool value);
    JsonWriter &value(std::uint64_t value);
    // Finite; with as many digits as are needed and no exponent in the range of rates.
    JsonWriter &value(double value);

    template <typename T> JsonWriter &member(std::string_view name, const T &its_value)
    {
        key(name);
        if constexpr (std::is_unsigned_v<T> && !std::is_same_v<T, bool>)
            return value(std::uint64_t{its_value});
        else
            return value(its_value);
    }

    const std::string &text() const noexcept { return text_; }

private:
    JsonWriter &begin(char bracket);
    JsonWriter &end(char bracket);
    JsonWriter &raw(std::string_view value);
    void separate();

    bool indented_;
    std::string text_;
    unsigned depth_ = 0;
    bool first_ = true;      // nothing was written behind the last bracket
    bool after_key_ = false; // the next value belongs on this line
};

std::string json_string(std::string_view text);

} // namespace mpt::cli
