// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/result.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace mpt::sys {

// The whole of a regular file of at most `max_size` octets. kNotFound if there is none, kInvalidArgument if it is too
// large or no regular file.
base::Result<std::string> read_file(const std::string &path, std::size_t max_size);

// Names of what stands in a directory, sorted, without "." and "..". kNotFound if there is no such directory.
base::Result<std::vector<std::string>> list_directory(const std::string &path);

} // namespace mpt::sys
