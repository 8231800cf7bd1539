// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/adapters.hpp"

#include "daemon/plane/connection.hpp"
#include "daemon/plane/tunnel.hpp"
#include "daemon/statistics.hpp"
#include "daemon/sys/clock.hpp"
#include "daemon/sys/file.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace mpt {

namespace {

// Far more than any configuration file has, and little enough to read a wrong one in no time.
constexpr std::size_t kMaxFileSize = 4 << 20;

// Far more than a key takes.
constexpr std::size_t kMaxKeyFileSize = 4 << 10;

// Packets that wait for the daemon in the tunnel interface; the kernel's own default for a tun.
constexpr std::uint32_t kQueueLength = 500;

constexpr std::string_view kSuffix = ".conf";

// What the names of sockets begin with in the descriptor store; those of tunnel interfaces have no '/'.
constexpr const char *kSocket = "udp/";

constexpr std::array kVersions{base::IpVersion::kV4, base::IpVersion::kV6};

// In the store, of a socket of the control port.
std::string control_name(base::IpVersion version)
{
    return fmt::format("control/{}", static_cast<int>(version));
}

// In the store, of a socket by its UdpSocket::cookie().
std::string name_of(std::uint64_t cookie)
{
    return fmt::format("{}{:x}", kSocket, cookie);
}

} // namespace

base::Result<base::SecretText> ConfigFiles::read_interface()
{
    return sys::read_file(fmt::format("{}/interface.conf", directory_), kMaxFileSize);
}

base::Result<std::vector<std::string>> ConfigFiles::list_all()
{
    auto names = sys::list_directory(fmt::format("{}/connections", directory_));
    if (!names && names.error().code == base::ErrorCode::kNotFound)
        return std::vector<std::string>{};
    return names;
}

base::Result<std::vector<std::string>> ConfigFiles::list_connections()
{
    auto names = list_all();
    if (names)
        std::erase_if(*names, [](const std::string &name) {
            return name.size() <= kSuffix.size() || name.starts_with('.') || !name.ends_with(kSuffix);
        });
    return names;
}

base::Result<base::SecretText> ConfigFiles::read_connection(const std::string &file)
{
    return sys::read_file(connection_path(file), kMaxFileSize);
}

base::Result<base::SecretText> ConfigFiles::read_template()
{
    return sys::read_file(connection_path("conf.template"), kMaxFileSize);
}

bool ConfigFiles::is_readable_by_all(const std::string &file)
{
    return sys::is_readable_by_all(connection_path(file));
}

base::Result<service::KeyFile> ConfigFiles::read_key(const std::string &auth_key_file)
{
    const bool is_credential = config::is_credential(auth_key_file);
    if (is_credential && credentials_.empty())
        return base::fail(base::ErrorCode::kNotFound, "the service manager has passed no credentials");
    const std::string path = is_credential ? fmt::format("{}/{}", credentials_, auth_key_file) : auth_key_file;
    auto text = sys::read_file(path, kMaxKeyFileSize);
    if (!text)
        return base::Failure(text.error());
    return service::KeyFile{std::move(*text), sys::is_readable_by_all(path)};
}

base::Result<void> ConfigFiles::write_connection(const std::string &file, std::string_view text)
{
    return sys::replace_file(connection_path(file), text);
}

base::Result<void> ConfigFiles::disable_connection(const std::string &file)
{
    return sys::rename_file(connection_path(file), connection_path(file) + ".disabled");
}

std::string ConfigFiles::connection_path(const std::string &file) const
{
    return fmt::format("{}/connections/{}", directory_, file);
}

base::Result<void> KernelNetwork::set_up_tunnel(const config::TunnelConfig &tunnel)
{
    if (!tunnel.has_auto_mtu())
        if (auto set = requests_.set_mtu(tunnel.name, tunnel.mtu); !set)
            return set;
    if (auto set = requests_.set_queue_length(tunnel.name, kQueueLength); !set)
        return set;
    // One that was kept over a restart may have other addresses than it should have now.
    if (const net::Interface *kept = monitor_.state().find(tunnel.name)) {
        std::vector<base::Prefix> stale;
        for (const auto &[address, entry] : kept->addresses)
            if (entry.prefix != tunnel.ipv4_addr && entry.prefix != tunnel.ipv6_addr && !address.is_link_local())
                stale.push_back(entry.prefix);
        for (const base::Prefix &prefix : stale)
            if (auto removed = requests_.remove_address(tunnel.name, prefix);
                !removed && removed.error().code != base::ErrorCode::kNotFound) // may have gone with one before it
                return removed;
    }
    // Up before the addresses: the kernel then adds their prefix routes.
    if (auto set = requests_.set_up(tunnel.name, true); !set)
        return set;
    return add_addresses(tunnel);
}

