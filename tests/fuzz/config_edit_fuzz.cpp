// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/connection.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace {

constexpr std::string_view kSeparator = "\n====\n";

std::size_t longest_line(std::string_view text)
{
    std::size_t longest = 0;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
        longest = std::max(longest, end);
        text.remove_prefix(end);
    }
    return longest;
}

} // namespace

// Two texts: the first is edited to say what the second says. It must then read so, and what it says already must not
// be touched.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    using namespace mpt::config;
    const std::string_view all(reinterpret_cast<const char *>(data), size);
    const std::size_t at = all.find(kSeparator);
    const std::string_view text = all.substr(0, at);
    const Parsed<ConnectionConfig> before = parse_connection("c.conf", text);
    if (!before.value) {
        if (edit(text, ConnectionConfig()))
            std::abort();
        return 0;
    }
    if (edit(text, *before.value).value() != text)
        std::abort();
    if (at == std::string_view::npos)
        return 0;
    const Parsed<ConnectionConfig> wanted = parse_connection("c.conf", all.substr(at + kSeparator.size()));
    if (!wanted.value)
        return 0;
    const auto edited = edit(text, *wanted.value);
    if (edited && parse_connection("c.conf", *edited).value != wanted.value)
        std::abort();
    // The longest values have 128 octets: only a line that is long already can become too long.
    if (!edited && longest_line(text) < 60)
        std::abort();
    return 0;
}
