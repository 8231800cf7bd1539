// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/result.hpp"
#include "daemon/config/problem.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mpt::config {

inline constexpr unsigned kMaxPort = 65534;          // guide 2.6.3.1 local_port
inline constexpr std::size_t kMaxInterfaceName = 15; // octets: IFNAMSIZ without the NUL
inline constexpr unsigned kMaxTunnels = 100;
inline constexpr unsigned kMaxWorkers = 64;
inline constexpr unsigned kMaxPeerConnections = 10000;
inline constexpr unsigned kMaxCommandTimeout = 3600; // seconds
inline constexpr std::size_t kMaxStunServers = 4;
inline constexpr std::size_t kMaxHostName = 253; // octets (RFC 1035 section 2.3.4, as text)
inline constexpr std::uint16_t kStunPort = 3478; // RFC 8489 section 8

// The smallest MTU that each version may count on (RFC 791 asks for packets of 576 octets, RFC 8200 section 5 for
// 1280), and the largest packet that fits with a GRE header of 8 octets into one UDP datagram over IPv4.
inline constexpr unsigned kMinMtu = 576;
inline constexpr unsigned kMinMtuV6 = 1280;
inline constexpr unsigned kMaxMtu = 65535 - 20 - 8 - 8;

// Members are named after the keys of the files.

// A section [tun_N] (guide 2.6.2); N is the index in InterfaceConfig::tunnels.
struct TunnelConfig {
    std::string name;                      // of the interface
    std::uint16_t mtu = 0;                 // octets of an inner packet; 0: as the paths allow ("auto")
    std::optional<base::Prefix> ipv4_addr; // at least one of both is there
    std::optional<base::Prefix> ipv6_addr;

    bool has_address(const base::Address &address) const;
    bool has_auto_mtu() const { return mtu == 0; }

    friend bool operator==(const TunnelConfig &, const TunnelConfig &) = default;
};

// A STUN server: "HOST[:PORT]", an IPv6 address with a port in brackets.
struct StunServer {
    std::string host; // an address, or a name
    std::uint16_t port = kStunPort;

    std::string to_string() const;

    friend bool operator==(const StunServer &, const StunServer &) = default;
};

// interface.conf (guide 2.6.2).
struct InterfaceConfig {
    bool accept_remote = false;               // peers may create connections
    std::uint16_t cmdport_local = 0;          // UDP port of the control messages
    std::chrono::seconds cmd_timeout{25};     // bounds the work on a command
    std::uint8_t workers = 1;                 // threads of the data plane; a key of ours, optional
    std::uint16_t max_peer_connections = 100; // that peers have created at a time; a key of ours, optional
    bool allow_default_key = false;           // peers may create connections with the key that everybody knows; ours
    std::vector<StunServer> stun_servers;     // for public_ipaddr, at most kMaxStunServers; a key of ours, optional
    std::vector<TunnelConfig> tunnels;        // 1 to kMaxTunnels

    friend bool operator==(const InterfaceConfig &, const InterfaceConfig &) = default;
};

// Reads interface.conf; `file` is what its problems call it.
Parsed<InterfaceConfig> parse_interface(std::string_view file, std::string_view text);

// A clean file that reads as `config`.
std::string serialise(const InterfaceConfig &config);

// `text`, changed to read as `config`: values are replaced on their lines, everything else stays as it is; a text that
// reads so already is returned unchanged. Keys and sections that are missing are added, those that are no longer wanted
// are removed, comments never. kInvalidConfig if the text has errors, or if no file can say `config`.
base::Result<std::string> edit(std::string_view file, std::string_view text, const InterfaceConfig &config);

// Whether the kernel takes `name` for an interface: 1 to 15 octets without '/', ':' and blanks, not "." or ".."; beyond
// that we ask for printable ASCII without '%', from which the kernel would make up a name.
bool is_interface_name(std::string_view name);

} // namespace mpt::config
