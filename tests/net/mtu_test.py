#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets that fit: the MSS of TCP connections between networks."""

import socket
import struct

import lab
from networks_test import HOST, ROUTER, forward, with_networks

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


class Sites(lab.LabTest):
    """Two routers, a and b, with two paths between them, and a host behind each: c behind a, d behind b."""

    def setUp(self):
        self.net = self.make_lab('a', 'b', 'c', 'd')
        self.net.figure3()
        for router, host, number in (('a', 'c', 1), ('b', 'd', 2)):
            self.net.link(router, host, 'lan', [f'192.168.{number}.1/24', f'fd0{number}::1/64', ROUTER],
                          [f'192.168.{number}.5/24', f'fd0{number}::5/64', HOST])
            self.net[host].run('ip', 'route', 'add', 'default', 'via', f'192.168.{number}.1')
            self.net[host].run('ip', '-6', 'route', 'add', 'default', 'via', f'fd0{number}::1')
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


if __name__ == '__main__':
    lab.main()
