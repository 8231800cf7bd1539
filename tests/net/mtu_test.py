#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets that fit: the MSS of TCP connections between networks, and the MTU of a tunnel that follows its paths."""

import hashlib
import json
import random
import re
import socket
import struct
import threading

import lab
from sites import HOST, ROUTER, SitesTest, forward, with_networks

MTU = 1440
SYN, ACK = 2, 16
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
ETHERTYPE = {4: 0x0800, 6: 0x86DD}
SITE_ADDRESS = {('c', 4): '192.168.1.5', ('d', 4): '192.168.2.5', ('c', 6): 'fd01::5', ('d', 6): 'fd02::5'}


def announced_mss(packet, version):
    """The flags of a TCP packet and the MSS in its options, None if there is none; None if it is none of TCP."""
    start = (packet[0] & 15) * 4 if version == 4 else 40
    if packet[9 if version == 4 else 6] != socket.IPPROTO_TCP:
        return None
    options = packet[start + 20:start + (packet[start + 12] >> 4) * 4]
    while options and options[0] != 0:
        if options[0] == 2:
            return packet[start + 13], struct.unpack('!H', options[2:4])[0]
        options = options[1:] if options[0] == 1 else options[options[1]:]
    return packet[start + 13], None


class Sites(SitesTest):
    def setUp(self):
        super().setUp()
        for router in 'ab':
            forward(self.net[router])

    def start(self, router, **keys):
        peer = {'a': 'b', 'b': 'a'}[router]
        networks = [(SITE_ADDRESS[pair[0], version].rsplit(separator, 1)[0] + rest, SITE_ADDRESS[pair[1], version].rsplit(separator, 1)[0] + rest)
                    for pair in ({'a': 'cd', 'b': 'dc'}[router],) for version, separator, rest in ((4, '.', '.0/24'), (6, ':', ':/64'))]
        text = with_networks(lab.connection(lab.tunnel_address(router, 4), lab.tunnel_address(peer, 4), lab.figure3_paths(router), **keys),
                             *networks)
        daemon = lab.Daemon(self.net[router], lab.write_config(
            self.net.directory / f'config-{router}',
            lab.tunnels((f'{lab.tunnel_address(router, 4)}/24', f'{lab.tunnel_address(router, 6)}/64'), mtu=MTU), link=text))
        daemon.wait_ready()
        return daemon

    def heard_mss(self, host, peer, version):
        """What MSS each of the two hears from the other when `host` connects to `peer`: (of the SYN, of the SYN and ACK)."""
        captures = {}
        for end in (host, peer):
            captures[end] = self.net[end].socket(socket.AF_PACKET, socket.SOCK_DGRAM, protocol=socket.htons(ETHERTYPE[version]))
            captures[end].bind(('lan', ETHERTYPE[version]))
        with self.net[peer].socket(FAMILY[version], socket.SOCK_STREAM, (SITE_ADDRESS[peer, version], 5001)) as listener:
            listener.listen()
            with self.net[host].socket(FAMILY[version], socket.SOCK_STREAM) as client:
                client.connect((SITE_ADDRESS[peer, version], 5001))  # so the checksums were right
                listener.accept()[0].close()
        heard = []
        for end, wanted in ((peer, SYN), (host, SYN | ACK)):
            while True:
                packet, source = captures[end].recvfrom(65536)
                said = announced_mss(packet, version)
                if said and source[2] != socket.PACKET_OUTGOING and said[0] & (SYN | ACK) == wanted:
                    heard.append(said[1])
                    break
            captures[end].close()
        return tuple(heard)

    def test_mss_is_clamped_by_default(self):
        for router in 'ab':
            self.start(router)
        for version, mss in ((4, MTU - 40), (6, MTU - 60)):
            self.assertEqual(self.heard_mss('c', 'd', version), (mss, mss))
        self.net['c'].run('ip', 'link', 'set', 'lan', 'mtu', 1300)  # what is small enough stays
        self.assertEqual(self.heard_mss('c', 'd', 4), (1260, MTU - 40))

    def test_one_router_alone_clamps_both_directions(self):
        self.start('a', mss_clamp=1)
        self.start('b', mss_clamp=0)
        for version, mss in ((4, MTU - 40), (6, MTU - 60)):
            self.assertEqual(self.heard_mss('c', 'd', version), (mss, mss))
            self.assertEqual(self.heard_mss('d', 'c', version), (mss, mss))

    def test_no_clamping_on_demand(self):
        for router in 'ab':
            self.start(router, mss_clamp=0)
        for version, mss in ((4, 1460), (6, 1440)):
            self.assertEqual(self.heard_mss('c', 'd', version), (mss, mss))


