// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"

#include <string_view>

namespace mpt::test {

// Of a text that is one; a test that writes another has a mistake, and ends.
inline base::Address address(std::string_view text)
{
    return base::Address::parse(text).value();
}

} // namespace mpt::test
