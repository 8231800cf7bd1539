#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""public_ipaddr = 0.0.0.0: a client c behind two NATs, n and m, finds the addresses that they give its paths, from Debian's coturn on a
server s, and from servers in Python that lie. Needs root, coturn, and the program mpt (MPT= its path, else that in a build directory)."""

import contextlib
import re
import shutil
import socket
import struct
import sys
import threading
import time

import lab

sys.path.insert(0, str(lab.ROOT / 'tests/bus'))
import hosts  # noqa: E402

COOKIE = 0x2112A442
PORT = 3478
# The server's addresses on the two uplinks, those of the NATs, and IPv6 ones without a NAT.
SERVERS = ('203.0.113.9', '198.51.100.9')
OUTSIDE = ('203.0.113.1', '198.51.100.1')
SERVER6, CLIENT6 = '2001:db8:113::9', '2001:db8:1::2'
MAPPED_PORTS = range(40000, 50000)  # that the NATs give
KEY = '0123456789abcdef' * 4


class Server:
    """A STUN server on s in Python. As `honest` it says the truth, else what it is told to say, if anything."""

    def __init__(self, host, address, port):
        self.socket = host.socket(socket.AF_INET, socket.SOCK_DGRAM, (address, port))
        self.beside = host.socket(socket.AF_INET, socket.SOCK_DGRAM, (address, port + 1))
        self.requests = []  # when, and from where
        self.behave = self.honest
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        self.socket.settimeout(None)
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                request, source = self.socket.recvfrom(2048)
                kind, length, cookie = struct.unpack_from('!HHI', request)
                assert (kind, length, cookie) == (1, 0, COOKIE) and len(request) == 20, request
                self.requests.append((time.monotonic(), source))
                self.behave(request[8:20], source)

    def wait_for_requests(self, count, seconds=lab.PATIENCE):
        lab.wait_for(lambda: len(self.requests) >= count, f'{count} requests', seconds)
        return self.requests

    @staticmethod
    def answer(transaction, address, port):
        """A success with XOR-MAPPED-ADDRESS (RFC 8489, section 14.2)."""
        number, = struct.unpack('!I', socket.inet_aton(address))
        return struct.pack('!HHI12sHHHHI', 0x0101, 12, COOKIE, transaction, 0x0020, 8, 1, port ^ (COOKIE >> 16), number ^ COOKIE)

    def honest(self, transaction, source):
        self.socket.sendto(self.answer(transaction, *source), source)

    def loopback(self, transaction, source):
        self.socket.sendto(self.answer(transaction, '127.0.0.1', source[1]), source)

    def refuse(self, transaction, source):
        self.socket.sendto(struct.pack('!HHI12sHHI4s', 0x0111, 12, COOKIE, transaction, 9, 8, 0x0401, b'no!!'), source)

    def lie(self, transaction, source):
        """No answer counts: one has another transaction, one comes from another port."""
        self.socket.sendto(self.answer(transaction[::-1], '192.0.2.66', 1), source)
        self.beside.sendto(self.answer(transaction, '192.0.2.66', 2), source)

    def flood(self, transaction, source):
        """Besides, a thousand wrong answers a second, for five seconds."""
        def run():
            with contextlib.suppress(OSError):
                for round_ in range(500):
                    for number in range(10):
                        wrong = struct.pack('!III', round_, number, 66)
                        self.socket.sendto(self.answer(wrong, '192.0.2.66', 3), source)
                    time.sleep(0.01)
        self.lie(transaction, source)
        if len(self.requests) == 1:
            threading.Thread(target=run, daemon=True).start()


class BehindNat(lab.LabTest):
    def setUp(self):
        self.net = self.make_lab('c', 'n', 'm', 's')
        for number, nat in ((1, 'n'), (2, 'm')):
            self.net.link('c', nat, f'eth{number}', [f'192.168.{number}.2/24'], [f'192.168.{number}.1/24'])
            uplink = (('203.0.113', 'up1'), ('198.51.100', 'up2'))[number - 1]
            self.net.link(nat, 's', uplink[1], [f'{uplink[0]}.1/24'], [f'{uplink[0]}.9/24'])
            self.net[nat].run('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')
        # The second NAT reaches the first server, too.
        self.net['m'].run('ip', 'route', 'add', '203.0.113.0/24', 'via', SERVERS[1])
        self.hosts = []
        self.addCleanup(lambda: [host.close() for host in self.hosts])

    def masquerade(self, ports=f':{MAPPED_PORTS[0]}-{MAPPED_PORTS[-1]}'):
        """With ports: to others than the client's own."""
        for nat, uplink in (('n', 'up1'), ('m', 'up2')):
            self.net[nat].run('nft', '-f', '-', input=f'''table ip nat {{
                chain out {{
                    type nat hook postrouting priority srcnat;
                    oifname {uplink} ip saddr 192.168.1.77 ip protocol udp snat to 203.0.113.77:41000-42000
                    oifname {uplink} ip protocol udp masquerade {"to " + ports if ports else ""}
                }}
            }}
            ''')

    def start_coturn(self):
        log = (self.net.directory / 'coturn.log').open('w')
        self.addCleanup(log.close)
        listen = [f'--listening-ip={address}' for address in (*SERVERS, *([SERVER6] if SERVER6 in self.net['s'].run('ip', 'address') else []))]
        self.net['s'].start(shutil.which('turnserver') or '/usr/bin/turnserver', '-n', *listen, f'--listening-port={PORT}', '--stun-only',
                            '--no-cli', '--no-tls', '--no-dtls', '--no-tcp', '--log-file=stdout', f'--pidfile={self.net.directory}/coturn.pid',
                            f'--db={self.net.directory}/coturn.db', stdout=log, stderr=log)
        lab.wait_for(lambda: f':{PORT} ' in self.net['s'].run('ss', '-Hlun'), 'coturn listens')

    def interface_conf(self, **general):
        return lab.tunnels(('10.0.0.2/24', 'fec0::2/64'), **general)

    def paths(self, **keys):
        """The first says its gateway, and the kernel knows none there; the second has what the kernel knows."""
        return [lab.path('eth1', '0.0.0.0', SERVERS[0], gateway_ipaddr='192.168.1.1', private_ipaddr='0.0.0.0', **keys),
                lab.path('eth2', '0.0.0.0', SERVERS[1], gateway_ipaddr='0.0.0.0', private_ipaddr='192.168.2.2', **keys)]

    def start_client(self, paths=None, names='', connection=None, **general):
        """names: further lines of /etc/hosts."""
        self.net['c'].run('ip', 'route', 'replace', 'default', 'via', '192.168.2.1', 'dev', 'eth2')
        config = lab.write_config(self.net.directory / 'config-c', self.interface_conf(**general),
                                  link=lab.connection('10.0.0.2', '10.0.0.3', paths or self.paths(), **(connection or {})))
        client = hosts.Host(self.net['c'], config)
        self.hosts.append(client)
        table = self.net.directory / 'hosts'
        table.write_text(f'127.0.0.1 localhost\n{names}')
        client.daemon = lab.Daemon(self.net['c'], config, ['env', f'DBUS_SYSTEM_BUS_ADDRESS={client.bus.address}', 'unshare', '--mount',
                                                           'bash', '-ec', 'mount --bind "$0" /etc/hosts; exec "$@"', table])
        client.daemon.wait_ready()
        return client

    def set_servers(self, client, *servers):
        (client.config / 'interface.conf').write_text(self.interface_conf(stun_servers=', '.join(servers)))
        client.done('reload')

    def wait_public(self, client, number, source, address=None, port=None):
        """The path, once its public address is that, from there."""
        def as_wanted():
            path = client.path(number)
            return (path['public_source'] == source and address in (None, path['public_address'])
                    and port in (None, path['public_port']) and path)
        return lab.wait_for(as_wanted, f'the public address of path {number} is {address} by {source}')


