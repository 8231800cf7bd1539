// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/plane/plane.hpp"

#include <atomic>
#include <chrono>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <thread>

namespace mpt::plane {

inline constexpr std::chrono::seconds kPatience{20}; // for what comes in milliseconds; nothing is measured with it
inline constexpr std::uint16_t kPort = 4000;         // of the paths

base::Endpoint endpoint(const char *address, std::uint16_t port);

// Calls `condition` until it is true; the test fails if it stays false.
template <typename Condition> void wait_until(Condition condition, const char *what)
{
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
        ASSERT_LT(std::chrono::steady_clock::now(), end) << "it did not happen: " << what;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

std::string from_hex(std::string_view hex);
// An IPv4 packet from 10.0.N.2 to 10.0.N.3, N as `number`, of a protocol (253, RFC 3692) that the kernel cannot join or
// split; `content` makes it differ from others.
std::string inner_packet(std::uint32_t content, unsigned number = 0);
// One from 10.0.N.3 to 10.0.N.2, as the peer of that connection sends it.
std::string inner_answer(std::uint32_t content, unsigned number = 0);
// The datagram of a packet (RFC 2784, RFC 2890).
std::string gre(std::uint32_t sequence, const std::string &packet);

// An ordinary UDP socket of another program.
class UdpPeer {
public:
    explicit UdpPeer(const base::Endpoint &local);

    void send(const std::string &datagram, const base::Endpoint &to) const;
    // The next datagram; "" if none comes.
    std::string receive() const;
    int fd() const { return fd_.get(); }

private:
    sys::FileDescriptor fd_;
};

// The host's side of a tunnel interface, seen by a packet socket (packet(7)). Only IPv4 packets are seen.
class TunEnd {
public:
    explicit TunEnd(const std::string &interface);

    // The packet leaves the host by the interface.
    void send(const std::string &packet) const;
    // The next packet that came by the interface; "" if none comes.
    std::string receive() const;
    bool has_nothing() const;

private:
    sys::FileDescriptor fd_;
};

// Packets from 10.0.N.2 to 10.0.N.3 that go in at one tunnel interface and come out at another all the time, never so
// many on their way that a queue has to drop some. Each must come out, in order.
class Flow {
public:
    Flow(const std::string &from, const std::string &to, unsigned number = 0);
    Flow(const Flow &) = delete;
    ~Flow();

    // So many packets have gone in and come out since the call, or something is wrong.
    void wait_for(std::uint32_t packets) const;
    // Lets what is on its way come out; "" if nothing was lost, changed or in the wrong place, else what was.
    std::string stop();

private:
    void run();
    // The next packet of this flow; "" if none comes.
    std::string receive() const;

    unsigned number_;
    TunEnd from_;
    TunEnd to_;
    std::atomic<bool> stops_{false};
    std::atomic<std::uint32_t> delivered_{0};
    std::atomic<bool> ended_{false};
    std::string wrong_;
    std::thread thread_;
};

// A test in a network namespace of its own, where only a loopback interface of MTU 1500 is, set up with 10.7.0.1 to
// 10.7.0.4 and fd07::1. Without root the test is skipped.
class LoopbackTest : public ::testing::Test {
protected:
    void SetUp() override;
};

// With planes, their tunnel interfaces, and what is asked of them.
class PlaneTest : public LoopbackTest {
protected:
    // A plane with these tunnels, which are up.
    static std::unique_ptr<Plane> start(std::initializer_list<std::string> tunnels, unsigned workers = 1);
    static void add_tunnel(Plane &plane, const std::string &name);

    // A path over lo without keepalives.
    static core::PathParameters path(const char *local, const char *remote, std::uint16_t weight = 1);
    // Between 10.0.N.2 and 10.0.N.3, N as `number`, without reorder window.
    static core::ConnectionParameters connection(const std::string &tunnel, std::vector<core::PathParameters> paths,
                                                 unsigned number = 0);
    // The same connection as its peer has it, on another tunnel.
    static core::ConnectionParameters mirrored(core::ConnectionParameters parameters, const std::string &tunnel);
    // Commits, and waits until the worker knows the connection, if it is a new one with a path that works.
    static void commit(Plane &plane, const std::string &added);
    // Sets the connection, opens its paths and commits.
    static void open(Plane &plane, const core::ConnectionParameters &parameters);

    // Null if there is none of that name.
    static std::shared_ptr<Connection> find(const Plane &plane, const std::string &name);
    static std::uint64_t packets_out(const Plane &plane, const std::string &name, std::size_t path);
    // How often packets were dropped for that reason: of a connection and its paths, of a tunnel, of all sockets.
    static std::uint64_t connection_drops(const Plane &plane, const std::string &name, std::string_view reason);
    static std::uint64_t tunnel_drops(const Plane &plane, const std::string &name, std::string_view reason);
    static std::uint64_t socket_drops(const Plane &plane, std::string_view reason);

    // Takes events until this one has come.
    static void expect_event(Plane &plane, const std::string &name, std::uint32_t path, core::PathStatus to,
                             core::StatusReason reason);
};

} // namespace mpt::plane
