// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/interface.hpp"

#include "daemon/config/edit.hpp"
#include "daemon/config/fields.hpp"

#include <algorithm>

namespace mpt::config {

namespace {

constexpr std::array<std::string_view, 1> kInterfaceNames{"general"};
constexpr std::array<std::string_view, 1> kInterfaceKinds{"tun"};

bool is_tunnel_prefix(const base::Result<base::Prefix> &prefix, base::IpVersion version)
{
    return prefix && prefix->address.version() == version && prefix->length > 0 &&
           is_address_for(prefix->address, AddressUse::kTunnel);
}

constexpr std::size_t kMaxLabel = 63; // octets, RFC 1035 section 2.3.4

// Labels of letters, digits, '-' and '_' (RFC 1123 section 2.1; '_' is in use all the same). Digits and dots alone are
// an IPv4 address, or one that is written wrongly.
bool is_host_name(std::string_view text)
{
    if (text.empty() || text.size() > kMaxHostName || text.find_first_not_of("0123456789.") == text.npos)
        return false;
    for (std::size_t at = 0; at <= text.size();) {
        const std::string_view label = text.substr(at, text.find('.', at) - at);
        const auto is_label = [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        };
        const bool is_end = label.empty() && at == text.size() && at > 1; // "example.net."
        if (!is_end && (label.empty() || label.size() > kMaxLabel || label.front() == '-' || label.back() == '-' ||
                        !std::all_of(label.begin(), label.end(), is_label)))
            return false;
        at += label.size() + 1;
    }
    return true;
}

std::optional<StunServer> parse_stun_server(std::string_view text)
{
    StunServer server;
    std::string_view port;
    bool is_bracketed = false;
    if (base::Address::parse(text)) {
        server.host = text;
    } else if (text.starts_with('[')) {
        const std::size_t end = text.find(']');
        server.host = text.substr(1, end == text.npos ? 0 : end - 1);
        is_bracketed = true;
        text.remove_prefix(end == text.npos ? text.size() : end + 1);
        if (!text.empty() && !text.starts_with(':'))
            return std::nullopt;
        port = text;
    } else {
        const std::size_t colon = std::min(text.find(':'), text.size());
        server.host = text.substr(0, colon);
        port = text.substr(colon);
    }
    if (!port.empty()) {
        const std::optional<std::uint32_t> number = parse_number(port.substr(1));
        if (!number || *number < 1 || *number > UINT16_MAX)
            return std::nullopt;
        server.port = static_cast<std::uint16_t>(*number);
    }
    const auto address = base::Address::parse(server.host);
    const bool is_good = address ? is_address_for(*address, AddressUse::kHost) && (!is_bracketed || !address->is_v4())
                                 : !is_bracketed && is_host_name(server.host);
    return is_good ? std::optional(server) : std::nullopt;
}

constexpr Field<InterfaceConfig> stun_servers(std::string_view key)
{
    Field<InterfaceConfig> field;
    field.key = key;
    field.need = Need::kSparse;
    field.read = [](std::string_view text, InterfaceConfig &into) -> std::string {
        std::vector<StunServer> servers;
        for (std::size_t at = 0; (at = text.find_first_not_of(", ", at)) != text.npos;) {
            const std::string_view one = text.substr(at, text.find_first_of(", ", at) - at);
            const std::optional<StunServer> server = parse_stun_server(one);
            if (!server || std::find(servers.begin(), servers.end(), *server) != servers.end() ||
                servers.size() == kMaxStunServers) {
                servers.clear();
                break;
            }
            servers.push_back(*server);
            at += one.size();
        }
        if (servers.empty())
            return fmt::format("1 to {} different servers, HOST or HOST:PORT, with commas between them, such as "
                               "stun.example.net, [2001:db8::1]:3479",
                               kMaxStunServers);
        into.stun_servers = servers;
        return {};
    };
    field.write = [](const InterfaceConfig &from) -> std::optional<base::SecretText> {
        std::string text;
        for (const StunServer &server : from.stun_servers)
            text += (text.empty() ? "" : ", ") + server.to_string();
        return text.empty() ? std::nullopt : std::optional(base::SecretText(text));
    };
    field.is_implied = field::is_default<&InterfaceConfig::stun_servers>;
    return field;
}

template <auto M, base::IpVersion Version> constexpr Field<TunnelConfig> tunnel_address(std::string_view key)
{
    Field<TunnelConfig> field;
    field.key = key;
    field.need = Need::kOptional;
    field.read = [](std::string_view text, TunnelConfig &into) -> std::string {
        const base::Result<base::Prefix> prefix = base::Prefix::parse(text);
        if (!is_tunnel_prefix(prefix, Version))
            return Version == base::IpVersion::kV4 ? "an IPv4 address and its prefix length, such as 10.0.0.2/24"
                                                   : "an IPv6 address and its prefix length, such as fec0::2/64";
        into.*M = *prefix;
        return {};
    };
    field.write = [](const TunnelConfig &from) {
        return from.*M ? std::optional(base::SecretText((from.*M)->to_string())) : std::nullopt;
    };
    field.is_implied = field::is_default<M>;
    return field;
}

constexpr std::string_view kAutomatic = "auto";

constexpr Field<TunnelConfig> tunnel_mtu()
{
    Field<TunnelConfig> field = field::number<&TunnelConfig::mtu, kMinMtu, kMaxMtu>("mtu");
    field.read = [](std::string_view text, TunnelConfig &into) -> std::string {
        constexpr Field<TunnelConfig> number = field::number<&TunnelConfig::mtu, kMinMtu, kMaxMtu>("mtu");
        if (text != kAutomatic) {
            const std::string expected = number.read(text, into);
            return expected.empty() ? expected : fmt::format("{}, or {}", expected, kAutomatic);
        }
        into.mtu = 0;
        return {};
    };
    field.write = [](const TunnelConfig &from) -> std::optional<base::SecretText> {
        return from.has_auto_mtu() ? base::SecretText(kAutomatic) : written("{}", from.mtu);
    };
    return field;
}

constexpr std::array kGeneralFields{
    field::count<&InterfaceConfig::tunnels, 1, kMaxTunnels>("tunnel_num"),
    field::number<&InterfaceConfig::accept_remote, 0, 1>("accept_remote", Need::kOptional),
    field::number<&InterfaceConfig::cmdport_local, 1, kMaxPort>("cmdport_local"),
    field::number<&InterfaceConfig::cmd_timeout, 1, kMaxCommandTimeout>("cmd_timeout", Need::kOptional),
    field::number<&InterfaceConfig::workers, 1, kMaxWorkers>("workers", Need::kSparse),
    field::number<&InterfaceConfig::max_peer_connections, 0, kMaxPeerConnections>("max_peer_connections",
                                                                                  Need::kSparse),
    field::number<&InterfaceConfig::allow_default_key, 0, 1>("allow_default_key", Need::kSparse),
    stun_servers("stun_servers"),
};

constexpr std::array kTunnelFields{
    field::text<&TunnelConfig::name, is_interface_name, expected_interface_name>("name"),
    tunnel_mtu(),
    tunnel_address<&TunnelConfig::ipv4_addr, base::IpVersion::kV4>("ipv4_addr"),
    tunnel_address<&TunnelConfig::ipv6_addr, base::IpVersion::kV6>("ipv6_addr"),
};

// What concerns several keys of a [tun_N], or several of them.
class TunnelChecks {
public:
    explicit TunnelChecks(Problems &problems) : problems_(problems) {}

