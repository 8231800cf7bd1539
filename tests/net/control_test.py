#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control port as an independent peer sees it: exchanges that were recorded between two hosts running the deployed MPT release,
with this peer in the place of the one or the other, and what a hostile sender may try."""

import configparser
import contextlib
import hashlib
import random
import socket
import struct
import threading
import time

import lab

KEY = 'A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1D2'
CONTROL = lab.COMMAND_PORT

# Host A (tunnel 10.0.0.2, paths 10.1.1.2 and 10.2.2.2) sets its path 0 down and then up, and tells B (10.0.0.3 ...) over path 1: the
# UDP payloads by authentication type, A's and B's in turns.
RECORDED = {
    0: ('a28000000104000000000000000000000000ffff0a00000200000000000000000000ffff0a00000320000000',
        'a20000000204000000000000000000000000ffff0a00000200000000000000000000ffff0a00000320000000',
        'a28000000304000000000000000000000000ffff0a00000200000000000000000000ffff0a000003'
        '00000000000000000000ffff0a01010200000000000000000000ffff0a010103',
        'a20000000404000000000000000000000000ffff0a00000200000000000000000000ffff0a000003',
        'a20000000104000000000000000000000000ffff0a00000200000000000000000000ffff0a00000320000000',
        'a20000000204000000000000000000000000ffff0a00000200000000000000000000ffff0a00000320000000',
        'a20000000304000000000000000000000000ffff0a00000200000000000000000000ffff0a000003'
        '00000000000000000000ffff0a01010200000000000000000000ffff0a010103',
        'a20000000404000000000000000000000000ffff0a00000200000000000000000000ffff0a000003'),
    1: ('a2800104000000000104000000000000000000000000ffff0a00000200000000000000000000ffff0a00000320000000',
        'a20001045515dc610204000000000000000000000000ffff0a00000200000000000000000000ffff0a00000320000000',
        'a28001045515dc610304000000000000000000000000ffff0a00000200000000000000000000ffff0a000003'
        '00000000000000000000ffff0a01010200000000000000000000ffff0a010103',
        'a20001045515dc610404000000000000000000000000ffff0a00000200000000000000000000ffff0a000003',
        'a2000104000000000104000000000000000000000000ffff0a00000200000000000000000000ffff0a00000320000000',
        'a20001043a6073500204000000000000000000000000ffff0a00000200000000000000000000ffff0a00000320000000',
        'a20001043a6073500304000000000000000000000000ffff0a00000200000000000000000000ffff0a000003'
        '00000000000000000000ffff0a01010200000000000000000000ffff0a010103',
        'a20001043a6073500404000000000000000000000000ffff0a00000200000000000000000000ffff0a000003'),
    2: ('a28002240000000035bce40578639357acab154dea7cf96b70ec431d401adbadbcf75fcec3170249'
        '0104000000000000000000000000ffff0a00000200000000000000000000ffff0a00000320000000',
        'a200022469444611712f11eb5d1989190b8846cee368b9941700bfcfa3ab642a161e02b058bbf9ab'
        '0204000000000000000000000000ffff0a00000200000000000000000000ffff0a00000320000000',
        'a28002246944461131589988b77b920d4ad44d8bf2a56e75becbdb96f131b60d5204b985630c42e6'
        '0304000000000000000000000000ffff0a00000200000000000000000000ffff0a000003'
        '00000000000000000000ffff0a01010200000000000000000000ffff0a010103',
        'a20002246944461139201301bb9c683d60068164ce5be9ebca1542eab5e08a462ee8eafb0feb233b'
        '0404000000000000000000000000ffff0a00000200000000000000000000ffff0a000003',
        'a2000224000000003af416f707defb152552bb367f91123123c3f93a8bb6635251adc82f162e3ee5'
        '0104000000000000000000000000ffff0a00000200000000000000000000ffff0a00000320000000',
        'a20002247a2c193fe290a673c00485247fa7941f4b6e4d5fa45b377b9c4bc18f0321dd39dda4ffe4'
        '0204000000000000000000000000ffff0a00000200000000000000000000ffff0a00000320000000',
        'a20002247a2c193fc6f7b5bc0695293e6f5007f76dd41dbb1a2772f1fd322e658a16d612e75e0e44'
        '0304000000000000000000000000ffff0a00000200000000000000000000ffff0a000003'
        '00000000000000000000ffff0a01010200000000000000000000ffff0a010103',
        'a20002247a2c193fda876c7e623abfba88d46e478ee6ba931aa99a245c600c9d7eefc06af797ac3e'
        '0404000000000000000000000000ffff0a00000200000000000000000000ffff0a000003'),
}
RECORDED = {auth: [bytes.fromhex(message) for message in messages] for auth, messages in RECORDED.items()}

# A creates the connection on B: its rounds 1 and 3 up to the text, and the text of each.
CREATE_1 = bytes.fromhex('a30002240000000001087f9426ef56763ac7fb8a0f4078cde121cd8bbabb9bf0134edfca01db6723'
                         '0104000000000000000000000000ffff0a00000200000000000000000000ffff0a00000366040000')
CREATE_3 = bytes.fromhex('a30002240000000067041f4a7d0c7c813a52f5d3535ced7242f230fe3e1d84420e649d3229b1a0da'
                         '0304000000000000000000000000ffff0a00000200000000000000000000ffff0a000003')
CREATE_TEXT = ''';;;;;;;#################### Multipath Connection Information: ###############

[connection]
name             = MPT_A
permission       = 3
ip_ver           = 4
ip_local         = 10.0.0.2
local_port       = 23456
local_cmd_port   = 60456
ip_remote        = 10.0.0.3
remote_port      = 23456
remote_cmd_port  = 60456
path_count       = 2
network_count    = 0
status           = 0
reorder_window   = 100
max_buffdelay_msec = 100
auth_type        = 0

########################## PATHS ############################

[path_0]
interface_name   = eth1
ip_ver           = 4
private_ipaddr   = 10.1.1.2
public_ipaddr    = 10.1.1.2
gw_ipaddr        = 10.1.1.2
remote_ipaddr    = 10.1.1.3
keepalive_time   = 2
dead_time        = 6
weight_in        = 1
weight_out       = 2
status           = 0

[path_1]
interface_name   = eth2
ip_ver           = 4
private_ipaddr   = 10.2.2.2
public_ipaddr    = 10.2.2.2
gw_ipaddr        = 10.2.2.2
remote_ipaddr    = 10.2.2.3
keepalive_time   = 2
dead_time        = 6
weight_in        = 1
weight_out       = 1
status           = 0

####################### NETWORKS #####################################
'''
# B's answer, which the deployed release cuts short.
CREATED_TEXT = ''';;;;;;;#################### Multipath Connection Information: ###############

[connection]
name             = MPT_A
permission       = 3
ip_ver           = 4
ip_local         = 10.0.0.3
local_port       = 65060
local_cmd_port   = 60456
ip_remote        = 10.0.0.2
remote_port      = 23456
remote_cmd_port  = 60456
path_count       = 2
network_count    = 0
status           = 128
reorder_window   = 900
max_buffdelay_msec = 300
auth_type        = 0

########################## PATHS ############################

[path_0]
interface_name   = eth1
ip_ver           = 4
private_ipaddr   = 10.1.1.3
public_ipaddr    = 10.1.1.3
gw_ipaddr        = 10.1.1.3
remote_ipaddr    = 10.1.1.2
keepalive_time   = 2
dead_time        = 6
weight_in        = 2
weight_out       = 1
status           = 128

[path_1]
interface_name   = eth2
ip_ver           = 4
private_ipaddr   = 10.2.2.3
public_ipaddr    = 10.2.2.3
gw_ipaddr        = 10.2.2.3
remote_ipaddr    = 10.2.2.2
keepalive_time   = 2
dead_time        = 6
weight_in        = 1
weight_out       = 1
status           = 128

####################### NETWORKS ##
'''


def with_random(message, octets):
    """The message with another random number, and with the hash that it has then."""
    auth = message[2]
    if auth == 0:
        return message
    changed = message[:4] + octets + message[8:]
    return with_hash(changed) if auth == 2 else changed


def with_hash(message):
    """The hash of the whole payload with zeros in its place, and of the first 32 characters of the key."""
    return message[:8] + hashlib.sha256(message[:8] + bytes(32) + message[40:] + KEY[:32].encode()).digest() + message[40:]


def from_the_other(message):
    """With its tunnel addresses in turn."""
    first = message[3] + 8
    return message[:first] + message[first + 16:first + 32] + message[first:first + 16] + message[first + 32:]


class ControlTest(lab.LabTest):
    def make(self, host, **keys):
        """The daemon on the host, which waits for no keepalives, and the address of the other host's path 1."""
        self.net = self.make_lab('a', 'b')
        self.net.figure3()
        paths = [{**path, 'keepalive_time': 0} for path in lab.figure3_paths(host)]
        peer = {'a': 'b', 'b': 'a'}[host]
        self.config = lab.write_config(
            self.net.directory / 'config', lab.tunnels((f'{lab.tunnel_address(host, 4)}/24', f'{lab.tunnel_address(host, 6)}/64')),
            link=lab.connection(lab.tunnel_address(host, 4), lab.tunnel_address(peer, 4), paths, auth_key=KEY, **keys))
        return lab.Daemon(self.net[host], self.config)

    def control_socket(self, host, number, port=CONTROL):
        return self.net[host].socket(socket.AF_INET, socket.SOCK_DGRAM, (lab.path_address(host, 4, number), port))

    def next_said(self, peer, last):
        """What the daemon says, and from where, but for further repetitions of what it said last: it may be slow to read the answer."""
        while (said := peer.recvfrom(2048))[0] == last:
            pass
        return said

    def wait_status(self, daemon, number, status):
        lab.wait_for(lambda: daemon.statistics().path(number)['status'] == status, f'path {number} is {status}')


