// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/config/problem.hpp"

#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Texts that the tests of this layer start from, and small changes to them.
namespace mpt::config::test {

// Configuration 1 of the users' guide, word for word.
inline constexpr std::string_view kGuideInterface = R"([general]
tunnel_num = 1
; Accept remote new connection request
accept_remote = 1
cmdport_local = 60456
cmd_timeout = 25

[tun_0]
name = tun0
mtu = 1440
ipv4_addr = 10.0.0.2/24
ipv6_addr = fec0::2/64
)";

// The body of a create message (round 3) recorded from the deployed release, octet for octet.
inline constexpr std::string_view kRecordedCreate =
    R"(;;;#################### Multipath Connection Information: ###############

[connection]
name             = MPT_A
permission       = 3
ip_ver           = 4
ip_local         = 10.0.0.2
local_port       = 23456
local_cmd_port   = 60456
ip_remote        = 10.0.0.3
remote_port      = 23456
remote_cmd_port  = 60456
path_count       = 2
network_count    = 0
status           = 0
reorder_window   = 100
max_buffdelay_msec = 100
auth_type        = 0

########################## PATHS ############################

[path_0]
interface_name   = eth1
ip_ver           = 4
private_ipaddr   = 10.1.1.2
public_ipaddr    = 10.1.1.2
gw_ipaddr        = 10.1.1.2
remote_ipaddr    = 10.1.1.3
keepalive_time   = 2
dead_time        = 6
weight_in        = 1
weight_out       = 2
status           = 0

[path_1]
interface_name   = eth2
ip_ver           = 4
private_ipaddr   = 10.2.2.2
public_ipaddr    = 10.2.2.2
gw_ipaddr        = 10.2.2.2
remote_ipaddr    = 10.2.2.3
keepalive_time   = 2
dead_time        = 6
weight_in        = 1
weight_out       = 1
status           = 0

####################### NETWORKS #####################################
)";

// Every key once, in another order than ours, with the guide's spellings.
inline constexpr std::string_view kEveryKey = R"([path 0]
status = 128
cmd_default = 1
weight_in = 4
weight_out = 3
dead_time = 11
keepalive_time = 5
gateway_ipaddr = 10.1.1.1
remote_ipaddr = 192.0.2.3
public_ipaddr = 192.0.2.2
private_ipaddr = 10.1.1.2
ip_ver = 4
interface_name = eth1

[net 0]
dst_addr = 21.1.1.0/24
src_addr = 11.1.1.0/24
ip_ver = 4

[connection]
auth_key = A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1d2
auth_type = 2
max_buffdelay_msec = 200
copy_dscp = 1
mss_clamp = 0
reorder_window = 900
status = 0
network_count = 1
path_count = 1
remote_cmd_port = 60457
remote_port = 23457
ip_remote = fec0::3
local_cmd_port = 60456
local_port = 23456
ip_local = fec0::2
ip_ver = 6
permission = 1
name = MPT_conn
)";

// `text` with the first `from` replaced; an error if there is none, so that no test changes nothing.
inline std::string with(std::string_view text, std::string_view from, std::string_view to)
{
    std::string changed(text);
    const std::size_t at = changed.find(from);
    if (at == std::string::npos)
        throw std::logic_error("no '" + std::string(from) + "' in the text");
    return changed.replace(at, from.size(), to);
}

// Without the first line that begins with `key`.
inline std::string without(std::string_view text, std::string_view key)
{
    std::string changed("\n");
    changed += text;
    const std::size_t at = changed.find("\n" + std::string(key));
    if (at == std::string::npos)
        throw std::logic_error("no line '" + std::string(key) + "' in the text");
    return changed.erase(at, changed.find('\n', at + 1) - at).substr(1);
}

inline std::vector<std::string> texts(const std::vector<Problem> &problems)
{
    std::vector<std::string> all;
    for (const Problem &problem : problems)
        all.push_back((problem.severity == Severity::kWarning ? "warning: " : "") + problem.to_string());
    return all;
}

} // namespace mpt::config::test
