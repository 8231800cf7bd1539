#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers of authentication type 3 that are behind NATs, whose addresses and ports change, and who else would like to be taken for them."""

import hashlib
import pathlib
import random
import socket
import sys
import threading
import time

import lab
import nat

ROOT = pathlib.Path(__file__).resolve().parents[2]
for folder in ('tests/bus', 'tests/unit/proto'):
    sys.path.insert(0, str(ROOT / folder))
import hosts  # noqa: E402
import type3_vectors  # noqa: E402

SIZE = 212  # octets of a keepalive, with its GRE header


def routing(host):
    return '\n'.join(host.run('ip', '-d', *what.split()) for what in ('-4 route show table all', '-6 route show table all', 'rule show'))


class RoamingTest(lab.LabTest):
    def setUp(self):
        self.nats = nat.NatNet(self.make_lab(*nat.NatNet.HOSTS))
        self.net = self.nats.net
        self.hosts = {}

    def start(self, client, server):
        """The two hosts, from the texts of their files."""
        for name, text in (('s', server), ('c', client)):
            host = hosts.Host(self.net[name], self.nats.write(name, text))
            self.addCleanup(host.close)
            host.start()
            self.hosts[name] = host
        return self.hosts['c'], self.hosts['s']

    def where(self, number=0):
        """Address and port of the client, as the server has them."""
        path = self.hosts['s'].path(number)
        return path['remote_address'], path['remote_port']

    def wait_where(self, *wanted, number=0):
        lab.wait_for(lambda: self.where(number) == wanted, f'path {number} goes to {wanted}')

    def ping(self, host='c', address='10.0.0.3'):
        self.net[host].ping(address)


class Transfer:
    """One TCP connection through the tunnel that sends until it is stopped, at some rate."""

    def __init__(self, net, source, destination, port):
        address = {'c': '10.0.0.2', 's': '10.0.0.3'}[destination]
        self._listener = net[destination].socket(socket.AF_INET, socket.SOCK_STREAM, (address, port))
        self._listener.listen()
        self._client = net[source].socket(socket.AF_INET, socket.SOCK_STREAM)
        self._client.connect((address, port))
        self._stops = False
        self.octets = 0
        self._digests = {}
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]
        for thread in self._threads:
            thread.start()

    def _send(self):
        content, digest = random.Random(7), hashlib.sha256()
        while not self._stops:
            block = content.randbytes(20_000)
            self._client.sendall(block)
            digest.update(block)
            self.octets += len(block)
            time.sleep(0.005)
        self._client.close()
        self._digests['sent'] = digest.hexdigest()

    def _receive(self):
        accepted, _ = self._listener.accept()
        accepted.settimeout(lab.PATIENCE)
        digest = hashlib.sha256()
        with accepted:
            while block := accepted.recv(1 << 16):
                digest.update(block)
        self._digests['received'] = digest.hexdigest()

    def stop(self):
        """SHA-256 of what was sent, and of what was received."""
        self._stops = True
        for thread in self._threads:
            thread.join()
        self._listener.close()
        return self._digests['sent'], self._digests.get('received')


