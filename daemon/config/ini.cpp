// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/ini.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <ini.h>

namespace mpt::config {

namespace {

constexpr std::string_view kBlanks = " \t\r\n\v\f"; // what isspace() takes, as inih uses it
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

std::string_view trim(std::string_view text)
{
    const std::size_t first = text.find_first_not_of(kBlanks);
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool is_control(char c)
{
    return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == '\x7f';
}

// Hands inih the text line by line and takes down what it makes of them. inih tells neither line numbers nor empty
// sections, and remembers only the first of its errors, so:
// - it reads a line only when it is done with the one before: what it reports belongs to the line handed out last;
// - a section line goes out between two lines of our own: a section of a name that no file can have, and an entry
//   without a key. With that entry inih reports the section it is in: the file's, or still ours if it did not
//   understand the file's line;
// - a line that it reports nothing for was not understood.
class Parser {
public:
    Parser(std::string_view text, Problems &problems) : rest_(text), problems_(problems)
    {
        if (rest_.substr(0, kByteOrderMark.size()) == kByteOrderMark) {
            skipped_ = kByteOrderMark.size();
            rest_.remove_prefix(skipped_);
        }
    }

    std::vector<IniSection> parse()
    {
        ini_parse_stream(read_line, this, take_entry, this);
        return std::move(sections_);
    }

private:
    enum class Step { kEntry, kMarker, kSection, kReport };

    static constexpr std::string_view kMarkerLine = "[\x01]";
    static constexpr std::string_view kMarkerSection = "\x01";
    static constexpr std::string_view kReportLine = "=";

    // Both callbacks are called through C code: what they throw must end here.
    static char *read_line(char *buffer, int size, void *self) noexcept
    {
        return static_cast<Parser *>(self)->next(buffer, static_cast<std::size_t>(size));
    }

    static int take_entry(void *self, const char *section, const char *key, const char *value) noexcept
    {
        static_cast<Parser *>(self)->take(section, key, value);
        return 1;
    }

    char *next(char *buffer, std::size_t size)
    {
        switch (step_) {
        case Step::kMarker:
            step_ = Step::kSection;
            return hand_out(line_, buffer);
        case Step::kSection:
            step_ = Step::kReport;
            return hand_out(kReportLine, buffer);
        case Step::kReport:
        case Step::kEntry:
            if (unanswered_)
                not_understood();
            break;
        }
        step_ = Step::kEntry;
        while (next_line()) {
            if (!usable(size))
                continue;
            unanswered_ = true;
            if (line_.front() != '[')
                return hand_out(line_, buffer);
            step_ = Step::kMarker;
            return hand_out(kMarkerLine, buffer);
        }
        return nullptr;
    }

    static char *hand_out(std::string_view line, char *buffer)
    {
        std::memcpy(buffer, line.data(), line.size());
        buffer[line.size()] = '\0';
        return buffer;
    }

    // Moves on to the next line; false at the end.
    bool next_line()
    {
        if (rest_.empty())
            return false;
        const std::size_t end = std::min(rest_.find('\n'), rest_.size());
        const std::string_view raw = rest_.substr(0, end);
        line_ = trim(raw);
        column_ = line_.empty() ? 0 : skipped_ + static_cast<std::size_t>(line_.data() - raw.data());
        skipped_ = 0;
        rest_.remove_prefix(std::min(end + 1, rest_.size()));
        ++number_;
        return true;
    }

    // Whether inih shall see this line.
    bool usable(std::size_t size)
    {
        if (line_.empty())
            return false;
        if (line_.find('\0') != std::string_view::npos) {
            problems_.error(number_, {}, {}, "has a NUL octet: this is not a text file");
            return false;
        }
        if (line_.front() == ';' || line_.front() == '#')
            return false;
        if (line_.size() >= size) {
            problems_.error(number_, {}, {}, fmt::format("has more than {} octets", size - 1));
            return false;
        }
        if (std::any_of(line_.begin(), line_.end(), is_control)) {
            problems_.error(number_, {}, {}, "has a control character");
            return false;
        }
        return true;
    }

    void take(std::string_view section, std::string_view key, std::string_view value)
    {
        if (step_ == Step::kReport) {
            if (section == kMarkerSection)
                return;
            unanswered_ = false;
            skipping_ = false;
            IniSection found;
            found.name = trim(section);
            std::replace(found.name.begin(), found.name.end(), ' ', '_');
            found.line = number_;
            sections_.push_back(std::move(found));
            return;
        }
        if (key.empty())
            return;
        unanswered_ = false;
        if (skipping_)
            return;
        if (sections_.empty()) {
            problems_.error(number_, key, {}, "stands before the first [section]");
            return;
        }
        IniEntry entry;
        entry.key = key;
        entry.value = without_comment(value);
        entry.line = number_;
        entry.key_column = column_;
        const std::size_t separator = line_.find_first_of("=:");
        entry.value_column = column_ + std::min(line_.find_first_not_of(kBlanks, separator + 1), line_.size());
        sections_.back().entries.push_back(std::move(entry));
    }

    // inih ends a value at a ';' behind a blank, but not at a '#'.
    static std::string_view without_comment(std::string_view value)
    {
        for (std::size_t i = 0; i < value.size(); ++i) {
            if ((value[i] == ';' || value[i] == '#') &&
                (i == 0 || kBlanks.find(value[i - 1]) != std::string_view::npos))
                return trim(value.substr(0, i));
        }
        return value;
    }

    void not_understood()
    {
        unanswered_ = false;
        if (line_.front() == '[') {
            problems_.error(number_, {}, {}, "is no section line: it must be '[name]'");
            skipping_ = true;
        } else {
            problems_.error(number_, {}, {}, "is neither '[section]', nor 'key = value', nor a comment");
        }
    }

    std::string_view rest_; // lines not yet handed out
    Problems &problems_;
    std::string_view line_; // the current one, trimmed
    unsigned number_ = 0;   // its number
    std::size_t column_ = 0;
    std::size_t skipped_ = 0; // octets of the byte order mark
    Step step_ = Step::kEntry;
    bool unanswered_ = false; // inih has the current line and has reported nothing for it
    bool skipping_ = false;   // below a broken section line
    std::vector<IniSection> sections_;
};

} // namespace

bool IniSection::has(std::string_view key) const
{
    return std::any_of(entries.begin(), entries.end(), [key](const IniEntry &entry) { return entry.key == key; });
}

std::vector<IniSection> read_ini(std::string_view text, Problems &problems)
{
    if (text.size() > kMaxFileOctets) {
        problems.error(0, {}, {}, fmt::format("has {} octets: must be at most {}", text.size(), kMaxFileOctets));
        return {};
    }
    return Parser(text, problems).parse();
}

} // namespace mpt::config
