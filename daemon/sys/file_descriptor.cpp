// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/file_descriptor.hpp"

#include <unistd.h>

namespace mpt::sys {

FileDescriptor::~FileDescriptor()
{
    if (valid())
        close(fd_);
}

} // namespace mpt::sys
