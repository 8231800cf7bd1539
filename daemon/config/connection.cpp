// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/connection.hpp"

#include "daemon/config/edit.hpp"
#include "daemon/config/fields.hpp"
#include "daemon/config/interface.hpp"

#include <algorithm>

namespace mpt::config {

namespace {

constexpr std::array<std::string_view, 1> kConnectionNames{"connection"};
constexpr std::array<std::string_view, 2> kConnectionKinds{"path", "net"};

constexpr int kKeyWidth = 16; // as the deployed release writes its files

constexpr std::string_view kHexDigits = "0123456789abcdefABCDEF";

// In place of public_ipaddr: the same as private_ipaddr.
constexpr std::string_view kPrivateAddress = "private_ipaddr";

bool is_connection_name(std::string_view name)
{
    return !name.empty() && name.size() <= kMaxConnectionName && safe_name(name) == name;
}

std::string expected_connection_name()
{
    return fmt::format("a word of 1 to {} ASCII characters without blank and '/'", kMaxConnectionName);
}

// A key that is not in use is kept whatever it is.
bool is_key_text(std::string_view text)
{
    return text.size() <= kMaxKeyText;
}

std::string expected_key_text()
{
    return fmt::format("{} hexadecimal digits, or 0 for no key", kKeyDigits);
}

bool is_usable_key(std::string_view key)
{
    return key.size() == kKeyDigits && key.find_first_not_of(kHexDigits) == key.npos;
}

// Of a credential, what systemd.exec(5) takes for a name. What looks like a key that stands in the wrong place is none:
// names are shown.
bool is_key_file(std::string_view text)
{
    if (!is_credential(text))
        return text.size() > 1 && !text.ends_with('/');
    const bool looks_like_key = text.size() >= kKeyDigits / 2 && text.find_first_not_of(kHexDigits) == text.npos;
    return !looks_like_key && text != "." && text != ".." && text.find_first_of(" /:") == text.npos &&
           std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

std::string expected_key_file()
{
    return "the absolute path of a file, or the name of a credential, which has no '/'; a key itself is auth_key";
}

constexpr Field<PathConfig> public_address()
{
    Field<PathConfig> field = field::address<&PathConfig::public_ipaddr, AddressUse::kHostOrAutomatic>("public_ipaddr");
    field.read = [](std::string_view text, PathConfig &into) -> std::string {
        constexpr Field<PathConfig> address =
            field::address<&PathConfig::public_ipaddr, AddressUse::kHostOrAutomatic>("public_ipaddr");
        if (text != kPrivateAddress)
            return address.read(text, into);
        into.public_ipaddr = into.private_ipaddr;
        return {};
    };
    return field;
}

constexpr Field<PathConfig> private_address()
{
    Field<PathConfig> field =
        field::address<&PathConfig::private_ipaddr, AddressUse::kHostOrAutomatic>(kPrivateAddress, Need::kOptional);
    field.is_implied = [](const PathConfig &path) { return path.private_ipaddr == path.public_ipaddr; };
    return field;
}

constexpr Field<PathConfig> gateway_address()
{
    Field<PathConfig> field = field::address<&PathConfig::gateway_ipaddr, AddressUse::kHostOrAutomatic>("gw_ipaddr");
    field.other = "gateway_ipaddr";
    return field;
}

constexpr bool is_dead_implied(const PathConfig &path)
{
    return path.dead == kDeadFactor * path.keepalive;
}

constexpr Field<PathConfig> dead_seconds()
{
    Field<PathConfig> field = field::seconds<&PathConfig::dead, 0, kMaxDead>("dead_time");
    field.is_implied = is_dead_implied;
    return field;
}

constexpr Field<PathConfig> dead_milliseconds()
{
    Field<PathConfig> field =
        field::milliseconds<&PathConfig::dead, kMinMilliseconds, kMaxDead * 1000>("dead_msec", "dead_time");
    field.is_implied = is_dead_implied;
    return field;
}

constexpr Field<PathConfig> path_status()
{
    Field<PathConfig> field = field::number<&PathConfig::status, 0, 128>("status");
    field.read = [](std::string_view text, PathConfig &into) -> std::string {
        const std::optional<std::uint32_t> value = parse_number(text);
        if (!value || (*value != 0 && *value != 128))
            return "0 (usable) or 128 (down)";
        into.status = static_cast<std::uint8_t>(*value);
        return {};
    };
    return field;
}

template <auto M> constexpr Field<NetworkConfig> network_prefix(std::string_view key)
{
    Field<NetworkConfig> field;
    field.key = key;
    field.read = [](std::string_view text, NetworkConfig &into) -> std::string {
        const base::Result<base::Prefix> prefix = base::Prefix::parse(text);
        if (!prefix)
            return "an address and its prefix length, such as 11.1.1.0/24";
        into.*M = prefix->network();
        return {};
    };
    field.write = [](const NetworkConfig &from) -> std::optional<base::SecretText> {
        return base::SecretText((from.*M).to_string());
    };
    return field;
}

constexpr Field<ConnectionConfig> auth_key()
{
    Field<ConnectionConfig> field =
        field::text<&ConnectionConfig::auth_key, is_key_text, expected_key_text>("auth_key", Need::kOptional);
    field.is_secret = true;
    return field;
}

constexpr Field<ConnectionConfig> auth_key_file()
{
    Field<ConnectionConfig> field =
        field::text<&ConnectionConfig::auth_key_file, is_key_file, expected_key_file>("auth_key_file", Need::kOptional);
    field.is_secret = true; // in case it is a key
    return field;
}

// Written only where it says something: the deployed release does not know it.
constexpr Field<ConnectionConfig> copy_dscp()
{
    Field<ConnectionConfig> field = field::number<&ConnectionConfig::copy_dscp, 0, 1>("copy_dscp", Need::kOptional);
    field.write = [](const ConnectionConfig &from) -> std::optional<base::SecretText> {
        return from.copy_dscp ? std::optional(base::SecretText("1")) : std::nullopt;
    };
    return field;
}

// Written only where the file had it, likewise.
constexpr Field<ConnectionConfig> mss_clamp()
{
    Field<ConnectionConfig> field = field::number<&ConnectionConfig::mss_clamp, 0, 1>("mss_clamp", Need::kOptional);
    field.write = [](const ConnectionConfig &from) -> std::optional<base::SecretText> {
        return from.mss_clamp ? std::optional(base::SecretText(*from.mss_clamp ? "1" : "0")) : std::nullopt;
    };
    return field;
}

constexpr std::array kConnectionFields{
    field::text<&ConnectionConfig::name, is_connection_name, expected_connection_name>("name"),
    field::number<&ConnectionConfig::permission, 0, 3>("permission"),
    field::ip_version<&ConnectionConfig::ip_ver>(),
    field::address<&ConnectionConfig::ip_local, AddressUse::kTunnel>("ip_local"),
    field::number<&ConnectionConfig::local_port, 1, kMaxPort>("local_port"),
    field::number<&ConnectionConfig::local_cmd_port, 1, kMaxPort>("local_cmd_port", Need::kOptional),
    field::address<&ConnectionConfig::ip_remote, AddressUse::kTunnel>("ip_remote", Need::kPeer),
    field::number<&ConnectionConfig::remote_port, 1, kMaxPort>("remote_port", Need::kPeer),
    field::number<&ConnectionConfig::remote_cmd_port, 1, kMaxPort>("remote_cmd_port", Need::kPeer),
    field::count<&ConnectionConfig::paths, 1, kMaxPaths>("path_count"),
    field::count<&ConnectionConfig::networks, 0, kMaxNetworks>("network_count"),
    field::number<&ConnectionConfig::status, 0, 255>("status"),
    field::number<&ConnectionConfig::reorder_window, 0, kMaxReorderWindow>("reorder_window", Need::kOptional),
    field::number<&ConnectionConfig::max_buffdelay_msec, 0, kMaxBufferDelay>("max_buffdelay_msec", Need::kOptional),
    copy_dscp(),
    mss_clamp(),
    field::number<&ConnectionConfig::auth_type, 0, static_cast<unsigned>(kLastAuthType)>("auth_type"),
    auth_key(),
    auth_key_file(),
};

constexpr std::array kPathFields{
    field::text<&PathConfig::interface_name, is_interface_name, expected_interface_name>("interface_name"),
    field::ip_version<&PathConfig::ip_ver>(),
    private_address(), // before public_ipaddr, which may refer to it
    public_address(),
    gateway_address(),
    field::address<&PathConfig::remote_ipaddr, AddressUse::kHostOrAutomatic>("remote_ipaddr", Need::kPeer),
    field::seconds<&PathConfig::keepalive, 0, kMaxKeepalive>("keepalive_time"),
    field::milliseconds<&PathConfig::keepalive, kMinMilliseconds, kMaxKeepalive * 1000>("keepalive_msec",
                                                                                        "keepalive_time"),
    dead_seconds(),
    dead_milliseconds(),
    field::number<&PathConfig::weight_in, 1, kMaxWeight>("weight_in", Need::kOptional),
    field::number<&PathConfig::weight_out, 1, kMaxWeight>("weight_out", Need::kConnection),
    field::number<&PathConfig::cmd_default, 0, 1>("cmd_default", Need::kSparse),
    path_status(),
};

constexpr std::array kNetworkFields{
    field::ip_version<&NetworkConfig::ip_ver>(),
    network_prefix<&NetworkConfig::src_addr>("src_addr"),
    network_prefix<&NetworkConfig::dst_addr>("dst_addr"),
};

} // namespace

template <> std::span<const Field<ConnectionConfig>> fields_of<ConnectionConfig>()
{
    return kConnectionFields;
}

template <> std::span<const Field<PathConfig>> fields_of<PathConfig>()
{
    return kPathFields;
}

template <> std::span<const Field<NetworkConfig>> fields_of<NetworkConfig>()
{
    return kNetworkFields;
}

namespace {

// Reads the sections of one file. What concerns several keys is checked only where each of them was understood, so that
// one mistake is told once.
class Reader {
public:
    Reader(std::string_view file, std::string_view text, Grammar grammar)
        : problems_(file), sections_(read_ini(text, problems_), kConnectionNames, kConnectionKinds, problems_),
          grammar_(grammar)
    {
        config_.file = file;
        add_known_keys<ConnectionConfig>(known_, "connection");
        add_known_keys<PathConfig>(known_, "path_N");
        add_known_keys<NetworkConfig>(known_, "net_N");
    }