class Recorded(ControlTest):
    def test_the_hash_here_is_the_recorded_one(self):
        for message in RECORDED[2] + [CREATE_1, CREATE_3 + CREATE_TEXT.encode()]:
            self.assertEqual(with_hash(message), message)

    def test_responder(self):
        """What A said is answered as B did, but for the random number, and is done."""
        for auth_type, recorded in RECORDED.items():
            daemon = self.make('b', auth_type=auth_type)
            daemon.wait_ready()
            peer = self.control_socket('a', 1)
            numbers = set()
            for begin, status in ((0, 'dead'), (4, 'up')):
                round1, round2, round3, round4 = recorded[begin:begin + 4]
                server = (lab.path_address('b', 4, 1), CONTROL)
                peer.sendto(round1, server)
                answer, source = peer.recvfrom(2048)
                self.assertEqual(source, server)
                number = answer[4:8]
                numbers.add(number)
                self.assertEqual(answer, with_random(round2, number))
                peer.sendto(round1, server)
                self.assertEqual(peer.recv(2048), answer, 'a repeated question has the same answer')
                for _ in range(3):
                    peer.sendto(with_random(round3, number), server)
                    self.assertEqual(peer.recv(2048), with_random(round4, number))
                self.wait_status(daemon, 0, status)
            self.assertEqual(daemon.statistics().path(0)['status_changes'], 2, 'a repeated round 3 is not done twice')
            self.assertEqual(len(numbers), 1 if auth_type == 0 else 2)
            self.assertEqual(daemon.statistics().control, {})

    def test_initiator(self):
        """It says what A said, octet for octet; the answers are B's. A first question and a round 3 are repeated until they are
        answered."""
        for auth_type, recorded in RECORDED.items():
            daemon = self.make('a', auth_type=auth_type)
            daemon.wait_ready()
            peer = self.control_socket('b', 1)
            answered = None
            for begin, state in ((0, 'down'), (4, 'up')):
                self.net['a'].run('ip', 'link', 'set', 'eth1', state)
                for step in (begin, begin + 2):
                    for repetition in range(2):
                        said, source = self.next_said(peer, answered)
                        self.assertEqual(said.hex(), recorded[step].hex(), f'repetition {repetition}')
                        self.assertEqual(source, (lab.path_address('a', 4, 1), CONTROL))
                    answered = said
                    peer.sendto(recorded[step + 1], source)
            peer.sendto(recorded[3], source)  # late
            lab.wait_for(lambda: daemon.statistics().control == {'drop_no_such_exchange': 1}, 'the late answer is counted')
            self.assertNotIn('telling the peer', daemon.log())

    def test_refusal_is_told(self):
        daemon = self.make('a', auth_type=0)
        daemon.wait_ready()
        peer = self.control_socket('b', 1)
        self.net['a'].run('ip', 'link', 'set', 'eth1', 'down')
        said = None
        for step in (0, 2):
            said, source = self.next_said(peer, said)
            self.assertEqual(said, RECORDED[0][step])
            answer = RECORDED[0][step + 1]
            peer.sendto(answer[:1] + bytes([0 if step == 0 else 8]) + answer[2:], source)
        lab.wait_for(lambda: 'telling the peer 10.2.2.3:60456 that a path is down: not permitted' in daemon.log(), 'it is in the log')

    def make_responder(self, **general):
        """The daemon on b with the template that B had, and a socket on a."""
        self.net = self.make_lab('a', 'b')
        self.net.figure3()
        directory = lab.write_config(self.net.directory / 'config',
                                     lab.tunnels(('10.0.0.3/24', 'fec0::3/64'), **{'accept_remote': 1, **general}))
        general = {'name': 'Template', 'permission': 3, 'ip_ver': 4, 'ip_local': '10.0.0.3', 'local_port': 65060, 'path_count': 2,
                   'network_count': 0, 'status': 128, 'reorder_window': 900, 'max_buffdelay_msec': 300, 'auth_type': 0, 'auth_key': KEY}
        (directory / 'connections' / 'conf.template').write_text(lab.ini([('connection', general)] + [
            (f'path_{n}', {'interface_name': f'eth{n + 1}', 'ip_ver': 4, 'public_ipaddr': lab.path_address('b', 4, n),
                           'gateway_ipaddr': lab.path_address('b', 4, n), 'status': 128}) for n in (0, 1)]))
        daemon = lab.Daemon(self.net['b'], directory)
        daemon.wait_ready()
        return daemon, self.control_socket('a', 0)

    def ask_for_create(self, peer, text=CREATE_TEXT.encode()):
        """Result and text of the answer."""
        server = (lab.path_address('b', 4, 0), CONTROL)
        length = struct.pack('<I', len(text))
        peer.sendto(with_hash(CREATE_1[:-4] + length), server)
        answer = peer.recv(2048)
        self.assertEqual((answer[:4], answer[40:]), (bytes.fromhex('a3000224'), b'\x02' + CREATE_1[41:-4] + length))
        self.assertEqual(with_hash(answer), answer)
        round3 = with_hash(CREATE_3 + text)
        for _ in range(2):  # the deployed initiator leaves the random number 0
            peer.sendto(round3, server)
            answer = peer.recv(65535)
            self.assertEqual((answer[:1], answer[2:4], answer[40:76]), (b'\xa3', b'\x02\x24', b'\x04' + CREATE_3[41:]))
            self.assertEqual(with_hash(answer), answer)
        return answer[1], answer[76:]

    def sections(self, text):
        parser = configparser.ConfigParser(inline_comment_prefixes=None, comment_prefixes=';#')
        parser.read_string(text)
        return {name: dict(parser[name]) for name in parser.sections()}

    def test_create(self):
        daemon, peer = self.make_responder()
        result, text = self.ask_for_create(peer)
        self.assertEqual(result, 0)
        self.assertEqual(len(text), len(CREATE_TEXT), 'as long as the question: the deployed initiator reads no more and no less')
        ours, recorded = self.sections(text.decode()), self.sections(CREATED_TEXT)
        self.assertEqual(ours, recorded)
        lab.wait_for(lambda: 'connection MPT_A is created by 10.1.1.2:60456' in daemon.log(), 'it is told')
        self.assertEqual(daemon.log().count('is created by'), 1, 'a repeated round 3 is not done twice')
        statistics = daemon.statistics()
        self.assertEqual([statistics.path(number)['status'] for number in (0, 1)], ['dead', 'dead'])
        self.assertEqual(self.ask_for_create(peer), (5, b'\x01'))
        self.assertEqual(daemon.statistics().control, {})

    def test_create_that_cannot_be(self):
        daemon, peer = self.make_responder()
        for old, new, expected in (('10.1.1.2', '127.0.0.1', 0x81), ('10.1.1.2', '10.1.1.3', 0x81), ('path_count       = 2', 'path_count = x', 4),
                                   ('ip_ver ', 'ip_bad ', 4)):
            self.assertEqual(self.ask_for_create(peer, CREATE_TEXT.replace(old, new).encode()), (expected, b''), new)
        self.assertEqual(daemon.statistics().connections, {})
        lab.wait_for(lambda: daemon.log().count('may not create a connection') == 4, 'it is told')

    def test_no_more_creates_than_so(self):
        """Whoever goes on asking does not fill the log."""
        daemon, peer = self.make_responder(max_peer_connections=0)
        for number in range(100):
            text = CREATE_TEXT.replace('MPT_A', f'MPT_{number}').encode()
            self.assertEqual(self.ask_for_create(peer, text), (0x82, b''))
        self.assertLess(daemon.log().count('may not create a connection'), 80)


