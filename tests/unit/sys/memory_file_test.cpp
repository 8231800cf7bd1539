// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/memory_file.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace mpt::sys {
namespace {

constexpr std::size_t kSize = 10000;

FileDescriptor copy_of(int fd)
{
    return FileDescriptor(dup(fd));
}

// A file in memory of somebody else.
FileDescriptor foreign(std::size_t size, int seals)
{
    FileDescriptor fd(memfd_create("foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(size)), 0);
    EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, seals), 0);
    return fd;
}

TEST(MemoryFileTest, WhatWasWrittenIsThereForTheNextOwner)
{
    FileDescriptor kept;
    {
        const MemoryFile made = MemoryFile::create("test", kSize).value();
        ASSERT_EQ(made.octets().size(), kSize);
        EXPECT_TRUE(std::all_of(made.octets().begin(), made.octets().end(),
                                [](std::byte octet) { return octet == std::byte{0}; }));
        made.octets().back() = std::byte{7};
        kept = copy_of(made.fd());
    }
    const auto adopted = MemoryFile::adopt(std::move(kept), kSize);
    ASSERT_TRUE(adopted) << adopted.error().text;
    EXPECT_EQ(adopted->octets().back(), std::byte{7});
}

TEST(MemoryFileTest, NobodyCanChangeTheSize)
{
    const MemoryFile made = MemoryFile::create("test", kSize).value();
    EXPECT_EQ(ftruncate(made.fd(), 0), -1);
    EXPECT_EQ(ftruncate(made.fd(), 2 * kSize), -1);
    EXPECT_EQ(fcntl(made.fd(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1); // nor keep the next owner from writing
}

TEST(MemoryFileTest, AnythingElseIsNotAdopted)
{
    constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    EXPECT_TRUE(MemoryFile::adopt(foreign(kSize, seals), kSize));
    const auto code_of = [](FileDescriptor fd) { return MemoryFile::adopt(std::move(fd), kSize).error().code; };
    EXPECT_EQ(code_of(foreign(kSize - 1, seals)), base::ErrorCode::kNotFound);
    EXPECT_EQ(code_of(foreign(kSize + 1, seals)), base::ErrorCode::kNotFound);
    EXPECT_EQ(code_of(foreign(kSize, F_SEAL_GROW)), base::ErrorCode::kNotFound); // it could be cut off under us
    EXPECT_EQ(code_of(FileDescriptor(open("/dev/zero", O_RDWR))), base::ErrorCode::kNotFound);
    EXPECT_EQ(code_of(FileDescriptor(socket(AF_INET, SOCK_DGRAM, 0))), base::ErrorCode::kNotFound);
    EXPECT_EQ(code_of(FileDescriptor()), base::ErrorCode::kNotFound);
    EXPECT_FALSE(MemoryFile::adopt(foreign(kSize, seals | F_SEAL_WRITE), kSize));
}

} // namespace
} // namespace mpt::sys
