# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks behind tunnels: hosts that are routers, and two sites between which the tests in this folder send."""

import lab

HOST, ROUTER = 'fe80::5/64', 'fe80::1/64'  # a router asks for its neighbours from a link-local address


def with_networks(text, *pairs):
    """The connection's file with networks: pairs of source and destination."""
    text = text.replace('network_count = 0', f'network_count = {len(pairs)}')
    return text + lab.ini((f'net_{number}', {'ip_ver': 6 if ':' in source else 4, 'src_addr': source, 'dst_addr': destination})
                          for number, (source, destination) in enumerate(pairs))


def forward(host, on=1):
    host.run('sysctl', '-q', '-w', f'net.ipv4.ip_forward={on}', f'net.ipv6.conf.all.forwarding={on}')


class SitesTest(lab.LabTest):
    """Two routers, a and b, with two paths between them, and a host behind each: c behind a, d behind b."""

    def setUp(self):
        self.net = self.make_lab('a', 'b', 'c', 'd')
        self.net.figure3()
        for router, host, number in (('a', 'c', 1), ('b', 'd', 2)):
            self.net.link(router, host, 'lan', [f'192.168.{number}.1/24', f'fd0{number}::1/64', ROUTER],
                          [f'192.168.{number}.5/24', f'fd0{number}::5/64', HOST])
            self.net[host].run('ip', 'route', 'add', 'default', 'via', f'192.168.{number}.1')
            self.net[host].run('ip', '-6', 'route', 'add', 'default', 'via', f'fd0{number}::1')
