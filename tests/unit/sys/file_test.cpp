// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/file.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
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
    EXPECT_EQ(read_file(path("f"), 200000).value(), text);
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

} // namespace
} // namespace mpt::sys