    Parsed<ConnectionConfig> read()
    {
        KnownEntries entries;
        const IniSection *section = sections_.find("connection");
        if (section != nullptr) {
            entries = read_section(*section, grammar_, known_, config_, problems_);
            finish(entries, *section, config_);
        } else {
            problems_.error(0, {}, {}, "there is no section [connection]");
        }
        read_all("path", entry(entries, "path_count"), config_.paths);
        read_all("net", entry(entries, "network_count"), config_.networks);
        if (section != nullptr)
            check_key(*section, grammar_ == Grammar::kTemplate || check_peer(*section));
        return std::move(problems_).finish(std::move(config_));
    }

private:
    static const IniEntry *entry(const KnownEntries &entries, std::string_view key)
    {
        const auto found = entries.find(key);
        return found == entries.end() ? nullptr : found->second;
    }

    template <typename S> void read_all(std::string_view kind, const IniEntry *count, std::vector<S> &into)
    {
        read_numbered(sections_, kind, count, grammar_, known_, into, problems_,
                      [this](const KnownEntries &entries, const IniSection &section, S &value) {
                          finish(entries, section, value);
                      });
    }

    void error(const IniEntry &at, std::string text) { problems_.error(at.line, at.key, at.value, std::move(text)); }

    void keep_lines(const KnownEntries &entries, const IniSection &section)
    {
        for (const auto &[key, at] : entries)
            config_.lines.set(section.name, key, at->line);
    }

