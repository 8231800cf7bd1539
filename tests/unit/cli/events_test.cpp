// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/events.hpp"
#include "tests/unit/cli/sample.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mpt::cli {

namespace {

using testing::ElementsAre;

class Events : public testing::Test {
protected:
    Events() { follower_.know(sample_snapshot({sample_connection("a", {sample_path(0), sample_path(1)})})); }

    // The lines without their times.
    std::vector<std::string> said()
    {
        std::vector<std::string> all;
        for (const Event &event : std::exchange(events_, {})) {
            const std::string line = event_line(event);
            all.push_back(line.substr(line.find(' ') + 1));
        }
        return all;
    }

    std::vector<Event> events_;
    Follower follower_{[this](const Event &event) { events_.push_back(event); }};
};

TEST_F(Events, PathsAreNamedAsPeopleDo)
{
    follower_.on_path_status("/org/mptd1/connection/a/path/1", "up", "dead", "keepalives-missed", 1795363133000973);
    ASSERT_EQ(events_.size(), 1U);
    EXPECT_EQ(event_line(events_[0]), "2026-11-22T15:58:53.000973+0000 path-status connection=a path=1 interface=eth2 "
                                      "from=up to=dead reason=keepalives-missed");
    EXPECT_EQ(event_json(events_[0]),
              R"({"time_usec":1795363133000973,"event":"path-status","connection":"a","path":1,"interface":"eth2",)"
              R"("from":"up","to":"dead","reason":"keepalives-missed"})");
    EXPECT_EQ(event_words(events_[0]), "a path 1 (eth2): dead, was up: no keepalives from the peer");
}

TEST_F(Events, AConnectionComesAndGoes)
{
    const Interfaces connection = {
        {"org.mptd1.Connection",
         {{"Name", sdbus::Variant(std::string("b"))}, {"File", sdbus::Variant(std::string("b.conf"))}}}};
    const Interfaces path = {{"org.mptd1.Path",
                              {{"Connection", sdbus::Variant(sdbus::ObjectPath("/org/mptd1/connection/b"))},
                               {"Number", sdbus::Variant(std::uint32_t{3})},
                               {"Interface", sdbus::Variant(std::string("eth9"))}}}};
    // The path first: the order of the two is not given.
    follower_.on_added("/org/mptd1/connection/b/path/3", path);
    follower_.on_added("/org/mptd1/connection/b", connection);
    follower_.on_path_status("/org/mptd1/connection/b/path/3", "dead", "up", "keepalive", 1);
    follower_.on_removed("/org/mptd1/connection/b/path/3");
    follower_.on_removed("/org/mptd1/connection/b");
    follower_.on_removed("/org/mptd1/connection/b");
    follower_.on_path_status("/org/mptd1/connection/b/path/3", "up", "dead", "keepalive", 1);
    EXPECT_THAT(said(), ElementsAre("connection-added connection=b file=b.conf",
                                    "path-status connection=b path=3 interface=eth9 from=dead to=up reason=keepalive",
                                    "connection-removed connection=b"));
}

TEST_F(Events, OnlyNewProblemsAreTold)
{
    follower_.on_problems({"one", "two"});
    follower_.on_problems({"two", "three"});
    follower_.on_problems({});
    EXPECT_THAT(said(), ElementsAre("problem text=one", "problem text=two", "problem-solved text=one",
                                    "problem text=three", "problem-solved text=three", "problem-solved text=two"));
}

TEST_F(Events, AnotherDaemonIsNotKnownYet)
{
    follower_.on_service(false);
    follower_.on_service(true);
    follower_.on_path_status("/org/mptd1/connection/a/path/1", "up", "dead", "keepalives-missed", 1);
    EXPECT_THAT(said(), ElementsAre("service state=stopped", "service state=running"));
}

TEST_F(Events, ALineIsALineAndAWordAWord)
{
    follower_.on_problems({"a\nb \033[31m"});
    follower_.on_added("/x", {{"org.mptd1.Connection", {{"File", sdbus::Variant(std::string("a b=c.conf"))}}}});
    EXPECT_THAT(said(), ElementsAre("problem text=a?b ?[31m", "connection-added connection= file=a?b=c.conf"));
}

} // namespace

} // namespace mpt::cli
