// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/result.hpp"
#include "daemon/base/secret.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mpt::sys {

// The whole of a regular file of at most `max_size` octets. kNotFound if there is none, kInvalidArgument if it is too
// large or no regular file.
base::Result<base::SecretText> read_file(const std::string &path, std::size_t max_size);

// Whether its mode lets any user read the file.
bool is_readable_by_all(const std::string &path);

// Puts `text` in the place of a file, or makes it with mode 0640: whole or not at all, also over a crash. A file that
// is replaced keeps its owner, group and mode, and a symbolic link stays one.
base::Result<void> replace_file(const std::string &path, std::string_view text);

// Renames a file, in the place of what has the new name.
base::Result<void> rename_file(const std::string &from, const std::string &to);

// Names of what stands in a directory, sorted, without "." and "..". kNotFound if there is no such directory.
base::Result<std::vector<std::string>> list_directory(const std::string &path);

} // namespace mpt::sys
