// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/json.hpp"

#include <fmt/format.h>

namespace mpt::cli {

std::string json_string(std::string_view text)
{
    std::string quoted = "\"";
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto octet = static_cast<unsigned char>(text[i]);
        if (octet == '"' || octet == '\\') {
            quoted += '\\';
            quoted += text[i];
        } else if (octet < 0x20 || octet == 0x7f) {
            quoted += fmt::format("\\u{:04x}", octet);
        } else if (octet == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) {
            quoted += fmt::format("\\u{:04x}", static_cast<unsigned char>(text[++i])); // U+0080 to U+009F
        } else {
            quoted += text[i];
        }
    }
    return quoted + '"';
}

JsonWriter &JsonWriter::begin_object()
{
    return begin('{');
}

JsonWriter &JsonWriter::end_object()
{
    return end('}');
}

JsonWriter &JsonWriter::begin_array()
{
    return begin('[');
}

JsonWriter &JsonWriter::end_array()
{
    return end(']');
}

JsonWriter &JsonWriter::key(std::string_view name)
{
    separate();
    text_ += json_string(name);
    text_ += indented_ ? ": " : ":";
    after_key_ = true;
    return *this;
}

JsonWriter &JsonWriter::value(std::string_view text)
{
    return raw(json_string(text));
}

JsonWriter &JsonWriter::value(bool value)
{
    return raw(value ? "true" : "false");
}

JsonWriter &JsonWriter::value(std::uint64_t value)
{
    return raw(fmt::format("{}", value));
}

JsonWriter &JsonWriter::value(double value)
{
    return raw(fmt::format("{:.3f}", value));
}

JsonWriter &JsonWriter::begin(char bracket)
{
    separate();
    text_ += bracket;
    ++depth_;
    first_ = true;
    return *this;
}

JsonWriter &JsonWriter::end(char bracket)
{
    --depth_;
    if (indented_ && !first_)
        text_ += fmt::format("\n{:{}}", "", 2 * depth_);
    text_ += bracket;
    first_ = false;
    return *this;
}

JsonWriter &JsonWriter::raw(std::string_view value)
{
    separate();
    text_ += value;
    return *this;
}

void JsonWriter::separate()
{
    if (!after_key_) {
        if (!first_)
            text_ += ',';
        if (indented_ && depth_ > 0)
            text_ += fmt::format("\n{:{}}", "", 2 * depth_);
    }
    after_key_ = false;
    first_ = false;
}

} // namespace mpt::cli
