#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server whose clients all come to one port: more than have a connected socket of their own, and several behind one address."""

import socket
import struct

import lab

COUNT = 80
SERVER = '10.1.0.1'


def outer(number):
    """Two clients an address, which their ports tell apart."""
    return f'10.1.1.{1 + number // 2}', lab.DATA_PORT + number % 2


def inner(number):
    return f'10.200.0.{2 + number}'


def echo_request(number):
    """An ICMP echo request of a client to the tunnel's address, in GRE without a sequence number; its identifier is the client's."""
    icmp = with_checksum(struct.pack('!BBHHH', 8, 0, 0, number, 1), 2)
    ip = with_checksum(struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(icmp), 1, 0, 64, 1, 0)
                       + socket.inet_aton(inner(number)) + socket.inet_aton('10.200.0.1'), 10)
    return struct.pack('!HH', 0, 0x0800) + ip + icmp


def with_checksum(octets, at):
    """RFC 1071, with the result at that offset."""
    total = sum(struct.unpack(f'!{len(octets) // 2}H', octets))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return octets[:at] + struct.pack('!H', ~total & 0xffff) + octets[at + 2:]


class Clients(lab.LabTest):
    def test_each_client_gets_its_own_answers(self):
        net = self.make_lab('server', 'clients')
        net.link('server', 'clients', 'eth1', [f'{SERVER}/16'], sorted({f'{outer(number)[0]}/16' for number in range(COUNT)}))
        connections = {}
        for number in range(COUNT):
            address, port = outer(number)
            connections[f'client-{number}'] = lab.connection('10.200.0.1', inner(number), [lab.path('eth1', SERVER, address)],
                                                             f'client-{number}', remote_port=port)
        daemon = lab.Daemon(net['server'], lab.write_config(net.directory / 'server', lab.tunnels(('10.200.0.1/24', 'fec0::1/64')),
                                                            **connections))
        daemon.wait_ready()
        sockets = [net['clients'].socket(socket.AF_INET, socket.SOCK_DGRAM, outer(number)) for number in range(COUNT)]
        for number, client in enumerate(sockets):
            client.sendto(echo_request(number), (SERVER, lab.DATA_PORT))
        for number, client in enumerate(sockets):
            answer, source = client.recvfrom(2000)
            self.assertEqual(source, (SERVER, lab.DATA_PORT))
            # GRE with a sequence number, then an echo reply to this client.
            self.assertEqual(answer[:8], struct.pack('!HHI', 0x1000, 0x0800, 0))
            self.assertEqual(answer[8 + 12:8 + 20], socket.inet_aton('10.200.0.1') + socket.inet_aton(inner(number)))
            self.assertEqual((answer[28], struct.unpack('!H', answer[32:34])[0]), (0, number))
        for client in sockets:
            client.setblocking(False)
            with self.assertRaises(BlockingIOError):
                client.recvfrom(2000)

        def counted():
            statistics = daemon.statistics()
            return all(path['packets_out'] for path in statistics.paths.values()) and statistics

        # A packet is counted after it has been sent.
        statistics = lab.wait_for(counted, 'every answer is counted')
        for number in range(COUNT):
            path = statistics.path(0, f'client-{number}')
            self.assertEqual((path['packets_in'], path['packets_out']), (1, 1), number)
        self.assertEqual(statistics.drops(), {key: 0 for key in statistics.drops()})
        opened = net['server'].run('ss', '-Hun', 'state', 'connected', 'sport', '=', f':{lab.DATA_PORT}')
        self.assertLess(len(opened.splitlines()), COUNT / 2, 'the kernel is not to look through a socket a client')


if __name__ == '__main__':
    lab.main()
