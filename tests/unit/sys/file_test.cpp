// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/file.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

namespace mpt::sys {
namespace {

class FileTest : public ::testing::Test {
protected:
    FileTest()
    {
        std::string name = std::filesystem::temp_directory_path() / "mptd-file-XXXXXX";
        directory = mkdtemp(name.data());
    }
    ~FileTest() override { std::filesystem::remove_all(directory); }
    std::string path(const std::string &name) const { return directory + "/" + name; }

    std::string directory;
};

TEST_F(FileTest, ReadsWholeFilesUpToTheBound)
{
    const std::string text(200000, 'x');
    std::ofstream(path("f")) << text;
    EXPECT_EQ(read_file(path("f"), 200000).value(), std::string_view(text));
    EXPECT_EQ(read_file(path("f"), 199999).error().code, base::ErrorCode::kInvalidArgument);
    std::ofstream(path("empty")).flush();
    EXPECT_EQ(read_file(path("empty"), 10).value(), "");
}

TEST_F(FileTest, SaysWhatIsWrong)
{
    EXPECT_EQ(read_file(path("none"), 10).error().code, base::ErrorCode::kNotFound);
    EXPECT_EQ(read_file(path("none"), 10).error().text, "reading " + path("none") + ": No such file or directory");
    EXPECT_FALSE(read_file(directory, 10));
    ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
    EXPECT_EQ(read_file(path("fifo"), 10).error().code, base::ErrorCode::kInvalidArgument); // and does not wait
}

TEST_F(FileTest, ListsADirectorySorted)
{
    for (const char *name : {"b", "a", ".c"})
        std::ofstream(path(name)).flush();
    EXPECT_EQ(list_directory(directory).value(), (std::vector<std::string>{".c", "a", "b"}));
    EXPECT_EQ(list_directory(path("none")).error().code, base::ErrorCode::kNotFound);
}

mode_t mode_of(const std::string &path)
{
    struct stat status {};
    return stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
}

TEST_F(FileTest, ReplacesAFileAndKeepsItsModeAndLink)
{
    std::ofstream(path("f")) << "before";
    ASSERT_EQ(chmod(path("f").c_str(), 0604), 0);
    std::filesystem::create_symlink("f", path("link"));
    ASSERT_TRUE(replace_file(path("link"), "after"));
    EXPECT_EQ(read_file(path("f"), 100).value(), "after");
    EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
    EXPECT_EQ(mode_of(path("f")), 0604U);
    EXPECT_TRUE(is_readable_by_all(path("f")));

    ASSERT_TRUE(replace_file(path("new"), "text"));
    EXPECT_EQ(mode_of(path("new")), 0640U);
    EXPECT_FALSE(is_readable_by_all(path("new")));
    EXPECT_EQ(list_directory(directory).value(), (std::vector<std::string>{"f", "link", "new"})) << "nothing is left";
}

TEST_F(FileTest, AFullDiskLeavesTheOldFile)
{
    std::ofstream(path("f")) << "before";
    rlimit limit{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
    const rlimit small{1000, limit.rlim_max};
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    const auto replaced = replace_file(path("f"), std::string(5000, 'x'));
    setrlimit(RLIMIT_FSIZE, &limit);
    std::signal(SIGXFSZ, handler);
    ASSERT_FALSE(replaced);
    EXPECT_EQ(replaced.error().text, "writing " + path("f") + ": File too large");
    EXPECT_EQ(read_file(path("f"), 100).value(), "before");
    EXPECT_EQ(list_directory(directory).value(), (std::vector<std::string>{"f"}));
    EXPECT_EQ(replace_file(path("none/f"), "x").error().code, base::ErrorCode::kNotFound);
}

TEST_F(FileTest, RenamesInThePlaceOfAnother)
{
    std::ofstream(path("a")) << "a";
    std::ofstream(path("b")) << "b";
    ASSERT_TRUE(rename_file(path("a"), path("b")));
    EXPECT_EQ(read_file(path("b"), 100).value(), "a");
    EXPECT_EQ(rename_file(path("a"), path("b")).error().code, base::ErrorCode::kNotFound);
}

} // namespace
} // namespace mpt::sys
