// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/file.hpp"

#include "daemon/sys/error.hpp"
#include "daemon/sys/file_descriptor.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace mpt::sys {

base::Result<std::string> read_file(const std::string &path, std::size_t max_size)
{
    // Non-blocking, or a FIFO of that name would hold us for ever.
    const FileDescriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {};
    if (!fd.valid() || fstat(fd.get(), &status) != 0)
        return system_failure(errno, fmt::format("reading {}", path));
    if (!S_ISREG(status.st_mode))
        return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("reading {}: it is no regular file", path));
    std::string text;
    for (;;) {
        const std::size_t before = text.size();
        text.resize(before + (64 << 10));
        const ssize_t size = read(fd.get(), text.data() + before, text.size() - before);
        if (size < 0 && errno != EINTR)
            return system_failure(errno, fmt::format("reading {}", path));
        text.resize(before + static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
        if (text.size() > max_size)
            return base::fail(base::ErrorCode::kInvalidArgument,
                              fmt::format("reading {}: it has more than {} octets", path, max_size));
        if (size == 0)
            return text;
    }
}

base::Result<std::vector<std::string>> list_directory(const std::string &path)
{
    std::vector<std::string> names;
    std::error_code error;
    for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error))
        names.push_back(entry->path().filename());
    if (error)
        return system_failure(error.value(), fmt::format("reading the directory {}", path));
    std::sort(names.begin(), names.end());
    return names;
}

} // namespace mpt::sys
