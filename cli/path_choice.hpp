// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"

#include "cli/snapshot.hpp"

#include <string>

namespace mpt::cli {

// CommandError (kUsage) that names the text and says what it must be.
unsigned parse_number(const std::string &text, unsigned min, unsigned max);
base::Address parse_address(const std::string &text);

struct PathAddresses {
    base::Address local;
    base::Address remote;
};

// The path that is meant. CommandError (kFailed) if there is no such path or more than one, naming those there are.
const Path &choose_path(const Snapshot &snapshot, const PathAddresses &addresses);
const Path &choose_path(const Snapshot &snapshot, const std::string &connection, unsigned number);

// CommandError (kFailed) that names the connections there are.
const Connection &choose_connection(const Snapshot &snapshot, const std::string &name);

} // namespace mpt::cli
