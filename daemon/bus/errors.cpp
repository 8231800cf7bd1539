// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/bus/errors.hpp"

#include "daemon/bus/text.hpp"

namespace mpt::bus {

namespace {

const char *name_of(base::ErrorCode code)
{
    switch (code) {
    case base::ErrorCode::kInvalidArgument:
        return "org.mptd1.Error.InvalidArgument";
    case base::ErrorCode::kInvalidConfig:
        return "org.mptd1.Error.InvalidConfig";
    case base::ErrorCode::kNotFound:
        return "org.mptd1.Error.NotFound";
    case base::ErrorCode::kAlreadyExists:
        return "org.mptd1.Error.AlreadyExists";
    case base::ErrorCode::kNotPermitted:
        return "org.mptd1.Error.NotPermitted";
    case base::ErrorCode::kAddressInUse:
        return "org.mptd1.Error.AddressInUse";
    case base::ErrorCode::kNotSupported:
        return "org.mptd1.Error.NotSupported";
    case base::ErrorCode::kConflict:
        return "org.mptd1.Error.Conflict";
    case base::ErrorCode::kSystem:
        break;
    }
    return "org.mptd1.Error.System";
}

} // namespace

sdbus::Error error_of(const base::Error &error)
{
    return sdbus::Error(name_of(error.code), printable(error.text));
}

sdbus::Error not_authorized(const std::string &text)
{
    return sdbus::Error("org.mptd1.Error.NotAuthorized", text);
}

sdbus::Error limits_exceeded(const std::string &text)
{
    return sdbus::Error("org.mptd1.Error.LimitsExceeded", text);
}

} // namespace mpt::bus
