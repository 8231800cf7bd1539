#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes over the paths: as tshark reads it, as a recorded peer speaks it, and what a hostile sender may try."""

import random
import socket
import struct
import subprocess
import time

import lab

PEER = ('10.1.1.3', lab.DATA_PORT)
TUNNEL_ADDRESSES = socket.inet_aton('10.0.0.2') + socket.inet_aton('10.0.0.3')

# Echo requests of a host running the deployed MPT release, and the answers of its peer's kernel: with sequence numbers ...
NUMBERED = [
    ('100008000000000045000054476240004001df420a0000020a00000308000a332ea60001d8a6026b0000000016410f0000000000'
     '101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637',
     '000012332ea60001d8a6026b0000000016410f0000000000101112131415161718191a1b1c1d1e1f202122232425262728292a2b'
     '2c2d2e2f3031323334353637'),
    ('100008000000000145000054478340004001df210a0000020a00000308005c582ea60002d9a6026b00000000cf1a030000000000'
     '101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637',
     '000064582ea60002d9a6026b00000000cf1a030000000000101112131415161718191a1b1c1d1e1f202122232425262728292a2b'
     '2c2d2e2f3031323334353637'),
]
# ... and without.
UNNUMBERED = [
    ('0000080045000054736340004001b3410a0000020a00000308007e1d68900001a4bb026b00000000a757040000000000101112131415161718191a1b'
     '1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637',
     '0000861d68900001a4bb026b00000000a757040000000000101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30313233'
     '34353637'),
    ('0000080045000054736e40004001b3360a0000020a00000308008f0568900002a4bb026b00000000936e070000000000101112131415161718191a1b'
     '1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637',
     '0000970568900002a4bb026b00000000936e070000000000101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30313233'
     '34353637'),
]


def inner(total_length=None, first=0x45, size=60):
    """An inner IPv4 packet of `size` octets; its header may lie."""
    length = size if total_length is None else total_length
    return struct.pack('!BBHHHBBH', first, 0, length, 1, 0, 64, 253, 0) + TUNNEL_ADDRESSES + bytes(size - 20)


def inner6(payload_length, size=60):
    """An inner IPv6 packet of `size` octets that says it has `payload_length` beyond its header."""
    return struct.pack('!IHBB', 6 << 28, payload_length, 253, 64) + bytes(size - 8)


def gre(payload, flags=0, protocol=0x0800):
    return struct.pack('!HH', flags, protocol) + payload


