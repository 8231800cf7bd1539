// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

// The exit status of mpt, as mpt(1) documents it. As far as there is one it is that of sysexits(3), which mptd uses
// too.
namespace mpt::cli {

enum ExitStatus : int {
    kSuccess = 0,
    kFailed = 1,         // the daemon refused, or could not do it
    kUsage = 64,         // wrong or no arguments
    kUnavailable = 69,   // mptd does not run, or there is no bus
    kNotAuthorised = 77, // polkit or the permissions of a file say no
    kConfig = 78,        // a configuration file has errors
};

} // namespace mpt::cli