    // The address or prefix that `key` gives must be of the version that ip_ver gives. An unspecified address too:
    // 0.0.0.0 does not stand for "find an IPv6 address".
    void check_version(const KnownEntries &entries, std::string_view key, base::IpVersion version,
                       base::IpVersion expected)
    {
        if (entries.contains("ip_ver") && entries.contains(key) && version != expected)
            error(*entries.at(key), fmt::format("must be of IPv{0}, as ip_ver = {0} in line {1} says",
                                                static_cast<unsigned>(expected), entries.at("ip_ver")->line));
    }

    void finish(const KnownEntries &entries, const IniSection &section, const ConnectionConfig &connection)
    {
        keep_lines(entries, section);
        check_version(entries, "ip_local", connection.ip_local.version(), connection.ip_ver);
        if (connection.ip_remote) {
            check_version(entries, "ip_remote", connection.ip_remote->version(), connection.ip_ver);
            if (entries.contains("ip_local") && *connection.ip_remote == connection.ip_local)
                error(*entries.at("ip_remote"), "must not be the same as ip_local");
        }
    }

    void finish(const KnownEntries &entries, const IniSection &section, PathConfig &path)
    {
        keep_lines(entries, section);
        const bool has_private = entries.contains(kPrivateAddress);
        if (const IniEntry *at = entry(entries, "public_ipaddr");
            at != nullptr && at->value == kPrivateAddress && !has_private)
            error(*at, fmt::format("must be an address: [{}] has no valid private_ipaddr", section.name));
        if (!has_private)
            path.private_ipaddr = path.public_ipaddr; // guide 2.6.3.2 private_ipaddr
        check_version(entries, "private_ipaddr", path.private_ipaddr.version(), path.ip_ver);
        check_version(entries, "public_ipaddr", path.public_ipaddr.version(), path.ip_ver);
        check_version(entries, "gw_ipaddr", path.gateway_ipaddr.version(), path.ip_ver);
        if (path.remote_ipaddr) {
            check_version(entries, "remote_ipaddr", path.remote_ipaddr->version(), path.ip_ver);
            if (path.remote_ipaddr->is_unspecified())
                check_learning(*entries.at("remote_ipaddr"), path);
            else if (*path.remote_ipaddr == path.private_ipaddr)
                error(*entries.at("remote_ipaddr"), "must not be the path's own address");
            else if (path.remote_ipaddr->is_loopback() && entries.contains("interface_name") &&
                     path.interface_name != "lo")
                error(*entries.at("remote_ipaddr"),
                      "must be a unicast address of the peer: a loopback address is this host's own");
        }

        const bool is_without_keepalives =
            path.keepalive == base::Duration::zero() &&
            section.has("keepalive_time") == entries.contains("keepalive_time") && // else there is an error already
            section.has("keepalive_msec") == entries.contains("keepalive_msec");
        if (config_.auth_type == AuthType::kHmacSha256 && grammar_ == Grammar::kConnection && is_without_keepalives &&
            !(path.remote_ipaddr && path.remote_ipaddr->is_unspecified())) { // likewise
            const IniEntry *at = entry(entries, "keepalive_time");
            problems_.warning(
                at != nullptr ? at->line : section.line, "keepalive_time", at != nullptr ? at->value : "",
                "without keepalives nothing of the path is authenticated, and a peer that sends some finds "
                "it dead: auth_type = 3 needs them on both hosts");
        }

        const IniEntry *dead = entry(entries, "dead_msec");
        if (dead == nullptr)
            dead = entry(entries, "dead_time");
        if (dead == nullptr)
            path.dead = kDeadFactor * path.keepalive;
        else if (path.keepalive != base::Duration::zero() && path.dead == base::Duration::zero())
            error(*dead, "must not be 0 when there are keepalives");
        else if (path.dead < path.keepalive)
            problems_.warning(dead->line, dead->key, dead->value,
                              "is shorter than the time between keepalives: unless the peer sends them more often, the "
                              "path will be down between them");

        if (path.cmd_default) {
            if (cmd_default_ != nullptr)
                error(*entries.at("cmd_default"),
                      fmt::format("only one path can be the default: line {} has one already", cmd_default_->line));
            else
                cmd_default_ = entries.at("cmd_default");
        }
    }

