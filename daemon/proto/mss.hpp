// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/octets.hpp"

#include <cstddef>

namespace mpt::proto {

// Lowers the maximum segment size (RFC 9293 section 3.7.1) that a TCP SYN announces to what fits unfragmented into
// packets of `mtu` octets, and corrects its checksum; every other packet stays as it is. The packet is one that
// check_inner() takes, with a complete checksum. Fragments and a SYN behind extension headers that cannot be skipped
// are left alone; of options that are malformed those before the fault count, as for who receives them.
void clamp_mss(base::IpVersion version, base::Octets packet, std::size_t mtu) noexcept;

} // namespace mpt::proto
