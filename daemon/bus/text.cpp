// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/bus/text.hpp"

#include <cstdint>

namespace mpt::bus {

namespace {

constexpr std::uint32_t kFirstOfOctets[] = {0, 0, 0x80, 0x800, 0x10000}; // the first code that needs so many

struct Character {
    std::uint32_t code = 0;
    std::size_t octets = 0; // 0: this is no UTF-8
};

Character first_of(std::string_view text)
{
    const auto lead = static_cast<unsigned char>(text.front());
    if (lead < 0x80)
        return {lead, 1};
    const std::size_t octets = lead >= 0xf0 && lead < 0xf8 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc0 || lead >= 0xf8 || text.size() < octets)
        return {};
    std::uint32_t code = lead & (0x7fU >> octets);
    for (const char c : text.substr(1, octets - 1)) {
        const auto octet = static_cast<unsigned char>(c);
        if ((octet & 0xc0U) != 0x80)
            return {};
        code = code << 6U | (octet & 0x3fU);
    }
    const bool is_surrogate = code >= 0xd800 && code < 0xe000;
    return code < kFirstOfOctets[octets] || code > 0x10ffff || is_surrogate ? Character{} : Character{code, octets};
}

bool is_shown(std::uint32_t code)
{
    const bool is_control = (code < 0x20 && code != '\n') || (code >= 0x7f && code < 0xa0);
    // Left-to-right and right-to-left marks, line and paragraph separators, embeddings, overrides and isolates.
    const bool is_direction =
        code == 0x200e || code == 0x200f || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
    return !is_control && !is_direction;
}

} // namespace

std::string printable(std::string_view text)
{
    std::string shown;
    while (!text.empty()) {
        const Character character = first_of(text);
        const std::size_t octets = character.octets > 0 ? character.octets : 1;
        if (character.octets > 0 && is_shown(character.code))
            shown += text.substr(0, octets);
        else
            shown.append(octets, '?');
        text.remove_prefix(octets);
    }
    return shown;
}

} // namespace mpt::bus