base::Result<void> KernelNetwork::set_mtu(const std::string &interface, std::uint32_t octets)
{
    return requests_.set_mtu(interface, octets);
}

base::Result<void> KernelNetwork::add_addresses(const config::TunnelConfig &tunnel)
{
    for (const auto &address : {tunnel.ipv4_addr, tunnel.ipv6_addr})
        if (address)
            if (auto added = requests_.add_address(tunnel.name, *address); !added)
                return added;
    return {};
}

KernelNetwork::~KernelNetwork()
{
    // What cannot be removed now is swept at the next start.
    if (routes_set_)
        routing_.apply(tunnel_routes_, {});
}

std::vector<std::string> KernelNetwork::set_routes(const service::Routes &routes)
{
    routes_set_ = true;
    if (!routes_known_) {
        if (const auto read = routing_.read(); !read)
            return {read.error().text};
        routes_known_ = true;
    }
    tunnel_routes_.clear();
    for (const service::TunnelRoute &wanted : routes.tunnels)
        tunnel_routes_.push_back({wanted.destination, wanted.tunnel, std::nullopt, wanted.source});
    std::vector<net::PathRoute> paths;
    for (const service::PathRoute &wanted : routes.paths)
        paths.push_back({wanted.interface, wanted.local, wanted.remote, wanted.gateway});
    return routing_.apply(tunnel_routes_, paths);
}

bool KernelNetwork::forwards(const std::string &tunnel, base::IpVersion version)
{
    return requests_.forwards(tunnel, version).value_or(true); // no warning of what is not known
}

base::Result<void> KernelNetwork::add_address(const std::string &interface, const base::Prefix &address)
{
    return requests_.add_address(interface, address);
}

base::Result<void> KernelNetwork::remove_address(const std::string &interface, const base::Prefix &address)
{
    return requests_.remove_address(interface, address);
}

base::Result<void> KernelNetwork::set_interface(const std::string &interface, bool up)
{
    return requests_.set_up(interface, up);
}

std::vector<base::Prefix> KernelNetwork::addresses()
{
    std::vector<base::Prefix> all;
    for (const auto &[index, interface] : monitor_.state().interfaces())
        for (const auto &[address, entry] : interface.addresses)
            if (entry.usable())
                all.push_back(entry.prefix);
    return all;
}

std::set<base::Address> KernelNetwork::addresses(const std::string &interface)
{
    std::set<base::Address> all;
    if (const net::Interface *found = monitor_.state().find(interface))
        for (const auto &[address, entry] : found->addresses)
            all.insert(address);
    return all;
}

bool KernelNetwork::interface_exists(const std::string &interface)
{
    return monitor_.state().find(interface) != nullptr;
}

std::optional<std::uint32_t> KernelNetwork::interface_mtu(const std::string &interface)
{
    const net::Interface *found = monitor_.state().find(interface);
    return found != nullptr ? std::optional(found->link.mtu) : std::nullopt;
}

bool KernelNetwork::interface_ready(const std::string &interface)
{
    const net::Interface *found = monitor_.state().find(interface);
    return found != nullptr && found->ready();
}

bool KernelNetwork::has_address(const std::string &interface, const base::Address &address)
{
    const net::Interface *found = monitor_.state().find(interface);
    return found != nullptr && found->has_usable(address);
}

std::optional<base::Address> KernelNetwork::first_address(const std::string &interface, base::IpVersion version)
{
    // Asked anew, for the monitor does not keep the kernel's order.
    const auto addresses = requests_.addresses(interface);
    if (addresses)
        for (const net::InterfaceAddress &address : *addresses)
            if (address.prefix.address.version() == version && !address.prefix.address.is_link_local() &&
                address.usable())
                return address.prefix.address;
    return std::nullopt;
}

bool KernelNetwork::is_connected(const std::string &interface, const base::Address &address)
{
    const net::Interface *found = monitor_.state().find(interface);
    return found != nullptr && std::any_of(found->addresses.begin(), found->addresses.end(), [&](const auto &entry) {
               return entry.second.prefix.contains(address) || entry.second.peer == address;
           });
}

std::optional<service::Way> KernelNetwork::way(const std::string &interface, const base::Address &to)
{
    const auto routes = requests_.other_routes(interface, to.version());
    const auto way = routes ? net::find_way(*routes, to) : std::nullopt;
    return way ? std::optional(service::Way{way->gateway}) : std::nullopt;
}

WorkerPlane::WorkerPlane(plane::Plane &plane, sys::DescriptorStore &store) : plane_(plane), store_(store)
{
    for (auto &[name, fd] : store_.take_all(kSocket))
        if (!plane_.add_spare_socket(std::move(fd)))
            store_.forget(name);
}

