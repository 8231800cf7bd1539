#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes in at one end of the tunnel comes out at the other, unchanged."""

import collections
import hashlib
import random
import socket
import struct
import subprocess
import threading

import lab

MTU = 1440
EXPERIMENT = 253  # protocol number for experiments (RFC 3692): no handler in the kernel answers it
PACKET_OUTGOING = 4  # <linux/if_packet.h>
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
ETHERTYPE = {4: 0x0800, 6: 0x86DD}


def checksum(octets):
    """Internet checksum (RFC 1071)."""
    octets += bytes(len(octets) % 2)
    total = sum(struct.unpack(f'!{len(octets) // 2}H', octets))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_packet(version, source, destination, size, identification, payload):
    """An IP packet of `size` octets, its payload the first octets of `payload`."""
    addresses = socket.inet_pton(FAMILY[version], source) + socket.inet_pton(FAMILY[version], destination)
    if version == 6:
        return struct.pack('!IHBB', 6 << 28 | identification, size - 40, EXPERIMENT, 64) + addresses + payload[:size - 40]
    header = struct.pack('!BBHHHBBH', 0x45, 0, size, identification, 0, 64, EXPERIMENT, 0) + addresses
    return header[:10] + struct.pack('!H', checksum(header)) + header[12:] + payload[:size - 20]


class Transfer(lab.LabTest):
    def send_tcp(self, net, source, destination, version, size=60_000_000):
        """Sends `size` octets over one TCP connection through the tunnel and compares the SHA-256 of both ends."""
        listener = net[destination].socket(FAMILY[version], socket.SOCK_STREAM, (lab.tunnel_address(destination, version), 5001))
        listener.listen()
        sent = hashlib.sha256()

        def send():
            content = random.Random(2015)
            with net[source].socket(FAMILY[version], socket.SOCK_STREAM) as client:
                client.connect((lab.tunnel_address(destination, version), 5001))
                for _ in range(0, size, 1_000_000):
                    block = content.randbytes(1_000_000)
                    sent.update(block)
                    client.sendall(block)

        sender = threading.Thread(target=send)
        sender.start()
        accepted, _ = listener.accept()
        accepted.settimeout(lab.PATIENCE)
        received, octets = hashlib.sha256(), 0
        with accepted:
            while block := accepted.recv(1 << 20):
                received.update(block)
                octets += len(block)
        sender.join()
        listener.close()
        self.assertEqual(octets, size)
        self.assertEqual(received.hexdigest(), sent.hexdigest())

    def transfer(self, tunnel_version, path_version):
        net, a, b = self.figure3(tunnel_version=tunnel_version, path_version=path_version)
        self.send_tcp(net, 'a', 'b', tunnel_version)
        self.send_tcp(net, 'b', 'a', tunnel_version, 5_000_000)
        for number in (0, 1):  # it took both paths
            self.assertGreater(a.statistics().path(number)['octets_out'], 25_000_000)
            self.assertGreater(b.statistics().path(number)['octets_in'], 25_000_000)

    def test_tcp_over_ipv4_in_ipv4(self):
        self.transfer(4, 4)

    def test_tcp_over_ipv4_in_ipv6(self):
        self.transfer(4, 6)

    def test_tcp_over_ipv6_in_ipv4(self):
        self.transfer(6, 4)

    def test_tcp_over_ipv6_in_ipv6(self):
        self.transfer(6, 6)

    def test_tcp_with_a_reorder_window(self):
        net, *_ = self.figure3(reorder_window=500, max_buffdelay_msec=100)
        self.send_tcp(net, 'a', 'b', 4)

    def test_tcp_where_the_interfaces_cannot_segment_or_checksum(self):
        net, *_ = self.figure3()
        for host in 'ab':
            for interface in ('eth1', 'eth2', 'tun0'):
                features = ('tx', 'off', 'gso', 'off', 'gro', 'off', *(['tso', 'off'] if interface != 'tun0' else []))
                net[host].run('ethtool', '-K', interface, *features, stderr=subprocess.DEVNULL)
        self.send_tcp(net, 'a', 'b', 4, 20_000_000)

    def test_icmp(self):
        for version in (4, 6):
            net, *_ = self.figure3(tunnel_version=version)
            for size in (0, 56, 1392):
                net['a'].ping(lab.tunnel_address('b', version), '-s', size, count=20)

    def test_udp_both_ways(self):
        for version in (4, 6):
            net, *_ = self.figure3(tunnel_version=version)
            echo = net['b'].socket(FAMILY[version], socket.SOCK_DGRAM, (lab.tunnel_address('b', version), 7))
            client = net['a'].socket(FAMILY[version], socket.SOCK_DGRAM)
            client.connect((lab.tunnel_address('b', version), 7))
            content = random.Random(version)
            # The large ones are fragmented. A kernel gives a datagram up if more than 64 fragments of others come between its own
            # (net.ipv4.ipfrag_max_dist), so that only few of those are on their way at a time.
            for size, count in ((0, 20), (1, 20), (100, 20), (1000, 20), (1392, 20), (3000, 10), (20_000, 1), (60_000, 1)):
                sent = sorted(content.randbytes(size) for _ in range(count))
                for datagram in sent:
                    client.send(datagram)
                for _ in sent:
                    datagram, source = echo.recvfrom(65536)
                    echo.sendto(datagram, source)
                self.assertEqual(sorted(client.recv(65536) for _ in sent), sent, f'{size} octets')

    def test_packets_of_every_size(self):
        for version in (4, 6):
            net, *_ = self.figure3(tunnel_version=version)
            for source, destination in ('ab', 'ba'):
                self.every_size(net, version, source, destination)

    def every_size(self, net, version, source, destination):
        """Each packet from the bare header to the MTU arrives once and octet for octet."""
        addresses = [lab.tunnel_address(host, version) for host in (source, destination)]
        raw = net[source].socket(FAMILY[version], socket.SOCK_RAW, protocol=socket.IPPROTO_RAW)
        # Keeps the kernel from answering that it does not know the protocol.
        net[destination].socket(FAMILY[version], socket.SOCK_RAW, protocol=EXPERIMENT)
        arrivals = net[destination].socket(socket.AF_PACKET, socket.SOCK_RAW, ('tun0', ETHERTYPE[version]))
        content = random.Random(MTU).randbytes(MTU)
        sizes = range(20 if version == 4 else 40, MTU + 1)
        sent = [ip_packet(version, *addresses, size, number + 1, content) for number, size in enumerate(sizes)]
        arrived = collections.Counter()
        for start in range(0, len(sent), 50):
            burst = sent[start:start + 50]
            for packet in burst:
                raw.sendto(packet, (addresses[1], 0))
            while arrived.total() < start + len(burst):
                packet, (_, _, direction, *_) = arrivals.recvfrom(65536)
                if direction != PACKET_OUTGOING and packet[9 if version == 4 else 6] == EXPERIMENT:
                    arrived[packet] += 1
        self.assertEqual(arrived, collections.Counter(sent))


if __name__ == '__main__':
    lab.main()