class Wire(lab.LabTest):
    def test_tshark_reads_gre_in_udp(self):
        """tshark finds GRE in UDP with rising sequence numbers, nothing malformed, and every checksum right."""
        for tunnel_version, path_version in ((4, 4), (6, 6)):
            net, *_ = self.figure3(tunnel_version=tunnel_version, path_version=path_version)
            for host in 'ab':  # so that checksums and packets are complete where they are captured
                for interface in ('eth1', 'eth2'):
                    net[host].run('ethtool', '-K', interface, 'tx', 'off', 'gso', 'off', 'gro', 'off', stderr=subprocess.DEVNULL)
            captures = {interface: net['b'].socket(socket.AF_PACKET, socket.SOCK_RAW, (interface, 3)) for interface in ('eth1', 'eth2')}
            address = lab.tunnel_address('b', tunnel_version)
            net['a'].run('ping', '-c', 10, '-i', 0.01, address)
            listener = net['b'].socket({4: socket.AF_INET, 6: socket.AF_INET6}[tunnel_version], socket.SOCK_STREAM, (address, 5001))
            listener.listen()
            client = net['a'].socket(listener.family, socket.SOCK_STREAM)
            client.connect((address, 5001))
            server, _ = listener.accept()
            with server:
                client.sendall(bytes(200_000))
                left = 200_000
                while left > 0:
                    left -= len(server.recv(left))
            for interface, capture in captures.items():
                self.examine(net, self.write_capture(net, interface, capture), path_version)

    def write_capture(self, net, name, capture):
        """A pcap file (draft-ietf-opsawg-pcap) of what the packet socket has got."""
        file = net.directory / f'{name}.pcap'
        capture.setblocking(False)
        with file.open('wb') as out:
            out.write(struct.pack('=IHHiIII', 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
            try:
                while True:
                    frame = capture.recv(65535)
                    now = time.time()
                    out.write(struct.pack('=IIII', int(now), int(now % 1 * 1e6), len(frame), len(frame)) + frame)
            except BlockingIOError:
                return file

    def examine(self, net, file, path_version):
        fields = ('ipv6.src' if path_version == 6 else 'ip.src', 'gre.flags_and_version', 'gre.sequence_number', '_ws.malformed',
                  'ip.checksum.status', 'udp.checksum.status', 'tcp.checksum.status', 'icmp.checksum.status', 'icmpv6.checksum.status')
        said = net['b'].run(
            'tshark', '-r', file, '-d', f'udp.port=={lab.DATA_PORT},gre', '-Y', f'udp.port=={lab.DATA_PORT}', '-T', 'fields',
            *(word for field in fields for word in ('-e', field)), *(word for protocol in ('ip', 'udp', 'tcp')
                                                                     for word in ('-o', f'{protocol}.check_checksum:TRUE')), stderr=subprocess.DEVNULL)
        numbers = {}
        for line in said.splitlines():
            source, flags, number, malformed, *checksums = line.split('\t')
            self.assertEqual((int(flags, 16), malformed), (0x1000, ''), line)
            self.assertLessEqual(set(','.join(checksums).split(',')), {'', '1'}, line)  # 1: good
            numbers.setdefault(source.split(',')[0], []).append(int(number))
        self.assertEqual(len(numbers), 2, 'both directions')
        for sequence in numbers.values():
            self.assertEqual(sequence, sorted(set(sequence)))
        self.assertGreater(sum(map(len, numbers.values())), 50)


class Peer(lab.LabTest):
    """The test itself is host a; only b has a daemon."""

    def setUp(self):
        self.net = self.make_lab('a', 'b')
        self.net.figure3()
        self.daemon = lab.start_figure3_host(self.net, 'b')
        self.paths = [self.net['a'].socket(socket.AF_INET, socket.SOCK_DGRAM, (f'10.{n}.{n}.2', lab.DATA_PORT)) for n in (1, 2)]

    def answers(self, count):
        """The data packets that come back, whatever path they take, by their sequence numbers."""
        found = {}

        def look():
            for path in self.paths:
                path.setblocking(False)
                try:
                    while True:
                        packet = path.recv(65536)
                        flags, protocol, number = struct.unpack('!HHI', packet[:8])
                        self.assertEqual((flags, protocol), (0x1000, 0x0800))
                        self.assertNotIn(number, found)
                        found[number] = packet[8:]
                except BlockingIOError:
                    pass
            return len(found) >= count

        lab.wait_for(look, f'{count} answers')
        return found

    def ask(self, requests, send):
        """Sends the recorded requests; the answers must be the recorded ones, numbered from 0."""
        for request, _ in requests:
            send(bytes.fromhex(request))
        answers = self.answers(len(requests))
        self.assertEqual(sorted(answers), list(range(len(requests))))
        self.assertCountEqual([answer[20:].hex() for answer in answers.values()], [reply for _, reply in requests])
        for answer in answers.values():
            self.assertEqual(answer[12:20], socket.inet_aton('10.0.0.3') + socket.inet_aton('10.0.0.2'))

    def test_recorded_packets(self):
        self.ask(NUMBERED, lambda packet: self.paths[0].sendto(packet, PEER))

    def test_recorded_packets_without_sequence_numbers(self):
        self.ask(UNNUMBERED, lambda packet: self.paths[0].sendto(packet, PEER))

    def test_peer_behind_a_nat_that_changed_its_port(self):
        other = self.net['a'].socket(socket.AF_INET, socket.SOCK_DGRAM, ('10.1.1.2', 40_000))
        self.ask(NUMBERED, lambda packet: other.sendto(packet, PEER))

    def test_what_is_wrong_is_counted_and_dropped(self):
        valid = bytes.fromhex(UNNUMBERED[0][0])
        stranger = '10.1.1.9'
        self.net['a'].add_address('eth1', f'{stranger}/24')
        wrong_source = self.net['a'].socket(socket.AF_INET, socket.SOCK_DGRAM, (stranger, lab.DATA_PORT))
        cases = [
            ('truncated_GRE_header payload_too_short',
             [valid[:length] for length in range(12)] + [gre(bytes(3), 0x1000), gre(bytes(8), 0x1000)]),
            ('unknown_GRE_flags unknown_GRE_version',
             [gre(inner(), flags) for flags in (0x8000, 0x2000, 0x4000, 0x9000, 0x0800, 0x0001, 0x0007, 0x1001, 0xFFFF)]),
            ('unknown_GRE_protocol_type', [gre(inner(), 0, protocol) for protocol in (0, 0x6558, 0x0801, 0x880B, 0xFFFF)]),
            ('wrong_inner_IP_version bad_inner_IP_header wrong_inner_IP_length',
             [gre(packet) for packet in (inner(61), inner(65535), inner(19), inner(0), inner(first=0x44), inner(first=0x65),
                                         inner(first=0x05), inner(first=0x4F)[:40], inner6(20))]
             + [gre(packet, 0, 0x86DD) for packet in (inner6(21), inner6(65535), inner6(0, 39), inner())]),
            ('unknown_control_message bad_keepalive',
             [gre(bytes([command]) + bytes(length)) for command in (0xA0, 0xA1, 0xA2, 0xA3, 0xFF) for length in (8, 38, 39, 40)]),
        ]
        for reasons, packets in cases:
            for packet in packets:
                before = self.daemon.statistics().drops()
                self.paths[0].sendto(packet, PEER)
                after = lab.wait_for(lambda: (now := self.daemon.statistics().drops()) != before and now,
                                     f'{packet.hex()} is counted')
                grown = {reason: after[reason] - before.get(reason, 0) for reason in after if after[reason] != before.get(reason)}
                self.assertIn(grown, [{f'drop_{reason}': 1} for reason in reasons.split()], packet.hex())
        for _ in range(50):
            wrong_source.sendto(valid, PEER)
        lab.wait_for(lambda: self.daemon.statistics().drops().get('drop_wrong_source') == 50, '50 packets from a wrong source counted')
        self.assertEqual(self.daemon.statistics().path(0)['packets_in'], 0)
        self.ask(NUMBERED, lambda packet: self.paths[0].sendto(packet, PEER))

    def test_a_flood_of_rubbish(self):
        """The daemon lives, serves on, and does not fill the log."""
        lines = len(self.daemon.log().splitlines())
        stranger = self.net['a'].socket(socket.AF_INET, socket.SOCK_DGRAM, ('10.1.1.2', 9))
        chance = random.Random(8086)
        valid = bytes.fromhex(UNNUMBERED[0][0])
        for number in range(20_000):
            if number % 2:
                packet = chance.randbytes(chance.randrange(100))
            else:
                packet = bytearray(valid)
                packet[chance.choice([place for place in range(24) if place != 7])] ^= 1 << chance.randrange(8)
                packet[7] ^= 0x80  # never a whole packet: its length is another
            (self.paths[0] if number % 3 else stranger).sendto(packet, PEER)
            if number % 500 == 0:  # no faster than the daemon reads: what the kernel drops shows nothing
                lab.wait_for(lambda: sum(self.daemon.statistics().drops().values()) >= number // 2, 'half of it is counted')
        lab.wait_for(lambda: sum(self.daemon.statistics().drops().values()) > 10_000, 'most of it is counted')
        self.assertLess(len(self.daemon.log().splitlines()), lines + 50)
        self.assertIsNone(self.daemon.process.poll())
        self.ask(NUMBERED, lambda packet: self.paths[1].sendto(packet, ('10.2.2.3', lab.DATA_PORT)))


if __name__ == '__main__':
    lab.main()
