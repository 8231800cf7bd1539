#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks behind the tunnel, the default route through it, and paths that leave by their own gateways. The machine's routes and rules
are the same afterwards, octet for octet."""

import json
import pathlib
import re
import shutil
import signal
import subprocess
import time

import lab
from sites import HOST, ROUTER, SitesTest, forward, with_networks

SERVER = '203.0.113.9'
SERVER6 = '2001:db8:113::9'


def routing(host):
    """All routes and rules as ip(8) prints them."""
    return '\n'.join(host.run('ip', '-d', *what.split())
                     for what in ('-4 route show table all', '-6 route show table all', '-4 rule show', '-6 rule show'))


def way(host, *packet):
    return host.run('ip', 'route', 'get', *packet).splitlines()[0]


def count(host, rules):
    """nftables counters by name; rules: name to (chain's hook, match)."""
    text = 'table inet counted {\n'
    for name in rules:
        text += f'counter {name} {{ }}\n'
    for hook in sorted({hook for hook, _ in rules.values()}):
        text += f'chain {hook} {{ type filter hook {hook} priority 0;\n'
        text += ''.join(f'{match} counter name {name}\n' for name, (of, match) in rules.items() if of == hook) + '}\n'
    host.run('nft', '-f', '-', input=text + '}\n')


def counted(host, name):
    said = json.loads(host.run('nft', '-j', 'list', 'counter', 'inet', 'counted', name))
    return next(entry['counter']['packets'] for entry in said['nftables'] if 'counter' in entry)


class Sites(SitesTest):
    TUNNELS = {'a': ('10.0.0.2/24', 'fec0::2/64'), 'b': ('10.0.0.3/24', 'fec0::3/64')}
    NETWORKS = [('192.168.1.0/24', '192.168.2.0/24'), ('fd01::/64', 'fd02::/64')]

    def setUp(self):
        super().setUp()
        self.before = {name: routing(self.net[name]) for name in 'ab'}

    def start(self, router, networks=None, **keys):
        peer = {'a': 'b', 'b': 'a'}[router]
        turned = self.NETWORKS if router == 'a' else [(destination, source) for source, destination in self.NETWORKS]
        text = lab.connection(lab.tunnel_address(router, 4), lab.tunnel_address(peer, 4), lab.figure3_paths(router), **keys)
        daemon = lab.Daemon(self.net[router], lab.write_config(self.net.directory / f'config-{router}', lab.tunnels(self.TUNNELS[router]),
                                                               link=with_networks(text, *(networks or turned))))
        daemon.wait_ready()
        return daemon

    def ping(self, host, address, *options):
        return self.net[host].run('ping', '-c', 3, '-i', 0.05, '-W', 5, *options, address, check=False)

    def test_both_versions_over_an_ipv4_connection(self):
        daemons = {router: self.start(router) for router in 'ab'}
        for router in 'ab':
            self.assertRegex(daemons[router].log(), r'does not forward IPv4 packets from tun0, as the networks of link need: set net\.ipv4')
            self.assertRegex(daemons[router].log(), r'does not forward IPv6 packets from tun0, as the networks of link need: set net\.ipv6')
            forward(self.net[router])
        for address in ('192.168.2.5', 'fd02::5'):
            self.net['c'].ping(address)
        # The routers themselves speak from their networks, and each other's tunnel address is reached from the other one.
        self.assertIn('src 192.168.1.1', way(self.net['a'], '192.168.2.5'))
        for host, address in (('a', '192.168.2.5'), ('b', 'fd01::5'), ('c', '10.0.0.3'), ('c', '192.168.2.1')):
            self.net[host].ping(address)
        # A router at the other end says that a packet has come to its end (traceroute), and that it is too big.
        self.assertRegex(self.ping('c', '192.168.2.5', '-t', 2), r'From (10\.0\.0\.3|192\.168\.2\.1) .*Time to live exceeded')
        for router in 'ab':
            self.assertEqual(daemons[router].statistics().drops(), {})
            self.assertEqual(daemons[router].stop(), 0)
            forward(self.net[router], 0)
            self.assertEqual(routing(self.net[router]), self.before[router])

    def test_spoofed_sources(self):
        """b's file claims more than a's file says of b."""
        for router in 'ab':
            forward(self.net[router])
        a = self.start('a')
        b = self.start('b', [(destination, source) for source, destination in self.NETWORKS] + [('192.168.77.0/24', '192.168.1.0/24')],
                       reorder_window=100, max_buffdelay_msec=5000)
        self.net['d'].add_address('lan', '192.168.77.5/24')
        said = self.ping('d', '192.168.1.5', '-I', '192.168.77.5', '-w', 2)
        self.assertIn('100% packet loss', said)
        spoofed = int(re.search(r'(\d+) packets transmitted', said)[1])
        self.assertGreaterEqual(spoofed, 3)
        lab.wait_for(lambda: a.statistics().connections['link'].get('drop_spoofed_source') == spoofed, 'all of them are dropped')
        # What is nobody's does not even leave.
        self.net['d'].add_address('lan', '198.51.100.5/32')
        self.assertIn('100% packet loss', self.ping('d', '192.168.1.5', '-I', '198.51.100.5', '-w', 2))
        lab.wait_for(lambda: b.statistics().tunnels['tun0'].get('drop_no_connection', 0) >= 3, 'they are dropped there')
        self.assertEqual(a.statistics().connections['link']['drop_spoofed_source'], spoofed)
        # And the rest comes through, without a gap to wait for.
        self.net['d'].ping('192.168.1.5')

    def test_address_added_to_the_tunnel(self):
        a = self.start('a', [('10.0.0.2/32', '10.0.0.3/32')] + self.NETWORKS[:1])
        self.start('b', [('10.0.0.3/32', '10.0.0.77/32')])
        self.net['a'].run('ip', 'address', 'add', '10.0.0.77/24', 'dev', 'tun0')
        lab.wait_for(lambda: ' 0% packet loss' in self.ping('a', '10.0.0.3', '-I', '10.0.0.77', '-w', 2), 'the address can be used')
        self.net['a'].run('ip', 'address', 'delete', '10.0.0.77/24', 'dev', 'tun0')
        self.assertEqual(a.statistics().connections['link'].get('drop_spoofed_source', 0), 0)

    def test_conflicts_name_both_places(self):
        first = with_networks(lab.connection('10.0.0.2', '10.0.0.3', lab.figure3_paths('a')[:1]), *self.NETWORKS)
        second = with_networks(lab.connection('10.0.0.2', '10.0.0.9', lab.figure3_paths('a')[1:], 'second', port=lab.DATA_PORT + 1),
                               self.NETWORKS[0])
        third = with_networks(lab.connection('10.0.0.2', '10.0.0.8', lab.figure3_paths('a')[1:], 'third', port=lab.DATA_PORT + 2),
                              ('192.168.1.0/24', '10.0.0.0/8'))
        daemon = lab.Daemon(self.net['a'], lab.write_config(self.net.directory / 'config', lab.tunnels(self.TUNNELS['a']), first=first,
                                                            second=second, third=third))
        daemon.wait_ready()
        self.assertRegex(daemon.log(), r'second\.conf:\d+:.*dst_addr = 192\.168\.2\.0/24: \[net_0\] in first\.conf has the same')
        self.assertRegex(daemon.log(), r'third\.conf:\d+:.*dst_addr = 10\.0\.0\.0/8: .*10\.0\.0\.2.*tunnel tun0 in interface\.conf')
        self.assertEqual(set(daemon.statistics().connections), {'link'})


class Uplinks(lab.LabTest):
    """A client c with two uplinks, to routers of their own, and a server s with one address behind both. The client's default route goes by
    eth1. Router r stands for both: eth1 and eth2 are two of its interfaces, and s is at its eth0, as is the Internet, i."""

    def setUp(self):
        self.net = net = self.make_lab('c', 'r', 's', 'i')
        for number in (1, 2):
            net.link('c', 'r', f'eth{number}', [f'10.{number}.0.2/24', f'fd00:{number}::2/64', HOST],
                     [f'10.{number}.0.1/24', f'fd00:{number}::1/64', ROUTER])
        net.link('s', 'r', 'eth0', [f'{SERVER}/24', f'{SERVER6}/64', HOST], ['203.0.113.1/24', '2001:db8:113::1/64', ROUTER])
        net.link('i', 'r', 'eth9', ['198.51.100.9/24', '2001:db8:9::9/64', HOST], ['198.51.100.1/24', '2001:db8:9::1/64', ROUTER])
        for host, gateway, gateway6 in (('c', '10.1.0.1', 'fd00:1::1'), ('s', '203.0.113.1', '2001:db8:113::1'),
                                        ('i', '198.51.100.1', '2001:db8:9::1')):
            net[host].run('ip', 'route', 'add', 'default', 'via', gateway)
            net[host].run('ip', '-6', 'route', 'add', 'default', 'via', gateway6)
        for host in 'rs':
            forward(net[host])
        net['s'].run('nft', '-f', '-', input='''table inet nat {
            chain out {
                type nat hook postrouting priority srcnat;
                ip saddr 10.0.0.2 oifname eth0 masquerade
                ip6 saddr fec0::2 oifname eth0 masquerade
            }
        }
        ''')
        # Somebody else's, which nobody may touch.
        for host in 'cs':
            net[host].run('ip', 'rule', 'add', 'from', '10.9.0.0/16', 'lookup', 100)
            net[host].run('ip', 'route', 'add', '192.0.2.0/24', 'via', '10.1.0.1' if host == 'c' else '203.0.113.1', 'table', 100)
        count(net['r'], {f'{which}{number}': ('forward', f'iifname eth{number} udp dport {lab.DATA_PORT} ip saddr {compare} 10.{number}.0.2')
                         for number in (1, 2) for which, compare in (('right', ''), ('wrong', '!='))})
        count(net['c'], {'loop': ('output', f'oifname tun0 udp dport {{ {lab.DATA_PORT}, {lab.COMMAND_PORT} }}')})
        self.before = {host: routing(net[host]) for host in 'cs'}

    def paths(self, gateways=('10.1.0.1', '10.2.0.1'), private=('10.1.0.2', '10.2.0.2'), version=4):
        keepalives = {'keepalive_msec': 100, 'dead_msec': 5000}
        if version == 6:
            return [lab.path(f'eth{number}', f'fd00:{number}::2', SERVER6, gateway_ipaddr=f'fd00:{number}::1', **keepalives)
                    for number in (1, 2)]
        return [lab.path(f'eth{number}', f'10.{number}.0.2', SERVER, gateway_ipaddr=gateway, private_ipaddr=own, **keepalives)
                for number, gateway, own in zip((1, 2), gateways, private)]

    def client_file(self, *networks, **options):
        return with_networks(lab.connection('10.0.0.2', '10.0.0.3', self.paths(**options)), *networks)

    def start_client(self, text, name='config-c'):
        directory = self.net.directory / name
        shutil.rmtree(directory, ignore_errors=True)
        daemon = lab.Daemon(self.net['c'], lab.write_config(directory, lab.tunnels(('10.0.0.2/24', 'fec0::2/64')), link=text))
        daemon.wait_ready()
        return daemon

    def start_server(self, version=4):
        own, gateway = {4: (SERVER, '203.0.113.1'), 6: (SERVER6, '2001:db8:113::1')}[version]
        peer = {4: '10.{}.0.2', 6: 'fd00:{}::2'}[version]
        paths = [lab.path('eth0', own, peer.format(number), gateway_ipaddr=gateway, keepalive_msec=100, dead_msec=5000) for number in (1, 2)]
        text = with_networks(lab.connection('10.0.0.3', '10.0.0.2', paths), ('0.0.0.0/0', '10.0.0.2/32'), ('::/0', 'fec0::2/128'))
        daemon = lab.Daemon(self.net['s'], lab.write_config(self.net.directory / 'config-s', lab.tunnels(('10.0.0.3/24', 'fec0::3/64')),
                                                            link=text))
        daemon.wait_ready()
        return daemon

    def wait_for_both(self, daemon):
        lab.wait_for(lambda: all(path['status'] == 'up' and path['keepalives_in'] > 0 for path in daemon.statistics().paths.values()),
                     'both paths are up')

    def ping(self, address):
        self.net['c'].ping(address, count=20)

    def stop_and_compare(self, daemon):
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(routing(daemon.host), self.before[daemon.host.name])

    def test_two_paths_to_one_server_leave_by_their_own_interfaces(self):
        server, client = self.start_server(), self.start_client(self.client_file())
        self.wait_for_both(client)
        self.ping('10.0.0.3')
        for number in (1, 2):
            self.assertGreaterEqual(counted(self.net['r'], f'right{number}'), 10)
            self.assertEqual(counted(self.net['r'], f'wrong{number}'), 0)
            self.assertGreaterEqual(server.statistics().path(number - 1)['packets_in'], 9)
        # The machine's own traffic goes where it went, also to the server.
        self.assertIn('via 10.1.0.1 dev eth1', way(self.net['c'], SERVER))
        self.assertIn('via 10.1.0.1 dev eth1', way(self.net['c'], '198.51.100.9'))
        self.stop_and_compare(client)
        self.stop_and_compare(server)

    def test_two_paths_over_ipv6(self):
        server, client = self.start_server(6), self.start_client(self.client_file(version=6))
        self.wait_for_both(client)
        self.ping('10.0.0.3')
        for number in (1, 2):
            self.assertIn(f'via fd00:{number}::1 dev eth{number}', way(self.net['c'], SERVER6, 'from', f'fd00:{number}::2'))
            self.assertGreaterEqual(server.statistics().path(number - 1)['packets_in'], 9)
        self.stop_and_compare(client)
        self.stop_and_compare(server)

    def test_the_internet_through_the_tunnel(self):
        self.start_server()
        self.net['c'].run('sysctl', '-q', '-w', 'net.ipv4.conf.all.rp_filter=1', 'net.ipv4.conf.eth1.rp_filter=1',
                          'net.ipv4.conf.eth2.rp_filter=1')
        client = self.start_client(self.client_file(('10.0.0.2/32', '0.0.0.0/0'), ('fec0::2/128', '::/0')))
        self.wait_for_both(client)
        before = client.statistics()
        for address in ('198.51.100.9', '2001:db8:9::9'):
            self.assertIn('dev tun0', way(self.net['c'], address))
            self.ping(address)
        for number in (0, 1):
            self.assertGreaterEqual(client.statistics().path(number)['packets_out'] - before.path(number)['packets_out'], 18)
        # Who calls this host at its uplinks' addresses is answered from there, not through the tunnel.
        self.net['i'].run('ip', 'route', 'add', '10.2.0.0/24', 'via', '198.51.100.1')
        for number in (1, 2):
            self.net['i'].ping(f'10.{number}.0.2', count=3)
        self.assertEqual(counted(self.net['c'], 'loop'), 0)
        self.assertEqual(client.statistics().drops(), {})
        self.stop_and_compare(client)

    def test_the_default_route_set_and_removed_100_times(self):
        server = self.start_server()
        without, with_default = self.client_file(), self.client_file(('10.0.0.2/32', '0.0.0.0/0'), ('fec0::2/128', '::/0'))
        client = self.start_client(without)
        self.wait_for_both(client)
        running = routing(self.net['c'])
        answers = self.net.directory / 'answers'
        with answers.open('w') as out:
            pings = self.net['c'].start('ping', '-i', 0.005, '10.0.0.3', stdout=out, stderr=subprocess.DEVNULL)
        lab.wait_for(lambda: client.statistics().path(0)['packets_in'] > 100, 'traffic')
        file = pathlib.Path(client.directory, 'connections', 'link.conf')

        def has_default():
            said = routing(self.net['c'])
            return all(half in said for half in ('0.0.0.0/1 dev tun0', '128.0.0.0/1 dev tun0', '8000::/1 dev tun0'))

        for text, state in ((with_default, has_default), (without, lambda: routing(self.net['c']) == running)) * 100:
            file.write_text(text)
            client.process.send_signal(signal.SIGHUP)
            lab.wait_for(state, 'the default route is set or removed')
        pings.send_signal(signal.SIGINT)
        pings.wait(lab.PATIENCE)
        answered = [int(number) for number in re.findall(r' icmp_seq=(\d+) ', answers.read_text())]
        self.assertGreater(len(answered), 100)
        self.assertEqual(sorted(answered), list(range(1, max(answered) + 1)), 'but for what was on its way at the end')
        self.assertEqual(counted(self.net['c'], 'loop'), 0)
        for daemon in (client, server):
            self.assertEqual({path['status'] for path in daemon.statistics().paths.values()}, {'up'})
            self.assertEqual({path['status_changes'] for path in client.statistics().paths.values()} - {0, 1}, set())
        for number in (1, 2):
            self.assertEqual(counted(self.net['r'], f'wrong{number}'), 0)
        self.stop_and_compare(client)
        self.stop_and_compare(server)

    def test_a_crash_is_swept_up(self):
        for _ in range(2):
            client = self.start_client(self.client_file(('10.0.0.2/32', '0.0.0.0/0')))
            self.assertEqual(client.stop(signal.SIGKILL), -signal.SIGKILL)
            lab.wait_for(lambda: 'tun0' not in routing(self.net['c']), 'the tunnel is gone')
            self.assertNotEqual(routing(self.net['c']), self.before['c'])
        directory = lab.write_config(self.net.directory / 'empty', lab.tunnels(('10.0.0.2/24', 'fec0::2/64')))
        client = lab.Daemon(self.net['c'], directory)
        client.wait_ready()
        self.assertNotIn('212', self.net['c'].run('ip', 'rule'))
        self.stop_and_compare(client)

    def test_what_somebody_removes_is_put_back(self):
        self.start_server()
        client = self.start_client(self.client_file(('10.0.0.2/32', '0.0.0.0/0')))
        self.wait_for_both(client)
        running = routing(self.net['c'])
        for command in ('rule delete priority 212 from 10.2.0.2', 'route delete 0.0.0.0/1 dev tun0', 'route flush table 21201'):
            self.net['c'].run('ip', *command.split())
            lab.wait_for(lambda: sorted(routing(self.net['c']).splitlines()) == sorted(running.splitlines()), f'after ip {command}')
        self.stop_and_compare(client)

    def test_another_ones_default_route_in_the_same_place(self):
        self.net['c'].run('ip', 'route', 'add', '0.0.0.0/1', 'via', '10.2.0.1')
        self.before['c'] = routing(self.net['c'])
        client = self.start_client(self.client_file(('10.0.0.2/32', '0.0.0.0/0')))
        self.assertRegex(client.log(), r'adding the route 0\.0\.0\.0/1 dev tun0.*another route')
        self.assertIn('via 10.2.0.1', way(self.net['c'], '8.8.8.8'))
        self.stop_and_compare(client)

    def test_automatic_addresses_and_gateways(self):
        """eth1 has its address and gateway, as DHCP would set them; eth2 gets them later, then others."""
        client_host = self.net['c']
        client_host.run('ip', 'address', 'flush', 'dev', 'eth2')
        self.before['c'] = routing(client_host)
        server = self.start_server()
        client = self.start_client(self.client_file(gateways=('0.0.0.0', '0.0.0.0'), private=('0.0.0.0', '0.0.0.0')))
        lab.wait_for(lambda: client.statistics().path(0)['status'] == 'up' and server.statistics().path(0)['keepalives_in'] > 0, 'path 0')
        self.assertIn('eth2 has no address yet', client.log())
        self.assertIn('via 10.1.0.1 dev eth1 table', way(client_host, SERVER, 'from', '10.1.0.2'))
        client_host.add_address('eth2', '10.2.0.2/24')
        client_host.run('ip', 'route', 'add', 'default', 'via', '10.2.0.1', 'dev', 'eth2', 'metric', 600, 'proto', 'dhcp')
        self.wait_for_both(client)
        self.assertIn('via 10.2.0.1 dev eth2 table', way(client_host, SERVER, 'from', '10.2.0.2'))
        self.ping('10.0.0.3')
        # A new lease: another address, another router.
        self.net['r'].add_address('eth2', '10.2.7.1/24')
        client_host.run('ip', 'route', 'delete', 'default', 'dev', 'eth2')
        client_host.run('ip', 'address', 'flush', 'dev', 'eth2')
        start = time.monotonic()
        client_host.add_address('eth2', '10.2.7.2/24')
        client_host.run('ip', 'route', 'add', 'default', 'via', '10.2.7.1', 'dev', 'eth2', 'metric', 600, 'proto', 'dhcp')
        lab.wait_for(lambda: 'via 10.2.7.1 dev eth2 table' in way(client_host, SERVER, 'from', '10.2.7.2'), 'the path follows')
        print(f'# followed after {time.monotonic() - start:.3f} s')
        lab.wait_for(lambda: '10.2.0.2' not in client_host.run('ip', 'rule'), 'the rule of the old address is gone')
        client_host.run('ip', 'route', 'change', 'default', 'via', '10.2.7.9', 'dev', 'eth2', 'metric', 600, 'proto', 'dhcp')
        lab.wait_for(lambda: 'via 10.2.7.9 dev eth2 table' in way(client_host, SERVER, 'from', '10.2.7.2'), 'another router')
        self.assertEqual(client.stop(), 0)
        self.assertNotIn('212', client_host.run('ip', 'rule'))


if __name__ == '__main__':
    lab.main()