    void operator()(const KnownEntries &entries, const IniSection &section, const TunnelConfig &tunnel)
    {
        const bool v4 = entries.contains("ipv4_addr");
        const bool v6 = entries.contains("ipv6_addr");
        if (!section.has("ipv4_addr") && !section.has("ipv6_addr"))
            problems_.error(section.line, {}, {},
                            fmt::format("[{}] has no address: ipv4_addr, ipv6_addr or both are needed", section.name));
        if (v6 && entries.contains("mtu") && !tunnel.has_auto_mtu() && tunnel.mtu < kMinMtuV6)
            problems_.error(entries.at("mtu")->line, "mtu", entries.at("mtu")->value,
                            fmt::format("must be at least {}, as IPv6 needs for ipv6_addr", kMinMtuV6));
        if (entries.contains("name"))
            check_name(*entries.at("name"));
        if (v4)
            check_address(*entries.at("ipv4_addr"), *tunnel.ipv4_addr);
        if (v6)
            check_address(*entries.at("ipv6_addr"), *tunnel.ipv6_addr);
    }

private:
    void check_name(const IniEntry &entry)
    {
        const auto [first, is_first] = names_.emplace(entry.value, entry.line);
        if (!is_first)
            problems_.error(entry.line, entry.key, entry.value,
                            fmt::format("is the name of another tunnel too, in line {}", first->second));
    }