class Finding(BehindNat):
    def test_of_two_paths_by_name(self):
        """coturn, whose name is in /etc/hosts. The routes that its answers need go again."""
        self.masquerade()
        before = self.net['c'].network_state()
        self.start_coturn()
        client = self.start_client(names=f'{SERVERS[0]} stun.example.net\n', stun_servers='stun.example.net')
        for number in (0, 1):
            path = self.wait_public(client, number, 'stun', OUTSIDE[number])
            self.assertIn(path['public_port'], MAPPED_PORTS)
        self.assertIn(f'path 0: 192.168.1.2, public {OUTSIDE[0]}:', client.done('status', 'link'))
        client.daemon.wait_for_log(re.escape(f'stun.example.net ({SERVERS[0]}:{PORT}) says'))
        self.assertEqual(client.done('save'), '', 'what is found is no change')
        monitor = client.bus.monitor()
        (client.config / 'interface.conf').write_text(self.interface_conf())
        client.done('reload')
        for number in (0, 1):
            monitor.wait_for_change(hosts.PATH_OBJECT.format(number), PublicSource='private', PublicAddress=f'192.168.{number + 1}.2')
        self.assertEqual(client.path(0)['public_port'], lab.DATA_PORT)
        self.assertEqual(client.daemon.stop(), 0)
        self.net['c'].run('ip', 'route', 'delete', 'default')
        self.assertEqual(self.net['c'].network_state(), before)

    def test_over_ipv6(self):
        for host, prefix, interface in (('c', f'{CLIENT6}/64', 'eth1'), ('n', '2001:db8:1::1/64', 'eth1'),
                                        ('n', '2001:db8:113::1/64', 'up1'), ('s', f'{SERVER6}/64', 'up1')):
            self.net[host].add_address(interface, prefix)
            self.net[host].add_address(interface, 'fe80::1/64' if host == 'n' else 'fe80::5/64')  # a router asks from there
        self.net['s'].run('ip', 'route', 'add', '2001:db8:1::/64', 'via', '2001:db8:113::1')
        self.start_coturn()
        client = self.start_client([lab.path('eth1', '::', SERVER6, gateway_ipaddr='2001:db8:1::1', private_ipaddr='::')],
                                   stun_servers=f'[{SERVER6}]:{PORT}')
        self.wait_public(client, 0, 'stun', CLIENT6, lab.DATA_PORT)

    def test_follows_the_address_of_the_path(self):
        self.masquerade()
        self.net['n'].add_address('up1', '203.0.113.77/32')  # for the other address
        server = Server(self.net['s'], SERVERS[0], PORT)
        client = self.start_client(stun_servers=SERVERS[0])
        self.wait_public(client, 0, 'stun', OUTSIDE[0])
        self.wait_public(client, 1, 'stun', OUTSIDE[1])
        count = len(server.requests)
        self.net['c'].run('ip', 'address', 'delete', '192.168.1.2/24', 'dev', 'eth1')
        changed = time.monotonic()
        self.net['c'].run('ip', 'address', 'add', '192.168.1.77/24', 'dev', 'eth1')
        self.wait_public(client, 0, 'stun', '203.0.113.77')
        asked = next(when for when, source in server.requests[count:] if source[0] == '203.0.113.77')
        print(f'# asked {1000 * (asked - changed):.0f} ms after the address changed')
        self.assertEqual(client.path(1)['public_address'], OUTSIDE[1])

    def test_keeps_the_binding(self):
        """The NAT forgets after 30 s, and would then give another port."""
        self.masquerade()
        for nat in 'nm':
            self.net[nat].run('sysctl', '-q', '-w', 'net.netfilter.nf_conntrack_udp_timeout=30',
                              'net.netfilter.nf_conntrack_udp_timeout_stream=30')
        server = Server(self.net['s'], SERVERS[0], PORT)
        client = self.start_client(stun_servers=SERVERS[0])
        requests = server.wait_for_requests(8, 120)[:8]
        for number in (0, 1):
            own = [(when, source) for when, source in requests if source[0] == OUTSIDE[number]]
            self.assertEqual(len({source for _, source in own}), 1, 'one port all the time')
            self.assertEqual((client.path(number)['public_address'], client.path(number)['public_port']), own[0][1])
            gaps = [after - before for (before, _), (after, _) in zip(own, own[1:])]
            print(f'# path {number} was asked for every {", ".join(f"{gap:.1f}" for gap in gaps)} s')
            self.assertGreaterEqual(len(gaps), 2)
            self.assertLess(max(gaps), 30)


