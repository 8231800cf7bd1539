// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/net/monitor.hpp"
#include "daemon/net/route_socket.hpp"
#include "daemon/net/routing.hpp"
#include "daemon/plane/control_socket.hpp"
#include "daemon/plane/plane.hpp"
#include "daemon/service/needs.hpp"
#include "daemon/sys/descriptor_store.hpp"
#include "daemon/sys/event_loop.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

// What the use cases need, done by the layers that do it.
namespace mpt {

class ConfigFiles final : public service::ConfigDirectory {
public:
    // A directory such as /etc/mpt, and the one with the credentials (empty: there are none).
    ConfigFiles(std::string directory, std::string credentials)
        : directory_(std::move(directory)), credentials_(std::move(credentials))
    {
    }

    base::Result<base::SecretText> read_interface() override;
    base::Result<std::vector<std::string>> list_connections() override;
    base::Result<std::vector<std::string>> list_all() override;
    base::Result<base::SecretText> read_connection(const std::string &file) override;
    base::Result<base::SecretText> read_template() override;
    bool is_readable_by_all(const std::string &file) override;
    base::Result<service::KeyFile> read_key(const std::string &auth_key_file) override;
    base::Result<void> write_connection(const std::string &file, std::string_view text) override;
    base::Result<void> disable_connection(const std::string &file) override;

private:
    std::string connection_path(const std::string &file) const;

    std::string directory_;
    std::string credentials_;
};

class KernelNetwork final : public service::Network {
public:
    // Both stay the caller's.
    KernelNetwork(net::RouteSocket &requests, const net::Monitor &monitor)
        : requests_(requests), monitor_(monitor), routing_(requests)
    {
    }
    // Takes the paths' routes away. Those of the tunnels go with their interfaces, which may outlive this process.
    ~KernelNetwork() override;
    KernelNetwork(const KernelNetwork &) = delete;
    KernelNetwork &operator=(const KernelNetwork &) = delete;

    base::Result<void> set_up_tunnel(const config::TunnelConfig &tunnel) override;
    base::Result<void> add_addresses(const config::TunnelConfig &tunnel) override;
    base::Result<void> set_mtu(const std::string &interface, std::uint32_t octets) override;
    std::vector<std::string> set_routes(const service::Routes &routes) override;
    void doubt_routes() override { routes_known_ = false; }
    bool forwards(const std::string &tunnel, base::IpVersion version) override;
    base::Result<void> add_address(const std::string &interface, const base::Prefix &address) override;
    base::Result<void> remove_address(const std::string &interface, const base::Prefix &address) override;
    base::Result<void> set_interface(const std::string &interface, bool up) override;
    bool interface_exists(const std::string &interface) override;
    std::optional<std::uint32_t> interface_mtu(const std::string &interface) override;
    bool interface_ready(const std::string &interface) override;
    bool has_address(const std::string &interface, const base::Address &address) override;
    std::vector<base::Prefix> addresses() override;
    std::set<base::Address> addresses(const std::string &interface) override;
    std::optional<base::Address> first_address(const std::string &interface, base::IpVersion version) override;
    bool is_connected(const std::string &interface, const base::Address &address) override;
    std::optional<service::Way> way(const std::string &interface, const base::Address &to) override;

private:
    net::RouteSocket &requests_;
    const net::Monitor &monitor_;
    net::Routing routing_;
    std::vector<net::Route> tunnel_routes_; // that were set last
    bool routes_set_ = false;               // there may be some of ours
    bool routes_known_ = false;             // routing_ knows what is there
};

class WorkerPlane final : public service::DataPlane {
public:
    // Both stay the caller's. Tunnel interfaces and the sockets of paths are kept in the store, and used again if they
    // are there.
    WorkerPlane(plane::Plane &plane, sys::DescriptorStore &store);
    // Before any path is opened: the loop that this goes on in when there is more to be kept than goes at once.
    base::Result<void> keep_in(sys::EventLoop &loop);
    // Closes the sockets from before that no path has used.
    void close_spare_sockets() { plane_.close_spare_sockets(); }
    // Before any path is opened: lets go of the sockets from before that have the port, and waits until it is free.
    void free_port(std::uint16_t port);

    base::Result<void> add_tunnel(const std::string &name) override;
    void set_connection(const core::ConnectionParameters &parameters) override { plane_.set_connection(parameters); }
    base::Result<bool> open_path(const std::string &connection, std::size_t path) override;
    bool close_path(const std::string &connection, std::size_t path, bool interface_ready,
                    bool address_present) override
    {
        return plane_.close_path(connection, path, interface_ready, address_present);
    }
    std::optional<std::uint32_t> path_mtu(const std::string &connection, std::size_t path) override
    {
        return plane_.path_mtu(connection, path);
    }
    void set_fragmentation(const std::string &connection, std::size_t path, bool on) override
    {
        plane_.set_fragmentation(connection, path, on);
    }
    void remove_connection(const std::string &connection) override { plane_.remove_connection(connection); }
    void set_path(const std::string &connection, std::size_t path, bool up) override
    {
        plane_.set_path(connection, path, up);
    }
    void set_path_by_peer(const std::string &connection, std::size_t path, bool up) override
    {
        plane_.set_path_by_peer(connection, path, up);
    }
    void set_stun_servers(const std::vector<base::Endpoint> &servers) override { plane_.set_stun_servers(servers); }
    std::optional<core::LearnedPeer> learned_before(const std::string &connection, std::size_t path) override
    {
        return plane_.learned_before(connection, path);
    }
    std::optional<bool> set_before(const std::string &connection, std::size_t path) override
    {
        return plane_.set_before(connection, path);
    }
    base::Result<void> commit() override;
    void settle() override { plane_.settle(); }
    bool send_from(const base::Endpoint &local, const std::string &interface, const base::Endpoint &to,
                   base::ConstOctets datagram) override
    {
        return plane_.send_from(local, interface, to, datagram);
    }
    service::PathState path_state(const std::string &connection, std::size_t path) override;
    service::ConnectionStatistics statistics(const std::string &connection) override;
    service::Counters tunnel_statistics(const std::string &tunnel) override;

private:
    // By the names that they have in the store.
    using Sockets = std::map<std::string, int>;
    Sockets sockets() const;
    void keep_sockets();
    // Lets go of sockets that are closed, and of those from before with these numbers, and waits until that is done;
    // false if there are none.
    bool free_ports(const std::vector<std::uint64_t> &closed);

    plane::Plane &plane_;
    sys::DescriptorStore &store_;
    std::optional<sys::Timer> more_;                 // to be kept
    std::optional<std::vector<std::uint64_t>> kept_; // the numbers of the sockets, if the store has just these
    bool committed_ = false;                         // before, what is kept is what the process before this one had
};

// The control port, of both IP versions where the kernel has them. Its sockets are kept over a restart, so that nobody
// takes the port meanwhile.
class UdpControlPort final : public service::ControlPort {
public:
    // kAddressInUse if another program has the port.
    static base::Result<UdpControlPort> open(std::uint16_t port, sys::DescriptorStore &store);
    // Of its sockets in the store.
    static std::set<std::string> names();

    base::Result<void> send(const base::Address &local, const std::string &interface, const base::Endpoint &peer,
                            base::ConstOctets octets) override;

    std::vector<plane::ControlSocket> &sockets() noexcept { return sockets_; }

private:
    std::vector<plane::ControlSocket> sockets_;
};

} // namespace mpt
