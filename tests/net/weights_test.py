#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets go over the paths as weight_out says (guide 2.6.3.2). The kernel of the receiving host counts them."""

import socket

import lab

PACKETS = 10_000
ALLOWED = PACKETS // 100


class Weights(lab.LabTest):
    def share(self, weights):
        """Sends the packets one by one and compares what each interface received with its weight."""
        net, _, b = self.figure3(weights=weights)
        interfaces = ('eth1', 'eth2')
        for host in 'ab':
            for interface in interfaces:  # or the kernel counts a batch as one
                net[host].run('ethtool', '-K', interface, 'tx-udp-segmentation', 'off', 'gro', 'off')
        sink = net['b'].socket(socket.AF_INET, socket.SOCK_DGRAM, (lab.tunnel_address('b', 4), 9))
        source = net['a'].socket(socket.AF_INET, socket.SOCK_DGRAM)
        source.connect((lab.tunnel_address('b', 4), 9))
        before = [net['b'].received(interface) for interface in interfaces]
        counted_before = [b.statistics().path(number)['packets_in'] for number in (0, 1)]
        for start in range(0, PACKETS, 100):
            for number in range(start, start + 100):
                source.send(number.to_bytes(4, 'big') + bytes(number % 1000))
            for _ in range(100):
                sink.recv(2000)
        for number, interface in enumerate(interfaces):
            wanted = PACKETS * weights[number] / sum(weights)
            received = net['b'].received(interface) - before[number]
            self.assertAlmostEqual(received, wanted, delta=ALLOWED, msg=interface)
            counted = b.statistics().path(number)['packets_in'] - counted_before[number]
            self.assertAlmostEqual(counted, wanted, delta=ALLOWED, msg=f'statistics of path {number}')

    def test_equal(self):
        self.share((1, 1))

    def test_two_to_one(self):
        self.share((2, 1))

    def test_far_apart(self):
        self.share((1, 10_000))


class WeightsOfAFlow(lab.LabTest):
    def test_packets_of_one_tcp_flow(self):
        """Super-packets are spread packet by packet too."""
        net, a, b = self.figure3(weights=(3, 1))
        listener = net['b'].socket(socket.AF_INET, socket.SOCK_STREAM, (lab.tunnel_address('b', 4), 5001))
        listener.listen()
        client = net['a'].socket(socket.AF_INET, socket.SOCK_STREAM)
        client.connect((lab.tunnel_address('b', 4), 5001))
        server, _ = listener.accept()
        with server:
            for _ in range(200):
                client.sendall(bytes(100_000))
                left = 100_000
                while left > 0:
                    left -= len(server.recv(left))
        paths = [b.statistics().path(number)['packets_in'] for number in (0, 1)]
        self.assertGreater(sum(paths), PACKETS)
        self.assertAlmostEqual(paths[0] / sum(paths), 0.75, delta=0.01)


if __name__ == '__main__':
    lab.main()
