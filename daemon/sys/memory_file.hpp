// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"
#include "daemon/base/result.hpp"
#include "daemon/sys/file_descriptor.hpp"

#include <cstddef>
#include <string>

namespace mpt::sys {

// Memory that lasts as long as anybody has its descriptor, and so longer than a process that crashes (memfd_create(2)).
// Its size is fixed for good: nobody can take away what is mapped here.
class MemoryFile {
public:
    // All zero.
    static base::Result<MemoryFile> create(const std::string &name, std::size_t size);
    // One that create() has made in another process, as that has left it; kNotFound if the descriptor is of anything
    // else, or of another size.
    static base::Result<MemoryFile> adopt(FileDescriptor fd, std::size_t size);

    MemoryFile(MemoryFile &&other) noexcept;
    MemoryFile &operator=(MemoryFile &&) = delete;
    ~MemoryFile();

    int fd() const noexcept { return fd_.get(); }
    base::Octets octets() const noexcept { return octets_; }

private:
    MemoryFile(FileDescriptor fd, base::Octets octets) noexcept;
    static base::Result<MemoryFile> map(FileDescriptor fd, std::size_t size);

    FileDescriptor fd_;
    base::Octets octets_; // at the start of a page
};

} // namespace mpt::sys