class Learning(RoamingTest):
    def test_a_client_behind_two_nats(self):
        before = routing(self.net['s'])
        server = hosts.Host(self.net['s'], self.nats.write('s', self.nats.server_file()))
        self.addCleanup(server.close)
        server.start()
        path = server.path(1)
        self.assertEqual((path['status'], path['remote_address'], path['remote_port'], path['remote_learned_usec']), ('dead', '', 0, 0))
        self.assertIn('not spoken yet', path['waits_for'])
        self.assertIn('not spoken yet', server.done('status'))
        time_before = time.time()
        self.hosts['s'] = server
        client = hosts.Host(self.net['c'], self.nats.write('c', self.nats.client_file()))
        self.addCleanup(client.close)
        client.start()
        for number in (0, 1):
            for host in (server, client):
                host.wait_status(number, 'up')
            self.assertEqual(self.where(number)[0], nat.OUTSIDE[number])
            path = server.path(number)
            self.assertGreaterEqual(path['remote_learned_usec'], 1e6 * time_before - 1e6)
            self.assertLessEqual(path['remote_learned_usec'], 1e6 * time.time())
            self.assertEqual(path['waits_for'], '')
            self.assertEqual((client.path(number)['remote_address'], client.path(number)['remote_learned_usec']), (nat.SERVER, 0))
            server.daemon.wait_for_log(rf'path {number} \(eth0\): the peer is at {nat.OUTSIDE[number]}:\d+ now')
        self.assertIn('learned', server.done('status'))
        self.ping()
        self.ping('s', '10.0.0.2')
        # Whatever the server sends to the client goes out there, whichever way others go.
        self.assertIn('default via 192.0.2.254', self.net['s'].run('ip', 'route', 'show', 'table', 21200))
        # A reload of the same file forgets nothing, another remote_ipaddr does, also of paths that stay.
        places = [self.where(number) for number in (0, 1)]
        server.done('reload')
        self.assertEqual([self.where(number) for number in (0, 1)], places)
        file = server.file('link.conf')
        file.write_text(file.read_text().replace('[path_0]', '[path_0]\nweight_in = 7'))
        server.done('reload')
        self.assertEqual([self.where(number) for number in (0, 1)], places)
        self.ping()
        self.assertEqual(server.daemon.statistics().path(0)['status_changes'], 1)
        self.assertEqual(server.daemon.stop(), 0)
        self.assertEqual(routing(self.net['s']), before)

    def test_restarts_of_both(self):
        client, server = self.start(self.nats.client_file(), self.nats.server_file())
        server.wait_status(0, 'up')
        for host in (server, client, server):
            host.restart()
            for number in (0, 1):
                client.wait_status(number, 'up')
                lab.wait_for(lambda: self.where(number)[0] == nat.OUTSIDE[number], f'path {number} is learned')
                server.wait_status(number, 'up')
            self.ping()

    def test_ipv6_and_no_nat(self):
        net = self.net
        net.link('c', 'i', 'eth3', ['2001:db8:3::2/64'], ['2001:db8:3::fe/64', nat.ROUTER6])
        net['c'].run('ip', '-6', 'route', 'add', 'default', 'via', '2001:db8:3::fe')
        net['s'].run('ip', '-6', 'route', 'add', 'default', 'via', '2001:db8:2::fe')
        paths = {'c': lab.path('eth3', '::', nat.SERVER6, private_ipaddr='::', **nat.KEEPALIVES),
                 's': lab.path('eth0', nat.SERVER6, '::', private_ipaddr='::', **nat.KEEPALIVES)}
        for path in paths.values():
            path['gateway_ipaddr'] = '::'
        tunnel = {'c': ('10.0.0.2', '10.0.0.3'), 's': ('10.0.0.3', '10.0.0.2')}
        client, server = self.start(*(lab.connection(*tunnel[host], [paths[host]], auth_type=3, auth_key=nat.KEY) for host in 'cs'))
        server.wait_status(0, 'up')
        client.wait_status(0, 'up')
        self.assertEqual(self.where(), ('2001:db8:3::2', lab.DATA_PORT))
        self.ping()
        # It moves: another lease.
        net['c'].add_address('eth3', '2001:db8:3::77/64')
        net['c'].run('ip', '-6', 'address', 'delete', '2001:db8:3::2/64', 'dev', 'eth3')
        self.wait_where('2001:db8:3::77', lab.DATA_PORT)
        client.wait_status(0, 'up')
        self.ping()
        # The server moves, and the client follows it.
        away = '2001:db8:2::99'
        net['s'].add_address('eth0', f'{away}/64')
        net['s'].run('ip', '-6', 'address', 'delete', f'{nat.SERVER6}/64', 'dev', 'eth0')
        lab.wait_for(lambda: client.path(0)['remote_address'] == away, 'the client follows')
        self.ping()
        # Both move while they cannot hear each other: the client seeks the server where its file says.
        net['c'].run('ip', 'link', 'set', 'eth3', 'down')
        client.wait_status(0, 'interface-down')
        net['s'].add_address('eth0', f'{nat.SERVER6}/64')
        net['s'].run('ip', '-6', 'address', 'delete', f'{away}/64', 'dev', 'eth0')
        net['c'].run('ip', 'link', 'set', 'eth3', 'up')
        net['c'].add_address('eth3', '2001:db8:3::88/64')
        net['c'].run('ip', '-6', 'route', 'replace', 'default', 'via', '2001:db8:3::fe')
        self.wait_where('2001:db8:3::88', lab.DATA_PORT)
        client.wait_status(0, 'up')
        self.assertEqual((client.path(0)['remote_address'], client.path(0)['remote_learned_usec']), (nat.SERVER6, 0))
        self.ping()


