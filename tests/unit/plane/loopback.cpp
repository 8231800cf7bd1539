// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/plane/loopback.hpp"

#include "daemon/plane/connection.hpp"
#include "daemon/plane/tunnel.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstdlib>
#include <fmt/format.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

namespace mpt::plane {

namespace {

constexpr std::uint32_t kFlowWindow = 64;

void enlarge_buffer(int fd)
{
    const int size = 8 << 20;
    EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size), 0);
}

std::string receive_from(int fd)
{
    pollfd ready{fd, POLLIN, 0};
    if (poll(&ready, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())) != 1)
        return "";
    std::string octets(70000, '\0');
    const ssize_t size = recv(fd, octets.data(), octets.size(), MSG_DONTWAIT);
    octets.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    return octets;
}

std::string big_endian(std::uint32_t value)
{
    const std::uint32_t octets = htonl(value);
    return std::string(reinterpret_cast<const char *>(&octets), sizeof octets);
}

std::uint64_t count_of(const DropCounters &drops, std::string_view wanted)
{
    std::uint64_t found = 0;
    drops.visit([&](std::string_view reason, std::uint64_t count) {
        if (reason == wanted)
            found = count;
    });
    return found;
}

} // namespace

base::Endpoint endpoint(const char *address, std::uint16_t port)
{
    return {base::Address::parse(address).value(), port};
}

std::string from_hex(std::string_view hex)
{
    std::string octets;
    for (std::size_t i = 0; i < hex.size(); i += 2)
        octets += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
    return octets;
}

std::string inner_packet(std::uint32_t content, unsigned number)
{
    // RFC 791 section 3.1; the header checksum is left out, for nobody asks for it here.
    const auto n = static_cast<unsigned char>(number);
    return from_hex(fmt::format("450000640000400040fd00000a00{:02x}020a00{:02x}03", n, n)) + big_endian(content) +
           std::string(76, static_cast<char>(content));
}

std::string inner_answer(std::uint32_t content, unsigned number)
{
    std::string packet = inner_packet(content, number);
    std::swap_ranges(packet.begin() + 12, packet.begin() + 16, packet.begin() + 16);
    return packet;
}

std::string gre(std::uint32_t sequence, const std::string &packet)
{
    return from_hex("10000800") + big_endian(sequence) + packet;
}

UdpPeer::UdpPeer(const base::Endpoint &local)
    : fd_(socket(local.address.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0))
{
    enlarge_buffer(fd_.get());
    const sys::SocketAddress address(local, 0);
    EXPECT_EQ(bind(fd_.get(), &address.any, address.length), 0);
}

void UdpPeer::send(const std::string &datagram, const base::Endpoint &to) const
{
    const sys::SocketAddress address(to, 0);
    EXPECT_EQ(sendto(fd_.get(), datagram.data(), datagram.size(), 0, &address.any, address.length),
              static_cast<ssize_t>(datagram.size()));
}

std::string UdpPeer::receive() const
{
    return receive_from(fd_.get());
}

TunEnd::TunEnd(const std::string &interface) : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0))
{
    enlarge_buffer(fd_.get());
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_IP);
    address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address), 0);
}

void TunEnd::send(const std::string &packet) const
{
    EXPECT_EQ(::send(fd_.get(), packet.data(), packet.size(), 0), static_cast<ssize_t>(packet.size()));
}

std::string TunEnd::receive() const
{
    return receive_from(fd_.get());
}

bool TunEnd::has_nothing() const
{
    pollfd ready{fd_.get(), POLLIN, 0};
    return poll(&ready, 1, 0) == 0;
}

Flow::Flow(const std::string &from, const std::string &to, unsigned number)
    : number_(number), from_(from), to_(to), thread_([this] { run(); })
{
}

Flow::~Flow()
{
    stop();
}

std::string Flow::receive() const
{
    const std::string addresses = inner_packet(0, number_).substr(12, 8);
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < end) {
        std::string packet = to_.receive();
        if (packet.size() > 20 && packet.compare(12, 8, addresses) == 0)
            return packet;
    }
    return "";
}

void Flow::run()
{
    std::uint32_t sent = 0;
    std::uint32_t received = 0;
    while (!stops_ || received < sent) {
        while (!stops_ && sent - received < kFlowWindow)
            from_.send(inner_packet(sent++, number_));
        if (received == sent)
            continue;
        const std::string packet = receive();
        if (packet != inner_packet(received, number_)) {
            wrong_ = packet.empty() ? fmt::format("packet {} is lost", received)
                                    : fmt::format("another packet than {} came out", received);
            break;
        }
        delivered_ = ++received;
    }
    ended_ = true;
}

void Flow::wait_for(std::uint32_t packets) const
{
    // What is on its way now had gone in before the call.
    const std::uint32_t enough = delivered_ + kFlowWindow + packets;
    wait_until([&] { return ended_ || delivered_ >= enough; }, "packets");
}

std::string Flow::stop()
{
    stops_ = true;
    if (thread_.joinable())
        thread_.join();
    return wrong_;
}

