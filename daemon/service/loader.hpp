// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/config/interface.hpp"
#include "daemon/service/needs.hpp"
#include "daemon/service/records.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

// Reading the configuration directory.
namespace mpt::service {

// What is wrong with a file, one line each, by the file's name.
using FileProblems = std::map<std::string, std::vector<std::string>>;

inline constexpr const char *kInterfaceFile = "interface.conf";

// The errors among the problems that are not in `known`, one line each: "FILE:LINE: key = value: ...", where the file
// is told from the configuration directory on.
std::vector<std::string> errors_of(const std::vector<config::Problem> &problems,
                                   const std::vector<config::Problem> &known = {});

// Reads interface.conf, which must be right before anything is touched. What is wrong stands in `notices`.
// kNotPermitted if it may not be read, else kInvalidConfig.
base::Result<config::InterfaceConfig> load_interface(ConfigDirectory &directory, Notices &notices);

// Reads conf.template. What is wrong stands in `notices`; kInvalidConfig with the first error.
base::Result<config::ConnectionConfig> load_template(ConfigDirectory &directory,
                                                     const config::InterfaceConfig &interface, Notices &notices);

// Reads the key from where auth_key_file says, if it says so. kInvalidConfig if there is none.
base::Result<void> load_key(ConfigDirectory &directory, config::ConnectionConfig &config, Notices &notices);

// "NAME.conf", without a directory: the name of a connection file. kInvalidArgument if it is none.
base::Result<void> check_file_name(std::string_view file);

// Connection files that were read.
struct Loaded {
    std::vector<config::ConnectionConfig> accepted; // right, complete, and in no conflict with `running` or each other
    std::vector<std::string> present;               // all files that are there
    FileProblems problems;                          // of files that are not accepted
};

// Reads these files, or all there are (`files` empty). A file that says what `running` was read from is not accepted
// once more. Errors of single files stand in `problems` and, with warnings, in `notices`.
base::Result<Loaded> load_connections(ConfigDirectory &directory, const config::InterfaceConfig &interface,
                                      const std::vector<std::string> &files,
                                      const std::vector<const ConnectionRecord *> &running, Notices &notices);

} // namespace mpt::service
