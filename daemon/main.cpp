// SPDX-License-Identifier: GPL-3.0-or-later
// mptd: puts the layers together and runs the control thread.
#include "daemon/adapters.hpp"
#include "daemon/bus/server.hpp"
#include "daemon/journal.hpp"
#include "daemon/kept_memory.hpp"
#include "daemon/link_watch.hpp"
#include "daemon/name_resolver.hpp"
#include "daemon/service/manager.hpp"
#include "daemon/service/peers.hpp"
#include "daemon/service/stun.hpp"
#include "daemon/statistics.hpp"
#include "daemon/status_line.hpp"
#include "daemon/sys/capabilities.hpp"
#include "daemon/sys/clock.hpp"
#include "daemon/sys/entropy.hpp"
#include "daemon/sys/event_loop.hpp"
#include "daemon/sys/file.hpp"
#include "daemon/sys/log.hpp"
#include "daemon/sys/notify.hpp"
#include "daemon/sys/output.hpp"
#include "daemon/watchdog.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <getopt.h>
#include <linux/capability.h>
#include <optional>
#include <set>
#include <string>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace mpt {

namespace {

constexpr const char *kUsage = R"(usage: mptd [--config DIR] [--foreground]

  --config DIR  the configuration: DIR/interface.conf, DIR/connections/*.conf
                (default: $MPTD_CONFIG_DIR, else )" MPTD_CONFIG_DIR R"()
  --foreground  log to standard error for people, whoever has started it
  --version     print the version
  --help        print this

Runs until SIGTERM or SIGINT. SIGHUP reads the configuration again; SIGUSR1
prints statistics to standard output.
Exit status: 0 ended by a signal, 64 wrong usage, 69 the control port, the ports
of all paths or an interface name is in use, 71 another system error, 77 a
privilege is missing (or the right to read interface.conf), 78 a broken
interface.conf.
)";

// How often drops are logged, together, and paths that wait are tried again.
constexpr base::Duration kHousekeeping = std::chrono::seconds(10);
// Between two looks at the MTUs of the paths; and how many times as long as one takes, where there are many.
constexpr base::Duration kMtuPause = std::chrono::milliseconds(100);
constexpr int kMtuShare = 20;
// How long the start waits for a bus that does not answer.
constexpr base::Duration kBusPatience = std::chrono::seconds(5);

int exit_status(base::ErrorCode code)
{
    switch (code) {
    case base::ErrorCode::kInvalidConfig:
        return EX_CONFIG;
    case base::ErrorCode::kNotPermitted:
        return EX_NOPERM;
    case base::ErrorCode::kAddressInUse:
    case base::ErrorCode::kAlreadyExists:
        return EX_UNAVAILABLE;
    case base::ErrorCode::kInvalidArgument:
    case base::ErrorCode::kNotFound:
    case base::ErrorCode::kNotSupported:
    case base::ErrorCode::kConflict:
    case base::ErrorCode::kSystem:
        break;
    }
    return EX_OSERR;
}

// Whether the service manager starts another process, as RestartPreventExitStatus= in the unit says.
bool is_tried_again(int status)
{
    return status != EX_NOPERM && status != EX_CONFIG;
}

void print(const std::string &text)
{
    sys::write_line(STDOUT_FILENO, text);
}

// What the process needs before it does anything.
void prepare_process()
{
    // They wait for the loop that will watch them, in this thread and all that it starts.
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1})
        sigaddset(&signals, signal);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    // Nobody may take a socket of ours for standard output.
    int fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/null", O_RDWR);
    close(fd);
    // A reader of our output that goes away is no reason to end.
    std::signal(SIGPIPE, SIG_IGN);
    // A path has two sockets.
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

// What the users' guide shows at the start of the server (chapter 3).
std::string start_information(const service::Manager &manager)
{
    std::string text;
    for (const config::TunnelConfig &tunnel : manager.interface().tunnels) {
        text += fmt::format("Tunnel information:\n   Tunnel interface : {}\n   Tunnel device : /dev/net/tun\n",
                            tunnel.name);
        if (tunnel.ipv4_addr)
            text += fmt::format("   Tunnel ipv4 addr.: {}\n", tunnel.ipv4_addr->to_string());
        if (tunnel.ipv6_addr)
            text += fmt::format("   Tunnel ipv6 addr.: {}\n", tunnel.ipv6_addr->to_string());
        text += fmt::format("   Tunnel mtu : {}\n", manager.tunnel_mtu(tunnel).mtu);
    }
    text += fmt::format("CMD server port number : {}\nGlobal server : {}\n", manager.interface().cmdport_local,
                        manager.interface().accept_remote ? 1 : 0);
    for (const auto &record : manager.connections()) {
        const service::ConnectionRecord &connection = *record;
        text += fmt::format("Connection {} on {}: {} to {}\n", connection.config.name, connection.tunnel,
                            connection.config.ip_local.to_string(), connection.config.ip_remote->to_string());
        for (std::size_t i = 0; i < connection.paths.size(); ++i) {
            const core::PathParameters &path = connection.paths[i].parameters;
            text +=
                fmt::format("   Path {} on {}: {} to {}, weight {}\n", i, path.interface, path.local.to_string(),
                            path.peer().address.is_unspecified() ? "wherever it speaks from" : path.peer().to_string(),
                            path.weight);
        }
    }
    if (manager.connections().empty())
        text += "No connections configured\n";
    return text;
}

proto::RandomNumber random_number()
{
    proto::RandomNumber number;
    sys::fill_random(number);
    return number;
}

// The control thread of a daemon that has started.
class Daemon {
public:
    Daemon(sys::EventLoop &loop, net::Monitor &monitor, plane::Plane &plane, plane::KeptState &kept,
           service::Manager &manager, service::Peers &peers, service::Stun &stun, NameResolver &resolver,
           UdpControlPort &control_port, std::string directory)
        : loop_(loop), monitor_(monitor), plane_(plane), kept_(kept), manager_(manager), peers_(peers), stun_(stun),
          resolver_(resolver), control_port_(control_port), directory_(std::move(directory)),
          output_(loop, STDOUT_FILENO)
    {
    }

    base::Result<void> run()
    {
        auto mtus_timer = loop_.make_timer([this] { follow_mtus(); });
        if (!mtus_timer)
            return base::Failure(mtus_timer.error());
        mtus_timer_ = &*mtus_timer;
        auto terminate = loop_.watch_signal(SIGTERM, [this] { loop_.exit(); });
        auto interrupt = loop_.watch_signal(SIGINT, [this] { loop_.exit(); });
        auto reload = loop_.watch_signal(SIGHUP, [this] { on_reload(); });
        auto report = loop_.watch_signal(SIGUSR1, [this] { output_.write(statistics(plane_, peers_)); });
        auto network = loop_.watch(monitor_.fd(), EPOLLIN, [this](std::uint32_t) { on_network(); });
        auto events = loop_.watch(plane_.events_fd(), EPOLLIN, [this](std::uint32_t) { on_events(); });
        auto timer = loop_.make_timer([this] { on_timer(); });
        for (const auto *source : {&terminate, &interrupt, &reload, &report, &network, &events})
            if (!*source)
                return base::Failure(source->error());
        if (!timer)
            return base::Failure(timer.error());
        timer_ = &*timer;
        timer_->set(sys::now() + kHousekeeping);
        auto peers_timer = loop_.make_timer([this] { on_peers_deadline(); });
        if (!peers_timer)
            return base::Failure(peers_timer.error());
        peers_timer_ = &*peers_timer;
        auto stun_timer = loop_.make_timer([this] { on_stun_deadline(); });
        if (!stun_timer)
            return base::Failure(stun_timer.error());
        stun_timer_ = &*stun_timer;
        resolver_.set_callback([this](const std::vector<service::ResolvedName> &names) { on_resolved(names); });
        on_settings();
        std::vector<sys::EventSource> control;
        for (plane::ControlSocket &socket : control_port_.sockets()) {
            auto source = loop_.watch(socket.fd(), EPOLLIN, [this, &socket](std::uint32_t) { on_control(socket); });
            if (!source)
                return base::Failure(source.error());
            control.push_back(std::move(*source));
        }
        auto patience = loop_.make_timer([this] { on_started(); });
        if (!patience)
            return base::Failure(patience.error());
        patience->set(sys::now() + kBusPatience);
        auto bus = bus::Server::create(
            loop_, manager_, {MPTD_VERSION, directory_}, [this](service::Notices &notices) { on_request(notices); },
            [this](const std::string &file, service::Peers::Done done) { create(file, std::move(done)); },
            [this] { on_started(); });
        if (!bus)
            return base::Failure(bus.error());
        bus_ = bus->get();
        const auto status = StatusLine::start(loop_, manager_, **bus);
        if (!status)
            return base::Failure(status.error());
        status_ = status->get();
        manager_.set_observer(status_);
        const auto watchdog = Watchdog::start(loop_, plane_);
        if (!watchdog)
            return base::Failure(watchdog.error());
        if (auto ran = loop_.run(); !ran)
            return ran;
        sys::notify_stopping();
        kept_.confirm(sys::now());
        if (!failure_)
            kept_.end_well();
        return failure_ ? base::Result<void>(base::Failure(*failure_)) : base::Result<void>{};
    }

private:
    // All that others may look for is there.
    void on_started()
    {
        if (std::exchange(started_, true))
            return;
        output_.write(start_information(manager_) + "mptd: ready\n");
        sys::notify_ready();
    }

    void on_reload()
    {
        if (started_)
            sys::notify_reloading();
        service::Notices notices;
        const auto reloaded = manager_.reload("", notices);
        log_notices(notices);
        if (!reloaded)
            sys::log(sys::Priority::kError, "the configuration has errors: see above");
        if (started_)
            sys::notify_ready();
        on_settings();
    }

    // Something was done for a caller on the bus.
    void on_request(service::Notices &notices)
    {
        log_notices(notices);
        on_settings();
    }

    void on_settings()
    {
        follow_mtus_soon();
        peers_.on_settings(sys::now());
        set_peers_timer();
        update_stun();
    }

    // What the paths have, or what is wanted of them, may be another.
    void update_stun()
    {
        service::Notices notices;
        stun_.update(sys::now(), notices);
        log_notices(notices);
        set_stun_timer();
    }

    void on_network()
    {
        const auto changed = monitor_.drain();
        if (!changed) {
            sys::log(sys::Priority::kError, changed.error().text);
            return;
        }
        if (!monitor_.take_lost_routes() && changed->empty())
            return;
        service::Notices notices;
        const auto followed = manager_.on_interfaces_changed(*changed, notices);
        log_notices(notices);
        if (!followed)
            sys::log(sys::Priority::kError, followed.error().text);
        follow_mtus_soon();
        update_stun();
    }

    // Soon, and not for each of many changes: whoever can send ICMP messages cannot keep us busy.
    void follow_mtus_soon() { mtus_timer_->set(std::max(sys::now(), next_mtus_)); }

    void follow_mtus()
    {
        const base::Instant start = sys::now();
        service::Notices notices;
        manager_.follow_mtus(start, notices);
        log_notices(notices);
        const base::Instant end = sys::now();
        next_mtus_ = end + std::max(kMtuPause, kMtuShare * (end - start));
    }

    void on_events()
    {
        service::Notices notices;
        if (plane_.take_mtu_doubts())
            follow_mtus_soon();
        std::vector<service::Manager::PathMove> moves;
        const auto taken = plane_.take_events([&](const std::string &connection, const plane::PathEvent &event) {
            if (const auto *moved = std::get_if<plane::PathMoved>(&event.what)) {
                moves.push_back({connection, event.path, moved->to});
            } else if (const auto *observed = std::get_if<plane::PathObserved>(&event.what)) {
                manager_.on_path_observed(connection, event.path, observed->at);
            } else if (const auto *change = std::get_if<core::StatusChange>(&event.what)) {
                manager_.on_path_status(sys::now(), connection, event.path, *change, notices);
                peers_.on_path_status(sys::now(), connection, event.path, *change);
            }
        });
        if (const auto followed = manager_.on_paths_moved(sys::now(), moves, notices); !followed)
            sys::log(sys::Priority::kError, followed.error().text);
        if (!moves.empty()) // by other sockets, and other ways
            follow_mtus_soon();
        plane_.take_stun_answers([&](const base::Endpoint &server, base::ConstOctets answer) {
            stun_.on_answer(sys::now(), server, answer, notices);
        });
        log_notices(notices);
        set_stun_timer();
        if (taken && *taken > 0) {
            sys::log(sys::Priority::kWarning, fmt::format("{} more paths changed their status", *taken));
            bus_->refresh();
            status_->touch();
            peers_.refresh(sys::now());
        }
        set_peers_timer();
        if (!taken) {
            failure_ = taken.error();
            loop_.exit();
        }
    }

    void on_control(plane::ControlSocket &socket)
    {
        service::Notices notices;
        socket.receive([&](const base::Endpoint &peer, const base::Address &local, base::ConstOctets datagram) {
            peers_.on_datagram(sys::now(), peer, local, datagram, notices);
        });
        log_notices(notices);
        set_peers_timer();
        if (!notices.empty()) // maybe a connection that a peer has created
            update_stun();
    }

    void on_peers_deadline()
    {
        service::Notices notices;
        peers_.on_deadline(sys::now(), notices);
        log_notices(notices);
        set_peers_timer();
    }

    void on_stun_deadline()
    {
        service::Notices notices;
        stun_.on_deadline(sys::now(), notices);
        log_notices(notices);
        set_stun_timer();
    }

    void on_resolved(const std::vector<service::ResolvedName> &names)
    {
        service::Notices notices;
        stun_.on_resolved(sys::now(), names, notices);
        log_notices(notices);
        set_stun_timer();
    }

    void set_stun_timer() { stun_timer_->set(stun_.deadline()); }

    void create(const std::string &file, service::Peers::Done done)
    {
        peers_.create(sys::now(), file, std::move(done));
        set_peers_timer();
    }

    void set_peers_timer() { peers_timer_->set(peers_.deadline()); }

    void on_timer()
    {
        for (const std::string &line : drops_.update(plane_))
            sys::log(sys::Priority::kNotice, line);
        kept_.confirm(sys::now());
        on_network(); // what could not be read before is tried again
        service::Notices notices;
        const auto retried = manager_.retry(notices);
        log_notices(notices);
        if (!retried)
            sys::log(sys::Priority::kError, retried.error().text);
        follow_mtus();
        update_stun();
        timer_->set(sys::now() + kHousekeeping);
    }

    sys::EventLoop &loop_;
    net::Monitor &monitor_;
    plane::Plane &plane_;
    plane::KeptState &kept_;
    service::Manager &manager_;
    service::Peers &peers_;
    service::Stun &stun_;
    NameResolver &resolver_;
    UdpControlPort &control_port_;
    const std::string directory_;
    sys::Output output_;
    bus::Server *bus_ = nullptr;
    StatusLine *status_ = nullptr;
    bool started_ = false; // it was said
    sys::Timer *timer_ = nullptr;
    sys::Timer *peers_timer_ = nullptr;
    sys::Timer *mtus_timer_ = nullptr;
    base::Instant next_mtus_{}; // when they may be looked at again
    sys::Timer *stun_timer_ = nullptr;
    DropReport drops_;
    std::optional<base::Error> failure_;
};

// A directory without interface.conf is not configured yet: there is nothing to do, which is no failure.
base::Result<config::InterfaceConfig> load_interface(ConfigFiles &files, const std::string &directory,
                                                     service::Notices &notices)
{
    const auto text = files.read_interface();
    if (text || text.error().code != base::ErrorCode::kNotFound || !sys::list_directory(directory))
        return service::load_interface(files, notices);
    notices.push_back({service::Notice::Level::kWarning,
                       text.error().text + ": no tunnels, no connections configured (write it and restart mptd)"});
    return config::InterfaceConfig{};
}

// Whether to bind a port needs a capability (ip_unprivileged_port_start in ip-sysctl of the kernel's documentation).
bool is_privileged(std::uint16_t port)
{
    return port < 1024;
}

// What was kept, and is of no use to this configuration, or to this version, may have a port or a name that is needed.
void free_what_is_in_the_way(const config::InterfaceConfig &interface, sys::DescriptorStore &store,
                             WorkerPlane &data_plane)
{
    std::set<std::string> wanted;
    if (!interface.tunnels.empty())
        wanted = UdpControlPort::names();
    for (const config::TunnelConfig &tunnel : interface.tunnels)
        wanted.insert(tunnel.name);
    store.forget_rest(wanted);
    store.wait_for_closing();
    data_plane.free_port(interface.cmdport_local);
}

base::Result<void> run(const std::string &directory, sys::DescriptorStore &store)
{
    auto memory = kept_memory(store);
    if (!memory)
        return base::Failure(memory.error());
    plane::KeptState kept(memory->octets(), sys::now());
    pause_after_failure(kept);
    kept.begin(sys::now());

    auto loop = sys::EventLoop::create();
    if (!loop)
        return base::Failure(loop.error());
    const char *credentials = std::getenv("CREDENTIALS_DIRECTORY"); // see systemd.exec(5)
    ConfigFiles files(directory, credentials != nullptr ? credentials : "");
    service::Notices notices;
    auto interface = load_interface(files, directory, notices);
    log_notices(notices);
    if (!interface)
        return base::Failure(interface.error());
    auto requests = net::RouteSocket::open();
    auto monitor = net::Monitor::open(net::Monitor::Scope::kRoutesToo);
    if (!requests)
        return base::Failure(requests.error());
    if (!monitor)
        return base::Failure(monitor.error());
    KernelNetwork network(*requests, *monitor); // outlives the workers: they send by its routes to the end
    auto plane = plane::Plane::start(interface->workers);
    if (!plane)
        return base::Failure(plane.error());
    (*plane)->keep_state(kept);
    const auto links = LinkWatch::start(**plane);
    if (!links)
        return base::Failure(links.error());
    WorkerPlane data_plane(**plane, store);
    if (auto kept_in = data_plane.keep_in(*loop); !kept_in)
        return kept_in;
    free_what_is_in_the_way(*interface, store, data_plane);
    auto control_port =
        interface->tunnels.empty() ? UdpControlPort() : UdpControlPort::open(interface->cmdport_local, store);
    if (!control_port)
        return base::Failure(control_port.error());
    service::Manager manager(std::move(*interface), files, network, data_plane);
    auto started = manager.start(notices);
    if (started)
        manager.follow_mtus(sys::now(), notices);
    log_notices(notices);
    if (!started)
        return started;
    if (std::none_of(manager.connections().begin(), manager.connections().end(),
                     [](const auto &connection) { return is_privileged(connection->config.local_port); }))
        sys::drop_capability(CAP_NET_BIND_SERVICE);
    data_plane.close_spare_sockets();
    kept.forget_rest();
    data_plane.settle(); // what is told of the paths from now on is what they are
    kept.confirm(sys::now());
    service::Peers peers(manager, files, network, *control_port, random_number);
    NameResolver resolver(*loop);
    service::Stun stun(manager, data_plane, resolver, random_number);
    return Daemon(*loop, *monitor, **plane, kept, manager, peers, stun, resolver, *control_port, directory).run();
}

} // namespace

} // namespace mpt

int main(int argc, char **argv)
{
    mpt::prepare_process();
    const char *environment = std::getenv("MPTD_CONFIG_DIR");
    std::string directory = environment != nullptr ? environment : MPTD_CONFIG_DIR;
    const option options[] = {{"config", required_argument, nullptr, 'c'},
                              {"foreground", no_argument, nullptr, 'f'},
                              {"version", no_argument, nullptr, 'v'},
                              {"help", no_argument, nullptr, 'h'},
                              {nullptr, 0, nullptr, 0}};
    for (int choice = 0; (choice = getopt_long(argc, argv, "", options, nullptr)) != -1;) {
        switch (choice) {
        case 'c':
            directory = optarg;
            break;
        case 'f':
            mpt::sys::log_for_people();
            break;
        case 'v':
            mpt::print("mptd " MPTD_VERSION "\n");
            return EX_OK;
        case 'h':
            mpt::print(mpt::kUsage);
            return EX_OK;
        default:
            std::fputs(mpt::kUsage, stderr);
            return EX_USAGE;
        }
    }
    if (optind < argc) {
        std::fputs(mpt::kUsage, stderr);
        return EX_USAGE;
    }
    mpt::sys::DescriptorStore store = mpt::sys::DescriptorStore::receive();
    const bool nothing_kept = store.is_empty();
    const mpt::base::Instant began = mpt::sys::now();
    const auto ran = mpt::run(directory, store);
    if (ran)
        return EX_OK;
    mpt::sys::log(mpt::sys::Priority::kError, ran.error().text, {{"MESSAGE_ID", std::string(mpt::kFailed)}});
    const int status = mpt::exit_status(ran.error().code);
    if (nothing_kept && mpt::is_tried_again(status))
        mpt::pause_before_failure(began);
    return status;
}
