// SPDX-License-Identifier: GPL-3.0-or-later
// The sockets of paths, and those of another process that they may use.
#include "daemon/plane/plane.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <net/if.h>
#include <utility>

namespace mpt::plane {

namespace {

// Connected sockets of a local address and port: before Linux 6.13 the kernel looks through them one by one for each
// datagram that comes. What has none is told apart here, by a hash.
constexpr std::size_t kMaxConnected = 32;

} // namespace

base::Result<std::shared_ptr<UdpSocket>> Plane::listen(const base::Endpoint &local, const std::string &interface,
                                                       std::size_t worker)
{
    ListenRecord &record = listening_[{local, interface}];
    if (auto socket = record.socket.lock(); socket && socket->scope() == if_nametoindex(interface.c_str())) {
        if (record.worker != worker)
            return base::fail(
                base::ErrorCode::kInvalidConfig,
                fmt::format("UDP {} on {} serves a tunnel of another worker: use another local_port, or set "
                            "workers = 1 in interface.conf",
                            local.to_string(), interface));
        return socket;
    }
    if (auto spare = find_spare(local, interface, std::nullopt)) {
        record = {spare, worker, {}};
        return spare;
    }
    auto socket = UdpSocket::listen(local, interface);
    if (!socket && socket.error().code == base::ErrorCode::kAddressInUse) {
        settle(); // a worker may just be about to close the one that was there before
        socket = UdpSocket::listen(local, interface);
    }
    if (socket)
        record = {*socket, worker, {}};
    return socket;
}

std::shared_ptr<UdpSocket> Plane::connect(const core::PathParameters &path)
{
    if (path.peer().address.is_unspecified())
        return nullptr;
    std::vector<std::weak_ptr<UdpSocket>> &connected = listening_.at({path.local, path.interface}).connected;
    std::erase_if(connected, [](const auto &socket) { return socket.expired(); });
    if (connected.size() >= kMaxConnected)
        return nullptr;
    auto socket = find_spare(path.local, path.interface, path.peer());
    if (!socket)
        socket = UdpSocket::connect(path.local, path.interface, path.peer()).value_or(nullptr);
    if (socket)
        connected.push_back(socket);
    return socket;
}

bool Plane::add_spare_socket(sys::FileDescriptor socket)
{
    const auto place = UdpSocket::place_of(socket.get());
    return place && spare_.try_emplace(*place, std::move(socket)).second;
}

std::vector<std::uint64_t> Plane::close_spare_sockets_of(std::uint16_t port)
{
    return close_spare_sockets_if([&](const UdpSocketPlace &place) { return place.local.port == port; });
}

std::vector<std::uint64_t> Plane::close_spare_sockets_of(const std::string &connection, std::size_t path)
{
    const ConnectionEntry *entry = find(connection);
    if (entry == nullptr || path >= entry->parameters.paths.size())
        return {};
    const core::PathParameters &parameters = entry->parameters.paths[path];
    const unsigned scope = if_nametoindex(parameters.interface.c_str());
    return close_spare_sockets_if(
        [&](const UdpSocketPlace &place) { return place.local == parameters.local && place.scope == scope; });
}

std::vector<std::uint64_t>
Plane::close_spare_sockets_if(const std::function<bool(const UdpSocketPlace &)> &is_in_the_way)
{
    std::vector<std::uint64_t> closed;
    std::erase_if(spare_, [&](const auto &spare) {
        if (!is_in_the_way(spare.first))
            return false;
        closed.push_back(UdpSocket::cookie_of(spare.second.get()));
        return true;
    });
    return closed;
}

std::shared_ptr<UdpSocket> Plane::find_spare(const base::Endpoint &local, const std::string &interface,
                                             const std::optional<base::Endpoint> &remote)
{
    if (spare_.empty())
        return nullptr;
    auto found = spare_.extract({local, if_nametoindex(interface.c_str()), remote});
    return found.empty() ? nullptr : UdpSocket::adopt(std::move(found.mapped()), found.key());
}

void Plane::visit_path_sockets(const std::function<void(const UdpSocket &)> &callback) const
{
    visit_connections([&](const ConnectionEntry &connection) {
        for (const PathLink &link : connection.links)
            for (const auto &socket : {link.listening, link.connected})
                if (socket)
                    callback(*socket);
    });
}

bool Plane::send_from(const base::Endpoint &local, const std::string &interface, const base::Endpoint &to,
                      base::ConstOctets datagram) const
{
    const auto found = listening_.find({local, interface});
    const auto socket = found == listening_.end() ? nullptr : found->second.socket.lock();
    if (!socket)
        return false;
    const sys::SocketAddress remote(to, socket->scope());
    return socket->send(datagram, &remote);
}

} // namespace mpt::plane
