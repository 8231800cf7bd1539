// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/memory_file.hpp"

#include "daemon/sys/error.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace mpt::sys {

namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// Since Linux 6.3, and so not in Debian 12's headers.
constexpr unsigned kNeverExecutable = 0x0008;

} // namespace

MemoryFile::MemoryFile(FileDescriptor fd, base::Octets octets) noexcept : fd_(std::move(fd)), octets_(octets)
{
}

MemoryFile::MemoryFile(MemoryFile &&other) noexcept
    : fd_(std::move(other.fd_)), octets_(std::exchange(other.octets_, {}))
{
}

MemoryFile::~MemoryFile()
{
    if (!octets_.empty())
        munmap(octets_.data(), octets_.size());
}

base::Result<MemoryFile> MemoryFile::create(const std::string &name, std::size_t size)
{
    constexpr unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    FileDescriptor fd(memfd_create(name.c_str(), flags | kNeverExecutable));
    if (!fd.valid() && errno == EINVAL)
        fd = FileDescriptor(memfd_create(name.c_str(), flags));
    if (!fd.valid() || ftruncate(fd.get(), static_cast<off_t>(size)) != 0 || fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0)
        return system_failure(errno, "making a file in memory");
    return map(std::move(fd), size);
}

base::Result<MemoryFile> MemoryFile::adopt(FileDescriptor fd, std::size_t size)
{
    struct stat status {};
    const int seals = fcntl(fd.get(), F_GET_SEALS); // fails on what is no file in memory
    if (seals < 0 || (seals & kSeals) != kSeals || fstat(fd.get(), &status) != 0 ||
        status.st_size != static_cast<off_t>(size))
        return base::fail(base::ErrorCode::kNotFound, "the file in memory is not one of this version");
    return map(std::move(fd), size);
}

base::Result<MemoryFile> MemoryFile::map(FileDescriptor fd, std::size_t size)
{
    void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (memory == MAP_FAILED)
        return system_failure(errno, "mapping a file in memory");
    return MemoryFile(std::move(fd), base::Octets(static_cast<std::byte *>(memory), size));
}

} // namespace mpt::sys
