// SPDX-License-Identifier: GPL-3.0-or-later
// A plane goes on where another one has ended, with the descriptors and the state that it has left.
#include "daemon/plane/connection.hpp"
#include "daemon/plane/kept_state.hpp"
#include "daemon/plane/tunnel.hpp"
#include "daemon/sys/clock.hpp"
#include "daemon/sys/memory_file.hpp"

#include "tests/unit/plane/loopback.hpp"

#include <atomic>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace mpt::plane {
namespace {

using namespace std::chrono_literals;
using core::PathStatus;

// Identifies what a descriptor is of.
ino_t inode(int fd)
{
    struct stat status {};
    fstat(fd, &status);
    return status.st_ino;
}

// Holds up the worker, of which there is one in this process, wherever it is.
class HeldWorker {
public:
    HeldWorker()
    {
        EXPECT_EQ(pipe2(pipe_, O_CLOEXEC), 0);
        struct sigaction action {};
        action.sa_handler = [](int) {
            is_held_ = true;
            char octet = 0;
            [[maybe_unused]] const ssize_t size = read(pipe_[0], &octet, 1);
            is_held_ = false;
        };
        sigaction(SIGUSR1, &action, nullptr);
        for (const auto &task : std::filesystem::directory_iterator("/proc/self/task")) {
            std::string name;
            std::ifstream comm(task.path() / "comm");
            if (std::getline(comm, name) && name == "mptd-worker")
                tgkill(getpid(), std::stoi(task.path().filename()), SIGUSR1);
        }
        wait_until([] { return is_held_.load(); }, "the worker is held up");
    }
    HeldWorker(const HeldWorker &) = delete;
    ~HeldWorker()
    {
        close(pipe_[1]);
        wait_until([] { return !is_held_; }, "the worker goes on");
        close(pipe_[0]);
    }

private:
    static inline int pipe_[2];
    static inline std::atomic<bool> is_held_ = false;
};

// A host whose plane may be replaced as that of a process that is started anew.
class Side {
public:
    Side(std::string tunnel, core::ConnectionParameters parameters)
        : tunnel_(std::move(tunnel)), parameters_(std::move(parameters)),
          memory_(sys::MemoryFile::create("test", KeptState::kSize).value())
    {
        state_ = std::make_unique<KeptState>(memory_.octets(), sys::now());
        plane_ = Plane::start(1).value();
        plane_->keep_state(*state_);
    }

    Plane &plane() { return *plane_; }
    KeptState &state() { return *state_; }
    // What a process that followed now would find. This one must not go on.
    KeptConnection left(const core::ConnectionParameters &parameters)
    {
        state_->confirm(sys::now());
        return KeptState(memory_.octets(), sys::now()).take(parameters).before;
    }
    const core::ConnectionParameters &parameters() const { return parameters_; }
    core::ConnectionParameters &parameters() { return parameters_; }

    // The sockets that the paths use, by inode.
    std::map<ino_t, sys::FileDescriptor> sockets() const
    {
        std::map<ino_t, sys::FileDescriptor> found;
        plane_->visit_path_sockets([&](const UdpSocket &socket) {
            found.try_emplace(inode(socket.fd()), fcntl(socket.fd(), F_DUPFD_CLOEXEC, 0));
        });
        return found;
    }