class ByThePeer(BehindNat):
    def test_of_type_3_without_servers(self):
        self.masquerade()
        keys = {'auth_type': 3, 'auth_key': KEY}
        config = lab.write_config(
            self.net.directory / 'config-s', lab.tunnels(('10.0.0.3/24', 'fec0::3/64')),
            link=lab.connection('10.0.0.3', '10.0.0.2', [
                lab.path(f'up{number + 1}', SERVERS[number], OUTSIDE[number], keepalive_msec=200) for number in (0, 1)], **keys))
        lab.Daemon(self.net['s'], config).wait_ready()
        client = self.start_client(self.paths(keepalive_msec=200), connection=keys)
        for number in (0, 1):
            path = self.wait_public(client, number, 'peer', OUTSIDE[number])
            self.assertIn(path['public_port'], MAPPED_PORTS)
        self.assertIn(f'public {OUTSIDE[0]}:{client.path(0)["public_port"]} (by the peer)', client.done('status', 'link'))


class Evil(BehindNat):
    def test_servers_change_nothing(self):
        self.masquerade()
        servers = [Server(self.net['s'], SERVERS[0], 5000 + 10 * number) for number in range(4)]
        honest, *evil = servers
        for server, behave in zip(evil, (Server.loopback, Server.refuse, Server.flood)):
            server.behave = behave.__get__(server)
        # A NAT that lets everything in.
        self.net['n'].run('nft', '-f', '-', input=f'''table ip open {{
            chain in {{
                type nat hook prerouting priority dstnat;
                iifname up1 udp sport 5031 dnat to 192.168.1.2:{lab.DATA_PORT}
            }}
        }}
        ''')
        client = self.start_client(self.paths()[:1], stun_servers=f'{SERVERS[0]}:5000')
        good = self.wait_public(client, 0, 'stun', OUTSIDE[0])
        monitor = client.bus.monitor()
        changes = len(monitor.changes(hosts.PATH_OBJECT.format(0)))
        self.set_servers(client, *(f'{SERVERS[0]}:{5000 + 10 * number}' for number in range(1, 4)))
        used = client.daemon.processor_seconds()
        for server in evil:
            server.wait_for_requests(1)
        lab.wait_for(lambda: client.daemon.statistics().drops().get('drop_STUN_flood', 0) > 2500, 'the flood is counted')
        used = client.daemon.processor_seconds() - used
        print(f'# {used:.2f} s of processor time meanwhile')
        # The peer's address, but not its packet.
        self.assertGreater(client.daemon.statistics().path(0).get('drop_unknown_GRE_version', 0), 0)
        self.assertEqual(client.path(0)['public_address'], good['public_address'])
        self.assertEqual(client.path(0)['public_port'], good['public_port'])
        self.assertEqual(client.path(0)['status'], 'up')
        again = len(evil[0].requests)
        lab.wait_for(lambda: len(evil[0].requests) > again, 'the first is asked again', 100)
        self.assertEqual(len(monitor.changes(hosts.PATH_OBJECT.format(0))), changes)
        stays = f'the public address stays {good["public_address"]}:{good["public_port"]}'
        for port, said in ((5010, 'says that the public address is 127.0.0.1:'), (5020, 'refuses, with error 401'),
                           (5030, 'does not answer')):
            lines = [line for line in client.daemon.log().splitlines() if f'{SERVERS[0]}:{port} {said}' in line]
            self.assertEqual(len(lines), 1, f'{port}: {client.daemon.log()}')
            self.assertIn(stays, lines[0])
        self.set_servers(client, f'{SERVERS[0]}:5000')
        honest.wait_for_requests(2)
        self.wait_public(client, 0, 'stun', OUTSIDE[0])