    // A peer that may be anywhere is found by its keepalives, if nobody can forge them.
    void check_learning(const IniEntry &remote, const PathConfig &path)
    {
        if (config_.lines.line("connection", "auth_type") == 0)
            return; // not understood, which is an error already
        if (config_.auth_type != AuthType::kHmacSha256)
            error(remote, "must be the address of the peer: to learn it from its keepalives needs auth_type = 3");
        else if (path.keepalive == base::Duration::zero())
            error(remote, "is learned from the peer's keepalives: it needs a keepalive_time or keepalive_msec above 0");
    }

    void finish(const KnownEntries &entries, const IniSection &section, const NetworkConfig &network)
    {
        keep_lines(entries, section);
        check_version(entries, "src_addr", network.src_addr.address.version(), network.ip_ver);
        check_version(entries, "dst_addr", network.dst_addr.address.version(), network.ip_ver);
        check_host_bits(entries, "src_addr", network.src_addr);
        check_host_bits(entries, "dst_addr", network.dst_addr);
    }

    void check_host_bits(const KnownEntries &entries, std::string_view key, const base::Prefix &network)
    {
        if (const IniEntry *at = entry(entries, key); at != nullptr && *base::Prefix::parse(at->value) != network)
            problems_.warning(at->line, at->key, at->value,
                              fmt::format("is not a network's address: {} is used", network.to_string()));
    }

