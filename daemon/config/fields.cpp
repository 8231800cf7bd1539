// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/fields.hpp"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <utility>

namespace mpt::config {

namespace {

// Levenshtein distance.
std::size_t edit_distance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> row(b.size() + 1); // distances of the read part of `a` to each beginning of `b`
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i + 1);
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
        }
    }
    return row.back();
}

// The number of a section of this kind, written as a number is.
std::optional<std::size_t> section_number(std::string_view name, std::string_view kind)
{
    if (name.substr(0, kind.size()) != kind)
        return std::nullopt;
    const std::optional<std::uint32_t> number = parse_number(name.substr(std::min(name.size(), kind.size() + 1)));
    if (!number || name != fmt::format("{}_{}", kind, *number))
        return std::nullopt;
    return *number;
}

} // namespace

Sections::Sections(std::vector<IniSection> all, std::span<const std::string_view> names,
                   std::span<const std::string_view> kinds, Problems &problems)
{
    std::string known;
    for (const std::string_view name : names)
        known += fmt::format("{}[{}]", known.empty() ? "" : ", ", name);
    for (const std::string_view kind : kinds)
        known += fmt::format(", [{}_N]", kind);
    std::map<std::string, unsigned> lines;
    for (IniSection &section : all) {
        const std::string title = fmt::format("[{}]", section.name);
        if (std::find(names.begin(), names.end(), section.name) == names.end() &&
            std::none_of(kinds.begin(), kinds.end(),
                         [&](std::string_view kind) { return section_number(section.name, kind).has_value(); })) {
            problems.warning(section.line, title, {}, "is not a known section and is ignored; known are " + known);
            continue;
        }
        const auto [first, is_first] = lines.emplace(section.name, section.line);
        if (is_first)
            known_.push_back(std::move(section));
        else
            problems.error(section.line, title, {}, fmt::format("is there twice: first in line {}", first->second));
    }
}

const IniSection *Sections::find(std::string_view name) const
{
    const auto found =
        std::find_if(known_.begin(), known_.end(), [&](const IniSection &section) { return section.name == name; });
    return found == known_.end() ? nullptr : &*found;
}

const IniSection *Sections::find(std::string_view kind, std::size_t number) const
{
    return find(fmt::format("{}_{}", kind, number));
}

std::map<std::size_t, const IniSection *> Sections::numbered(std::string_view kind) const
{
    std::map<std::size_t, const IniSection *> found;
    for (const IniSection &section : known_) {
        if (const std::optional<std::size_t> number = section_number(section.name, kind))
            found.emplace(*number, &section);
    }
    return found;
}

void warn_unknown_key(const IniEntry &entry, std::span<const KnownKey> known, Problems &problems)
{
    if (!problems.takes_warnings())
        return;
    const auto nearest = std::min_element(known.begin(), known.end(), [&](const KnownKey &a, const KnownKey &b) {
        return edit_distance(entry.key, a.key) < edit_distance(entry.key, b.key);
    });
    problems.warning(entry.line, entry.key, {},
                     fmt::format("is not a known key here and is ignored; the nearest is {} in [{}]", nearest->key,
                                 nearest->section));
}

std::optional<std::uint32_t> parse_number(std::string_view text)
{
    std::uint32_t value = 0;
    const char *const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || stop != end)
        return std::nullopt;
    return value;
}

bool is_address_for(const base::Address &address, AddressUse use)
{
    static const base::Address broadcast = *base::Address::parse("255.255.255.255");
    if (address.is_multicast() || address == broadcast)
        return false;
    if (address.is_unspecified())
        return use == AddressUse::kHostOrAutomatic;
    return use != AddressUse::kTunnel || !address.is_loopback();
}

std::string expected_interface_name()
{
    return "the name of an interface, 1 to 15 characters without blank, '/', ':' and '%'";
}

} // namespace mpt::config
