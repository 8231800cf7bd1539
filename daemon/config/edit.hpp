// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/result.hpp"
#include "daemon/base/secret.hpp"
#include "daemon/config/fields.hpp"

#include <string>
#include <string_view>
#include <vector>

// Changing a file that people write: only the values that must change. Within daemon/config only.
namespace mpt::config {

// The lines of a text, changed one by one; lines are numbered from 1 and keep their numbers.
class LineEditor {
public:
    explicit LineEditor(std::string_view text);

    void set(const IniEntry &entry, std::string_view key, std::string_view value);
    void remove(unsigned line);
    // `lines` end with LF; they get the line ends of the text.
    void insert_after(unsigned line, std::string_view lines);
    void append(std::string_view lines);

    base::SecretText text() const;

private:
    struct Line {
        base::SecretText text; // with its line end
        base::SecretText after;
        bool is_removed = false;
    };

    base::SecretText with_line_ends(std::string_view lines) const;

    std::vector<Line> lines_;
    std::string line_end_;
};

// Makes a section read as `wanted`. A line that says so already stays, even if it says it in another way.
template <typename S> void edit_section(LineEditor &editor, const IniSection &section, const S &wanted)
{
    struct Spelling {
        const IniEntry *entry;
        const Field<S> *field;
    };
    const std::span<const Field<S>> fields = fields_of<S>();
    const unsigned last_line = section.entries.empty() ? section.line : section.entries.back().line;
    for (std::size_t i = 0; i < fields.size(); ++i) {
        // Two fields that set one value in different units are edited together.
        const bool is_pair = i + 1 < fields.size() && fields[i + 1].overrides == fields[i].key;
        const std::span<const Field<S>> units = fields.subspan(i, is_pair ? 2 : 1);
        i += units.size() - 1;

        std::vector<Spelling> found; // the last one counts
        const Field<S> *unit = nullptr;
        for (const Field<S> &field : units) {
            for (const IniEntry &entry : section.entries) {
                if (field.is_spelled(entry.key))
                    found.push_back({&entry, &field});
            }
            if (field.write(wanted))
                unit = &field;
        }
        if (!found.empty()) {
            S said = wanted;
            if (found.back().field->read(found.back().entry->value, said).empty() && said == wanted)
                continue;
        }
        if (found.empty() && unit != nullptr && (unit->is_implied == nullptr || !unit->is_implied(wanted)))
            editor.insert_after(last_line, written("{} = {}\n", unit->key, *unit->write(wanted)));
        for (const Spelling &spelling : found) {
            const IniEntry &entry = *spelling.entry;
            if (unit != nullptr && &spelling == &found.back())
                editor.set(entry, unit == spelling.field ? entry.key : unit->key, *unit->write(wanted));
            else
                editor.remove(entry.line);
        }
    }
}

// The same for the sections of a kind; adds missing ones and removes those that are too many.
template <typename S>
void edit_numbered(LineEditor &editor, const Sections &sections, std::string_view kind, const std::vector<S> &wanted,
                   int width)
{
    for (std::size_t n = 0; n < wanted.size(); ++n) {
        if (const IniSection *section = sections.find(kind, n))
            edit_section(editor, *section, wanted[n]);
        else
            editor.append(written("\n[{}_{}]\n{}", kind, n, write_fields(wanted[n], width)));
    }
    for (const auto &[n, section] : sections.numbered(kind)) {
        if (n < wanted.size())
            continue;
        editor.remove(section->line);
        for (const IniEntry &entry : section->entries)
            editor.remove(entry.line);
    }
}

// Why a text cannot be edited, or what was made of it not be used.
base::Failure edit_failure(std::string_view file, std::string_view what, const std::vector<Problem> &problems);

// Makes `text` read as `wanted`: `parse(text)` reads it, `change(editor)` makes the changes.
template <typename Config, typename Parse, typename Change>
base::Result<base::SecretText> edit_text(std::string_view file, std::string_view text, const Config &wanted,
                                         Parse parse, Change change)
{
    const Parsed<Config> before = parse(text);
    if (!before.value)
        return edit_failure(file, "it has an error, correct that first", before.problems);
    LineEditor editor(text);
    change(editor);
    base::SecretText changed = editor.text();
    const Parsed<Config> after = parse(changed);
    if (!after.value || *after.value != wanted)
        return edit_failure(file, "a value cannot be written to a file", after.problems);
    return changed;
}

} // namespace mpt::config
