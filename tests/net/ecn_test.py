#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""ECN and DSCP across the tunnel (RFC 6040, RFC 2983), both IP versions inside and outside."""

import socket
import struct

import lab

EF = 46 << 2  # expedited forwarding (RFC 3246)
NOT_ECT, ECT1, ECT0, CE = range(4)
PORT = 5000


def checksum(octets):
    total = sum(struct.unpack(f'!{len(octets) // 2}H', octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Ecn(lab.LabTest):
    def outer(self, capture, path_version, size):
        """The traffic class of the next datagram of so many octets on the wire."""
        while True:
            packet = capture.recv(65535)
            if path_version == 4 and packet[9] == socket.IPPROTO_UDP and len(packet) == 20 + 8 + 8 + size:
                return packet[1]
            if path_version == 6 and packet[6] == socket.IPPROTO_UDP and len(packet) == 40 + 8 + 8 + size:
                return struct.unpack('!I', packet[:4])[0] >> 20 & 0xFF

    def send(self, net, tunnel_version, traffic_class, size):
        family = {4: socket.AF_INET, 6: socket.AF_INET6}[tunnel_version]
        sender = net['a'].socket(family, socket.SOCK_DGRAM)
        if tunnel_version == 4:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, traffic_class)
        else:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, traffic_class)
        sender.sendto(bytes(size), (lab.tunnel_address('b', tunnel_version), PORT))

    def test_outer_header(self):
        """It has the ECN field of the packet inside, and with copy_dscp its DSCP."""
        for tunnel_version, path_version, copy_dscp in ((4, 4, 0), (6, 4, 1), (4, 6, 1), (6, 6, 0)):
            net, *_ = self.figure3(tunnel_version=tunnel_version, path_version=path_version, copy_dscp=copy_dscp)
            protocol = {4: 0x0800, 6: 0x86DD}[path_version]
            captures = [net['b'].socket(socket.AF_PACKET, socket.SOCK_DGRAM, (interface, protocol), socket.htons(protocol))
                        for interface in ('eth1', 'eth2')]
            size = 300
            for ecn in range(4):
                for dscp in (0, EF):
                    for capture in captures:  # the paths take turns
                        self.send(net, tunnel_version, dscp | ecn, size)
                        said = self.outer(capture, path_version, {4: 20, 6: 40}[tunnel_version] + 8 + size)
                        self.assertEqual(said, (dscp if copy_dscp else 0) | ecn, (tunnel_version, path_version, copy_dscp))
                        size += 1

    def test_congestion_on_the_way(self):
        """What a router marks reaches the packet inside (RFC 6040 figure 4), or drops it if its sender knows no ECN."""
        for path_version in (4, 6):
            net = self.make_lab('a', 'b')
            net.figure3()
            # what follows a packet that is dropped does not wait for it
            daemon = lab.start_figure3_host(net, 'b', path_version=path_version, reorder_window=100, max_buffdelay_msec=10000)
            family = {4: socket.AF_INET, 6: socket.AF_INET6}[path_version]
            peer = net['a'].socket(family, socket.SOCK_DGRAM, (lab.path_address('a', path_version, 0), lab.DATA_PORT))
            tunnel = net['b'].socket(socket.AF_PACKET, socket.SOCK_DGRAM, ('tun0', 0x0800), socket.htons(0x0800))
            number = 0
            for inner, outer, expected in ((NOT_ECT, ECT0, NOT_ECT), (ECT0, CE, CE), (ECT1, CE, CE), (ECT0, ECT1, ECT1), (ECT1, ECT0, ECT1),
                                           (CE, NOT_ECT, CE), (ECT0, NOT_ECT, ECT0), (NOT_ECT, CE, None), (NOT_ECT, NOT_ECT, NOT_ECT)):
                if path_version == 4:
                    peer.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, outer)
                else:
                    peer.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, outer)
                header = struct.pack('!BBHHHBBH', 0x45, EF | inner, 60, number, 0, 64, 253, 0) + b''.join(
                    socket.inet_aton(lab.tunnel_address(host, 4)) for host in 'ab')
                header = header[:10] + struct.pack('!H', checksum(header)) + header[12:]
                peer.sendto(struct.pack('!HHI', 0x1000, 0x0800, number) + header + bytes(40),
                            (lab.path_address('b', path_version, 0), lab.DATA_PORT))
                number += 1
                if expected is None:
                    lab.wait_for(lambda: daemon.statistics().path(0).get('drop_congestion') == 1, 'the drop is counted')
                    continue
                said = tunnel.recv(65535)
                self.assertEqual((said[1], said[4:6]), (EF | expected, header[4:6]), (inner, outer))
                self.assertEqual(checksum(said[:20]), 0)

    def test_tcp_negotiates_it(self):
        """A whole connection with ECN arrives, and its packets say so outside."""
        net, *_ = self.figure3()
        for host in 'ab':
            net[host].run('sysctl', '-qw', 'net.ipv4.tcp_ecn=1')
        capture = net['b'].socket(socket.AF_PACKET, socket.SOCK_DGRAM, ('eth1', 0x0800), socket.htons(0x0800))
        listener = net['b'].socket(socket.AF_INET, socket.SOCK_STREAM, (lab.tunnel_address('b', 4), PORT))
        listener.listen()
        client = net['a'].socket(socket.AF_INET, socket.SOCK_STREAM)
        client.connect((lab.tunnel_address('b', 4), PORT))
        server, _ = listener.accept()
        sent = bytes(range(256)) * 4096
        client.settimeout(lab.PATIENCE)
        server.settimeout(lab.PATIENCE)
        received = bytearray()
        view = memoryview(sent)
        while len(received) < len(sent):
            view = view[client.send(view[:65536]):] if view else view
            received += server.recv(1 << 20)
        self.assertEqual(bytes(received), sent)
        capture.setblocking(False)
        marks = set()
        try:
            while True:
                packet = capture.recv(65535)
                if packet[9] == socket.IPPROTO_UDP:
                    marks.add(packet[1] & 3)
        except BlockingIOError:
            pass
        self.assertIn(ECT0, marks)


if __name__ == '__main__':
    lab.main()
