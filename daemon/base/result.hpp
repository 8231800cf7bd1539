// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <tl/expected.hpp>

namespace mpt::base {

// What kind of failure it was: what a caller may decide on. The text is for people.
enum class ErrorCode {
    kInvalidArgument, // a value is malformed or out of its range
    kInvalidConfig,   // a configuration file is wrong
    kNotFound,        // no such interface, address, file or object
    kAlreadyExists,   // the name or object is there already
    kNotPermitted,    // the kernel refuses: a privilege is missing
    kAddressInUse,    // an address and port are taken by another socket
    kNotSupported,    // the kernel or the build cannot do it
    kConflict,        // as things are now it cannot be done
    kSystem,          // any other failure of a system call
};

// A failure: its kind, and one line that says what happened, where, and what to do about it.
struct Error {
    ErrorCode code;
    std::string text;
};

template <typename T> using Result = tl::expected<T, Error>;
using Failure = tl::unexpected<Error>;

// For `return fail(code, text);` in a function that returns a Result.
inline Failure fail(ErrorCode code, std::string text)
{
    return Failure(Error{code, std::move(text)});
}

} // namespace mpt::base
