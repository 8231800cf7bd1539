# SPDX-License-Identifier: GPL-3.0-or-later
"""A client with two uplinks behind a NAT each, a server with one public address that does not know where it is, and a stranger: what the
tests and the benchmark of peers that move share. Needs root; with delays on the uplinks also linkemu (see emulated.py)."""

import contextlib
import socket
import struct

import emulated
import lab

KEY = 'A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1D2'
SERVER, SERVER6, STRANGER = '192.0.2.9', '2001:db8:2::9', '198.18.0.66'
OUTSIDE = ('198.51.100.1', '203.0.113.1')  # the NATs' public addresses
ROUTER6 = 'fe80::1/64'  # a router asks for its neighbours from a link-local address
KEEPALIVES = {'keepalive_msec': 200, 'dead_msec': 2000}
# <linux/netfilter/nfnetlink.h>, <linux/netfilter/nfnetlink_conntrack.h>
NETLINK_NETFILTER, CONNTRACK_DELETE = 12, 1 << 8 | 2


class NatNet:
    """`net` is a lab.Lab of the hosts c (client), m and n (NATs), i (the Internet's router), s (server) and x (stranger). With a
    `delay` each way the uplinks are emulated; the emulator is the caller's to stop."""

    HOSTS = 'cmnisx'

    def __init__(self, net, delay=None):
        self.net = net
        if delay:
            self.emulator = emulated.make_emulator()
            for name, nat in zip(emulated.LINKS, 'mn'):
                self.emulator.link(name, (net['c'].namespace, name), (net[nat].namespace, name), delay=delay)
            self.emulator.start()
        for number, nat in enumerate('mn'):
            inside, outside = f'192.168.{number + 1}', OUTSIDE[number].rpartition('.')[0]
            name, ends = f'eth{number + 1}', ([f'{inside}.2/24'], [f'{inside}.1/24'])
            if delay:
                for host, addresses in zip(('c', nat), ends):
                    net[host].add_address(name, *addresses)
            else:
                net.link('c', nat, name, *ends)
            net.link(nat, 'i', f'wan{number + 1}', [f'{OUTSIDE[number]}/24'], [f'{outside}.254/24'])
            net[nat].run('ip', 'route', 'add', 'default', 'via', f'{outside}.254')
            net['c'].run('ip', 'route', 'add', 'default', 'via', f'{inside}.1', 'metric', number + 1)
            self.translate(number)
        net.link('s', 'i', 'eth0', [f'{SERVER}/24', f'{SERVER6}/64'], ['192.0.2.254/24', '2001:db8:2::fe/64', ROUTER6])
        net.link('x', 'i', 'eth7', [f'{STRANGER}/24'], ['198.18.0.254/24'])
        net['s'].run('ip', 'route', 'add', 'default', 'via', '192.0.2.254')
        net['x'].run('ip', 'route', 'add', 'default', 'via', '198.18.0.254')
        for host in 'mni':
            net[host].run('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')

    def translate(self, number, port=None):
        """From now on the NAT gives what comes by the data port this port, or the one that it has; it forgets what it knew."""
        nat = self.net['mn'[number]]
        to = f'to :{port}' if port else ''
        nat.run('nft', '-f', '-', input=f'''
            table ip nat
            delete table ip nat
            table ip nat {{
                chain out {{
                    type nat hook postrouting priority srcnat;
                    oifname "wan*" udp sport {lab.DATA_PORT} masquerade {to}
                    oifname "wan*" masquerade
                }}
                chain in {{
                    type filter hook input priority filter;
                    iifname "wan*" meta l4proto udp drop
                }}
            }}''')
        forget(nat)

    def client_file(self, paths=(0, 1), auth_type=3, **keys):
        """Of a connection by the paths of these numbers."""
        return lab.connection('10.0.0.2', '10.0.0.3',
                              [lab.path(f'eth{number + 1}', '0.0.0.0', SERVER, private_ipaddr='0.0.0.0', gateway_ipaddr='0.0.0.0',
                                        **{**KEEPALIVES, **keys}) for number in paths],
                              auth_type=auth_type, auth_key=KEY)

    def server_file(self, paths=(0, 1), auth_type=3, remotes=('0.0.0.0', '0.0.0.0'), **keys):
        return lab.connection('10.0.0.3', '10.0.0.2',
                              [lab.path('eth0', SERVER, remotes[number], gateway_ipaddr='0.0.0.0', **{**KEEPALIVES, **keys})
                               for number in paths],
                              auth_type=auth_type, auth_key=KEY)

    def write(self, host, text):
        """A configuration directory for c or s."""
        number = {'c': 2, 's': 3}[host]
        return lab.write_config(self.net.directory / f'config-{host}', lab.tunnels((f'10.0.0.{number}/24', f'fec0::{number}/64')), link=text)

    def renumber(self, number, address):
        """The NAT's provider gives it another public address of the same network."""
        nat = self.net['mn'[number]]
        network = address.rpartition('.')[0]
        nat.run('ip', 'address', 'flush', 'dev', f'wan{number + 1}')
        nat.add_address(f'wan{number + 1}', f'{address}/24')
        nat.run('ip', 'route', 'add', 'default', 'via', f'{network}.254')
        forget(nat)


def forget(host):
    """The host's connection tracking knows nothing any more."""
    with host.inside(), contextlib.closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)) as netlink:
        # nlmsghdr: request, with acknowledgement; nfgenmsg: IPv4
        netlink.send(struct.pack('=IHHIIBBH', 20, CONNTRACK_DELETE, 5, 1, 0, socket.AF_INET, 0, 0))
        error, = struct.unpack_from('=i', netlink.recv(4096), 16)
        if error:
            raise OSError(-error, 'forgetting connections')