void LoopbackTest::SetUp()
{
    if (geteuid() != 0) {
        if (std::getenv("CI") != nullptr)
            FAIL() << "this test needs root";
        GTEST_SKIP() << "this test needs root";
    }
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    ASSERT_EQ(std::system("ip link set lo mtu 1500 up && for i in 1 2 3 4; do ip address add 10.7.0.$i/24 dev lo; done "
                          "&& ip address add fd07::1/64 dev lo nodad"),
              0);
    // The kernel makes the route of an IPv6 address after it has answered.
    wait_until([] { return std::system("ip -6 route show table local | grep -q fd07::1") == 0; }, "fd07::1 is local");
}

std::unique_ptr<Plane> PlaneTest::start(std::initializer_list<std::string> tunnels, unsigned workers)
{
    auto plane = Plane::start(workers).value();
    for (const std::string &name : tunnels)
        add_tunnel(*plane, name);
    return plane;
}

void PlaneTest::add_tunnel(Plane &plane, const std::string &name)
{
    const auto added = plane.add_tunnel(name);
    ASSERT_TRUE(added) << added.error().text;
    ASSERT_EQ(std::system(fmt::format("ip link set {0} mtu 1400 addrgenmode none && ip link set {0} up", name).c_str()),
              0);
}

core::PathParameters PlaneTest::path(const char *local, const char *remote, std::uint16_t weight)
{
    core::PathParameters path;
    path.interface = "lo";
    path.local = endpoint(local, kPort);
    path.remote = endpoint(remote, kPort);
    path.weight = weight;
    return path;
}

core::ConnectionParameters PlaneTest::connection(const std::string &tunnel, std::vector<core::PathParameters> paths,
                                                 unsigned number)
{
    core::ConnectionParameters parameters;
    parameters.name = fmt::format("connection{}", number);
    parameters.tunnel = tunnel;
    parameters.mtu = 1400;
    parameters.local = base::Address::parse(fmt::format("10.0.{}.2", number)).value();
    parameters.remote = base::Address::parse(fmt::format("10.0.{}.3", number)).value();
    parameters.paths = std::move(paths);
    return parameters;
}

core::ConnectionParameters PlaneTest::mirrored(core::ConnectionParameters parameters, const std::string &tunnel)
{
    parameters.tunnel = tunnel;
    std::swap(parameters.local, parameters.remote);
    for (core::PathParameters &path : parameters.paths)
        std::swap(path.local, path.remote);
    return parameters;
}

void PlaneTest::open(Plane &plane, const core::ConnectionParameters &parameters)
{
    plane.set_connection(parameters);
    for (std::size_t i = 0; i < parameters.paths.size(); ++i) {
        const auto opened = plane.open_path(parameters.name, i);
        ASSERT_TRUE(opened) << opened.error().text;
    }
    commit(plane, parameters.name);
}

void PlaneTest::commit(Plane &plane, const std::string &added)
{
    const auto committed = plane.commit();
    ASSERT_TRUE(committed) << committed.error().text;
    const auto connection = find(plane, added);
    wait_until([&] { return connection->paths[0].status != core::PathStatus::kDisabled; }, "the connection is there");
}

std::shared_ptr<Connection> PlaneTest::find(const Plane &plane, const std::string &name)
{
    std::shared_ptr<Connection> found;
    plane.visit_connections([&](const ConnectionEntry &entry) {
        if (entry.parameters.name == name)
            found = entry.connection;
    });
    return found;
}

std::uint64_t PlaneTest::packets_out(const Plane &plane, const std::string &name, std::size_t path)
{
    return find(plane, name)->paths[path].counters.packets_out.get();
}

std::uint64_t PlaneTest::connection_drops(const Plane &plane, const std::string &name, std::string_view reason)
{
    const auto connection = find(plane, name);
    std::uint64_t sum = count_of(connection->drops, reason);
    for (const Path &path : connection->paths)
        sum += count_of(path.counters.drops, reason);
    return sum;
}

std::uint64_t PlaneTest::tunnel_drops(const Plane &plane, const std::string &name, std::string_view reason)
{
    std::uint64_t sum = 0;
    plane.visit_tunnels([&](const Tunnel &tunnel) {
        if (tunnel.tun.name() == name)
            sum += count_of(tunnel.drops, reason);
    });
    return sum;
}

std::uint64_t PlaneTest::socket_drops(const Plane &plane, std::string_view reason)
{
    std::uint64_t sum = 0;
    plane.visit_sockets([&](const std::string &, const UdpSocket &socket) { sum += count_of(socket.drops, reason); });
    return sum;
}

void PlaneTest::expect_event(Plane &plane, const std::string &name, std::uint32_t path, core::PathStatus to,
                             core::StatusReason reason)
{
    bool came = false;
    while (!came) {
        pollfd ready{plane.events_fd(), POLLIN, 0};
        ASSERT_EQ(poll(&ready, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())), 1)
            << "no event of path " << path;
        const auto taken = plane.take_events([&](const std::string &of, const PathEvent &event) {
            const auto *change = std::get_if<core::StatusChange>(&event.what);
            came = came || (of == name && event.path == path && change != nullptr && change->to == to &&
                            change->reason == reason);
        });
        ASSERT_TRUE(taken) << taken.error().text;
    }
}

} // namespace mpt::plane
