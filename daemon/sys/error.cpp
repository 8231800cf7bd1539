// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/error.hpp"

#include <cerrno>
#include <fmt/format.h>
#include <system_error>

namespace mpt::sys {

namespace {

base::ErrorCode code_of(int error_number)
{
    switch (error_number) {
    case EPERM:
    case EACCES:
        return base::ErrorCode::kNotPermitted;
    case EADDRINUSE:
        return base::ErrorCode::kAddressInUse;
    case ENOENT:
    case ENODEV:
    case ENXIO:
    case EADDRNOTAVAIL:
        return base::ErrorCode::kNotFound;
    case EEXIST:
    case EBUSY:
        return base::ErrorCode::kAlreadyExists;
    case ENOSYS:
    case EOPNOTSUPP:
    case ENOPROTOOPT:
        return base::ErrorCode::kNotSupported;
    default:
        return base::ErrorCode::kSystem;
    }
}

} // namespace

base::Failure system_failure(int error_number, std::string_view what)
{
    return base::fail(code_of(error_number),
                      fmt::format("{}: {}", what, std::generic_category().message(error_number)));
}

} // namespace mpt::sys
