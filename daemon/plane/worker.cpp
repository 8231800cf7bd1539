// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/worker.hpp"

#include "daemon/plane/connection.hpp"
#include "daemon/plane/tunnel.hpp"
#include "daemon/sys/capabilities.hpp"
#include "daemon/sys/clock.hpp"
#include "daemon/sys/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <pthread.h>
#include <sys/epoll.h>
#include <utility>

namespace mpt::plane {

namespace {

// How often a stalled tunnel tries again. Waiting for the socket to be writable would wait until half of its send
// buffer is free, and let the other paths run dry meanwhile.
constexpr base::Duration kRetry = std::chrono::microseconds(500);

constexpr std::size_t kMaxReadySockets = 64; // in one pass

// A deadline missed by so much means that the process did not run; then the sockets may be full of what came meanwhile.
// To read that takes less than the second bound, which keeps a busy worker from doing nothing else.
constexpr base::Duration kLate = std::chrono::milliseconds(10);
constexpr base::Duration kCatchUp = std::chrono::milliseconds(30);

constexpr base::Duration kNoMoreWaiting = std::chrono::hours(1); // longer than any packet waits for another

} // namespace

Worker::Worker(const Wakeup &control, Wakeup mailbox, Wakeup links, Wakeup stop, sys::EventLoop loop,
               sys::FileDescriptor sockets)
    : control_(control), events_(control), stun_answers_(control), mailbox_(std::move(mailbox)),
      links_(std::move(links)), stop_(std::move(stop)), loop_(std::move(loop)), sockets_(std::move(sockets)),
      state_(std::make_unique<ForwardingState>()), receiver_(events_, stun_answers_)
{
}

base::Result<std::unique_ptr<Worker>> Worker::start(const Wakeup &control)
{
    auto mailbox = Wakeup::create();
    auto links = Wakeup::create();
    auto stop = Wakeup::create();
    auto loop = sys::EventLoop::create();
    sys::FileDescriptor sockets(epoll_create1(EPOLL_CLOEXEC));
    if (!mailbox)
        return base::Failure(mailbox.error());
    if (!links)
        return base::Failure(links.error());
    if (!stop)
        return base::Failure(stop.error());
    if (!loop)
        return base::Failure(loop.error());
    if (!sockets.valid())
        return sys::system_failure(errno, "making an epoll descriptor");
    std::unique_ptr<Worker> worker(new Worker(control, std::move(*mailbox), std::move(*links), std::move(*stop),
                                              std::move(*loop), std::move(sockets)));
    if (auto prepared = worker->prepare(); !prepared)
        return base::Failure(prepared.error());
    worker->thread_ = std::thread([w = worker.get()] { w->run(); });
    pthread_setname_np(worker->thread_.native_handle(), "mptd-worker");
    return worker;
}

base::Result<void> Worker::prepare()
{
    auto mailbox = loop_.watch(mailbox_.fd(), EPOLLIN, [this](std::uint32_t) { adopt(); });
    auto links = loop_.watch(links_.fd(), EPOLLIN, [this](std::uint32_t) { on_links(); });
    auto stop = loop_.watch(stop_.fd(), EPOLLIN, [this](std::uint32_t) { loop_.exit(); });
    auto sockets = loop_.watch(sockets_.get(), EPOLLIN, [this](std::uint32_t) { receive(); });
    for (auto *source : {&mailbox, &links, &stop, &sockets})
        if (!*source)
            return base::Failure(source->error());
    mailbox_source_ = std::move(*mailbox);
    links_source_ = std::move(*links);
    stop_source_ = std::move(*stop);
    sockets_source_ = std::move(*sockets);
    return {};
}

Worker::~Worker()
{
    if (thread_.joinable()) {
        stop_.signal();
        thread_.join();
    }
    // What belongs to the loop goes before it; the control thread may keep the rest for a while.
    ++generation_;
    release(*state_);
}

void Worker::run()
{
    sys::drop_capabilities(); // what needs one, the control thread does
    if (!loop_.run())
        fail("a worker of the data plane has failed");
    else if (failure() == nullptr)
        release_held();
}

void Worker::fail(const char *why)
{
    failure_ = why;
    control_.signal();
    loop_.exit();
}

bool Worker::has_adopted(std::uint64_t number)
{
    const std::lock_guard lock(adoption_mutex_);
    return adopted_ >= number;
}

void Worker::wait_for_adoption(std::uint64_t number, base::Duration bound)
{
    std::unique_lock lock(adoption_mutex_);
    adoption_.wait_for(lock, bound, [this, number] { return adopted_ >= number || failure() != nullptr; });
}

// One pass over the sockets that are readable; false if none is.
bool Worker::receive()
{
    std::array<epoll_event, kMaxReadySockets> ready;
    const int count = epoll_wait(sockets_.get(), ready.data(), ready.size(), 0);
    if (count <= 0)
        return false;
    std::array<std::uint32_t, kMaxReadySockets> sockets;
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
        sockets[i] = static_cast<const UdpSocket *>(ready[i].data.ptr)->index;
    receiver_.run(*state_, std::span(sockets).first(static_cast<std::size_t>(count)), sys::now());
    for (const std::uint32_t index : receiver_.touched()) {
        Connection &connection = *state_->connections[index]->connection;
        connection.publish_reorder_counters();
        set_timer(connection);
    }
    return true;
}

void Worker::on_tunnel(Tunnel &tunnel, std::uint32_t events)
{
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        fail("a tunnel interface was removed from outside: restart mptd to make it again");
        return;
    }
    if (adoption_waits_) {
        tunnel.readable->disable(); // until the stalled tunnels have sent what waits, and the new state is there
        return;
    }
    const base::Instant now = sys::now();
    tunnel.sender.run(*state_, state_->tunnels[tunnel.index], now);
    if (tunnel.sender.take_too_big())
        events_.doubt_mtus();
    if (tunnel.sender.stalled()) {
        tunnel.readable->disable();
        tunnel.retry->set(now + kRetry);
    }
}