class Hostile(ControlTest):
    RATE = 20_000
    COUNT = 60_000

    def flood(self, spoofer, is_enough):
        """Until so many have been sent, and it is enough: datagrams to the control port of a from b's address of path 0: garbage, and what is cut short or changed in one bit."""
        randomness = random.Random(7)
        good = [from_the_other(message) for messages in RECORDED.values() for message in messages[::2]]  # questions
        good += [CREATE_1, CREATE_3 + CREATE_TEXT.encode()]
        kinds = []
        for message in good:
            kinds += [message, message[:randomness.randrange(len(message))], randomness.randbytes(randomness.randrange(200))]
            flipped = bytearray(message)
            flipped[randomness.randrange(len(message))] ^= 1 << randomness.randrange(8)
            kinds.append(bytes(flipped))
        begin = time.monotonic()
        sent = 0
        while sent < self.COUNT or not is_enough():
            while sent < (time.monotonic() - begin) * self.RATE:
                spoofer.sendto(randomness.choice(kinds), (lab.path_address('a', 4, 0), CONTROL))
                sent += 1
            time.sleep(0.001)
        return sent, time.monotonic() - begin

    def overflown(self, host):
        """How many datagrams the kernel could not give to the control port."""
        lines = [line.split() for line in self.net[host].run('cat', '/proc/net/udp').splitlines()]
        return sum(int(line[-1]) for line in lines if line[1].endswith(f':{CONTROL:04X}'))

    def test_flood(self):
        """Another source is answered all the time, the tunnel works, the log says nothing, and all is counted."""
        daemon = self.make('a', auth_type=2)
        daemon.wait_ready()
        before = daemon.log()
        flooder = self.control_socket('b', 0, 7777)
        honest = self.control_socket('b', 1)
        answered = 0
        flood = []
        thread = threading.Thread(target=lambda: flood.append(self.flood(flooder, lambda: answered > 5)), daemon=True)
        thread.start()
        round1 = with_hash(from_the_other(RECORDED[2][0]))
        honest.settimeout(0.5)  # the kernel's queue may overflow; a peer asks again then
        while thread.is_alive():
            honest.sendto(round1, (lab.path_address('a', 4, 1), CONTROL))
            with contextlib.suppress(TimeoutError):
                answer = honest.recv(2048)
                self.assertEqual((answer[0], answer[40]), (0xA2, 2))
                answered += 1
            time.sleep(0.1)
        thread.join()
        (sent, seconds), = flood
        # The whole and most of the changed messages, nearly half of all, ask for something; 2,000 at once and so many a second may be
        # looked at.
        least = (sent - self.overflown('a')) / 2 - 2_000 * (seconds + 1) - 7_000
        control = lab.wait_for(lambda: (now := daemon.statistics().control).get('drop_rate_limit', 0) > least and now, f'more than {least} are not')
        self.assertLessEqual(sum(control.values()), sent)
        for reason in ('truncated', 'unknown_command', 'wrong_hash', 'unknown_peer', 'wrong_authentication_type'):
            self.assertIn(f'drop_{reason}', control)
        self.assertEqual(daemon.log(), before)
        statistics = daemon.statistics()
        self.assertEqual([statistics.path(number)['status'] for number in (0, 1)], ['up', 'up'])

    def test_where_no_answer_can_go(self):
        """From port 0, and from addresses that no route leads to: the log says nothing."""
        daemon = self.make('a', auth_type=0)
        daemon.wait_ready()
        before = daemon.log()
        raw = self.net['b'].socket(socket.AF_INET, socket.SOCK_RAW, protocol=socket.IPPROTO_RAW)
        message = from_the_other(RECORDED[0][0])
        destination = lab.path_address('a', 4, 0)
        peers = [('10.1.1.3', 0), ('10.9.9.9', CONTROL), ('10.1.1.255', CONTROL), ('10.1.1.2', CONTROL)]
        for address, port in peers * 50:
            udp = struct.pack('!HHHH', port, CONTROL, 8 + len(message), 0) + message
            header = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0)
            raw.sendto(header + socket.inet_aton(address) + socket.inet_aton(destination) + udp, (destination, 0))
        honest = self.control_socket('b', 1)
        honest.sendto(message, (lab.path_address('a', 4, 1), CONTROL))
        self.assertEqual(honest.recv(2048)[0], 0xA2)
        self.assertEqual(daemon.log(), before)


if __name__ == '__main__':
    lab.main()
