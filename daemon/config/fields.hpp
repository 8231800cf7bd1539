// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/secret.hpp"
#include "daemon/base/time.hpp"
#include "daemon/config/ini.hpp"
#include "daemon/config/problem.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <fmt/format.h>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// The keys of a section as a table, from which files are read, written and edited. Within daemon/config only.
namespace mpt::config {

// Who must give a key.
enum class Need {
    kAlways,
    kConnection, // every connection, but not conf.template
    kPeer,       // every connection; only the peer knows it: without it the connection waits for create
    kOptional,
    kSparse, // optional, and a clean file leaves it out where it says no more than its absence
};

// What fmt::format() makes, but as it may be a key.
template <typename... Values>
base::SecretText written(fmt::format_string<const Values &...> format, const Values &...values)
{
    base::SecretText text;
    fmt::format_to(std::back_inserter(text), format, values...);
    return text;
}

// One key of the section that the struct S holds.
template <typename S> struct Field {
    std::string_view key; // as a clean file spells it
    Need need = Need::kAlways;
    // Takes `text` into the struct; returns what it must be if it cannot. Fields are read in the order of their table.
    std::string (*read)(std::string_view text, S &into) = nullptr;
    // The text to write; nothing if there is none to write.
    std::optional<base::SecretText> (*write)(const S &from) = nullptr;
    // Whether a file without the key means the same.
    bool (*is_implied)(const S &from) = nullptr;
    std::string_view other = {};     // another spelling of the key
    std::string_view overrides = {}; // key of the field just before, which sets the same value in another unit
    bool is_secret = false;          // problems do not show the value

    bool is_spelled(std::string_view name) const { return name == key || (!other.empty() && name == other); }
};

// The table of the section that S holds, in the order of a clean file. Each reader of files specialises it.
template <typename S> std::span<const Field<S>> fields_of();

enum class Grammar { kConnection, kTemplate };

// The entries of a section that were understood, by Field::key.
using KnownEntries = std::map<std::string_view, const IniEntry *>;

// A known key and how problems call its section.
struct KnownKey {
    std::string_view section;
    std::string_view key;
};

template <typename S> void add_known_keys(std::vector<KnownKey> &keys, std::string_view section)
{
    for (const Field<S> &field : fields_of<S>()) {
        keys.push_back({section, field.key});
        if (!field.other.empty())
            keys.push_back({section, field.other});
    }
}

// Says that a key is not known and which known one is nearest.
void warn_unknown_key(const IniEntry &entry, std::span<const KnownKey> known, Problems &problems);

// Reads a section into `into` and tells everything that is wrong with its keys one by one. Where no key is said to be
// `known`, those that have no field are skipped without a warning.
template <typename S>
KnownEntries read_section(const IniSection &section, Grammar grammar, std::span<const KnownKey> known, S &into,
                          Problems &problems)
{
    const std::span<const Field<S>> fields = fields_of<S>();
    KnownEntries understood;
    for (const Field<S> &field : fields) {
        const IniEntry *first = nullptr;
        for (const IniEntry &entry : section.entries) {
            if (!field.is_spelled(entry.key))
                continue;
            if (first != nullptr)
                problems.error(
                    entry.line, entry.key, {},
                    fmt::format("is given twice in [{}]: line {} has {}", section.name, first->line, first->key));
            else
                first = &entry;
        }
        if (first == nullptr) {
            if (field.need == Need::kAlways || (field.need == Need::kConnection && grammar == Grammar::kConnection))
                problems.error(section.line, field.key, {}, fmt::format("is missing in [{}]", section.name));
            continue;
        }
        if (field.need == Need::kPeer && grammar == Grammar::kTemplate) {
            problems.warning(first->line, first->key, first->value,
                             "is ignored: conf.template says nothing about a peer");
            continue;
        }
        if (first->value.empty()) {
            problems.error(first->line, first->key, {}, "has no value");
            continue;
        }
        const std::string expected = field.read(first->value, into);
        if (!expected.empty())
            problems.error(first->line, first->key, field.is_secret ? "" : first->value, "must be " + expected);
        else
            understood[field.key] = first;
        if (!field.overrides.empty() && understood.contains(field.overrides))
            problems.warning(understood[field.overrides]->line, field.overrides, understood[field.overrides]->value,
                             fmt::format("is not used: {} in line {} overrides it", first->key, first->line));
    }
    for (const IniEntry &entry : section.entries) {
        if (!known.empty() && std::none_of(fields.begin(), fields.end(),
                                           [&](const Field<S> &field) { return field.is_spelled(entry.key); }))
            warn_unknown_key(entry, known, problems);
    }
    return understood;
}

// The sections of a file that a reader of it knows: some by name, some numbered ("path_0").
class Sections {
public:
    // Warns of unknown sections; a known one that comes twice is an error.
    Sections(std::vector<IniSection> all, std::span<const std::string_view> names,
             std::span<const std::string_view> kinds, Problems &problems);