base::Result<void> WorkerPlane::keep_in(sys::EventLoop &loop)
{
    auto timer = loop.make_timer([this] { keep_sockets(); });
    if (!timer)
        return base::Failure(timer.error());
    more_ = std::move(*timer);
    return {};
}

void WorkerPlane::free_port(std::uint16_t port)
{
    free_ports(plane_.close_spare_sockets_of(port));
}

bool WorkerPlane::free_ports(const std::vector<std::uint64_t> &closed)
{
    for (const std::uint64_t cookie : closed)
        store_.forget(name_of(cookie));
    if (committed_)
        store_.forget_others(kSocket, sockets());
    return store_.wait_for_closing();
}

base::Result<bool> WorkerPlane::open_path(const std::string &connection, std::size_t path)
{
    auto opened = plane_.open_path(connection, path);
    // It may be held by our own, of another configuration.
    if (!opened && opened.error().code == base::ErrorCode::kAddressInUse &&
        free_ports(plane_.close_spare_sockets_of(connection, path)))
        opened = plane_.open_path(connection, path);
    return opened;
}

base::Result<void> WorkerPlane::commit()
{
    auto committed = plane_.commit();
    if (committed) {
        committed_ = true;
        keep_sockets();
    }
    return committed;
}

WorkerPlane::Sockets WorkerPlane::sockets() const
{
    Sockets all;
    plane_.visit_path_sockets(
        [&](const plane::UdpSocket &socket) { all.emplace(name_of(socket.cookie()), socket.fd()); });
    return all;
}

void WorkerPlane::keep_sockets()
{
    std::vector<std::uint64_t> present;
    plane_.visit_path_sockets([&](const plane::UdpSocket &socket) { present.push_back(socket.cookie()); });
    if (kept_ == present)
        return; // most changes are of something else
    kept_.reset();
    if (store_.keep_just(kSocket, sockets()))
        kept_ = std::move(present);
    else if (more_)
        more_->set(sys::now() + store_.pause());
}

base::Result<void> WorkerPlane::add_tunnel(const std::string &name)
{
    const auto adopt = [&](sys::FileDescriptor kept) { return plane_.adopt_tunnel(name, std::move(kept)); };
    if (store_.adopt(name, adopt))
        return {};
    auto added = plane_.add_tunnel(name);
    if (added) // if it cannot be kept now, it ends with this process
        store_.keep(name, plane_.find_tunnel(name)->tun.fd());
    return added;
}

service::PathState WorkerPlane::path_state(const std::string &connection, std::size_t path)
{
    const plane::ConnectionEntry *entry = plane_.find_connection(connection);
    if (entry == nullptr || path >= entry->links.size())
        return {};
    const plane::Path &found = entry->connection->paths[path];
    return {found.status, found.reason, found.since, found.held_back};
}

service::ConnectionStatistics WorkerPlane::statistics(const std::string &connection)
{
    const plane::ConnectionEntry *entry = plane_.find_connection(connection);
    return entry == nullptr ? service::ConnectionStatistics{} : statistics_of(*entry);
}

service::Counters WorkerPlane::tunnel_statistics(const std::string &tunnel)
{
    const plane::Tunnel *found = plane_.find_tunnel(tunnel);
    return found == nullptr ? service::Counters{} : statistics_of(*found);
}

base::Result<UdpControlPort> UdpControlPort::open(std::uint16_t port, sys::DescriptorStore &store)
{
    UdpControlPort both;
    for (const base::IpVersion version : kVersions) {
        const std::string name = control_name(version);
        const auto adopt = [&](sys::FileDescriptor kept) {
            return plane::ControlSocket::adopt(std::move(kept), version, port);
        };
        if (auto adopted = store.adopt(name, adopt)) {
            both.sockets_.push_back(std::move(*adopted));
            continue;
        }
        auto socket = plane::ControlSocket::open(version, port);
        if (socket) {
            store.keep(name, socket->fd());
            both.sockets_.push_back(std::move(*socket));
        } else if (socket.error().code != base::ErrorCode::kNotSupported) {
            return base::Failure(socket.error());
        }
    }
    return both;
}

std::set<std::string> UdpControlPort::names()
{
    std::set<std::string> names;
    for (const base::IpVersion version : kVersions)
        names.insert(control_name(version));
    return names;
}

base::Result<void> UdpControlPort::send(const base::Address &local, const std::string &interface,
                                        const base::Endpoint &peer, base::ConstOctets octets)
{
    for (plane::ControlSocket &socket : sockets_)
        if (socket.version() == peer.address.version())
            return socket.send(local, interface, peer, octets);
    return base::fail(base::ErrorCode::kNotSupported,
                      fmt::format("the kernel has no sockets for {}", peer.to_string()));
}

} // namespace mpt