    // `more`: other sockets that were kept.
    void replace(std::vector<sys::FileDescriptor> more = {})
    {
        sys::FileDescriptor tun(fcntl(plane_->find_tunnel(tunnel_)->tun.fd(), F_DUPFD_CLOEXEC, 0));
        for (auto &[number, fd] : sockets())
            more.push_back(std::move(fd));
        state_->confirm(sys::now());
        plane_.reset();
        state_ = std::make_unique<KeptState>(memory_.octets(), sys::now());
        plane_ = Plane::start(1).value();
        plane_->keep_state(*state_);
        for (sys::FileDescriptor &fd : more)
            plane_->add_spare_socket(std::move(fd));
        ASSERT_TRUE(plane_->adopt_tunnel(tunnel_, std::move(tun)));
        for (core::PathParameters &path : parameters_.paths)
            path.learned.reset();
        plane_->set_connection(parameters_);
        for (std::size_t i = 0; i < parameters_.paths.size(); ++i)
            parameters_.paths[i].learned = plane_->learned_before(parameters_.name, i);
        plane_->set_connection(parameters_);
        for (std::size_t i = 0; i < parameters_.paths.size(); ++i)
            ASSERT_TRUE(plane_->open_path(parameters_.name, i));
        ASSERT_TRUE(plane_->commit());
        plane_->close_spare_sockets();
    }

private:
    std::string tunnel_;
    core::ConnectionParameters parameters_;
    sys::MemoryFile memory_;
    std::unique_ptr<KeptState> state_;
    std::unique_ptr<Plane> plane_;
};

class TakeoverTest : public PlaneTest {
protected:
    void SetUp() override
    {
        PlaneTest::SetUp();
        if (IsSkipped() || HasFatalFailure())
            return;
        core::ConnectionParameters parameters =
            connection("tuna", {path("10.7.0.1", "10.7.0.2", 2), path("10.7.0.3", "10.7.0.4", 1)});
        parameters.reorder_window = 1000;
        parameters.max_buffer_delay = 60s; // what is waited for in vain is waited for longer than the test lasts
        for (core::PathParameters &path : parameters.paths) {
            path.keepalive = 20ms;
            path.dead = 10s;
        }
        a.emplace("tuna", parameters);
        b.emplace("tunb", mirrored(parameters, "tunb"));
        add_tunnel(a->plane(), "tuna");
        add_tunnel(b->plane(), "tunb");
        open(b->plane(), b->parameters());
        open(a->plane(), a->parameters());
    }