    // Tells what is missing that only the peer knows; true if that makes the connection wait for create.
    bool check_peer(const IniSection &section)
    {
        std::string missing;
        const auto look_for = [&missing](const IniSection &in, std::string_view key) {
            if (!in.has(key)) // one that was not understood is an error already
                missing += fmt::format("{}{} in [{}]", missing.empty() ? "" : ", ", key, in.name);
        };
        for (const std::string_view key : {"ip_remote", "remote_port", "remote_cmd_port"})
            look_for(section, key);
        const std::map<std::size_t, const IniSection *> paths = sections_.numbered("path");
        for (const auto &[n, path] : paths)
            look_for(*path, "remote_ipaddr");
        if (missing.empty())
            return false;
        if (!paths.empty() && std::none_of(paths.begin(), paths.end(),
                                           [](const auto &path) { return path.second->has("remote_ipaddr"); }))
            problems_.error(section.line, {}, {},
                            "no path has a remote_ipaddr: one is needed even for a connection that waits for create");
        else
            problems_.warning(section.line, {}, {},
                              fmt::format("the connection waits for 'mpt create': there is no {}", missing));
        return true;
    }

    // Creating a connection uses the key whatever auth_type is (guide 4.7), if there is one. One in a file of its own
    // is not looked at here.
    void check_key(const IniSection &section, bool is_for_create)
    {
        const bool is_needed = needs_key(config_.auth_type);
        const bool is_given = !config_.auth_key.empty() && config_.auth_key != "0";
        const unsigned key_line = config_.lines.line("connection", "auth_key");
        const unsigned file_line = config_.lines.line("connection", "auth_key_file");
        if ((section.has("auth_key") && key_line == 0) || (section.has("auth_key_file") && file_line == 0))
            return; // not understood, which is an error already
        if (file_line != 0 && is_given)
            problems_.error(file_line, "auth_key_file", config_.auth_key_file,
                            fmt::format("auth_key in line {} has a key already: leave out one of them", key_line));
        if (file_line != 0 || !(is_needed || (is_for_create && is_given)) || is_usable_key(config_.auth_key))
            return;
        problems_.error(key_line != 0 ? key_line : section.line, "auth_key", {},
                        is_needed ? fmt::format("must be {} hexadecimal digits, as auth_type = {} needs", kKeyDigits,
                                                static_cast<unsigned>(config_.auth_type))
                                  : "must be " + expected_key_text());
    }

