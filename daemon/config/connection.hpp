// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/result.hpp"
#include "daemon/base/secret.hpp"
#include "daemon/base/time.hpp"
#include "daemon/config/auth_type.hpp"
#include "daemon/config/problem.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mpt::config {

inline constexpr unsigned kMaxPaths = 20;
inline constexpr unsigned kMaxNetworks = 20;
inline constexpr unsigned kMaxWeight = 10000;
inline constexpr unsigned kMaxReorderWindow = 10000;
inline constexpr unsigned kMaxBufferDelay = 10000;     // ms; the guide names no bound, its samples have 200 and 300
inline constexpr unsigned kMaxKeepalive = 3600;        // seconds
inline constexpr unsigned kMaxDead = 24 * 3600;        // seconds
inline constexpr int kDeadFactor = 3;                  // guide 2.6.3.2 dead_time
inline constexpr unsigned kMinMilliseconds = 10;       // of keepalive_msec and dead_msec
inline constexpr std::size_t kMaxConnectionName = 127; // octets
inline constexpr std::size_t kKeyDigits = 64;          // of an auth_key in use
inline constexpr std::size_t kMaxKeyText = 128;        // of one that is not used

// Members are named after the keys of the files.

// A section [path_N] (guide 2.6.3.2); N is the index in ConnectionConfig::paths. All its addresses are of ip_ver.
struct PathConfig {
    std::string interface_name;
    base::IpVersion ip_ver = base::IpVersion::kV4;
    // Unspecified (0.0.0.0 or ::): to be found automatically. private_ipaddr is public_ipaddr where the file has none.
    base::Address private_ipaddr;
    base::Address public_ipaddr;
    base::Address gateway_ipaddr;               // the path's own or its remote address: directly connected
    std::optional<base::Address> remote_ipaddr; // unspecified: learned from the peer's keepalives (auth_type 3)
    base::Duration keepalive{0}; // keepalive_time or keepalive_msec; 0: none are sent and none are waited for
    base::Duration dead{0};      // dead_time or dead_msec; 3 x keepalive where the file has none
    std::uint16_t weight_out = 1;
    std::uint16_t weight_in = 1;
    bool cmd_default = false;
    std::uint8_t status = 0; // at start: 0 usable, 128 down until the first keepalive

    friend bool operator==(const PathConfig &, const PathConfig &) = default;
};

// A section [net_N] (guide 2.6.3.3); no host bits are set.
struct NetworkConfig {
    base::IpVersion ip_ver = base::IpVersion::kV4;
    base::Prefix src_addr;
    base::Prefix dst_addr;

    friend bool operator==(const NetworkConfig &, const NetworkConfig &) = default;
};

// In which line a file has a key, for problems that only a comparison of files can find.
class KeyLines {
public:
    void set(std::string_view section, std::string_view key, unsigned line);
    // 0 if it is not there; `section` as in "connection" or "path_1".
    unsigned line(std::string_view section, std::string_view key) const;

    // Where a value stands is no part of the configuration: two that say the same are equal.
    friend bool operator==(const KeyLines &, const KeyLines &) { return true; }

private:
    std::map<std::string, unsigned, std::less<>> lines_;
};

// The key that was read from where auth_key_file says. It is no part of what the connection file says: two that differ
// in it alone are equal.
struct ReadKey {
    base::SecretText text;

    friend bool operator==(const ReadKey &, const ReadKey &) { return true; }
};

// What a permission allows (guide Table 2): to tell the peer, to obey it.
inline constexpr std::uint8_t kSend = 1;
inline constexpr std::uint8_t kReceive = 2;

// A connection file (guide 2.6.3) or conf.template (guide 4.7).
struct ConnectionConfig {
    std::string file; // its name, which is the identity of a connection for reload
    KeyLines lines;

    std::string name;
    std::uint8_t permission = 0; // kSend, kReceive, both or none
    base::IpVersion ip_ver = base::IpVersion::kV4;
    base::Address ip_local;
    std::uint16_t local_port = 0;
    std::optional<std::uint16_t>
        local_cmd_port; // written by the deployed release, cmdport_local of interface.conf counts
    std::optional<base::Address> ip_remote;
    std::optional<std::uint16_t> remote_port;
    std::optional<std::uint16_t> remote_cmd_port;
    std::uint8_t status = 0;          // kept and shown; it stops no traffic
    std::uint16_t reorder_window = 0; // packets; 0: never wait for a missing one
    std::chrono::milliseconds max_buffdelay_msec{100};
    bool copy_dscp = false;        // DSCP of packets to the outer headers
    std::optional<bool> mss_clamp; // see clamps_mss()
    AuthType auth_type = AuthType::kNone;
    base::SecretText auth_key; // as written; empty or "0": none
    std::string auth_key_file; // where the key is that does not stand in auth_key; see is_credential()
    ReadKey read_key;          // from there
    std::vector<PathConfig> paths;
    std::vector<NetworkConfig> networks;

    // Whether the MSS of TCP connections through it is lowered to what fits the tunnel; with networks unless the file
    // says no.
    bool clamps_mss() const { return mss_clamp.value_or(!networks.empty()); }

    bool has_key() const { return !auth_key_file.empty() || (!auth_key.empty() && auth_key != "0"); }
    // The key in use, from wherever it comes. Only while has_key() is it one.
    std::string_view key() const { return auth_key_file.empty() ? auth_key : read_key.text; }
    // From now on `key`, which stands in auth_key; empty: none.
    void set_key(std::string_view key);

    // False if something is missing that only the peer knows (ip_remote, remote_port, remote_cmd_port, the
    // remote_ipaddr of a path): the connection waits for `mpt create`, which needs one remote_ipaddr at least
    // (guide 4.7).
    bool is_complete() const;

    friend bool operator==(const ConnectionConfig &, const ConnectionConfig &) = default;
};

// Whether an auth_key_file is the name of a credential, which the service manager passes; else it is the absolute path
// of a file.
bool is_credential(std::string_view auth_key_file);

// The key in the text of a key file: 64 hexadecimal digits and nothing else but one line end; nothing if it is none.
std::optional<std::string_view> parse_key_file(std::string_view text);

// `name` with '_' in place of every octet that a connection's name must not have.
std::string safe_name(std::string_view name);

// Reads a connection file; `file` is its name and what its problems call it. What only the peer knows may be missing,
// with a warning that says so.
Parsed<ConnectionConfig> parse_connection(std::string_view file, std::string_view text);

// Reads conf.template. What it says about a peer is ignored with a warning; weight_out may be missing.
Parsed<ConnectionConfig> parse_template(std::string_view file, std::string_view text);

// A clean file that reads as `config`, with keys, order and layout of the deployed release.
base::SecretText serialise(const ConnectionConfig &config);

// How the text of a create message is laid out.
enum class PeerText {
    kPadded,  // as the deployed release does it
    kCompact, // as short as its reader can bear, and without networks
};

// `config` for a peer, in a create message (read by parse_peer()): without key, and beginning with a comment line
// of eight characters at least, of which the deployed release skips the first four. Times that are not whole seconds
// are written twice: rounded up to seconds for the deployed release, which knows no other, and as they are.
std::string serialise_for_peer(const ConnectionConfig &config, PeerText layout);

// `text`, changed to read as `config`: see edit() in interface.hpp. Not for conf.template.
base::Result<base::SecretText> edit(std::string_view text, const ConnectionConfig &config);

} // namespace mpt::config
