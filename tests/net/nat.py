# SPDX-License-Identifier: GPL-3.0-or-later
"""A client with two uplinks behind a NAT each, a server with one public address that does not know where it is, and a stranger: what the
tests and the benchmark of peers that move share. Needs root; with delays on the uplinks also linkemu (see emulated.py)."""

import contextlib
import os
import pathlib
import selectors
import socket
import struct
import sys
import threading
import time

import emulated
import lab

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'unit/proto'))
import type3_vectors  # noqa: E402

KEY = 'A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1D2'
SERVER, SERVER6, STRANGER = '192.0.2.9', '2001:db8:2::9', '198.18.0.66'
OUTSIDE = ('198.51.100.1', '203.0.113.1')  # the NATs' public addresses
ROUTER6 = 'fe80::1/64'  # a router asks for its neighbours from a link-local address
KEEPALIVES = {'keepalive_msec': 200, 'dead_msec': 6000}
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


class Client:
    """A host of type 3 as mpt-protocol(7) says, with one path, whose key is that of type3_vectors."""

    def __init__(self, crowd, number):
        self.crowd, self.number = crowd, number
        self.inner = f'10.200.{1 + number // 250}.{1 + number % 250}'
        self.offer = self.own = os.urandom(16)
        self.peer, self.counter, self.response = bytes(16), 0, 0
        self.answers = self.foreign = 0  # to what it has asked, and to what others have
        self.socket = None

    def open(self, port):
        self.socket = self.crowd.net['crowd'].socket(socket.AF_INET, socket.SOCK_DGRAM, (self.crowd.OUTER, port))
        self.socket.setblocking(False)

    def send(self):
        self.counter += 1
        numbers = (self.counter, 1, 0, 0, 0, 0, 0, self.response)
        self._put(type3_vectors.keepalive(self.inner, self.crowd.INNER, self.own, self.peer, self.offer, 0, None, numbers))

    def ask(self):
        """An ICMP echo request through the tunnel, in GRE without a sequence number."""
        icmp = struct.pack('!BBHHH', 8, 0, 0xffff - 0x0800 - self.number, self.number, 0)
        header = struct.pack('!BBHHHBB', 0x45, 0, 28, 1, 0, 64, 1)
        addresses = socket.inet_aton(self.inner) + socket.inet_aton(self.crowd.INNER)
        total = sum(struct.unpack('!9H', header[:10] + addresses))
        self._put(struct.pack('!HH', 0, 0x0800) + header + struct.pack('!H', 0xffff - (total & 0xffff) - (total >> 16)) + addresses + icmp)

    def _put(self, octets):
        with contextlib.suppress(OSError):  # there is no server for a moment
            self.socket.sendto(octets, (self.crowd.SERVER, lab.DATA_PORT))

    def receive(self):
        try:
            octets = self.socket.recv(2000)
        except OSError:
            return
        if octets[0] & 0x10:  # a packet with a sequence number: the answer to a ping, of 20 + 8 octets
            identifier, = struct.unpack_from('!H', octets, 8 + 20 + 4)
            if identifier == self.number:
                self.answers += 1
            else:
                self.foreign += 1
            return
        sender, receiver = octets[44:60], octets[60:76]
        challenge, = struct.unpack_from('!Q', octets, 140)
        if receiver == self.offer:
            self.own, self.peer, self.offer = self.offer, sender, os.urandom(16)
            self.send()
        elif challenge not in (0, self.response):
            self.response = challenge
            self.send()


class Crowd:
    """So many clients behind one address, of a server that knows none of their ports. `net` is a lab.Lab of the two hosts."""

    HOSTS = ('server', 'crowd')
    SERVER, OUTER, INNER = '10.1.0.1', '10.1.1.1', '10.200.0.1'
    KEEPALIVE = 2  # seconds

    def __init__(self, net, count):
        self.net = net
        net.link('server', 'crowd', 'eth1', [f'{self.SERVER}/16'], [f'{self.OUTER}/16'])
        self.clients = [Client(self, number) for number in range(count)]
        self.daemon = None
        self._selector = selectors.DefaultSelector()
        self._first_port = 10000
        self._lock = threading.Lock()
        self.move()
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def move(self):
        """All of them get other ports at once."""
        self._first_port = 40000 - self._first_port
        with self._lock:
            self._moved = self._moves()  # before the first of them is found
            for client in self.clients:
                if client.socket:
                    self._selector.unregister(client.socket)
                    client.socket.close()
                client.open(self._first_port + client.number)
                self._selector.register(client.socket, selectors.EVENT_READ, client)

    def _run(self):
        due, number = time.monotonic(), 0
        while not self._ended:
            with self._lock:
                while due <= time.monotonic():
                    self.clients[number % len(self.clients)].send()
                    number, due = number + 1, due + self.KEEPALIVE / len(self.clients)
                for key, _ in self._selector.select(0):
                    key.data.receive()
            time.sleep(0.001)

    def serve(self):
        """A new server for them."""
        directory = self.net.directory / f'config-{len(self.net.daemons)}'
        path = lab.path('eth1', self.SERVER, '0.0.0.0', gateway_ipaddr='0.0.0.0', keepalive_time=self.KEEPALIVE, dead_time=60)
        lab.write_config(directory, lab.tunnels((f'{self.INNER}/16', 'fec0::1/64')),
                         **{f'client-{client.number:04}': lab.connection(self.INNER, client.inner, [path], f'client-{client.number:04}',
                                                                         auth_type=3, auth_key=type3_vectors.KEY.hex())
                            for client in self.clients})
        self.daemon = lab.Daemon(self.net['server'], directory)
        self._moved = 0
        self.daemon.wait_ready()
        return self.daemon

    def wait_up(self):
        lab.wait_for(lambda: all(path['status'] == 'up' for path in self.daemon.statistics().paths.values()), 'all clients are up', 60)
        self.wait_moved()

    def wait_moved(self):
        """Until the server has found all where they are now."""
        lab.wait_for(lambda: self._moves() >= self._moved + len(self.clients), 'all are found', 60)

    def _moves(self):
        return self.daemon.log().count('the peer is at') if self.daemon else 0

    def close(self):
        self._ended = True
        self._thread.join()
