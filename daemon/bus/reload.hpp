// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/service/manager.hpp"

#include <string>
#include <vector>

namespace mpt::bus {

// Manager::reload(), which the service manager is told of; returns the texts of what the caller should know.
base::Result<std::vector<std::string>> reload(service::Manager &manager, const std::string &file,
                                              service::Notices &notices);

} // namespace mpt::bus
