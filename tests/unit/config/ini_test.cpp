// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/ini.hpp"

#include "tests/unit/config/texts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mpt::config {
namespace {

using test::texts;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

struct Read {
    std::vector<IniSection> sections;
    std::vector<std::string> problems;

    // "line section key=value"
    std::vector<std::string> entries() const
    {
        std::vector<std::string> all;
        for (const IniSection &section : sections) {
            for (const IniEntry &entry : section.entries)
                all.push_back(std::to_string(entry.line) + " " + section.name + " " + entry.key + "=" +
                              std::string(entry.value));
        }
        return all;
    }
};

Read read(std::string_view text)
{
    Problems problems("f");
    Read result;
    result.sections = read_ini(text, problems);
    result.problems = texts(std::move(problems).finish(0).problems);
    return result;
}

TEST(Ini, CountsLinesAndStripsBlanks)
{
    const Read r = read("\n[ a ]\n\n  x = 1\n\ty=2 \n[path 7]\n z : 3");
    EXPECT_THAT(r.problems, IsEmpty());
    EXPECT_THAT(r.entries(), ElementsAre("4 a x=1", "5 a y=2", "7 path_7 z=3"));
    EXPECT_EQ(r.sections[0].line, 2U);
    EXPECT_EQ(r.sections[1].line, 6U);
}

// inih alone would take the indented lines for more of the first value.
TEST(Ini, IndentedLineIsNoContinuation)
{
    EXPECT_THAT(read("[a]\nx = 1\n  y = 2\n    [b]\n  z = 3\n").entries(),
                ElementsAre("2 a x=1", "3 a y=2", "5 b z=3"));
    EXPECT_THAT(read("[a]\nx = 1\n  2\n").problems,
                ElementsAre("f:3: is neither '[section]', nor 'key = value', nor a comment"));
}

TEST(Ini, TellsWhereKeysAndValuesStand)
{
    constexpr std::string_view kText = "\xef\xbb\xbf [a]\n\t x \t=  1 2 ; c\n";
    const Read r = read(kText);
    ASSERT_THAT(r.sections, SizeIs(1));
    ASSERT_THAT(r.sections[0].entries, SizeIs(1));
    const IniEntry &entry = r.sections[0].entries[0];
    const std::string_view line = kText.substr(kText.find('\n') + 1);
    EXPECT_EQ(line.substr(entry.key_column, entry.key.size()), "x");
    EXPECT_EQ(line.substr(entry.value_column, entry.value.size()), "1 2");
}

TEST(Ini, ColumnsOnTheFirstLineCountTheByteOrderMark)
{
    // No entry can stand on the first line without an error, but a line number and a section can.
    const Read r = read("\xef\xbb\xbf[a]\nx=1");
    EXPECT_THAT(r.problems, IsEmpty());
    EXPECT_THAT(r.entries(), ElementsAre("2 a x=1"));
    EXPECT_THAT(read("[a]\n\xef\xbb\xbfx=1").entries(), ElementsAre("2 a \xef\xbb\xbfx=1")) << "only in front";
}

TEST(Ini, SkipsComments)
{
    EXPECT_THAT(read("; c\n# c = d\n[a] ; c\n  ; c\n\t# c\nx = 1 ; c\ny = 2 # c\nz = 3\t;c\n;;;### [b]\n").entries(),
                ElementsAre("6 a x=1", "7 a y=2", "8 a z=3"));
}

TEST(Ini, CommentCharactersInsideAWordStay)
{
    EXPECT_THAT(read("[a]\nx = a#b;c\ny=#\nz = ; c\nw =;\nv = a=b:c\n").entries(),
                ElementsAre("2 a x=a#b;c", "3 a y=", "4 a z=", "5 a w=", "6 a v=a=b:c"));
}

TEST(Ini, TakesLineEndsOfAllKinds)
{
    EXPECT_THAT(read("[a]\r\nx = 1\r\ny = 2").entries(), ElementsAre("2 a x=1", "3 a y=2"));
    EXPECT_THAT(read("[a]\nx = 1\r\n\r\n").entries(), ElementsAre("2 a x=1"));
    EXPECT_THAT(read("[a]\rx = 1\r").problems, ElementsAre("f:1: has a control character"));
    EXPECT_THAT(read("").sections, IsEmpty());
    EXPECT_THAT(read("\n").problems, IsEmpty());
}

TEST(Ini, GivesEmptyAndRepeatedSections)
{
    const Read r = read("[a]\n[b]\n[a]\n[]\n[b]\nx = 1");
    std::vector<std::string> names;
    for (const IniSection &section : r.sections)
        names.push_back(section.name + ":" + std::to_string(section.line));
    EXPECT_THAT(names, ElementsAre("a:1", "b:2", "a:3", ":4", "b:5"));
    EXPECT_THAT(r.entries(), ElementsAre("6 b x=1"));
}

TEST(Ini, TellsEveryBrokenLine)
{
    const Read r = read("[a]\nkey\n= 5\nx = 1\n[b\ny = 2\ngarbage\n[c]\nz = 3\n: 4\nk ; = 1\n");
    EXPECT_THAT(r.problems, ElementsAre("f:2: is neither '[section]', nor 'key = value', nor a comment",
                                        "f:3: is neither '[section]', nor 'key = value', nor a comment",
                                        "f:5: is no section line: it must be '[name]'",
                                        "f:7: is neither '[section]', nor 'key = value', nor a comment",
                                        "f:10: is neither '[section]', nor 'key = value', nor a comment",
                                        "f:11: is neither '[section]', nor 'key = value', nor a comment"));
    EXPECT_THAT(r.entries(), ElementsAre("4 a x=1", "9 c z=3")) << "what follows a broken section line is not of [a]";
}

TEST(Ini, TellsABrokenLastLine)
{
    EXPECT_THAT(read("[a]\nx = 1\nkey").problems, SizeIs(1));
    EXPECT_THAT(read("[a]\nx = 1\n[b").problems, ElementsAre("f:3: is no section line: it must be '[name]'"));
}

TEST(Ini, TellsEntriesBeforeTheFirstSection)
{
    const Read r = read("x = 1\n[a]\ny = 2");
    EXPECT_THAT(r.problems, ElementsAre("f:1: x: stands before the first [section]"));
    EXPECT_THAT(r.entries(), ElementsAre("3 a y=2"));
}

TEST(Ini, RefusesLongLinesAndReadsOn)
{
    const std::string fits = "x = " + std::string(195, 'v');
    Read r = read("[a]\n   " + fits + "   \ny = 1");
    EXPECT_THAT(r.problems, IsEmpty());
    EXPECT_THAT(r.entries(), ElementsAre("2 a x=" + std::string(195, 'v'), "3 a y=1"));

    r = read("[a]\n" + fits + "v\ny = 1\n[" + std::string(300, 'b') + "]\n");
    EXPECT_THAT(r.problems, ElementsAre("f:2: has more than 199 octets", "f:4: has more than 199 octets"));
    EXPECT_THAT(r.entries(), ElementsAre("3 a y=1"));

    EXPECT_THAT(read("[a]\n; " + std::string(5000, 'c') + "\nx = 1").entries(), ElementsAre("3 a x=1"))
        << "a comment may be long";
}

TEST(Ini, RefusesNulAndControlCharacters)
{
    Read r = read(std::string_view("[a]\nx = 1\0002\n;\0\ny = \x1b[31m\nz = 1\x7f\n; \x1b\n", 35));
    EXPECT_THAT(r.problems, ElementsAre("f:2: has a NUL octet: this is not a text file",
                                        "f:3: has a NUL octet: this is not a text file", "f:4: has a control character",
                                        "f:5: has a control character"));
    // The section name and the entry that the reader itself puts between the lines.
    r = read("[\x01]\nx = 1\n");
    EXPECT_THAT(r.problems, ElementsAre("f:1: has a control character", "f:2: x: stands before the first [section]"));
}

TEST(Ini, NeverRepeatsALineThatMayBeAKey)
{
    for (const char *text : {"[a]\nauth_key A0A1", "[a]\n[A0A1", "[a]\nauth_key = A0A1\x01"}) {
        for (const std::string &problem : read(text).problems)
            EXPECT_EQ(problem.find("A0A1"), std::string::npos) << problem;
    }
}

TEST(Ini, BoundsTheFile)
{
    std::string text = "[a]\nx = 1\n";
    text.append(kMaxFileOctets - text.size(), '\n');
    EXPECT_THAT(read(text).entries(), ElementsAre("2 a x=1"));
    const Read r = read(text + "\n");
    EXPECT_THAT(r.problems, ElementsAre("f: has 1048577 octets: must be at most 1048576"));
    EXPECT_THAT(r.sections, IsEmpty());
}

TEST(Ini, ReadsAMegabyteOfEntriesAndOfGarbage)
{
    std::string entries = "[a]\n";
    while (entries.size() + 12 < 1'000'000)
        entries += "key = value\n";
    EXPECT_THAT(read(entries).entries(), SizeIs((entries.size() - 4) / 12));

    std::string garbage;
    while (garbage.size() + 2 < 1'000'000)
        garbage += "x\n";
    const Read r = read(garbage);
    ASSERT_THAT(r.problems, SizeIs(Problems::kMaxOfASeverity + 1));
    EXPECT_EQ(r.problems.back(), "f: and 499899 more errors");
}

TEST(Problem, IsOneLineWhateverItShows)
{
    const Problem problem{Severity::kError, "a\n.conf", 12, "k\x1b", std::string(100, 'v') + "\n", "in b\r.conf"};
    EXPECT_EQ(problem.to_string(), "a\\x0a.conf:12: k\\x1b = " + std::string(80, 'v') + "...: in b\\x0d.conf");
    EXPECT_EQ(
        (Problem{Severity::kError, "connections/a.conf", 12, "weight_out", "0", "must be 1 to 10000"}.to_string()),
        "connections/a.conf:12: weight_out = 0: must be 1 to 10000");
}

} // namespace
} // namespace mpt::config
