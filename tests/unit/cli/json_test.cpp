// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/json.hpp"

#include <gtest/gtest.h>

namespace mpt::cli {

namespace {

TEST(Json, ControlCharactersAreEscaped)
{
    EXPECT_EQ(json_string("a\"b\\c/"), R"("a\"b\\c/")");
    EXPECT_EQ(json_string(std::string_view("\0\n\033\x7f", 4)), R"("\u0000\u000a\u001b\u007f")");
    EXPECT_EQ(json_string("\xc2\x80\xc2\x9f\xc2\xa0"), "\"\\u0080\\u009f\xc2\xa0\"");
    EXPECT_EQ(json_string("\xc3\x89\xe2\x96\x81"), "\"\xc3\x89\xe2\x96\x81\"");
    EXPECT_EQ(json_string("\xc2"), "\"\xc2\"") << "the end of the text";
}

TEST(Json, CommasStandBetweenValues)
{
    JsonWriter json(false);
    json.begin_object().member("a", std::uint64_t{18446744073709551615U}).key("b").begin_array();
    json.value("x").value(true).begin_object().end_object().begin_array().end_array().value(0.5).end_array();
    json.member("c", std::uint8_t{200}).member("d", std::string("y")).end_object();
    EXPECT_EQ(json.text(), R"({"a":18446744073709551615,"b":["x",true,{},[],0.500],"c":200,"d":"y"})");
}

TEST(Json, IndentedForPeople)
{
    JsonWriter json(true);
    json.begin_object().key("a").begin_array().value(false).end_array().key("b").begin_array().end_array().end_object();
    EXPECT_EQ(json.text(), "{\n  \"a\": [\n    false\n  ],\n  \"b\": []\n}");
}

} // namespace

} // namespace mpt::cli
