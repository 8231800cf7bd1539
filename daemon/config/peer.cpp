// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/peer.hpp"

#include "daemon/config/connection.hpp"
#include "daemon/config/fields.hpp"
#include "daemon/config/interface.hpp"

namespace mpt::config {

namespace {

constexpr std::array<std::string_view, 1> kPeerNames{"connection"};
constexpr std::array<std::string_view, 1> kPeerKinds{"path"};

constexpr std::string_view kFile = "create message"; // what its problems call it

bool is_name_text(std::string_view name)
{
    return name.size() <= kMaxConnectionName;
}

std::string expected_name_text()
{
    return fmt::format("at most {} octets", kMaxConnectionName);
}

constexpr std::array kPeerConnectionFields{
    field::text<&PeerConnection::name, is_name_text, expected_name_text>("name"),
    field::ip_version<&PeerConnection::ip_ver>(),
    field::address<&PeerConnection::ip_local, AddressUse::kTunnel>("ip_local"),
    field::number<&PeerConnection::local_port, 1, kMaxPort>("local_port"),
    field::number<&PeerConnection::local_cmd_port, 1, kMaxPort>("local_cmd_port"),
    field::count<&PeerConnection::paths, 1, kMaxPaths>("path_count"),
    field::number<&PeerConnection::network_count, 0, kMaxNetworks>("network_count", Need::kOptional),
    field::number<&PeerConnection::reorder_window, 0, kMaxReorderWindow>("reorder_window", Need::kOptional),
    field::number<&PeerConnection::auth_type, 0, static_cast<unsigned>(kLastAuthType)>("auth_type"),
};

constexpr std::array kPeerPathFields{
    field::ip_version<&PeerPath::ip_ver>(),
    field::address<&PeerPath::public_ipaddr, AddressUse::kHost>("public_ipaddr"),
    field::seconds<&PeerPath::keepalive, 0, kMaxKeepalive>("keepalive_time"),
    field::milliseconds<&PeerPath::keepalive, kMinMilliseconds, kMaxKeepalive * 1000>("keepalive_msec",
                                                                                      "keepalive_time"),
    field::seconds<&PeerPath::dead, 0, kMaxDead>("dead_time"),
    field::milliseconds<&PeerPath::dead, kMinMilliseconds, kMaxDead * 1000>("dead_msec", "dead_time"),
    field::number<&PeerPath::weight_in, 1, kMaxWeight>("weight_in", Need::kOptional),
    field::number<&PeerPath::weight_out, 1, kMaxWeight>("weight_out"),
};

void check_version(const KnownEntries &entries, std::string_view key, base::IpVersion version, base::IpVersion expected,
                   Problems &problems)
{
    const auto at = entries.find(key);
    if (at != entries.end() && entries.contains("ip_ver") && version != expected)
        problems.error(at->second->line, key, at->second->value,
                       fmt::format("must be of IPv{}, as ip_ver says", static_cast<unsigned>(expected)));
}

void finish(const KnownEntries &entries, const IniSection &section, PeerPath &path, Problems &problems)
{
    check_version(entries, "public_ipaddr", path.public_ipaddr.version(), path.ip_ver, problems);
    if (!section.has("dead_time") && !section.has("dead_msec"))
        path.dead = kDeadFactor * path.keepalive;
    else if (path.keepalive != base::Duration::zero() && path.dead == base::Duration::zero())
        problems.error(section.line, "dead_time", {}, "must not be 0 when there are keepalives");
}

} // namespace

template <> std::span<const Field<PeerConnection>> fields_of<PeerConnection>()
{
    return kPeerConnectionFields;
}

template <> std::span<const Field<PeerPath>> fields_of<PeerPath>()
{
    return kPeerPathFields;
}

Parsed<PeerConnection> parse_peer(std::string_view text)
{
    Problems problems(kFile);
    const std::string_view whole = text.substr(0, text.rfind('\n') + 1); // npos + 1 is 0
    const Sections sections(read_ini(whole, problems), kPeerNames, kPeerKinds, problems);
    PeerConnection peer;
    const IniEntry *path_count = nullptr;
    if (const IniSection *section = sections.find("connection")) {
        const KnownEntries entries = read_section(*section, Grammar::kConnection, {}, peer, problems);
        check_version(entries, "ip_local", peer.ip_local.version(), peer.ip_ver, problems);
        if (const auto found = entries.find("path_count"); found != entries.end())
            path_count = found->second;
    } else {
        problems.error(0, {}, {}, "there is no section [connection]");
    }
    read_numbered(sections, "path", path_count, Grammar::kConnection, {}, peer.paths, problems,
                  [&](const KnownEntries &entries, const IniSection &section, PeerPath &path) {
                      finish(entries, section, path, problems);
                  });
    return std::move(problems).finish(std::move(peer));
}

} // namespace mpt::config