void Worker::on_retry(Tunnel &tunnel)
{
    const base::Instant now = sys::now();
    tunnel.sender.retry(now);
    if (tunnel.sender.take_too_big())
        events_.doubt_mtus();
    if (tunnel.sender.stalled()) {
        tunnel.retry->set(now + kRetry);
        return;
    }
    if (adoption_waits_)
        mailbox_.wake();
    else
        tunnel.readable->enable();
}

void Worker::on_links()
{
    links_.clear();
    answered_ = asked_.load();
    for (const auto &entry : state_->connections) {
        entry->connection->on_link_change(sys::now(), events_);
        set_timer(*entry->connection);
    }
}

void Worker::on_connection_deadline(Connection &connection)
{
    // Keepalives that have arrived count, even if this process stood still for long: then read all that waits first.
    const base::Instant start = sys::now();
    const bool late = start - connection.timer_deadline.value_or(start) > kLate;
    while (receive() && late && sys::now() - start < kCatchUp) {
    }
    const base::Instant now = sys::now();
    connection.timer_deadline.reset();
    receiver_.on_deadline(*connection.entry, now);
    connection.on_path_deadline(now, events_);
    connection.publish_reorder_counters();
    set_timer(connection);
}

void Worker::set_timer(Connection &connection)
{
    // A timer that is too early stays: it costs one call that finds nothing due, where to set it for each packet that
    // waits and is released would cost a system call each.
    const auto deadline = connection.deadline();
    if (!deadline || (connection.timer_deadline && *connection.timer_deadline <= *deadline))
        return;
    connection.timer_deadline = deadline;
    connection.timer->set(*deadline);
}