    std::optional<Side> a, b;
};

TEST_F(TakeoverTest, TheSenderGoesOnAndNobodyNotices)
{
    Flow flow("tuna", "tunb");
    for (int round = 0; round < 10; ++round) {
        flow.wait_for(500);
        a->replace();
    }
    flow.wait_for(500);
    EXPECT_EQ(flow.stop(), "");
    const auto at_b = find(b->plane(), "connection0");
    EXPECT_EQ(at_b->reorder_counters.lost.get(), 0U);
    EXPECT_EQ(at_b->reorder_counters.restarts.get(), 0U);
    EXPECT_EQ(at_b->reorder_counters.jumps.get(), 0U);
}

TEST_F(TakeoverTest, TheReceiverGoesOnAndNothingIsLost)
{
    constexpr std::uint32_t window = 200; // on their way at most
    const TunEnd in("tuna");
    const TunEnd out("tunb");
    std::set<std::string> missing;
    std::uint32_t sent = 0;
    for (int round = 0; round < 10; ++round) {
        // It is replaced while packets are on their way. Order is not to be expected then, but that each comes.
        for (std::uint32_t end = sent + 1000; sent != end || !missing.empty();) {
            if (sent != end && missing.size() < window) {
                in.send(inner_packet(sent));
                missing.insert(inner_packet(sent++));
                if (end - sent == 500)
                    b->replace();
                continue;
            }
            const std::string packet = out.receive();
            ASSERT_NE(packet, "") << missing.size() << " packets are lost";
            const bool is_ours = packet.compare(12, 8, inner_packet(0), 12, 8) == 0;
            ASSERT_EQ(missing.erase(packet), is_ours ? 1U : 0U) << "twice";
        }
    }
}

TEST_F(TakeoverTest, TheReceiverKnowsWhichPacketIsNext)
{
    const TunEnd in("tuna");
    const TunEnd out("tunb");
    for (std::uint32_t i = 0; i < 100; ++i) {
        if (i % 20 == 10)
            b->replace();
        in.send(inner_packet(i));
        ASSERT_EQ(out.receive(), inner_packet(i)); // or it would wait for what may come by the other path
    }
}

TEST_F(TakeoverTest, APeerThatWasFoundIsServedBeforeItSpeaksAgain)
{
    const base::Endpoint client = endpoint("10.7.0.2", kPort);
    core::ConnectionParameters server = connection("tuna", {path("10.7.0.1", "0.0.0.0")});
    server.keepalive_key = proto::ControlKey::parse(std::string(64, '1')).value();
    server.paths[0].keepalive = 20ms;
    server.paths[0].dead = 60s;
    server.paths[0].status = PathStatus::kDead;
    core::ConnectionParameters mirror = mirrored(server, "tunb");
    mirror.paths[0].local = client;
    mirror.paths[0].remote = endpoint("10.7.0.1", kPort);
    a.reset();
    b.reset();
    a.emplace("tuna", server);
    b.emplace("tunb", mirror);
    add_tunnel(a->plane(), "tuna");
    add_tunnel(b->plane(), "tunb");
    open(a->plane(), a->parameters());
    open(b->plane(), b->parameters());
    const auto has_moved = [&] {
        bool moved = false;
        EXPECT_TRUE(a->plane().take_events([&](const std::string &, const PathEvent &event) {
            moved = moved || std::holds_alternative<PathMoved>(event.what);
        }));
        return moved;
    };
    wait_until(has_moved, "the client is found");
    const core::LearnedPeer learned{client, base::Instant(1s)}; // of which the worker knows nothing by itself
    a->parameters().paths[0].learned = learned;
    open(a->plane(), a->parameters());
    a->plane().remove_connection("connection0"); // and is started again, as by `mpt restart`
    open(a->plane(), a->parameters());
    a->plane().settle();
    wait_until([&] { return find(a->plane(), "connection0")->paths[0].status == PathStatus::kUp; }, "it lives");
    a->plane().settle();
    EXPECT_EQ(a->left(a->parameters()).paths[0]->learned, learned);
    b.reset();
    ASSERT_FALSE(HasFailure());

    const UdpPeer silent(client);
    const TunEnd tunnel("tuna");
    for (std::uint32_t round = 0; round < 2; ++round) {
        a->replace();
        EXPECT_EQ(a->parameters().paths[0].learned, learned) << "not when the process began";
        wait_until([&] { return find(a->plane(), "connection0")->paths[0].status == PathStatus::kUp; }, "it lives");
        tunnel.send(inner_packet(round));
        std::string datagram;
        do // keepalives, too
            ASSERT_NE(datagram = silent.receive(), "");
        while (!datagram.ends_with(inner_packet(round)));
    }
    // Forgotten, as when it has been silent for long.
    a->parameters().paths[0].learned.reset();
    open(a->plane(), a->parameters());
    a->plane().settle();
    a->replace();
    EXPECT_EQ(a->parameters().paths[0].learned, std::nullopt);
    a->plane().settle();
    EXPECT_EQ(find(a->plane(), "connection0")->paths[0].status, PathStatus::kDead);
}

TEST_F(TakeoverTest, AConnectionWithAnotherKeyGoesOnAsWhatItIs)
{
    const TunEnd in("tuna");
    const TunEnd out("tunb");
    in.send(inner_packet(0));
    ASSERT_EQ(out.receive(), inner_packet(0));
    a->parameters().keepalive_key = proto::ControlKey::parse(std::string(64, '1')).value();
    a->plane().set_connection(a->parameters()); // while it runs
    ASSERT_TRUE(a->plane().commit());
    a->plane().settle();
    a->replace();
    EXPECT_EQ(find(a->plane(), "connection0")->before().next_to_send, 1U);
    a->parameters().keepalive_key = proto::ControlKey::parse(std::string(64, '2')).value();
    a->replace();
    EXPECT_EQ(find(a->plane(), "connection0")->before().next_to_send, std::nullopt);
}

TEST_F(TakeoverTest, ASlotIsAnothersOnceTheWorkerHasLetGoOfIt)
{
    b.reset(); // there is one worker left
    const auto further = [](unsigned number) { return connection("tuna", {path("10.7.0.1", "10.7.0.2")}, number); };
    const auto wait_for = [&](const char *name) {
        wait_until([&] { return find(a->plane(), name)->paths[0].status != PathStatus::kDisabled; }, name);
        a->plane().settle();
    };
    {
        const HeldWorker held;
        a->plane().remove_connection("connection0");
        ASSERT_TRUE(a->plane().commit());
        core::ConnectionParameters other;
        for (unsigned i = 0; a->state().take(other).slot != nullptr; ++i) // all other slots
            other.name = std::to_string(i);
        a->plane().set_connection(further(1));
        ASSERT_TRUE(a->plane().commit());
    }
    wait_for("connection1");
    a->plane().set_connection(further(2));
    ASSERT_TRUE(a->plane().commit());
    wait_for("connection2");
    EXPECT_FALSE(a->left(a->parameters()).paths[0]);
    EXPECT_FALSE(a->left(further(1)).paths[0]) << "there was no free slot";
    EXPECT_TRUE(a->left(further(2)).paths[0]);
}

TEST_F(TakeoverTest, ATunThatWouldWaitIsMadeNotTo)
{
    const auto before = Tun::open("tunc");
    ASSERT_TRUE(before);
    sys::FileDescriptor kept(fcntl(before->fd(), F_DUPFD_CLOEXEC, 0));
    ASSERT_EQ(fcntl(kept.get(), F_SETFL, fcntl(kept.get(), F_GETFL) & ~O_NONBLOCK), 0);
    const auto now = Tun::adopt(std::move(kept), "tunc");
    ASSERT_TRUE(now);
    EXPECT_NE(fcntl(now->fd(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(TakeoverTest, SocketsAreUsedAgainIfTheyAreWhereTheyShouldBe)
{
    const auto before = a->sockets();
    ASSERT_EQ(before.size(), 4U); // a listening and a connected one a path
    const UdpPeer stranger(endpoint("10.7.0.1", 4711));
    const int size = 4711;
    for (const auto &[number, fd] : before)
        ASSERT_EQ(setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
    a->parameters().paths[1].remote = endpoint("10.7.0.2", kPort); // path 1 goes elsewhere
    std::vector<sys::FileDescriptor> others;
    others.emplace_back(fcntl(stranger.fd(), F_DUPFD_CLOEXEC, 0)); // not of any path
    others.emplace_back(::open("/dev/null", O_RDWR | O_CLOEXEC));
    others.emplace_back(socket(AF_INET, SOCK_STREAM, 0));
    a->replace(std::move(others));
    std::size_t same = 0;
    for (const auto &[number, fd] : a->sockets()) {
        same += before.contains(number) ? 1 : 0;
        int now = 0;
        socklen_t length = sizeof now;
        ASSERT_EQ(getsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &now, &length), 0);
        EXPECT_GT(now, 1 << 20) << "the options are set again";
    }
    EXPECT_EQ(a->sockets().size(), 4U);
    EXPECT_EQ(same, 3U); // all but the connected one of path 1
}

TEST_F(TakeoverTest, WhatWasKnownOfThePathsIsKnown)
{
    wait_until([&] { return find(b->plane(), "connection0")->paths[1].last_keepalive.load() != base::Instant{}; },
               "keepalives come");
    b->plane().set_path("connection0", 1, false);
    ASSERT_TRUE(b->plane().commit());
    b->plane().settle();
    b.reset(); // silent, so that nothing but the state tells of the paths
    a->parameters().paths[0].status = a->parameters().paths[1].status = PathStatus::kDead;
    a->plane().set_path("connection0", 0, false);
    ASSERT_TRUE(a->plane().commit());
    a->plane().settle();
    a->replace();
    a->plane().settle();
    const auto now = find(a->plane(), "connection0");
    EXPECT_EQ(now->paths[1].status, PathStatus::kUp) << "it was alive a moment ago";
    EXPECT_EQ(now->before().paths[0]->by_hand, false);
    EXPECT_EQ(a->plane().set_before("connection0", 0), false);
    EXPECT_EQ(a->plane().set_before("connection0", 1), std::nullopt);
    // It was known of this path alone.
    a->parameters().paths[1].remote = endpoint("10.7.0.2", kPort);
    a->replace();
    a->plane().settle();
    EXPECT_EQ(find(a->plane(), "connection0")->paths[1].status, PathStatus::kDead);
}

} // namespace
} // namespace mpt::plane