    // Null if there is none.
    const IniSection *find(std::string_view name) const;
    const IniSection *find(std::string_view kind, std::size_t number) const;

    // Those of a kind, by number.
    std::map<std::size_t, const IniSection *> numbered(std::string_view kind) const;

private:
    std::vector<IniSection> known_; // each name once
};

// Reads the sections of a kind into `into`, whose size says how many there must be. `count` is the entry that set the
// size, null if that failed: then they are read for their problems only. `finish(entries, section, value)` checks what
// concerns several keys.
template <typename S, typename Finish>
void read_numbered(const Sections &sections, std::string_view kind, const IniEntry *count, Grammar grammar,
                   std::span<const KnownKey> known, std::vector<S> &into, Problems &problems, Finish finish)
{
    for (std::size_t n = 0; count != nullptr && n < into.size(); ++n) {
        if (sections.find(kind, n) == nullptr)
            problems.error(count->line, count->key, count->value, fmt::format("there is no section [{}_{}]", kind, n));
    }
    for (const auto &[n, section] : sections.numbered(kind)) {
        if (count != nullptr && n >= into.size()) {
            problems.error(section->line, fmt::format("[{}]", section->name), {},
                           fmt::format("is not counted: {} in line {} is {}", count->key, count->line, count->value));
            continue;
        }
        S scratch;
        S &value = count != nullptr ? into[n] : scratch;
        const KnownEntries entries = read_section(*section, grammar, known, value, problems);
        finish(entries, *section, value);
    }
}

// "key = value" lines of the fields that a clean file has; keys are padded to `width`.
template <typename S> base::SecretText write_fields(const S &from, int width)
{
    base::SecretText text;
    for (const Field<S> &field : fields_of<S>()) {
        if (field.need == Need::kSparse && field.is_implied(from))
            continue;
        if (const std::optional<base::SecretText> value = field.write(from))
            text += written("{:<{}} = {}\n", field.key, width, *value);
    }
    return text;
}

// A decimal number without sign; nothing if it is none, or above 2^32 - 1.
std::optional<std::uint32_t> parse_number(std::string_view text);

// What an address is for.
enum class AddressUse {
    kTunnel,          // the end of a tunnel
    kHost,            // the end of a path
    kHostOrAutomatic, // the same, or 0.0.0.0 or ::, for "find it"
};

bool is_address_for(const base::Address &address, AddressUse use);

// What is_interface_name() asks for.
std::string expected_interface_name();

// Kinds of values: each makes a Field from a member of its struct.
namespace field {

template <typename Member> struct MemberTraits;
template <typename Struct, typename Value> struct MemberTraits<Value Struct::*> {
    using S = Struct;
    using V = Value;
};
template <auto M> using StructOf = typename MemberTraits<decltype(M)>::S;
template <auto M> using ValueOf = typename MemberTraits<decltype(M)>::V;

template <typename T> inline constexpr bool kIsOptional = false;
template <typename T> inline constexpr bool kIsOptional<std::optional<T>> = true;
template <typename T> inline constexpr bool kIsDuration = false;
template <typename R, typename P> inline constexpr bool kIsDuration<std::chrono::duration<R, P>> = true;

template <auto M> bool is_default(const StructOf<M> &from)
{
    return from.*M == StructOf<M>{}.*M;
}

// Min to Max; M may be integral, bool, an enumeration, a duration (counted in its own unit), or an optional integer.
template <auto M, unsigned Min, unsigned Max>
constexpr Field<StructOf<M>> number(std::string_view key, Need need = Need::kAlways)
{
    using S = StructOf<M>;
    using V = ValueOf<M>;
    Field<S> field;
    field.key = key;
    field.need = need;
    field.read = [](std::string_view text, S &into) -> std::string {
        const std::optional<std::uint32_t> value = parse_number(text);
        if (!value || *value < Min || *value > Max)
            return Max - Min == 1 ? fmt::format("{} or {}", Min, Max) : fmt::format("{} to {}", Min, Max);
        if constexpr (kIsDuration<V>)
            into.*M = V(*value);
        else if constexpr (kIsOptional<V>)
            into.*M = static_cast<typename V::value_type>(*value);
        else
            into.*M = static_cast<V>(*value);
        return {};
    };
    field.write = [](const S &from) -> std::optional<base::SecretText> {
        const V &value = from.*M;
        if constexpr (kIsDuration<V>)
            return written("{}", value.count());
        else if constexpr (kIsOptional<V>)
            return value ? std::optional(written("{}", *value)) : std::nullopt;
        else
            return written("{}", static_cast<std::uint32_t>(value));
    };
    if (need == Need::kOptional || need == Need::kSparse)
        field.is_implied = is_default<M>;
    return field;
}

// How many sections of a kind there are: the size of a vector.
template <auto M, unsigned Min, unsigned Max> constexpr Field<StructOf<M>> count(std::string_view key)
{
    using S = StructOf<M>;
    Field<S> field;
    field.key = key;
    field.read = [](std::string_view text, S &into) -> std::string {
        const std::optional<std::uint32_t> value = parse_number(text);
        if (!value || *value < Min || *value > Max)
            return fmt::format("{} to {}", Min, Max);
        (into.*M).resize(*value);
        return {};
    };
    field.write = [](const S &from) -> std::optional<base::SecretText> { return written("{}", (from.*M).size()); };
    return field;
}

// 4 or 6.
template <auto M> constexpr Field<StructOf<M>> ip_version()
{
    using S = StructOf<M>;
    Field<S> field = number<M, 4, 6>("ip_ver");
    field.read = [](std::string_view text, S &into) -> std::string {
        const std::optional<std::uint32_t> value = parse_number(text);
        if (!value || (*value != 4 && *value != 6))
            return "4 or 6";
        into.*M = static_cast<base::IpVersion>(*value);
        return {};
    };
    return field;
}

// Text that `Check` (a predicate over string_view) takes, as `Expected` (a function) describes it.
template <auto M, auto Check, auto Expected>
constexpr Field<StructOf<M>> text(std::string_view key, Need need = Need::kAlways)
{
    using S = StructOf<M>;
    Field<S> field;
    field.key = key;
    field.need = need;
    field.read = [](std::string_view value, S &into) -> std::string {
        if (!Check(value))
            return Expected();
        into.*M = value;
        return {};
    };
    field.write = [](const S &from) -> std::optional<base::SecretText> {
        return (from.*M).empty() ? std::nullopt : std::optional(base::SecretText(from.*M));
    };
    if (need == Need::kOptional)
        field.is_implied = is_default<M>;
    return field;
}

// An address of either version. M may be optional.
template <auto M, AddressUse Use> constexpr Field<StructOf<M>> address(std::string_view key, Need need = Need::kAlways)
{
    using S = StructOf<M>;
    Field<S> field;
    field.key = key;
    field.need = need;
    field.read = [](std::string_view text, S &into) -> std::string {
        const base::Result<base::Address> address = base::Address::parse(text);
        if (!address || !is_address_for(*address, Use))
            return "the IPv4 or IPv6 address of a host";
        into.*M = *address;
        return {};
    };
    field.write = [](const S &from) -> std::optional<base::SecretText> {
        if constexpr (kIsOptional<ValueOf<M>>)
            return from.*M ? std::optional(base::SecretText((from.*M)->to_string())) : std::nullopt;
        else
            return base::SecretText((from.*M).to_string());
    };
    return field;
}

template <typename Unit>
std::string read_time(std::string_view text, std::uint32_t least, std::uint32_t most, const char *unit,
                      base::Duration &into)
{
    const std::optional<std::uint32_t> value = parse_number(text);
    if (!value || *value < least || *value > most)
        return fmt::format("{} to {} ({})", least, most, unit);
    into = Unit(*value);
    return {};
}

// Seconds in a base::Duration: a whole number of them. Of two fields for one value, this is the first.
template <auto M, unsigned Min, unsigned Max> constexpr Field<StructOf<M>> seconds(std::string_view key)
{
    using S = StructOf<M>;
    Field<S> field;
    field.key = key;
    field.need = Need::kOptional;
    field.read = [](std::string_view text, S &into) -> std::string {
        return read_time<std::chrono::seconds>(text, Min, Max, "seconds", into.*M);
    };
    field.write = [](const S &from) -> std::optional<base::SecretText> {
        const auto whole = std::chrono::duration_cast<std::chrono::seconds>(from.*M);
        return whole == from.*M ? std::optional(written("{}", whole.count())) : std::nullopt;
    };
    field.is_implied = is_default<M>;
    return field;
}

// The second: milliseconds, written where seconds cannot say it, and overriding them.
template <auto M, unsigned Min, unsigned Max>
constexpr Field<StructOf<M>> milliseconds(std::string_view key, std::string_view seconds_key)
{
    using S = StructOf<M>;
    Field<S> field;
    field.key = key;
    field.need = Need::kOptional;
    field.read = [](std::string_view text, S &into) -> std::string {
        return read_time<std::chrono::milliseconds>(text, Min, Max, "milliseconds", into.*M);
    };
    field.write = [](const S &from) -> std::optional<base::SecretText> {
        if (from.*M % std::chrono::seconds(1) == base::Duration::zero())
            return std::nullopt;
        return written("{}", std::chrono::duration_cast<std::chrono::milliseconds>(from.*M).count());
    };
    field.is_implied = is_default<M>;
    field.overrides = seconds_key;
    return field;
}

} // namespace field

} // namespace mpt::config
