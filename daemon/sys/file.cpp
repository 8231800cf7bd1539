// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/file.hpp"

#include "daemon/sys/error.hpp"
#include "daemon/sys/file_descriptor.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace mpt::sys {

namespace {

constexpr mode_t kNewFileMode = 0640;

// A new name lasts over a crash once its directory is written.
base::Result<void> sync_directory(const std::string &path)
{
    const FileDescriptor fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid() || fsync(fd.get()) != 0)
        return system_failure(errno, fmt::format("writing the directory {}", path));
    return {};
}

} // namespace

base::Result<base::SecretText> read_file(const std::string &path, std::size_t max_size)
{
    // Non-blocking, or a FIFO of that name would hold us for ever.
    const FileDescriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {};
    if (!fd.valid() || fstat(fd.get(), &status) != 0)
        return system_failure(errno, fmt::format("reading {}", path));
    if (!S_ISREG(status.st_mode))
        return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("reading {}: it is no regular file", path));
    base::SecretText text;
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

bool is_readable_by_all(const std::string &path)
{
    struct stat status {};
    return stat(path.c_str(), &status) == 0 && (status.st_mode & S_IROTH) != 0;
}

base::Result<void> replace_file(const std::string &path, std::string_view text)
{
    const std::string what = fmt::format("writing {}", path);
    std::filesystem::path target(path);
    std::error_code error;
    if (std::filesystem::is_symlink(std::filesystem::symlink_status(target, error))) {
        target = std::filesystem::canonical(target, error);
        if (error)
            return system_failure(error.value(), what);
    }
    const std::string directory = target.parent_path();
    std::string temporary = fmt::format("{}/.{}.XXXXXX", directory, target.filename().string());
    FileDescriptor fd(mkostemp(temporary.data(), O_CLOEXEC));
    if (!fd.valid())
        return system_failure(errno, what);
    const auto give_up = [&] {
        const int cause = errno;
        unlink(temporary.c_str());
        return system_failure(cause, what);
    };
    struct stat before {};
    const bool exists = stat(target.c_str(), &before) == 0;
    if (exists) {
        // Who may not give a file away keeps at least its group; the mode comes last, chown() would clear bits of it.
        if (fchown(fd.get(), before.st_uid, before.st_gid) != 0 &&
            fchown(fd.get(), static_cast<uid_t>(-1), before.st_gid) != 0)
            return give_up();
    }
    if (fchmod(fd.get(), exists ? before.st_mode & 07777 : kNewFileMode) != 0)
        return give_up();
    while (!text.empty()) {
        const ssize_t written = write(fd.get(), text.data(), text.size());
        if (written < 0 && errno != EINTR)
            return give_up();
        text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
    }
    if (fsync(fd.get()) != 0 || rename(temporary.c_str(), target.c_str()) != 0)
        return give_up();
    return sync_directory(directory);
}

base::Result<void> rename_file(const std::string &from, const std::string &to)
{
    if (rename(from.c_str(), to.c_str()) != 0)
        return system_failure(errno, fmt::format("renaming {} to {}", from, to));
    return sync_directory(std::filesystem::path(to).parent_path());
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
