// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/bus/text.hpp"

#include <gtest/gtest.h>

namespace mpt::bus {
namespace {

TEST(Printable, LeavesTextAsItIs)
{
    for (const char *text :
         {"", "two\nlines ~", "Pr\u00fcfung", "\u65e5\u672c\u8a9e.conf", "\U0001f50c", "\u00a0\ue000\U0010ffff"})
        EXPECT_EQ(printable(text), text);
}

TEST(Printable, TakesOutWhatPlaysWithATerminalOrTheReader)
{
    EXPECT_EQ(printable("\x1b[31m\r\t\x7f"), "?[31m???");
    EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a?b");
    EXPECT_EQ(printable("\u0085|\u009b31m"), "??|??31m");  // C1: next line, control sequence introducer
    EXPECT_EQ(printable("\u202egpj.fnoc"), "???gpj.fnoc"); // right-to-left override
    EXPECT_EQ(printable("\u200f\u2028\u2066"), "?????????");
}

// RFC 3629 sections 3 and 10: overlong forms, surrogates, beyond U+10FFFF, cut short.
TEST(Printable, TakesOutWhatIsNoUtf8)
{
    EXPECT_EQ(printable("\xc0\xaf"), "??");
    EXPECT_EQ(printable("\xe0\x80\xaf"), "???");
    EXPECT_EQ(printable("\xf0\x8f\xbf\xbf"), "????");
    EXPECT_EQ(printable("\xed\xa0\x80"), "???");
    EXPECT_EQ(printable("\xf4\x90\x80\x80"), "????");
    EXPECT_EQ(printable("\xf8\x88\x80\x80\x80"), "?????");
    EXPECT_EQ(printable("\xff\xfe\x80"), "???");
    EXPECT_EQ(printable("\xe6\x97"), "??");
    EXPECT_EQ(printable("\xe6"
                        "a\xc3\xbc"),
              "?a\u00fc");
    EXPECT_EQ(printable("\xc3"), "?");
}

} // namespace
} // namespace mpt::bus
