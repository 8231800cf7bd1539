// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/merge.hpp"

#include "daemon/config/check.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <utility>

namespace mpt::core {

namespace {

using config::AuthType;
using config::ConnectionConfig;
using config::PathConfig;
using config::PeerConnection;
using config::PeerPath;
using proto::ControlResult;

constexpr std::string_view kFileSuffix = ".conf";

// What is wrong, in a line for people; nothing if all is well.
using Objection = std::optional<std::string>;

base::Address with_host_bits_set(const base::Prefix &prefix)
{
    std::array<std::byte, 16> octets = prefix.network().address.mapped();
    const unsigned first = 128 - prefix.address.bits() + prefix.length;
    for (unsigned bit = first; bit < 128; ++bit)
        octets[bit / 8] |= std::byte{0x80} >> (bit % 8);
    return base::Address::from_octets(octets);
}

// Whether the address stands for the network itself (in IPv6 the subnet-router anycast address, RFC 4291 section 2.6.1)
// or, in IPv4, for all hosts in it. Networks of two addresses have neither (RFC 3021, RFC 6164).
bool is_network_or_broadcast(const base::Prefix &prefix, const base::Address &address)
{
    if (!prefix.contains(address) || prefix.length + 1U >= prefix.address.bits())
        return false;
    return address == prefix.network().address || (address.is_v4() && address == with_host_bits_set(prefix));
}

std::vector<base::Prefix> tunnel_prefixes(const config::InterfaceConfig &interface)
{
    std::vector<base::Prefix> prefixes;
    for (const config::TunnelConfig &tunnel : interface.tunnels) {
        for (const std::optional<base::Prefix> &prefix : {tunnel.ipv4_addr, tunnel.ipv6_addr}) {
            if (prefix)
                prefixes.push_back(*prefix);
        }
    }
    return prefixes;
}

bool is_own(const base::Address &address, const CreateContext &context)
{
    const auto has_address = [&](const base::Prefix &own) { return own.address == address; };
    const std::vector<base::Prefix> tunnels = tunnel_prefixes(context.interface);
    return std::any_of(context.own_addresses.begin(), context.own_addresses.end(), has_address) ||
           std::any_of(tunnels.begin(), tunnels.end(), has_address);
}

// The prefix, of the version, of the tunnel that has the address `of_tunnel`.
std::optional<base::Prefix> tunnel_prefix(const config::InterfaceConfig &interface, const base::Address &of_tunnel,
                                          base::IpVersion version)
{
    for (const config::TunnelConfig &tunnel : interface.tunnels) {
        if (tunnel.has_address(of_tunnel))
            return version == base::IpVersion::kV4 ? tunnel.ipv4_addr : tunnel.ipv6_addr;
    }
    return std::nullopt;
}

Objection object_to_tunnel_address(const base::Address &peer, const base::Prefix &tunnel, const CreateContext &context)
{
    const auto objection = [&](std::string_view what) {
        return fmt::format("the peer's tunnel address {} {}", peer.to_string(), what);
    };
    if (!peer.is_unicast() || peer.is_loopback())
        return objection("is no host's address");
    if (!tunnel.contains(peer))
        return objection(fmt::format("is not in the tunnel's network {}", tunnel.network().to_string()));
    if (is_own(peer, context))
        return objection("is an address of this host");
    if (is_network_or_broadcast(tunnel, peer))
        return objection("is the network's or broadcast address of the tunnel");
    for (const ConnectionConfig &connection : context.connections) {
        for (const config::NetworkConfig &network : connection.networks) {
            // A default route takes what nobody else has.
            if (network.dst_addr.length != 0 && network.dst_addr.contains(peer))
                return objection(fmt::format("is in the network {} of connection {}", network.dst_addr.to_string(),
                                             connection.name));
        }
    }
    return std::nullopt;
}

Objection object_to_path_address(std::size_t number, const PathConfig &own, const PeerPath &peer,
                                 const CreateContext &context)
{
    const base::Address &address = peer.public_ipaddr;
    const auto objection = [&](std::string_view what) {
        return fmt::format("the address {} of the peer's path {} {}", address.to_string(), number, what);
    };
    if (peer.ip_ver != own.ip_ver)
        return objection(fmt::format("is not of IPv{} as the path is here", static_cast<unsigned>(own.ip_ver)));
    if (!address.is_unicast() || address.is_loopback())
        return objection("is no host's address");
    if (is_own(address, context) || address == own.private_ipaddr || address == own.public_ipaddr)
        return objection("is an address of this host");
    for (const base::Prefix &network : context.own_addresses) {
        if (is_network_or_broadcast(network, address))
            return objection("is the network's or broadcast address of a network of this host");
    }
    for (const base::Prefix &network : tunnel_prefixes(context.interface)) {
        if (network.contains(address))
            return objection("is inside a tunnel's network");
    }
    return std::nullopt;
}

// What config::check_connections() finds wrong with the connection beside the others, be it told of it or of them.
Objection object_to_conflict(const ConnectionConfig &connection, const CreateContext &context)
{
    std::vector<ConnectionConfig> all = context.connections;
    const std::vector<config::Problem> before = config::check_connections(context.interface, all);
    all.push_back(connection);
    for (const config::Problem &problem : config::check_connections(context.interface, all)) {
        if (problem.severity == config::Severity::kError &&
            std::find(before.begin(), before.end(), problem) == before.end())
            return problem.to_string();
    }
    return std::nullopt;
}

Objection first_error(const std::vector<config::Problem> &problems)
{
    for (const config::Problem &problem : problems) {
        if (problem.severity == config::Severity::kError)
            return problem.to_string();
    }
    return std::nullopt;
}

// `stem` + `ending`, with "_2", "_3" ... between them if that is taken; the stem is cut where the whole would be longer
// than a connection's name may be.
template <typename IsTaken> std::string free_name(std::string_view stem, std::string_view ending, IsTaken is_taken)
{
    std::string name = fmt::format("{}{}", stem, ending);
    for (unsigned n = 2; is_taken(name); ++n) {
        const std::string suffix = fmt::format("_{}{}", n, ending);
        name = fmt::format("{}{}", stem.substr(0, config::kMaxConnectionName - suffix.size()), suffix);
    }
    return name;
}

std::optional<std::uint16_t> free_port(std::uint16_t first, const CreateContext &context)
{
    for (std::uint32_t port = first; port <= config::kMaxPort; ++port) {
        if (port != context.interface.cmdport_local &&
            std::none_of(context.connections.begin(), context.connections.end(),
                         [&](const ConnectionConfig &connection) { return connection.local_port == port; }))
            return static_cast<std::uint16_t>(port);
    }
    return std::nullopt;
}

base::Prefix host_prefix(const base::Address &address)
{
    return {address, static_cast<std::uint8_t>(address.bits())};
}

// The part of the rules that both sides follow: ports, reorder_window and paths of `own` after what the peer says.
Objection merge(ConnectionConfig &own, const PeerConnection &peer, const CreateContext &context)
{
    own.ip_remote = peer.ip_local;
    own.remote_port = peer.local_port;
    own.remote_cmd_port = peer.local_cmd_port;
    own.local_cmd_port = context.interface.cmdport_local;
    own.reorder_window = std::max(own.reorder_window, peer.reorder_window);
    own.paths.resize(std::min(own.paths.size(), peer.paths.size()));
    for (std::size_t n = 0; n < own.paths.size(); ++n) {
        PathConfig &path = own.paths[n];
        const PeerPath &other = peer.paths[n];
        if (Objection objection = object_to_path_address(n, path, other, context))
            return objection;
        path.remote_ipaddr = other.public_ipaddr;
        path.weight_out = other.weight_in;
        path.weight_in = other.weight_out;
        path.keepalive = other.keepalive;
        path.dead = other.dead;
    }
    if (own.auth_type == AuthType::kSha256)
        own.set_key(config::kDefaultKey);
    return std::nullopt;
}

// The configuration for a text to the peer; why it cannot be one otherwise.
tl::expected<ConnectionConfig, std::string> for_peer(const ConnectionConfig &own, const CreateContext &context)
{
    ConnectionConfig told = own;
    told.local_cmd_port = context.interface.cmdport_local;
    for (std::size_t n = 0; n < told.paths.size(); ++n) {
        if (told.paths[n].public_ipaddr.is_unspecified())
            return tl::unexpected(fmt::format("the public address of path {} is not known", n));
    }
    return told;
}

constexpr std::string_view kNeedsDefaultKey =
    "auth_type = 2 after a create means the key that everybody knows, which interface.conf does not allow "
    "(allow_default_key)";

} // namespace

base::Result<proto::ControlKey> create_key(const ConnectionConfig &config, bool allow_default_key)
{
    if (config.has_key())
        return proto::ControlKey::parse(config.key()).map_error([&](base::Error error) {
            return base::Error{base::ErrorCode::kInvalidConfig, fmt::format("{}: {}", config.file, error.text)};
        });
    if (!allow_default_key)
        return base::fail(base::ErrorCode::kInvalidConfig,
                          fmt::format("{}: a create needs an auth_key: the key that everybody knows is not allowed in "
                                      "interface.conf (allow_default_key)",
                                      config.file));
    return proto::ControlKey::parse(config::kDefaultKey);
}

base::Result<std::string> create_text(const ConnectionConfig &own, const CreateContext &context)
{
    if (own.auth_type == AuthType::kSha256 && !context.interface.allow_default_key)
        return base::fail(base::ErrorCode::kNotSupported, fmt::format("{}: {}", own.file, kNeedsDefaultKey));
    auto told = for_peer(own, context);
    if (!told)
        return base::fail(base::ErrorCode::kInvalidConfig, fmt::format("{}: {}", own.file, told.error()));
    // What only the peer knows it will not look at, but in a connection file these keys are mandatory (guide 2.6.3).
    told->ip_remote = told->ip_remote.value_or(base::Address::any(told->ip_ver));
    told->remote_port = told->remote_port.value_or(told->local_port);
    told->remote_cmd_port = told->remote_cmd_port.value_or(context.interface.cmdport_local);
    for (PathConfig &path : told->paths)
        path.remote_ipaddr = path.remote_ipaddr.value_or(base::Address::any(path.ip_ver));
    return config::serialise_for_peer(*told, config::PeerText::kPadded);
}

tl::expected<Created, Refusal> accept_create(std::string_view text, const base::Address &initiator,
                                             const base::Address &responder, const ConnectionConfig &conf_template,
                                             const CreateContext &context)
{
    const auto refuse = [](ControlResult result, std::string why) {
        return tl::unexpected(Refusal{result, std::move(why)});
    };
    if (!context.interface.accept_remote)
        return refuse(ControlResult::kRefused, "interface.conf has accept_remote = 0");
    const config::Parsed<PeerConnection> parsed = config::parse_peer(text);
    if (!parsed.value)
        return refuse(ControlResult::kBadText, first_error(parsed.problems).value_or("not understood"));
    const PeerConnection &peer = *parsed.value;
    if (peer.ip_local != initiator)
        return refuse(ControlResult::kBadText, fmt::format("ip_local is {}, but the message is from {}",
                                                           peer.ip_local.to_string(), initiator.to_string()));

    const std::optional<base::Prefix> tunnel = tunnel_prefix(context.interface, conf_template.ip_local, peer.ip_ver);
    if (!tunnel)
        return refuse(ControlResult::kRefused, fmt::format("the tunnel of conf.template has no IPv{} address",
                                                           static_cast<unsigned>(peer.ip_ver)));
    if (responder != tunnel->address && !responder.is_unspecified())
        return refuse(ControlResult::kRefused, fmt::format("is for {}, but the tunnel of conf.template has {}",
                                                           responder.to_string(), tunnel->address.to_string()));
    if (std::any_of(context.connections.begin(), context.connections.end(), [&](const ConnectionConfig &other) {
            return other.ip_local == tunnel->address && other.ip_remote == peer.ip_local;
        }))
        return refuse(ControlResult::kExists, fmt::format("there is a connection between {} and {}",
                                                          tunnel->address.to_string(), peer.ip_local.to_string()));
    if (const Objection objection = object_to_tunnel_address(peer.ip_local, *tunnel, context))
        return refuse(ControlResult::kRefused, *objection);
    if (peer.auth_type < conf_template.auth_type)
        return refuse(ControlResult::kRefused, fmt::format("auth_type = {} is weaker than {} in conf.template",
                                                           static_cast<unsigned>(peer.auth_type),
                                                           static_cast<unsigned>(conf_template.auth_type)));
    // The exchange was of conf.template's type, and its key becomes the connection's.
    if (peer.auth_type == AuthType::kHmacSha256 && conf_template.auth_type != AuthType::kHmacSha256)
        return refuse(ControlResult::kRefused, "auth_type = 3 needs auth_type = 3 in conf.template");
    if (peer.auth_type == AuthType::kSha256 && !context.interface.allow_default_key)
        return refuse(ControlResult::kRefused, std::string(kNeedsDefaultKey));

    Created created;
    ConnectionConfig &own = created.connection;
    own = conf_template;
    own.lines = {}; // of conf.template
    const std::string file = peer_file_name(initiator);
    own.file = free_name(file.substr(0, file.size() - kFileSuffix.size()), kFileSuffix, [&](std::string_view name) {
        return std::find(context.files.begin(), context.files.end(), name) != context.files.end() ||
               std::any_of(context.connections.begin(), context.connections.end(),
                           [&](const ConnectionConfig &other) { return other.file == name; });
    });
    own.name = free_name(config::safe_name(peer.name), "", [&](std::string_view name) {
        return std::any_of(context.connections.begin(), context.connections.end(),
                           [&](const ConnectionConfig &other) { return other.name == name; });
    });
    own.ip_ver = peer.ip_ver;
    own.ip_local = tunnel->address;
    own.auth_type = peer.auth_type;
    if (own.auth_type != AuthType::kHmacSha256)
        own.set_key({}); // of conf.template, for creates alone
    const std::optional<std::uint16_t> port = free_port(conf_template.local_port, context);
    if (!port)
        return refuse(ControlResult::kFailed,
                      fmt::format("all local ports from {} (local_port in conf.template) on are "
                                  "in use",
                                  conf_template.local_port));
    own.local_port = *port;
    own.networks.clear();
    if (peer.network_count > 0)
        own.networks.push_back({own.ip_ver,
                                {own.ip_ver == base::IpVersion::kV4 ? base::Address() : *base::Address::parse("::"), 0},
                                host_prefix(peer.ip_local)});
    if (const Objection objection = merge(own, peer, context))
        return refuse(ControlResult::kRefused, *objection);
    if (const Objection objection = object_to_conflict(own, context))
        return refuse(ControlResult::kRefused, *objection);

    const auto told = for_peer(own, context);
    if (!told)
        return refuse(ControlResult::kFailed, told.error());
    created.text = config::serialise_for_peer(*told, config::PeerText::kCompact);
    if (created.text.size() > text.size())
        return refuse(ControlResult::kTooLong,
                      fmt::format("this side of the connection takes {} octets, but the deployed release reads no more "
                                  "than the {} that it sent",
                                  created.text.size(), text.size()));
    // One last comment line; of a single octet it is an empty one. All its octets are '#', in case it is read in
    // pieces.
    if (const std::size_t missing = text.size() - created.text.size(); missing > 0) {
        created.text.append(missing - 1, '#');
        created.text += '\n';
    }
    return created;
}

std::vector<std::byte> refusal_body(ControlResult result)
{
    if (result == ControlResult::kExists)
        return {std::byte{1}};
    return {};
}

base::Result<ConnectionConfig> complete_create(const ConnectionConfig &own, std::string_view text,
                                               const CreateContext &context)
{
    const auto refuse = [&](std::string_view why) {
        return base::fail(base::ErrorCode::kInvalidConfig,
                          fmt::format("{}: the peer's side of the connection cannot be used: {}", own.file, why));
    };
    const config::Parsed<PeerConnection> parsed = config::parse_peer(text);
    if (!parsed.value)
        return refuse(first_error(parsed.problems).value_or("not understood"));
    const PeerConnection &peer = *parsed.value;
    if (peer.ip_ver != own.ip_ver || peer.auth_type != own.auth_type)
        return refuse("it has another ip_ver or auth_type");
    if (own.ip_remote && *own.ip_remote != peer.ip_local)
        return refuse(fmt::format("its ip_local is {}, but ip_remote here is {}", peer.ip_local.to_string(),
                                  own.ip_remote->to_string()));
    const std::optional<base::Prefix> tunnel = tunnel_prefix(context.interface, own.ip_local, own.ip_ver);
    if (!tunnel)
        return refuse(fmt::format("no tunnel has {}", own.ip_local.to_string()));
    if (!own.ip_remote) {
        if (const Objection objection = object_to_tunnel_address(peer.ip_local, *tunnel, context))
            return refuse(*objection);
    }
    ConnectionConfig completed = own;
    if (const Objection objection = merge(completed, peer, context))
        return refuse(*objection);
    if (const Objection objection = object_to_conflict(completed, context))
        return refuse(*objection);
    return completed;
}

std::string peer_file_name(const base::Address &initiator)
{
    std::string name = "peer_" + initiator.to_string();
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c == '.' || c == ':'; }, '_');
    return name + std::string(kFileSuffix);
}

} // namespace mpt::core