    void check_address(const IniEntry &entry, const base::Prefix &prefix)
    {
        for (const auto &[other, line] : prefixes_) {
            if (other.address == prefix.address)
                problems_.error(entry.line, entry.key, entry.value,
                                fmt::format("is the address of another tunnel too, in line {}", line));
            else if (other.contains(prefix) || prefix.contains(other))
                problems_.warning(entry.line, entry.key, entry.value,
                                  fmt::format("overlaps {} of another tunnel, in line {}", other.to_string(), line));
        }
        prefixes_.emplace_back(prefix, entry.line);
    }

    Problems &problems_;
    std::map<std::string, unsigned> names_; // and their lines
    std::vector<std::pair<base::Prefix, unsigned>> prefixes_;
};

} // namespace

template <> std::span<const Field<InterfaceConfig>> fields_of<InterfaceConfig>()
{
    return kGeneralFields;
}

template <> std::span<const Field<TunnelConfig>> fields_of<TunnelConfig>()
{
    return kTunnelFields;
}

bool is_interface_name(std::string_view name)
{
    return !name.empty() && name.size() <= kMaxInterfaceName && name != "." && name != ".." &&
           std::all_of(name.begin(), name.end(),
                       [](char c) { return c > ' ' && c <= '~' && c != '/' && c != ':' && c != '%'; });
}

std::string StunServer::to_string() const
{
    if (port == kStunPort)
        return host;
    return host.find(':') == host.npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

bool TunnelConfig::has_address(const base::Address &address) const
{
    return (ipv4_addr && ipv4_addr->address == address) || (ipv6_addr && ipv6_addr->address == address);
}

Parsed<InterfaceConfig> parse_interface(std::string_view file, std::string_view text)
{
    Problems problems(file);
    const Sections sections(read_ini(text, problems), kInterfaceNames, kInterfaceKinds, problems);
    std::vector<KnownKey> known;
    add_known_keys<InterfaceConfig>(known, "general");
    add_known_keys<TunnelConfig>(known, "tun_N");

    InterfaceConfig config;
    const IniEntry *count = nullptr;
    if (const IniSection *general = sections.find("general")) {
        const KnownEntries entries = read_section(*general, Grammar::kConnection, known, config, problems);
        if (entries.contains("tunnel_num"))
            count = entries.at("tunnel_num");
    } else {
        problems.error(0, {}, {}, "there is no section [general]");
    }
    read_numbered(sections, "tun", count, Grammar::kConnection, known, config.tunnels, problems,
                  TunnelChecks(problems));
    return std::move(problems).finish(std::move(config));
}

std::string serialise(const InterfaceConfig &config)
{
    std::string text = fmt::format("[general]\n{}", write_fields(config, 0));
    for (std::size_t n = 0; n < config.tunnels.size(); ++n)
        text += fmt::format("\n[tun_{}]\n{}", n, write_fields(config.tunnels[n], 0));
    return text;
}

base::Result<std::string> edit(std::string_view file, std::string_view text, const InterfaceConfig &config)
{
    const auto changed = edit_text(
        file, text, config, [file](std::string_view now) { return parse_interface(file, now); },
        [&](LineEditor &editor) {
            Problems unused(file);
            const Sections sections(read_ini(text, unused), kInterfaceNames, kInterfaceKinds, unused);
            edit_section(editor, *sections.find("general"), config);
            edit_numbered(editor, sections, "tun", config.tunnels, 0);
        });
    return changed.map([](const base::SecretText &all) { return std::string(all); });
}

} // namespace mpt::config
