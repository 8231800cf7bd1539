// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/command.hpp"
#include "cli/path_choice.hpp"
#include "tests/unit/cli/sample.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mpt::cli {

namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

template <typename Function> CommandError error_of(const Function &function)
{
    try {
        function();
    } catch (const CommandError &error) {
        return error;
    }
    ADD_FAILURE() << "no error";
    return {kSuccess, ""};
}

PathAddresses addresses(const std::string &local, const std::string &remote)
{
    return {parse_address(local), parse_address(remote)};
}

class PathChoice : public testing::Test {
protected:
    PathChoice()
    {
        Path v6 = sample_path(2);
        v6.local_address = "2001:db8::1";
        v6.remote_address = "2001:db8::2";
        Path unknown = sample_path(3);
        unknown.local_address.clear();
        Path shared = sample_path(0);
        shared.object = "/shared";
        snapshot_ = sample_snapshot(
            {sample_connection("a", {sample_path(0), sample_path(1), v6, unknown}), sample_connection("b", {shared})});
    }

    Snapshot snapshot_;
};

TEST_F(PathChoice, ByAddresses)
{
    EXPECT_EQ(choose_path(snapshot_, addresses("192.0.2.1", "198.51.100.2")).number, 1U);
    EXPECT_EQ(choose_path(snapshot_, addresses("2001:DB8:0::1", "2001:db8::0:2")).number, 2U) << "another spelling";
}

TEST_F(PathChoice, NoneNamesAll)
{
    const CommandError error = error_of([&] { choose_path(snapshot_, addresses("198.51.100.2", "192.0.2.1")); });
    EXPECT_EQ(error.status(), kFailed);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("no path is between 198.51.100.2 and 192.0.2.1"),
                                    HasSubstr("\n  a 1: 192.0.2.1 to 198.51.100.2 on eth2"), HasSubstr("\n  b 0: "),
                                    HasSubstr("no address to 198.51.100.4")));
}

TEST_F(PathChoice, SeveralNamesThose)
{
    const CommandError error = error_of([&] { choose_path(snapshot_, addresses("192.0.2.1", "198.51.100.1")); });
    EXPECT_EQ(error.status(), kFailed);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("more than one path"), HasSubstr("\n  a 0: "), HasSubstr("\n  b 0: "),
                                    Not(HasSubstr("a 1: "))));
}

TEST_F(PathChoice, ByNumber)
{
    EXPECT_EQ(choose_path(snapshot_, "b", 0).object, "/shared");
    EXPECT_THAT(error_of([&] { choose_path(snapshot_, "b", 1); }).what(), HasSubstr("b has no path 1"));
    EXPECT_THAT(error_of([&] { choose_path(snapshot_, "c", 0); }).what(),
                AllOf(HasSubstr("no connection c"), HasSubstr("\n  a\n  b")));
}

TEST_F(PathChoice, ThousandsOfPathsAreNotListed)
{
    for (unsigned i = 0; i < 1000; ++i)
        snapshot_.connections.push_back(sample_connection("c" + std::to_string(i), {sample_path(0)}));
    const std::string text = error_of([&] { choose_connection(snapshot_, "x"); }).what();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 11);
    EXPECT_THAT(text, HasSubstr("and 992 more"));
}

TEST(ParseNumber, WithinBounds)
{
    EXPECT_EQ(parse_number("10000", 1, 10000), 10000U);
    for (const char *text : {"", "0", "10001", "-1", "1x", " 1", "99999999999999999999"})
        EXPECT_EQ(error_of([&] { parse_number(text, 1, 10000); }).status(), kUsage) << text;
}

} // namespace

} // namespace mpt::cli
