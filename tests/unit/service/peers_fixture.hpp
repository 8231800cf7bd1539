// SPDX-License-Identifier: GPL-3.0-or-later
// Two hosts whose control ports are joined in memory.
#pragma once

#include "daemon/service/peers.hpp"

#include "tests/unit/service/manager_fixture.hpp"

#include <deque>

namespace mpt::service {

using namespace std::chrono_literals;

inline constexpr const char *kKey = "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff";

inline std::string interface_of(int host)
{
    return fmt::format("[general]\ntunnel_num = 1\naccept_remote = {}\ncmdport_local = 60456\ncmd_timeout = 25\n"
                       "[tun_0]\nname = tun0\nmtu = 1440\nipv4_addr = 10.0.0.{}/24\n",
                       host == 3 ? 1 : 0, host);
}

// Figure 3 of the guide, host 2 or 3.
inline std::string connection_of(int host, int permission, int auth_type)
{
    const int peer = 5 - host;
    std::string text = fmt::format("[connection]\nname = link\npermission = {0}\nip_ver = 4\nip_local = 10.0.0.{1}\n"
                                   "local_port = 23456\nip_remote = 10.0.0.{2}\nremote_port = 23456\n"
                                   "remote_cmd_port = 60456\npath_count = 2\nnetwork_count = 0\nstatus = 0\n"
                                   "reorder_window = 100\nmax_buffdelay_msec = 50\nauth_type = {3}\nauth_key = {4}\n",
                                   permission, host, peer, auth_type, kKey);
    for (int path = 1; path <= 2; ++path)
        text += fmt::format("[path_{0}]\ninterface_name = eth{1}\nip_ver = 4\npublic_ipaddr = 10.{1}.{1}.{2}\n"
                            "remote_ipaddr = 10.{1}.{1}.{3}\ngateway_ipaddr = 10.{1}.{1}.{3}\nweight_out = {1}\n"
                            "weight_in = {4}\ncmd_default = {5}\nkeepalive_time = 1\nstatus = 0\n",
                            path - 1, path, host, peer, 10 + path, path == 1 ? 1 : 0);
    return text;
}

// The guide's conf.template of host 3.
inline std::string template_of_host_3()
{
    return fmt::format("[connection]\nname = Template\npermission = 3\nip_ver = 4\nip_local = 10.0.0.3\n"
                       "local_port = 65060\npath_count = 2\nnetwork_count = 0\nreorder_window = 2500\n"
                       "max_buffdelay_msec = 300\nstatus = 0\nauth_type = 0\nauth_key = {}\n"
                       "[path_0]\ninterface_name = eth1\nip_ver = 4\npublic_ipaddr = 10.1.1.3\n"
                       "gateway_ipaddr = 10.1.1.2\nstatus = 0\n"
                       "[path_1]\ninterface_name = eth2\nip_ver = 4\npublic_ipaddr = 10.2.2.3\n"
                       "gateway_ipaddr = 10.2.2.2\nstatus = 0\n",
                       kKey);
}

struct Datagram {
    base::Address local;
    base::Endpoint peer;
    std::vector<std::byte> octets;
};

class MemoryPort : public ControlPort {
public:
    base::Result<void> send(const base::Address &local, const std::string &interface, const base::Endpoint &peer,
                            base::ConstOctets octets) override
    {
        interfaces.push_back(interface);
        sent.push_back({local, peer, {octets.begin(), octets.end()}});
        return {};
    }

    std::deque<Datagram> sent;
    std::vector<std::string> interfaces;
};

struct Host {
    explicit Host(int which) : number(which) { directory.interface = interface_of(number); }

    void start()
    {
        network.interfaces = {{"eth1", fmt::format("10.1.1.{}", number)}, {"eth2", fmt::format("10.2.2.{}", number)}};
        auto interface = load_interface(directory, notices);
        ASSERT_TRUE(interface) << interface.error().text;
        manager.emplace(*interface, directory, network, plane);
        ASSERT_TRUE(manager->start(notices));
        for (auto &[name, states] : plane.states)
            for (PathState &state : states)
                state.status = core::PathStatus::kUp;
        peers.emplace(*manager, directory, network, port, [this] {
            proto::RandomNumber drawn{};
            drawn[15] = static_cast<std::byte>(++random);
            drawn[3] = drawn[15];
            return drawn;
        });
    }
    // As the data plane would tell.
    void path_is(base::Instant now, std::size_t path, core::PathStatus status, core::StatusReason reason)
    {
        PathState &state = plane.states.at("link").at(path);
        const core::StatusChange change{std::exchange(state.status, status), status, reason};
        peers->on_path_status(now, "link", path, change);
    }
    core::PathStatus status(std::size_t path) { return plane.states.at("link").at(path).status; }

    int number;
    std::uint8_t random = 100;
    MemoryDirectory directory;
    MemoryNetwork network;
    MemoryPlane plane;
    MemoryPort port;
    Notices notices;
    std::optional<Manager> manager;
    std::optional<Peers> peers;
};

class PeersTest : public ::testing::Test {
protected:
    void both(int permission_of_b = 3, int auth_type = 0)
    {
        a.directory.files["link.conf"] = connection_of(2, 3, auth_type);
        b.directory.files["link.conf"] = connection_of(3, permission_of_b, auth_type);
        a.start();
        b.start();
    }
    // Carries what is sent until nothing more is; `keep` says which datagrams arrive.
    void carry(const std::function<bool(const Datagram &)> &keep = [](const Datagram &) { return true; })
    {
        for (bool any = true; any;) {
            any = false;
            for (auto [from, to] : {std::pair{&a, &b}, std::pair{&b, &a}}) {
                while (!from->port.sent.empty()) {
                    const Datagram datagram = from->port.sent.front();
                    from->port.sent.pop_front();
                    any = true;
                    if (keep(datagram))
                        to->peers->on_datagram(now, {datagram.local, 60456}, datagram.peer.address, datagram.octets,
                                               to->notices);
                }
            }
        }
    }
    // Time passes, with what is due in it.
    void wait(
        base::Duration duration,
        const std::function<bool(const Datagram &)> &keep = [](const Datagram &) { return true; })
    {
        const base::Instant end = now + duration;
        for (;;) {
            std::optional<base::Instant> next;
            for (Host *host : {&a, &b})
                if (const auto deadline = host->peers->deadline(); deadline && (!next || *deadline < *next))
                    next = deadline;
            if (!next || *next > end)
                break;
            now = std::max(now, *next);
            for (Host *host : {&a, &b})
                host->peers->on_deadline(now, host->notices);
            carry(keep);
        }
        now = end;
    }

    base::Instant now{1000s};
    Host a{2};
    Host b{3};
};

} // namespace mpt::service