def mtu_of(host, interface='tun0'):
    return json.loads(host.run('ip', '-j', 'link', 'show', interface))[0]['mtu']


class Automatic(lab.LabTest):
    """Hosts a and b with two paths: eth1 is a cable between them, eth2 of a and eth3 of b go by the routers r and q, between which the
    MTU is 1400. A host c is behind a."""

    NARROW = 1400

    def setUp(self):
        self.net = net = self.make_lab('a', 'b', 'c', 'r', 'q')
        net.link('a', 'b', 'eth1', ['10.1.1.2/24', 'fd00:1::2/64'], ['10.1.1.3/24', 'fd00:1::3/64'])
        net.link('a', 'r', 'eth2', ['10.2.2.2/24', 'fd00:2::2/64', HOST], ['10.2.2.1/24', 'fd00:2::1/64', ROUTER])
        net.link('r', 'q', 'eth4', ['10.4.4.1/24', 'fd00:4::1/64', ROUTER], ['10.4.4.2/24', 'fd00:4::2/64', HOST])
        net.link('q', 'b', 'eth3', ['10.3.3.1/24', 'fd00:3::1/64', ROUTER], ['10.3.3.3/24', 'fd00:3::3/64', HOST])
        net.link('a', 'c', 'lan', ['192.168.1.1/24', 'fd01::1/64', ROUTER], ['192.168.1.5/24', 'fd01::5/64', HOST])
        net['c'].run('ip', 'route', 'add', 'default', 'via', '192.168.1.1')
        net['c'].run('ip', '-6', 'route', 'add', 'default', 'via', 'fd01::1')
        for host, there, gateway in (('r', '3', '2'), ('q', '2', '1')):
            net[host].run('ip', 'link', 'set', 'eth4', 'mtu', self.NARROW)
            net[host].run('ip', 'route', 'add', f'10.{there}.{there}.0/24', 'via', f'10.4.4.{gateway}')
            net[host].run('ip', 'route', 'add', f'fd00:{there}::/64', 'via', f'fd00:4::{gateway}')
        for host in 'arq':
            forward(net[host])
        # Fragments of outer packets.
        net['r'].run('nft', '-f', '-', input='''table inet counted {
            counter fragments { }
            chain wire {
                type filter hook prerouting priority -450;
                ip frag-off & 0x3fff != 0 counter name fragments
                exthdr frag exists counter name fragments
            }
        }''')

    def fragments(self):
        said = json.loads(self.net['r'].run('nft', '-j', 'list', 'counter', 'inet', 'counted', 'fragments'))
        return next(entry['counter']['packets'] for entry in said['nftables'] if 'counter' in entry)

    def start(self, host, version=4, mtu='auto', **keys):
        peer = {'a': 'b', 'b': 'a'}[host]
        sites = {4: ('192.168.1.0/24', '10.0.0.3/32'), 6: ('fd01::/64', 'fec0::3/128')}.values()
        networks = [pair if host == 'a' else pair[::-1] for pair in sites]
        end = {'a': {4: ('10.1.1.2', '10.2.2.2'), 6: ('fd00:1::2', 'fd00:2::2')}, 'b': {4: ('10.1.1.3', '10.3.3.3'), 6: ('fd00:1::3', 'fd00:3::3')}}
        gateway = {'a': {4: '10.2.2.1', 6: 'fd00:2::1'}, 'b': {4: '10.3.3.1', 6: 'fd00:3::1'}}[host][version]
        own, remote = end[host][version], end[peer][version]
        fast = {'keepalive_msec': 100, 'dead_msec': 5000}
        paths = [lab.path('eth1', own[0], remote[0], **fast),
                 lab.path({'a': 'eth2', 'b': 'eth3'}[host], own[1], remote[1], gateway_ipaddr=gateway, **fast)]
        text = with_networks(lab.connection(lab.tunnel_address(host, 4), lab.tunnel_address(peer, 4), paths, **keys), *networks)
        daemon = lab.Daemon(self.net[host], lab.write_config(
            self.net.directory / f'config-{host}', lab.tunnels((f'{lab.tunnel_address(host, 4)}/24', f'{lab.tunnel_address(host, 6)}/64'), mtu=mtu),
            link=text))
        self.said_at_start = daemon.wait_ready()
        return daemon

    def wait_for_mtu(self, host, mtu, **bound):
        lab.wait_for(lambda: mtu_of(self.net[host]) == mtu, f'tun0 of {host} has the MTU {mtu}', **bound)

    @staticmethod
    def whole(size, to):
        """Of ping: packets of `size` octets that must not be fragmented."""
        return '-M', 'do', '-s', size - (48 if ':' in to else 28)

    def ping(self, host, size, *options, to='10.0.0.3'):
        """What is said about some, which may not arrive."""
        return self.net[host].run('ping', '-c', 4, '-i', 0.05, '-W', 5, *self.whole(size, to), *options, to, check=False)

    def arrive(self, host, size, to='10.0.0.3'):
        """All of some, over every path at least one."""
        self.net[host].ping(to, *self.whole(size, to), count=4)

    def send_tcp(self, to, size=20_000_000):
        """From a to b."""
        family = socket.AF_INET6 if ':' in to else socket.AF_INET
        with self.net['b'].socket(family, socket.SOCK_STREAM, (to, 5001)) as listener:
            listener.listen()
            content = random.Random(2018).randbytes(1_000_000)

            def send():
                with self.net['a'].socket(family, socket.SOCK_STREAM) as client:
                    client.connect((to, 5001))
                    for _ in range(0, size, len(content)):
                        client.sendall(content)

            sender = threading.Thread(target=send)
            sender.start()
            accepted, _ = listener.accept()
            accepted.settimeout(lab.PATIENCE)
            received = hashlib.sha256()
            with accepted:
                while block := accepted.recv(1 << 20):
                    received.update(block)
            sender.join()
        self.assertEqual(received.hexdigest(), hashlib.sha256(content * (size // len(content))).hexdigest())

    def test_interfaces_and_icmp_messages_decide(self):
        a, b = self.start('a'), self.start('b')
        self.assertIn('   Tunnel mtu : 1464', self.said_at_start)
        for host in 'ab':
            self.assertEqual(mtu_of(self.net[host]), 1464)
        self.ping('a', 1464)
        self.wait_for_mtu('a', 1364)
        self.ping('b', 1464, to='10.0.0.2')
        self.wait_for_mtu('b', 1364)
        b.wait_for_log(r'tunnel tun0: MTU 1364 \(link, path 1 \(eth3\): path MTU 1400\)')
        a.wait_for_log(r'tunnel tun0: MTU 1364 \(link, path 1 \(eth2\): path MTU 1400\)')
        for to in ('10.0.0.3', 'fec0::3'):
            self.arrive('a', 1364, to)
            self.arrive('c', 1364, to)
            self.assertRegex(self.ping('c', 1365, to=to), r'(Frag needed and DF set \(mtu = 1364\)|Packet too big: mtu=1364)')
            self.net['c'].ping(to, '-M', 'dont', '-s', 3000, count=4)
        self.assertRegex(self.net['a'].run('ping', '-c', 1, '-M', 'do', '-s', 1337, '10.0.0.3', stderr=-2, check=False), 'mtu=1364')
        self.assertEqual(self.fragments(), 0)
        # The path gets wider, and the kernel forgets what it was told.
        for host in 'rq':
            self.net[host].run('ip', 'link', 'set', 'eth4', 'mtu', 1500)
        self.net['a'].run('ip', 'route', 'flush', 'cache')
        self.wait_for_mtu('a', 1464)
        self.arrive('a', 1464)

    def test_tcp_survives_that_the_path_is_found_to_be_narrow(self):
        for to in ('10.0.0.3', 'fec0::3'):
            daemons = [self.start(host) for host in 'ab']
            self.assertEqual(mtu_of(self.net['a']), 1464)
            self.send_tcp(to)
            self.wait_for_mtu('a', 1364)
            self.assertEqual(self.fragments(), 0)
            self.assertGreater(daemons[0].statistics().path(1)['packets_out'], 1000)
            for daemon in daemons:
                self.assertEqual(daemon.stop(), 0)
            self.net['a'].run('ip', 'route', 'flush', 'cache')
            for host in 'ab':
                (self.net.directory / f'config-{host}').rename(self.net.directory / f'old-{host}-{to[:4]}')

    def test_ipv6_paths(self):
        a, _ = self.start('a', 6), self.start('b', 6)
        self.assertEqual((mtu_of(self.net['a']), mtu_of(self.net['b'])), (1444, 1444))
        self.send_tcp('10.0.0.3')
        self.wait_for_mtu('a', 1344)
        for to in ('10.0.0.3', 'fec0::3'):
            self.arrive('a', 1344, to)
        self.assertEqual(self.fragments(), 0)
        self.assertEqual(a.statistics().path(1)['status'], 'up')

    def filter_icmp(self):
        """The routers tell nobody that a packet is too big."""
        for host in 'rq':
            self.net[host].run('nft', '-f', '-', input='''table inet silent {
                chain out {
                    type filter hook output priority 0;
                    icmp type destination-unreachable drop
                    icmpv6 type packet-too-big drop
                }
            }''')

    def start_with_probes(self, version):
        self.filter_icmp()
        return [self.start(host, version, auth_type=3, auth_key='5a' * 32) for host in 'ab']

    def check_probed(self, daemons, mtu):
        for to in ('10.0.0.3', 'fec0::3'):
            self.arrive('a', mtu, to)
            self.arrive('c', mtu, to)
        self.send_tcp('10.0.0.3')
        self.assertEqual(self.fragments(), 0)
        for daemon in daemons:
            self.assertEqual(daemon.statistics().path(1)['status'], 'up')
            self.assertLessEqual(set(daemon.statistics().drops()), {'drop_keepalive_not_fresh'})  # of before the session

    def test_probes_where_icmp_is_filtered(self):
        daemons = self.start_with_probes(4)
        for host in 'ab':  # a dozen probes, of which the larger ones are waited for in vain, three seconds each
            self.wait_for_mtu(host, 1364, seconds=90)
        daemons[0].wait_for_log(r'tunnel tun0: MTU 1364 \(link, path 1 \(eth2\): path MTU 1400\)')
        self.check_probed(daemons, 1364)

    def test_probes_on_ipv6_paths(self):
        daemons = self.start_with_probes(6)
        for host in 'ab':  # what certainly gets through while more is tried
            self.wait_for_mtu(host, 1280)
        self.check_probed(daemons, 1280)

    def test_the_mtu_of_an_interface_changes(self):
        self.start('a')
        self.assertEqual(mtu_of(self.net['a']), 1464)
        self.net['a'].run('ip', 'link', 'set', 'eth1', 'mtu', 1450)
        self.wait_for_mtu('a', 1414)
        self.net['a'].run('ip', 'link', 'set', 'eth1', 'mtu', 1500)
        self.wait_for_mtu('a', 1464)
        # No less than IPv6 needs: there the paths have fragments, and everything arrives.
        self.start('b')
        for host in 'ab':
            self.net[host].run('ip', 'link', 'set', 'eth1', 'mtu', 1200)
            self.wait_for_mtu(host, 1280)
        for to in ('10.0.0.3', 'fec0::3'):
            self.arrive('a', 1280, to)

    def test_icmp_errors_about_ipv6_on_a_connection_between_ipv4_addresses(self):
        self.start('a')  # b is not there: its paths are up until no keepalive came
        for to, said in (('10.0.0.3', 'From 10.0.0.3 .*Destination Host Unreachable'),
                         ('fec0::3', 'From fec0::2 .*Destination unreachable: Address unreachable')):
            lab.wait_for(lambda: re.search(said, self.ping('c', 100, '-w', 2, to=to)), f'that {to} cannot be reached is told')

    def test_no_more_than_a_deployed_peer_takes(self):
        for interface in ('eth1', 'eth2'):
            self.net['a'].run('ip', 'link', 'set', interface, 'mtu', 9000)
        a = self.start('a')
        self.assertEqual(mtu_of(self.net['a']), 1592)
        self.assertIn('the peer of link may take no more', a.log())

    def test_with_a_number_paths_have_fragments(self):
        self.start('a', mtu=1464)
        self.start('b', mtu=1464)
        self.net['a'].run('ping', '-c', 8, '-i', 0.2, '-W', 5, '-s', 1436, '10.0.0.3')  # the routers' MTU is found, and some are lost
        self.arrive('a', 1464)
        self.assertGreater(self.fragments(), 0)
        self.assertEqual((mtu_of(self.net['a']), mtu_of(self.net['b'])), (1464, 1464))


if __name__ == '__main__':
    lab.main()