    Problems problems_;
    Sections sections_;
    Grammar grammar_;
    std::vector<KnownKey> known_;
    ConnectionConfig config_;
    const IniEntry *cmd_default_ = nullptr; // of the first path that has it
};

// What stands between the sections of a text.
struct Layout {
    std::string_view title;
    std::string_view paths;
    std::string_view networks;
    std::string_view gap; // before a section
    int width;            // of a key
};

constexpr Layout kFileLayout{";;;#################### Multipath Connection Information: ###############\n",
                             "\n########################## PATHS ############################\n",
                             "\n####################### NETWORKS #####################################\n", "\n",
                             kKeyWidth};
constexpr Layout kCompactLayout{";;;;;;;;\n", "", "", "", 0};

template <typename WritePath>
base::SecretText write_sections(const ConnectionConfig &config, const Layout &layout, WritePath write_path)
{
    base::SecretText text =
        written("{}{}[connection]\n{}{}", layout.title, layout.gap, write_fields(config, layout.width), layout.paths);
    for (std::size_t n = 0; n < config.paths.size(); ++n)
        text += written("{}[path_{}]\n{}", layout.gap, n, write_path(config.paths[n]));
    text += layout.networks;
    for (std::size_t n = 0; n < config.networks.size(); ++n)
        text += written("{}[net_{}]\n{}", layout.gap, n, write_fields(config.networks[n], layout.width));
    return text;
}

// See serialise_for_peer().
base::SecretText path_for_peer(const PathConfig &path, int width)
{
    PathConfig rounded = path;
    rounded.keepalive = std::chrono::ceil<std::chrono::seconds>(path.keepalive);
    rounded.dead = std::chrono::ceil<std::chrono::seconds>(path.dead);
    base::SecretText text = write_fields(rounded, width);
    for (const Field<PathConfig> &field : kPathFields) {
        if (field.overrides.empty())
            continue;
        if (const std::optional<base::SecretText> exact = field.write(path))
            text += written("{:<{}} = {}\n", field.key, width, *exact);
    }
    return text;
}

} // namespace

void KeyLines::set(std::string_view section, std::string_view key, unsigned line)
{
    lines_.insert_or_assign(fmt::format("{}.{}", section, key), line);
}

unsigned KeyLines::line(std::string_view section, std::string_view key) const
{
    const auto found = lines_.find(fmt::format("{}.{}", section, key));
    return found == lines_.end() ? 0 : found->second;
}

std::string safe_name(std::string_view name)
{
    std::string safe(name);
    std::replace_if(
        safe.begin(), safe.end(), [](char c) { return c <= ' ' || c > '~' || c == '/'; }, '_');
    return safe;
}

bool is_credential(std::string_view auth_key_file)
{
    return !auth_key_file.starts_with('/');
}

std::optional<std::string_view> parse_key_file(std::string_view text)
{
    if (text.ends_with('\n'))
        text.remove_suffix(1);
    return is_usable_key(text) ? std::optional(text) : std::nullopt;
}

void ConnectionConfig::set_key(std::string_view key)
{
    // No assignment: it would leave the rest of a longer key where it was.
    base::SecretText(key).swap(auth_key);
    base::SecretText().swap(read_key.text);
    auth_key_file.clear();
}

bool ConnectionConfig::is_complete() const
{
    return ip_remote && remote_port && remote_cmd_port &&
           std::all_of(paths.begin(), paths.end(),
                       [](const PathConfig &path) { return path.remote_ipaddr.has_value(); });
}

Parsed<ConnectionConfig> parse_connection(std::string_view file, std::string_view text)
{
    return Reader(file, text, Grammar::kConnection).read();
}

Parsed<ConnectionConfig> parse_template(std::string_view file, std::string_view text)
{
    return Reader(file, text, Grammar::kTemplate).read();
}

base::SecretText serialise(const ConnectionConfig &config)
{
    return write_sections(config, kFileLayout, [](const PathConfig &path) { return write_fields(path, kKeyWidth); });
}

std::string serialise_for_peer(const ConnectionConfig &config, PeerText layout)
{
    ConnectionConfig told = config;
    told.set_key({});
    told.copy_dscp = false; // the sender's own affair, and not in the texts of the deployed release
    told.mss_clamp.reset();
    for (PathConfig &path : told.paths)
        path.cmd_default = false;
    if (layout == PeerText::kPadded)
        return fmt::format(";;;;{}", write_sections(told, kFileLayout, [](const PathConfig &path) {
                               return path_for_peer(path, kFileLayout.width);
                           }));
    told.networks.clear();
    return std::string(write_sections(
        told, kCompactLayout, [](const PathConfig &path) { return path_for_peer(path, kCompactLayout.width); }));
}

base::Result<base::SecretText> edit(std::string_view text, const ConnectionConfig &config)
{
    return edit_text(
        config.file, text, config, [&](std::string_view now) { return parse_connection(config.file, now); },
        [&](LineEditor &editor) {
            Problems unused(config.file);
            const Sections sections(read_ini(text, unused), kConnectionNames, kConnectionKinds, unused);
            edit_section(editor, *sections.find("connection"), config);
            edit_numbered(editor, sections, "path", config.paths, kKeyWidth);
            edit_numbered(editor, sections, "net", config.networks, kKeyWidth);
        });
}

} // namespace mpt::config