class Many(lab.LabTest):
    COUNT = 100

    def test_many_clients_behind_one_nat(self):
        """They are told apart by their ports alone; each finds its server again after both have started anew, and when all move at once."""
        crowd = nat.Crowd(self.make_lab(*nat.Crowd.HOSTS), self.COUNT)
        self.addCleanup(crowd.close)
        for _ in range(2):
            daemon = crowd.serve()
            crowd.wait_up()
            for client in crowd.clients:
                client.ask()
            lab.wait_for(lambda: all(client.answers > 0 for client in crowd.clients), 'each gets its own answer')
            for client in crowd.clients:
                self.assertEqual(client.foreign, 0)
                client.answers = 0
            crowd.move()
            crowd.wait_moved()
            for client in crowd.clients:
                client.ask()
            lab.wait_for(lambda: all(client.answers > 0 for client in crowd.clients), 'each gets its own answer where it is now')
            self.assertEqual({path['status_changes'] for path in daemon.statistics().paths.values()}, {1})
            self.assertEqual(daemon.stop(), 0)


class Moving(RoamingTest):
    def test_a_nat_that_gives_other_ports_under_traffic(self):
        """TCP through the tunnel survives, and the path is never down; its name, counters and session stay."""
        self.nats.translate(0, 40000)
        client, server = self.start(self.nats.client_file(paths=[0]), self.nats.server_file(paths=[0]))
        for host in (client, server):
            host.wait_status(0, 'up')
        self.assertEqual(self.where(), (nat.OUTSIDE[0], 40000))
        monitor = server.bus.monitor()
        transfers = [Transfer(self.net, 'c', 's', 5001), Transfer(self.net, 's', 'c', 5002)]
        before = server.daemon.statistics().path(0)
        for port in range(40001, 40007):
            octets = [transfer.octets for transfer in transfers]
            self.nats.translate(0, port)
            self.wait_where(nat.OUTSIDE[0], port)
            self.assertIn('RemoteLearned', monitor.wait_for_change(hosts.PATH_OBJECT.format(0), RemotePort=port))
            lab.wait_for(lambda: all(transfer.octets > old + 200_000 for transfer, old in zip(transfers, octets)), 'TCP goes on')
        for transfer in transfers:
            sent, received = transfer.stop()
            self.assertEqual(received, sent)
        after = server.daemon.statistics().path(0)
        self.assertEqual(after['status_changes'], before['status_changes'])
        self.assertGreater(after['packets_in'], before['packets_in'])
        self.assertGreater(after['keepalives_in'], before['keepalives_in'])
        self.assertEqual(len([line for line in server.daemon.log().splitlines() if 'the peer is at' in line]), 7)

    def test_uplinks_and_providers_that_give_other_addresses(self):
        client, server = self.start(self.nats.client_file(), self.nats.server_file())
        for number in (0, 1):
            server.wait_status(number, 'up')
        transfer = Transfer(self.net, 'c', 's', 5001)
        self.nats.renumber(0, '198.51.100.77')
        lab.wait_for(lambda: self.where(0)[0] == '198.51.100.77', 'the path follows the NAT')
        # The client's own address changes behind the other one.
        client_host = self.net['c']
        client_host.run('ip', 'address', 'flush', 'dev', 'eth2')
        client_host.add_address('eth2', '192.168.2.99/24')
        client_host.run('ip', 'route', 'add', 'default', 'via', '192.168.2.1', 'metric', 2)
        nat.forget(self.net['n'])
        self.nats.translate(1, 41000)
        self.wait_where(nat.OUTSIDE[1], 41000, number=1)
        for number in (0, 1):
            server.wait_status(number, 'up')
            client.wait_status(number, 'up')
        sent, received = transfer.stop()
        self.assertEqual(received, sent)
        self.ping()

    def test_a_path_with_an_address_in_the_file_moves_too(self):
        """Until the file has another one."""
        self.nats.translate(0, 40000)
        text = self.nats.server_file(paths=[0], remotes=[nat.OUTSIDE[0]]).replace(f'remote_port = {lab.DATA_PORT}', 'remote_port = 40000')
        client, server = self.start(self.nats.client_file(paths=[0]), text)
        for host in (client, server):
            host.wait_status(0, 'up')
        self.assertEqual((self.where(), server.path(0)['remote_learned_usec']), ((nat.OUTSIDE[0], 40000), 0))
        self.nats.renumber(0, '198.51.100.44')
        lab.wait_for(lambda: self.where()[0] == '198.51.100.44', 'the path follows')
        self.assertIn('198.51.100.44', self.net['s'].run('ip', 'route', 'show', 'table', 21200))
        self.ping()
        server.file('link.conf').write_text(text.replace(nat.OUTSIDE[0], '198.51.100.55'))
        server.done('reload')
        self.assertEqual((server.path(0)['remote_address'], server.path(0)['remote_learned_usec']), ('198.51.100.55', 0))
        lab.wait_for(lambda: self.where()[0] == '198.51.100.44', 'and finds it again')

    def stays(self, auth_type):
        self.nats.translate(0, lab.DATA_PORT)
        client, server = self.start(self.nats.client_file([0], auth_type), self.nats.server_file([0], auth_type, nat.OUTSIDE))
        for host in (client, server):
            lab.wait_for(lambda: host.path(0)['counters']['keepalives_in'] > 0, 'keepalives come')
        self.nats.renumber(0, '198.51.100.44')
        lab.wait_for(lambda: sum(one.get('drop_wrong_source', 0) for one in server.daemon.statistics().sockets.values()) > 5,
                     'keepalives from elsewhere are dropped')
        server.wait_status(0, 'dead')
        self.assertEqual(self.where(), (nat.OUTSIDE[0], lab.DATA_PORT))

    def test_type_0_stays_where_it_is(self):
        self.stays(0)

    def test_type_2_stays_where_it_is(self):
        self.stays(2)