// Takes the newest forwarding state, unless datagrams of the present one still wait: then once they are gone.
void Worker::adopt()
{
    const bool stalled = std::any_of(state_->tunnels.begin(), state_->tunnels.end(),
                                     [](const TunnelEntry &entry) { return entry.tunnel->sender.stalled(); });
    if (stalled) {
        mailbox_.clear();
        adoption_waits_ = true;
        return;
    }
    if (adoption_waits_) {
        adoption_waits_ = false;
        for (const TunnelEntry &entry : state_->tunnels)
            entry.tunnel->readable->enable();
    }
    auto next = mailbox_.take();
    if (next == nullptr)
        return;
    ++generation_;
    for (std::size_t i = 0; i < next->sockets.size(); ++i)
        watch_socket(*next->sockets[i].socket, static_cast<std::uint32_t>(i));
    for (std::size_t i = 0; i < next->tunnels.size(); ++i)
        watch_tunnel(*next->tunnels[i].tunnel, i);
    auto previous = std::exchange(state_, std::move(next));
    for (std::uint32_t i = 0; i < state_->connections.size(); ++i) {
        const ConnectionEntry &entry = *state_->connections[i];
        entry.connection->sources.follow(state_->tunnels[entry.tunnel->index].table, i);
        apply(entry);
    }
    release(*previous);
    previous.reset(); // closes sockets
    {
        const std::lock_guard lock(adoption_mutex_);
        adopted_ = state_->number;
    }
    adoption_.notify_all();
}

void Worker::watch_socket(UdpSocket &socket, std::uint32_t index)
{
    if (socket.generation == 0) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = &socket;
        if (epoll_ctl(sockets_.get(), EPOLL_CTL_ADD, socket.fd(), &event) != 0)
            fail("a path's socket cannot be watched: too many of them, or no memory");
    }
    socket.index = index;
    socket.generation = generation_;
}

void Worker::watch_tunnel(Tunnel &tunnel, std::size_t index)
{
    tunnel.index = index;
    tunnel.generation = generation_;
    if (tunnel.readable)
        return;
    auto readable =
        loop_.watch(tunnel.tun.fd(), EPOLLIN, [this, &tunnel](std::uint32_t events) { on_tunnel(tunnel, events); });
    auto retry = loop_.make_timer([this, &tunnel] { on_retry(tunnel); });
    tunnel.readable.emplace(std::move(readable.value()));
    tunnel.retry.emplace(std::move(retry.value()));
}

void Worker::apply(const ConnectionEntry &entry)
{
    Connection &connection = *entry.connection;
    connection.generation = generation_;
    if (connection.entry == &entry)
        return;
    if (!connection.timer)
        connection.timer.emplace(loop_.make_timer([this, &connection] { on_connection_deadline(connection); }).value());
    receiver_.apply(entry, sys::now());
    connection.publish_reorder_counters();
    set_timer(connection);
}

// What waits for missing packets goes to the tunnels, or it would be lost to the process that follows this one.
void Worker::release_held()
{
    for (const base::Instant start = sys::now(); receive() && sys::now() - start < kCatchUp;) {
    }
    for (const auto &entry : state_->connections) {
        receiver_.on_deadline(*entry, sys::now() + kNoMoreWaiting);
        entry->connection->publish_reorder_counters();
    }
}

// Lets go of what the previous state had and the present one has not.
void Worker::release(const ForwardingState &previous)
{
    for (const SocketEntry &entry : previous.sockets)
        if (entry.socket->generation != generation_) {
            epoll_ctl(sockets_.get(), EPOLL_CTL_DEL, entry.socket->fd(), nullptr);
            entry.socket->generation = 0; // the control thread may still bring it back
        }
    for (const TunnelEntry &entry : previous.tunnels)
        if (entry.tunnel->generation != generation_) {
            entry.tunnel->readable.reset();
            entry.tunnel->retry.reset();
        }
    for (const auto &entry : previous.connections)
        if (entry->connection->generation != generation_) {
            entry->connection->timer.reset();
            entry->connection->timer_deadline.reset();
            entry->connection->entry = nullptr;
        }
}

} // namespace mpt::plane
