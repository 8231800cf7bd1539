// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/time.hpp"
#include "daemon/config/auth_type.hpp"
#include "daemon/config/problem.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mpt::config {

// The key that the deployed release uses where no file names one. Everybody knows it.
inline constexpr std::string_view kDefaultKey = "A0A1A2A3A4A5A6A7A8A9AAABACADAEAFB0B1B2B3B4B5B6B7B8B9BABBBCBDBEBF";

// What one host says in a create message about its side of a connection, as far as the other host makes use of it.
// Members are named after the keys of a connection file, from the sender's point of view.

struct PeerPath {
    base::IpVersion ip_ver = base::IpVersion::kV4;
    base::Address public_ipaddr;
    base::Duration keepalive{0};
    base::Duration dead{0};
    std::uint16_t weight_out = 1;
    std::uint16_t weight_in = 1;

    friend bool operator==(const PeerPath &, const PeerPath &) = default;
};

struct PeerConnection {
    std::string name; // any octets: see safe_name()
    base::IpVersion ip_ver = base::IpVersion::kV4;
    base::Address ip_local;
    std::uint16_t local_port = 0;
    std::uint16_t local_cmd_port = 0;
    std::uint16_t network_count = 0;
    std::uint16_t reorder_window = 0;
    AuthType auth_type = AuthType::kNone;
    std::vector<PeerPath> paths;

    friend bool operator==(const PeerConnection &, const PeerConnection &) = default;
};

// Reads the text of a create message. Every other key of a connection file and every unknown one is skipped, whatever
// its value: interfaces and addresses of the reader are its own affair. A last line without line end is skipped, too:
// the deployed release sends its text cut short. Problems do not tell of unknown keys.
Parsed<PeerConnection> parse_peer(std::string_view text);

} // namespace mpt::config
