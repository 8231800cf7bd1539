#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keepalives of authentication type 3: what they show of the paths, and what recorded and forged ones do not do."""

import random
import socket
import threading
import time

import lab

KEY = 'A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1D2'
SIZE = 212  # octets of a keepalive, with its GRE header
KEYS = {'auth_type': 3, 'auth_key': KEY}


class SessionTest(lab.LabTest):
    def start(self, host, **keys):
        peer = {'a': 'b', 'b': 'a'}[host]
        paths = [lab.path(f'eth{number + 1}', lab.path_address(host, 4, number), lab.path_address(peer, 4, number),
                          keepalive_msec=100, dead_msec=3000) for number in (0, 1)]
        for path in paths:
            path['status'] = 128
        directory = lab.write_config(
            self.net.directory / f'config-{len(self.net.daemons)}',
            lab.tunnels((f'{lab.tunnel_address(host, 4)}/24', f'{lab.tunnel_address(host, 6)}/64')),
            link=lab.connection(lab.tunnel_address(host, 4), lab.tunnel_address(peer, 4), paths, **{**KEYS, **keys}))
        daemon = lab.Daemon(self.net[host], directory)
        daemon.wait_ready()
        return daemon

    def setUp(self):
        self.net = self.make_lab('a', 'b')
        self.net.figure3()

    def wait_status(self, daemon, status):
        for number in (0, 1):
            lab.wait_for(lambda: daemon.statistics().path(number)['status'] == status, f'path {number} is {status}')

    def record(self, interface, count):
        """UDP payloads of so many keepalives that come to b, with what came between them."""
        capture = self.net['b'].socket(socket.AF_PACKET, socket.SOCK_DGRAM, (interface, 0x0800), socket.htons(0x0800))
        capture.settimeout(lab.PATIENCE)
        payloads = []
        while sum(len(payload) == SIZE for payload in payloads) < count:
            packet, address = capture.recvfrom(65535)
            if packet[9] == socket.IPPROTO_UDP and packet[12:16] == socket.inet_aton(lab.path_address('a', 4, int(interface[-1]) - 1)):
                payloads.append(packet[28:])
        return payloads


class Session(SessionTest):
    def test_paths_come_up_and_are_measured(self):
        daemons = [self.start(host) for host in 'ab']
        for daemon in daemons:
            self.wait_status(daemon, 'up')
        self.net['a'].run('ping', '-c', 40, '-i', 0.01, lab.tunnel_address('b', 4))
        for daemon in daemons:
            lab.wait_for(lambda: all(daemon.statistics().path(number)['expected_in'] >= 10 for number in (0, 1)), 'packets are counted')
            for number in (0, 1):
                path = daemon.statistics().path(number)
                self.assertGreater(path['round_trip_us'], 0)
                self.assertEqual((path['lost_in'], path['lost_out']), (0, 0))

    def test_a_restarted_host_is_heard_again(self):
        a, b = (self.start(host) for host in 'ab')
        self.wait_status(a, 'up')
        for _ in range(3):
            self.assertEqual(b.stop(), 0)
            self.wait_status(a, 'dead')
            b = self.start('b')
            self.wait_status(a, 'up')
            self.wait_status(b, 'up')
        self.net['a'].run('ping', '-c', 3, '-i', 0.1, lab.tunnel_address('b', 4))

    def test_nothing_weaker_is_taken(self):
        a = self.start('a')
        b = self.start('b', auth_type=2)
        lab.wait_for(lambda: a.statistics().path(0).get('drop_keepalive_without_MAC', 0) > 5, 'keepalives without MAC are counted')
        self.assertEqual(b.stop(), 0)
        self.start('b', auth_key=KEY[::-1])
        lab.wait_for(lambda: a.statistics().path(1).get('drop_wrong_MAC', 0) > 5, 'keepalives with another key are counted')
        for number in (0, 1):
            path = a.statistics().path(number)
            self.assertEqual((path['status'], path['keepalives_in']), ('dead', 0))


class Attack(SessionTest):
    def test_recorded_and_changed_keepalives_change_nothing(self):
        """Whoever has recorded everything, and can send with a's addresses, makes no path of b look alive, and ends none."""
        a, b = (self.start(host) for host in 'ab')
        self.wait_status(b, 'up')
        recorded = []
        threads = [threading.Thread(target=lambda interface=interface: recorded.extend(
            (interface, payload) for payload in self.record(interface, 30))) for interface in ('eth1', 'eth2')]
        for thread in threads:
            thread.start()
        self.net['a'].run('ping', '-c', 50, '-i', 0.02, lab.tunnel_address('b', 4))
        for thread in threads:
            thread.join()
        keepalives = [(interface, payload) for interface, payload in recorded if len(payload) == SIZE]
        self.assertGreaterEqual(len(keepalives), 60)
        randomness = random.Random(3)

        def attack(sockets, seconds):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                interface, payload = randomness.choice(keepalives)
                payload = bytearray(payload)
                if randomness.random() < 0.5:
                    payload[4 + randomness.randrange(SIZE - 4)] ^= 1 << randomness.randrange(8)
                # by its own path or the other one
                index = (int(interface[-1]) - 1) ^ (randomness.random() < 0.3)
                sockets[index].sendto(payload, (lab.path_address('b', 4, index), lab.DATA_PORT))
                time.sleep(0.0005)

        # While a is there: from another port of its addresses.
        sockets = [self.net['a'].socket(socket.AF_INET, socket.SOCK_DGRAM, (lab.path_address('a', 4, number), 0)) for number in (0, 1)]
        before = [b.statistics().path(number) for number in (0, 1)]
        lab.wait_for(lambda: attack(sockets, 3) or all(
            b.statistics().path(number).get(f'drop_{reason}', 0) > 100
            for number in (0, 1) for reason in ('wrong_MAC', 'keepalive_not_fresh')), 'they are refused')
        for number in (0, 1):
            path = b.statistics().path(number)
            self.assertEqual((path['status'], path['status_changes']), ('up', before[number]['status_changes']))
            lab.wait_for(lambda: b.statistics().path(number)['keepalives_in'] > path['keepalives_in'] + 3, 'those of a are taken')
        # While it is not: from its very port.
        self.assertEqual(a.stop(), 0)
        self.wait_status(b, 'dead')
        taken = [b.statistics().path(number)['keepalives_in'] for number in (0, 1)]
        sockets = [self.net['a'].socket(socket.AF_INET, socket.SOCK_DGRAM, (lab.path_address('a', 4, number), lab.DATA_PORT))
                   for number in (0, 1)]
        attack(sockets, 3)
        for number in (0, 1):
            path = b.statistics().path(number)
            self.assertEqual((path['status'], path['keepalives_in']), ('dead', taken[number]))
        for one in sockets:
            one.close()
        a = self.start('a')
        self.wait_status(b, 'up')
        self.wait_status(a, 'up')


if __name__ == '__main__':
    lab.main()
