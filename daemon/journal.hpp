// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/service/records.hpp"

#include <string_view>

namespace mpt {

// The MESSAGE_IDs by which the journal's catalog explains messages (units/mptd.catalog). What has none is its own
// explanation: empty.
std::string_view message_id(service::Event event) noexcept;
inline constexpr std::string_view kFailed = "942a14bcd39f4d9cad57f3436283e385"; // mptd ends since it cannot go on

// Logs all of them, with their fields, and forgets them.
void log_notices(service::Notices &notices);

} // namespace mpt
