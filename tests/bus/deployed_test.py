#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon, commanded by mpt, against a stand-in for the deployed MPT release with the quirks that a peer must live with: create in both
directions, keepalives, data, and path status changes of types 0 to 2 in both directions (mpt-protocol(7))."""

import configparser
import contextlib
import hashlib
import itertools
import pathlib
import random
import select
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import hosts  # noqa: E402
from hosts import lab  # noqa: E402

KEY = 'A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1D2'
TEMPLATE_PORT = 65060
OK, DEAD, SET_DOWN = 0x00, 0x80, 0x83
PATH_STATUS, CREATE = 0xA2, 0xA3
TEXT = ''';;;;;;;#################### Multipath Connection Information: ###############

[connection]
name             = {name}
permission       = 3
ip_ver           = 4
ip_local         = {ip_local}
local_port       = {local_port}
local_cmd_port   = 60456
ip_remote        = {ip_remote}
remote_port      = {remote_port}
remote_cmd_port  = {remote_cmd_port}
path_count       = 2
network_count    = 0
status           = {status}
reorder_window   = {reorder_window}
max_buffdelay_msec = 300
auth_type        = {auth_type}

########################## PATHS ############################
'''
PATH_TEXT = '''
[path_{number}]
interface_name   = eth{n}
ip_ver           = 4
private_ipaddr   = {local}
public_ipaddr    = {local}
gw_ipaddr        = {local}
remote_ipaddr    = {remote}
keepalive_time   = {keepalive_time}
dead_time        = {dead_time}
weight_in        = {weight_in}
weight_out       = {weight_out}
status           = {status}
'''
NETWORKS = '\n####################### NETWORKS #####################################\n'


def mapped(address):
    return bytes(10) + b'\xff\xff' + socket.inet_aton(address)


def text_of(connection, paths):
    return (TEXT.format(**connection) + ''.join(PATH_TEXT.format(number=number, n=number + 1, **path)
                                                               for number, path in enumerate(paths)) + NETWORKS).encode()


class Deployed:
    """Host b. Its control socket is bound to no address; it answers to where a message came from."""

    def __init__(self, net, local_port, delay=0, is_mute=False):
        """A create takes the `delay`; its answer is lost if it `is_mute`."""
        self.control = net['b'].socket(socket.AF_INET, socket.SOCK_DGRAM, ('0.0.0.0', lab.COMMAND_PORT))
        self.local_port = local_port
        self.data = [net['b'].socket(socket.AF_INET, socket.SOCK_DGRAM, (lab.path_address('b', 4, n), local_port)) for n in (0, 1)]
        self.status = [DEAD, DEAD]
        self.connection = None  # what the peer's text says
        self.remote_port = None
        self.auth_type = 0
        self.key = KEY
        self.delay = delay
        self.is_mute = is_mute
        self.sequence = itertools.count()
        self.sequences = []  # of the packets that came
        self.messages = []   # of the control port
        self.replies = []    # to ours
        self.failure = None
        self.running = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def close(self):
        self.running = False
        self.thread.join()
        for each in (self.control, *self.data):
            each.close()
        if self.failure:
            raise self.failure

    def run(self):
        try:
            next_keepalive = time.monotonic()
            while self.running:
                if self.remote_port and time.monotonic() >= next_keepalive:
                    next_keepalive = time.monotonic() + 1
                    for number in (0, 1):
                        if self.status[number] in (OK, DEAD):
                            self.send_data(number, bytes.fromhex('00000800a100000000040000') + mapped('10.0.0.3') + mapped('10.0.0.2'))
                for ready in select.select([self.control, *self.data], [], [], 0.05)[0]:
                    octets, source = ready.recvfrom(65535)
                    if ready is self.control:
                        self.take_control(octets, source)
                    else:
                        self.take_data(self.data.index(ready), octets, source)
        except Exception as failure:
            self.failure = failure

    # ---- data

    def send_data(self, number, octets):
        self.data[number].sendto(octets, (lab.path_address('a', 4, number), self.remote_port))

    def take_data(self, number, octets, source):
        if source[0] != lab.path_address('a', 4, number):
            return
        payload = octets[8:] if octets[0] & 0x10 else octets[4:]
        if payload[0] >= 0xA0:
            assert octets == bytes.fromhex('00000800a100000000040000') + mapped('10.0.0.2') + mapped('10.0.0.3'), octets.hex()
            if self.status[number] == DEAD:
                self.status[number] = OK
            return
        assert octets[:4] == bytes.fromhex('10000800'), octets.hex()
        self.sequences.append(struct.unpack('!I', octets[4:8])[0])
        if payload[9] != socket.IPPROTO_ICMP or payload[20] != 8:
            return
        checksum = struct.unpack('!H', payload[22:24])[0] + 0x0800
        echo = struct.pack('!BBH', 0, 0, (checksum & 0xFFFF) + (checksum >> 16)) + payload[24:]
        reply = payload[:12] + payload[16:20] + payload[12:16] + echo
        for path in (0, 1):
            if self.status[path] == OK:
                self.send_data(path, bytes.fromhex('10000800') + struct.pack('!I', next(self.sequence)) + reply)
                return

    # ---- control

    def message(self, command, argument, auth, number, round_, rest, initiator='10.0.0.3', responder='10.0.0.2'):
        start = bytes([command, argument, auth, (0, 4, 36)[auth]])
        data = (b'', number, number + bytes(32))[auth]
        end = bytes([round_, 4, 0, 0]) + mapped(initiator) + mapped(responder) + rest
        if auth == 2:
            data = number + hashlib.sha256(start + data + end + self.key[:32].encode()).digest()
        return start + data + end

    def take_control(self, octets, source):
        self.messages.append(octets)
        command, argument, auth, size = octets[:4]
        number = octets[4:8] if auth else b''
        round_ = octets[size + 4]
        initiator, responder = (socket.inet_ntoa(octets[at:at + 4]) for at in (size + 20, size + 36))
        rest = octets[size + 40:]
        assert octets == self.message(command, argument, auth, number, round_, rest, initiator, responder), octets.hex()
        if round_ % 2 == 0:
            self.replies.append(octets)
            return

        def answer(result, round_, rest):
            self.control.sendto(self.message(command, result, auth, self.number, round_, rest, initiator, responder), source)

        if round_ == 1:
            self.number = random.randbytes(4) if command == PATH_STATUS and auth else bytes(4)
            self.asked = struct.unpack('<I', rest)[0]
            self.created = False
            answer(0, 2, rest)
            return
        assert len(rest) == self.asked
        if command == PATH_STATUS:
            assert number == (self.number if auth else b'')
            for path in (0, 1):
                if rest == mapped(lab.path_address('a', 4, path)) + mapped(lab.path_address('b', 4, path)):
                    self.status[path] = argument
            answer(0, 4, b'')
            return
        if self.created:
            return  # a repeated round 3 is dropped
        self.created = True
        text = self.create(rest)
        time.sleep(self.delay)
        for _ in range(2 if len(text) % 256 >= 128 else 1):
            if not self.is_mute:
                answer(0, 4, text[:-36])

    def create(self, text):
        """The connection that the text asks for; the answer."""
        parser = configparser.ConfigParser(comment_prefixes=';#')
        parser.read_string(text[4:].decode())  # four octets are not looked at
        sections = {name: dict(parser[name]) for name in parser.sections()}
        self.connection = sections
        general = sections['connection']
        for key in ('ip_remote', 'remote_port', 'remote_cmd_port'):  # mandatory in a connection file
            assert key in general, key
        self.remote_port = int(general['local_port'])
        self.auth_type = int(general['auth_type'])
        paths = []
        for n in (0, 1):
            path = sections[f'path_{n}']
            assert 'remote_ipaddr' in path
            paths.append({**path, 'local': lab.path_address('b', 4, n), 'remote': path['public_ipaddr'], 'weight_in': path['weight_out'],
                          'weight_out': path['weight_in'], 'status': 128})
        return text_of({**general, 'ip_local': '10.0.0.3', 'local_port': self.local_port, 'ip_remote': general['ip_local'],
                        'remote_port': general['local_port'], 'remote_cmd_port': general['local_cmd_port'], 'status': 128,
                        'reorder_window': 900}, paths)

    def ask(self, command, argument, auth, body, to):
        """An exchange that it begins: the result and the body of the answer."""
        number = bytes(4)
        answer = None
        for round_ in (1, 3):
            rest = struct.pack('<I', len(body)) if round_ == 1 else body
            message = self.message(command, argument, auth, number, round_, rest)
            for _ in range(6):
                count = len(self.replies)
                self.control.sendto(message, to)
                with contextlib.suppress(AssertionError):
                    lab.wait_for(lambda count=count: len(self.replies) > count, 'an answer', 0.5)
                    break
            answer = self.replies[-1]
            number = answer[4:8] if auth else number
        size = answer[3]
        assert answer[size + 4] == 4
        return answer[1], answer[size + 40:]

    def set_path(self, number, status):
        """By hand: told over the other path, and then done whatever the answer is."""
        body = mapped(lab.path_address('b', 4, number)) + mapped(lab.path_address('a', 4, number))
        result, _ = self.ask(PATH_STATUS, status & 0x80, self.auth_type, body, (lab.path_address('a', 4, 1 - number), lab.COMMAND_PORT))
        self.status[number] = status
        return result


class DeployedTest(lab.LabTest):
    def start(self, local_port=TEMPLATE_PORT, **options):
        self.net = self.make_lab('a', 'b')
        self.net.figure3()
        self.peer = Deployed(self.net, local_port, **options)
        self.addCleanup(self.peer.close)

    def start_daemon(self, interface_keys=None, **connections):
        config = lab.write_config(self.net.directory / 'config',
                                  lab.tunnels(('10.0.0.2/24', 'fec0::2/64'), **(interface_keys or {})), **connections)
        self.host = hosts.Host(self.net['a'], config)
        self.addCleanup(self.host.close)
        self.host.start()
        return self.host

    def waiting_link(self, auth_type):
        """As little as a create needs: one address of the peer."""
        paths = [lab.path(f'eth{n + 1}', lab.path_address('a', 4, n), lab.path_address('b', 4, n), weight=2 - n, weight_in=7 + n,
                          keepalive_time=1, cmd_default=1 - n) for n in (0, 1)]
        del paths[1]['remote_ipaddr']
        paths[1]['gateway_ipaddr'] = '10.2.2.2'
        text = lab.connection('10.0.0.2', '10.0.0.3', paths, reorder_window=100, auth_key=KEY, auth_type=auth_type)
        return '\n'.join(line for line in text.splitlines() if not line.startswith(('remote_port', 'remote_cmd_port'))) + '\n'

    def works(self):
        """Paths, packets and what the hosts tell each other, in both directions."""
        a, b = self.host, self.peer
        for number in (0, 1):
            a.wait_status(number, 'up')
        lab.wait_for(lambda: b.status == [OK, OK], 'b has heard a on both paths')
        lab.wait_for(lambda: ' 1 received' in self.net['a'].run('ping', '-c', 1, '-W', 1, '10.0.0.3', check=False), 'the tunnel works')
        sequences = b.sequences[:]
        self.assertEqual(sequences[0], 0)
        self.assertEqual(sequences, list(range(len(sequences))))
        for number in (0, 1):
            a.done('path', 'link', number, 'down')
            lab.wait_for(lambda number=number: b.status[number] == DEAD, 'b is told')
            self.net['a'].ping('10.0.0.3', count=1)
            a.done('path', 'link', number, 'up')
            lab.wait_for(lambda number=number: b.status[number] == OK, 'b is told')
            self.assertEqual(b.set_path(number, SET_DOWN), 0)
            a.wait_status(number, 'dead', 'by-peer')
            self.net['a'].ping('10.0.0.3', count=1)
            self.assertEqual(b.set_path(number, OK), 0)
            a.wait_status(number, 'up')
        self.assertNotIn('telling the peer', a.daemon.log())
        self.assertIsNone(b.failure)

    def test_create_on_it(self):
        for auth_type in (0, 1, 2):
            with self.subTest(auth_type):
                self.start()
                # With type 2 the connection that it creates has the key that everybody knows.
                self.start_daemon({'allow_default_key': int(auth_type == 2)}, link=self.waiting_link(auth_type))
                self.assertEqual(self.host.connections(), [])
                self.host.done('create', 'link.conf')
                if auth_type == 2:
                    self.peer.key = 'A0A1A2A3A4A5A6A7A8A9AAABACADAEAFB0B1B2B3B4B5B6B7B8B9BABBBCBDBEBF'
                of_a, = self.host.connections()
                self.assertEqual((of_a['remote_port'], of_a['reorder_window']), (TEMPLATE_PORT, 900))
                self.assertEqual([path['weight_out'] for path in of_a['paths']], [2, 1])
                self.assertEqual(self.peer.connection['path_0']['weight_in'], '7')
                self.works()

    def test_create_that_takes_its_time(self):
        """It answers the first round 3 alone, and that when the six of them are long sent."""
        self.start(delay=5)
        self.start_daemon(link=self.waiting_link(0))
        self.host.done('create', 'link.conf')
        lab.wait_for(lambda: [message[40] for message in self.peer.messages].count(3) == 6, 'it has read all six')
        self.works()

    def test_create_whose_answer_is_lost(self):
        self.start(is_mute=True)
        self.start_daemon({'cmd_timeout': 4}, link=self.waiting_link(0))
        status, _, error = self.host.mpt('create', 'link.conf')
        self.assertNotEqual(status, 0)
        self.assertIn('does not say whether it has created its side', error)
        self.assertEqual(self.host.connections(), [])

    def test_configured_on_both(self):
        for auth_type in (0, 1, 2):
            with self.subTest(auth_type):
                self.start(lab.DATA_PORT)
                self.peer.auth_type = auth_type
                self.peer.remote_port = lab.DATA_PORT
                paths = [lab.path(f'eth{n + 1}', lab.path_address('a', 4, n), lab.path_address('b', 4, n), keepalive_time=1) for n in (0, 1)]
                self.start_daemon(link=lab.connection('10.0.0.2', '10.0.0.3', paths, auth_type=auth_type, auth_key=KEY))
                self.works()


if __name__ == '__main__':
    lab.main()