class Creating(BehindNat):
    def test_tells_the_peer_what_was_found(self):
        self.masquerade(None)  # ports stay: with these authentication types the peer cannot be told another one
        self.start_coturn()
        text = lab.connection('10.0.0.3', '10.0.0.2', [
            lab.path('up1', SERVERS[0], '0.0.0.0', gateway_ipaddr=OUTSIDE[0]),
            lab.path('up2', SERVERS[1], '0.0.0.0', gateway_ipaddr=OUTSIDE[1])], auth_key=KEY)
        config = lab.write_config(self.net.directory / 'config-s', lab.tunnels(('10.0.0.3/24', 'fec0::3/64'), accept_remote=1))
        (config / 'connections/conf.template').write_text(
            ''.join(line + '\n' for line in text.splitlines() if 'remote' not in line.partition('=')[0]))
        server = hosts.Host(self.net['s'], config)
        self.hosts.append(server)
        server.start()
        client = self.start_client(self.paths(keepalive_time=1), connection={'auth_key': KEY}, stun_servers=SERVERS[0])
        for number in (0, 1):
            self.wait_public(client, number, 'stun', OUTSIDE[number], lab.DATA_PORT)
        client.done('create', 'link.conf')
        created, = server.connections()
        self.assertEqual([path['remote_address'] for path in created['paths']], list(OUTSIDE))
        for host in (client, server):
            for number in (0, 1):
                host.wait_status(number, 'up')
        self.net['c'].ping('10.0.0.3')


if __name__ == '__main__':
    lab.main()