class Attack(RoamingTest):
    def setUp(self):
        super().setUp()
        self.client, self.server = self.start(self.nats.client_file(), self.nats.server_file())
        for number in (0, 1):
            self.server.wait_status(number, 'up')
            self.client.wait_status(number, 'up')
        self.places = [self.where(number) for number in (0, 1)]
        self.randomness = random.Random(11)

    def record(self, count):
        """UDP payloads of so many keepalives that come to the server."""
        capture = self.net['s'].socket(socket.AF_PACKET, socket.SOCK_DGRAM, ('eth0', 0x0800), socket.htons(0x0800))
        payloads = []
        while len(payloads) < count:
            packet, _ = capture.recvfrom(65535)
            if packet[9] == socket.IPPROTO_UDP and packet[16:20] == socket.inet_aton(nat.SERVER) and len(packet) == 28 + SIZE:
                payloads.append(packet[28:])
        capture.close()
        return payloads

    def forged(self):
        """A keepalive that says all the right things, made without the key."""
        def number():
            return self.randomness.randbytes(16)
        return type3_vectors.keepalive('10.0.0.2', '10.0.0.3', number(), number(), number(), self.randomness.randrange(2), 5,
                                       (2**63, 10**12, 0, 0, 0, 0, 1, 0))

    def changed(self, payload):
        payload = bytearray(payload)
        payload[4 + self.randomness.randrange(SIZE - 4)] ^= 1 << self.randomness.randrange(8)
        return bytes(payload)

    def attack(self, seconds, *makers):
        """From many ports of the stranger, for so long, at least 2000 datagrams; how many were sent, and how many came back to it."""
        sockets = [self.net['x'].socket(socket.AF_INET, socket.SOCK_DGRAM, (nat.STRANGER, 0)) for _ in range(20)]
        sent, end = 0, time.monotonic() + seconds
        while time.monotonic() < end or sent < 2000:
            for make in makers:
                self.randomness.choice(sockets).sendto(make(), (nat.SERVER, lab.DATA_PORT))
                sent += 1
            time.sleep(0.0002)
        came = 0
        for one in sockets:
            one.setblocking(False)
            while True:
                try:
                    self.assertEqual(len(one.recv(65535)), SIZE)
                    came += 1
                except BlockingIOError:
                    break
            one.close()
        return sent, came

    def expect_nothing_changed(self):
        self.assertEqual([self.where(number) for number in (0, 1)], self.places)
        for number in (0, 1):
            path = self.server.daemon.statistics().path(number)
            self.assertEqual((path['status'], path['status_changes']), ('up', 1))
        self.ping()
        self.ping('s', '10.0.0.2')

    def drops(self, reason):
        statistics = self.server.daemon.statistics()
        return sum(path.get(f'drop_{reason}', 0) for path in statistics.paths.values())

    def test_keepalives_from_everywhere(self):
        recorded = self.record(20)
        # Those of an earlier session of the same key, too.
        self.client.restart()
        for number in (0, 1):
            self.client.wait_status(number, 'up')
        recorded += self.record(20)
        # A restarted client may have other ports.
        for number in (0, 1):
            count = self.server.path(number)['counters']['keepalives_in']
            lab.wait_for(lambda: self.server.path(number)['counters']['keepalives_in'] > count + 5, 'keepalives come')
        self.places = [self.where(number) for number in (0, 1)]
        start = time.monotonic()
        sent, came = self.attack(4, self.forged, lambda: self.changed(self.randomness.choice(recorded)),
                                 lambda: self.randomness.choice(recorded), lambda: self.randomness.randbytes(SIZE))
        took = time.monotonic() - start
        self.assertLessEqual(came, 2 * (10 * took + 2), 'ten answers a second for a path')
        self.expect_nothing_changed()
        for reason in ('wrong_MAC', 'keepalive_not_fresh'):
            lab.wait_for(lambda: self.drops(reason) > 100, f'{reason} is counted')
        # So many of no session are not even looked at.
        flood = [self.forged() for _ in range(5000)]
        flooder = self.net['x'].socket(socket.AF_INET, socket.SOCK_DGRAM, (nat.STRANGER, 0))
        for payload in flood:
            flooder.sendto(payload, (nat.SERVER, lab.DATA_PORT))
        lab.wait_for(lambda: self.drops('rate_limit') > 100, 'there is a limit')
        self.expect_nothing_changed()

    def test_data_from_strangers(self):
        packet = bytes.fromhex('10000800' '00000001' '4500001c00000000400100000a000002' '0a000003' '0800f7ff00000000')
        before = self.server.daemon.statistics().connections['link']['delivered']
        sent, came = self.attack(0.5, lambda: packet)
        lab.wait_for(lambda: sum(one.get('drop_wrong_source', 0) for one in self.server.daemon.statistics().sockets.values()) > sent / 2,
                     'data packets of strangers are dropped')
        self.assertEqual(came, 0)
        self.assertEqual(self.server.daemon.statistics().connections['link']['delivered'], before)
        self.expect_nothing_changed()

    def test_a_move_under_attack(self):
        """The client is followed while a flood of forged keepalives goes on."""
        recorded = self.record(20)
        attacker = threading.Thread(target=self.attack, args=(6, self.forged, lambda: self.randomness.choice(recorded)))
        attacker.start()
        for port in (42001, 42002, 42003):
            self.nats.translate(0, port)
            self.wait_where(nat.OUTSIDE[0], port)
        attacker.join()
        self.assertEqual(self.server.daemon.statistics().path(0)['status_changes'], 1)
        self.ping()


if __name__ == '__main__':
    lab.main()
