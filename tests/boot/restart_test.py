#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two machines with a tunnel between them, of which one's daemon is restarted, crashes, hangs and is upgraded while packets go through: what
stays, what goes on, and for how long nothing is carried. Times are printed, not judged."""

import collections
import contextlib
import hashlib
import json
import os
import re
import socket
import statistics
import struct
import subprocess
import threading
import time

import machine
import lab
from machine import install, older_package, package, say

UNIT = 'mptd.service'
LINK_KEYS = {'keepalive_msec': 100, 'dead_msec': 400}
PEER = {'a': '10.0.0.3', 'b': '10.0.0.2'}
DROPIN = f'/run/systemd/system/{UNIT}.d/test.conf'
RESTARTS, CRASHES = 10, 5
SOON = 2  # seconds, in which a process that fails has failed soon after its start


class Stream:
    """A datagram every millisecond from one host to the other, each with a number."""

    def __init__(self, sender, source, receiver, destination):
        self._out = sender.socket(socket.AF_INET, socket.SOCK_DGRAM, source)
        self._in = receiver.socket(socket.AF_INET, socket.SOCK_DGRAM, destination)
        self._destination = destination
        self._ended = threading.Event()
        self._sent = 0
        self._came = []
        self._numbers = []
        self._threads = [threading.Thread(target=run) for run in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()
        self.wait_for_more()

    def _send(self):
        due = time.monotonic()
        while not self._ended.is_set():
            with contextlib.suppress(OSError):  # such as that there is no route
                self._out.sendto(struct.pack('!I', self._sent) + b'x' * 96, self._destination)
                self._sent += 1
            due = max(due + 0.001, time.monotonic() - 0.01)
            time.sleep(max(0, due - time.monotonic()))

    def _receive(self):
        self._in.settimeout(0.2)
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                datagram = self._in.recv(200)
                self._came.append(time.monotonic())
                self._numbers.append(struct.unpack_from('!I', datagram)[0])

    def wait_for_more(self):
        count = len(self._came)
        lab.wait_for(lambda: len(self._came) > count + 200, 'datagrams come')

    def end(self):
        """The longest time without one in milliseconds, how many were lost, and how many came after a later one."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._out.close()
        self._in.close()
        lost = max(self._numbers) + 1 - len(set(self._numbers))
        return (1000 * max(later - earlier for earlier, later in zip(self._came, self._came[1:])), lost,
                sum(1 for before, after in zip(self._numbers, self._numbers[1:]) if after < before))


class Transfer:
    """A TCP connection from one host to the other that carries octets as long as it is let, and must deliver them all."""

    def __init__(self, sender, receiver, destination):
        self._listener = receiver.socket(socket.AF_INET, socket.SOCK_STREAM, destination)
        self._listener.listen()
        self._out = sender.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._out.connect(destination)
        self._in, _ = self._listener.accept()
        self._ended = threading.Event()
        self._sent, self._received = hashlib.sha256(), hashlib.sha256()
        self._size = 0
        self._threads = [threading.Thread(target=run) for run in (self._send, self._receive)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def _send(self):
        with contextlib.suppress(OSError):  # finish() tells
            while not self._ended.is_set():
                octets = os.urandom(20000)
                self._out.sendall(octets)
                self._sent.update(octets)
                time.sleep(0.01)
            self._out.shutdown(socket.SHUT_WR)

    def _receive(self):
        with contextlib.suppress(OSError):
            while octets := self._in.recv(65536):
                self._received.update(octets)
                self._size += len(octets)

    def finish(self):
        """Everything has come."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        if self._sent.digest() != self._received.digest():
            raise AssertionError(f'not what was sent, after {self._size} octets')
        say(f'{self._size} octets over one TCP connection, SHA-256 {self._received.hexdigest()}')

    def __exit__(self, *unused):
        self._ended.set()
        for opened in (self._out, self._in):
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)  # wakes the threads
        for thread in self._threads:
            thread.join()
        for opened in (self._out, self._in, self._listener):
            opened.close()


class Restart(lab.LabTest):
    @classmethod
    def setUpClass(cls):
        cls.net = lab.Lab('a', 'b')
        cls.net.figure3()
        cls.machines = {name: machine.Machine(cls.net[name]) for name in 'ab'}
        for name, host in cls.machines.items():
            install(host, older_package())
            host.write('/etc/mpt/interface.conf', lab.tunnels((f'{lab.tunnel_address(name, 4)}/24', f'{lab.tunnel_address(name, 6)}/64')))
            host.write('/etc/mpt/connections/link.conf', cls.connection(name))
            # a system call that the unit does not allow is no error to get over here, but the end
            host.write(f'/run/systemd/system/{UNIT}.d/strict.conf', '[Service]\nSystemCallErrorNumber=kill\n')
            host.run('systemctl', 'daemon-reload')
            host.run('systemctl', 'enable', '--now', UNIT)

    @classmethod
    def tearDownClass(cls):
        cls.net.close(False)

    @staticmethod
    def connection(name, **keys):
        return lab.connection(lab.tunnel_address(name, 4), PEER[name], [{**path, **LINK_KEYS} for path in lab.figure3_paths(name)],
                              reorder_window=1000, max_buffdelay_msec=1000, **keys)

    def setUp(self):
        self.a, self.b = self.machines['a'], self.machines['b']
        for host in (self.a, self.b):
            self.addCleanup(lambda host=host: self.assertNotIn('status=31/SYS', host.journal('-u', UNIT)))
        self.wait_for_paths(self.a, 'up', 'up')
        self.wait_for_paths(self.b, 'up', 'up')
        self.ping()

    def ping(self):
        self.a.ping(PEER['a'])

    def paths(self, host):
        said = host.complete('mpt', 'status', '--json')
        return said.returncode == 0 and [path['status'] for path in json.loads(said.stdout)['connections'][0]['paths']]

    def wait_for_paths(self, host, *expected):
        lab.wait_for(lambda: self.paths(host) == list(expected), f'the paths are {expected}: {self.paths(host)}', machine.BOOT_PATIENCE)

    def tunnel(self, host):
        """All that the kernel knows of the tunnel's interface but counters."""
        return [json.loads(host.run('ip', '-j', *what.split()))
                for what in ('link show tun0', 'address show tun0', 'route show dev tun0', '-6 route show dev tun0')]

    def sockets(self, port=lab.DATA_PORT):
        """The sockets of paths with that port (0: any), whoever has them, by their inode."""
        lines = [line.split() for line in self.a.run('ss', '-u', '-a', '-n', '-e', '-H').splitlines()]
        return {word: line[3] for line in lines for word in line
                if word.startswith('ino:') and re.match(r'10\.[12]\.', line[3]) and (port == 0 or line[3].endswith(f':{port}'))}

    def descriptors(self):
        return int(self.a.run('sh', '-c', f'ls /proc/{self.a.property("MainPID")}/fd | wc -l'))

    def numbers_begun(self):
        """How often b has seen the numbers of a's packets begin anew, or jump."""
        printed = self.b.journal('-u', UNIT).count('statistics end')
        self.b.run('systemctl', 'kill', '-s', 'USR1', UNIT)
        lab.wait_for(lambda: self.b.journal('-u', UNIT).count('statistics end') > printed, 'b prints its statistics')
        return re.findall(r'statistics connection=link packets.* (restarts=\d+ jumps=\d+) ', self.b.journal('-u', UNIT))[-1]

    def interrupt(self, how):
        """Does it to the daemon of a while datagrams go through the tunnel, a thousand a second each way; what Stream.end() says of both."""
        before, interface, sockets = self.a.property('MainPID'), self.tunnel(self.a), self.sockets()
        with self.net['a'].monitor('monitor', 'link', 'address', 'route', 'rule') as monitor:
            streams = [Stream(self.net[name], (lab.tunnel_address(name, 4), 5002), self.net[peer], (lab.tunnel_address(peer, 4), 5000))
                       for name, peer in ('ab', 'ba')]
            try:
                how(before)
                lab.wait_for(lambda: self.a.property('MainPID') not in (before, '0'), 'another process runs', machine.BOOT_PATIENCE)
                self.wait_for_paths(self.a, 'up', 'up')
                for stream in streams:
                    stream.wait_for_more()
            finally:
                ends = [stream.end() for stream in streams]
                monitor.kill()
            said = monitor.stdout.read()
        self.assertEqual(self.tunnel(self.a), interface)
        self.assertEqual(self.sockets(), sockets, 'the sockets are those from before')
        self.assertEqual(said, '', 'the kernel has nothing to tell of interfaces, addresses and routes')
        self.wait_for_paths(self.b, 'up', 'up')
        self.ping()
        return ends

    def test_interruptions(self):
        """Over a restart, a crash, a hang and an upgrade the interface stays with all that it has, so do the sockets, and TCP connections live."""
        self.a.write(DROPIN, '[Service]\nWatchdogSec=2\n')
        self.a.run('systemctl', 'daemon-reload')
        self.addCleanup(lambda: self.a.run('sh', '-c', f'rm {DROPIN}; systemctl daemon-reload'))
        told = len(self.b.journal('-u', UNIT).splitlines())
        counted = self.numbers_begun()
        with Transfer(self.net['a'], self.net['b'], (PEER['a'], 5001)) as transfer:
            kinds = (('a restart', RESTARTS, lambda process: self.a.run('systemctl', 'restart', UNIT)),
                     ('a crash', CRASHES, lambda process: self.a.run('kill', '-SEGV', process)),
                     ('a hang (watchdog: 2 s)', 1, lambda process: self.a.run('kill', '-STOP', process)),
                     ('an upgrade', 1, lambda process: install(self.a, package())))
            for what, times, how in kinds:
                ends = []
                for _ in range(times):
                    time.sleep(SOON if what == 'a crash' else 0)
                    ends.append(self.interrupt(how))
                for way in (0, 1):
                    gaps, lost, late = zip(*(end[way] for end in ends))
                    say(f'{what}, {("from", "to")[way]} it: no datagram for {statistics.median(gaps):.0f} ms (median of {times}: '
                        f'{min(gaps):.0f} to {max(gaps):.0f}), {sum(lost)} lost, {sum(late)} out of order')
            self.assertIn('watchdog', self.a.journal('-u', UNIT).lower())
            transfer.finish()
        # In the hang it had reason to say something.
        say('b said meanwhile: ' + '; '.join(collections.Counter(self.b.journal('-u', UNIT).splitlines()[told:])))
        self.assertEqual(self.numbers_begun(), counted, "a's numbers went on, each time")

    def test_a_process_that_fails_at_once(self):
        """It is followed by one that waits a while, and what goes on is what was."""
        before = self.a.property('MainPID')
        for _ in range(2):
            self.a.run('sh', '-c', f'kill -SEGV {before}; until [ "$(systemctl show --value -p ActiveState {UNIT})" != active ]; do :; done; '
                                   f'until [ "$(systemctl show --value -p ActiveState {UNIT})" = active ]; do :; done')
            before = self.a.property('MainPID')
        lab.wait_for(lambda: 'has failed soon after its start' in self.a.journal('-u', UNIT, '-n', 40), 'it is told')
        self.wait_for_paths(self.a, 'up', 'up')
        self.wait_for_paths(self.b, 'up', 'up')
        self.ping()

    def test_a_start_that_fails(self):
        """Is tried again after a pause, also if nothing can be kept that tells of it, until it succeeds."""
        self.addCleanup(lambda: self.a.run('sh', '-c', f'rm -f {DROPIN}; systemctl daemon-reload; systemctl restart {UNIT}'))
        for dropin in ('', '[Service]\nFileDescriptorStoreMax=0\n'):
            with self.subTest(dropin):
                self.a.run('systemctl', 'stop', UNIT)
                self.a.write(DROPIN, dropin)
                self.a.run('systemctl', 'daemon-reload')
                self.a.run('systemctl', 'reset-failed', UNIT)  # the count too
                with self.net['a'].socket(socket.AF_INET, socket.SOCK_DGRAM, ('0.0.0.0', lab.COMMAND_PORT)):
                    began = time.monotonic()
                    self.a.run('systemctl', 'start', '--no-block', UNIT)
                    lab.wait_for(lambda: int(self.a.property('NRestarts')) >= 3, 'it is tried again', machine.BOOT_PATIENCE)
                    restarts = int(self.a.property('NRestarts'))
                    self.assertLessEqual(SOON * (restarts - 1), time.monotonic() - began)
                self.wait_for_paths(self.a, 'up', 'up')

    def test_nothing_accumulates(self):
        """Neither descriptors of the process nor sockets, also those that another configuration has no use for."""
        descriptors, sockets = self.descriptors(), self.sockets()
        for _ in range(20):
            self.a.run('systemctl', 'restart', UNIT)
        self.wait_for_paths(self.a, 'up', 'up')
        self.assertEqual(self.descriptors(), descriptors)
        self.assertEqual(self.sockets(), sockets)

        self.addCleanup(lambda: (self.a.write('/etc/mpt/connections/link.conf', self.connection('a')), self.a.run('systemctl', 'restart', UNIT)))
        self.a.write('/etc/mpt/connections/link.conf', self.connection('a', local_port=4711))
        self.a.run('systemctl', 'restart', UNIT)
        lab.wait_for(lambda: not self.sockets(), 'the sockets of the old port are closed')
        self.assertEqual(len(self.sockets(4711)), len(sockets))
        self.assertEqual(self.descriptors(), descriptors)
        # The port of the sockets is what the control messages shall have, and the other way round.
        self.a.write('/etc/mpt/connections/link.conf', self.connection('a'))
        interface = self.a.run('cat', '/etc/mpt/interface.conf')
        self.addCleanup(lambda: self.a.write('/etc/mpt/interface.conf', interface))
        self.a.write('/etc/mpt/interface.conf', interface.replace(str(lab.COMMAND_PORT), '4711'))
        self.a.run('systemctl', 'restart', UNIT)
        self.assertEqual(self.a.property('ActiveState'), 'active')
        self.wait_for_paths(self.a, 'up', 'up')
        self.assertEqual(len(self.sockets()), len(sockets))

    def test_set_down_by_hand(self):
        """Lasts over a restart and a crash, until it is set up."""
        self.a.run('mpt', 'path', 'link', '1', 'down')
        self.addCleanup(lambda: self.a.run('mpt', 'path', 'link', '1', 'up'))
        self.wait_for_paths(self.a, 'up', 'set-down')
        for how in (('systemctl', 'restart', UNIT), ('systemctl', 'kill', '-s', 'SEGV', UNIT)):
            before = self.a.property('MainPID')
            self.a.run(*how)
            lab.wait_for(lambda: self.a.property('MainPID') not in (before, '0'), 'another process runs')
            self.wait_for_paths(self.a, 'up', 'set-down')

    def test_a_peer_that_was_found(self):
        """Is served, though it may be anywhere, long before its next keepalive."""
        def configure(change=lambda name, text: text, **keys):
            for name, host in self.machines.items():
                host.write('/etc/mpt/connections/link.conf', change(name, self.connection(name, **keys)))
            for host in (self.a, self.b):  # the one that speaks first last
                host.run('systemctl', 'restart', UNIT)

        def roaming(name, text):
            text = text.replace('keepalive_msec = 100', 'keepalive_time = 20').replace('dead_msec = 400', 'dead_time = 60')
            return re.sub('(remote|gateway)_ipaddr = .*', r'\1_ipaddr = 0.0.0.0', text) if name == 'a' else text

        def places():
            paths = json.loads(self.a.run('mpt', 'status', '--json'))['connections'][0]['paths']
            return [(path['status'], path['remote_address'], path['remote_port']) for path in paths], [path['remote_learned_usec'] for path in paths]

        self.addCleanup(configure)
        configure(roaming, auth_type=3, auth_key='ab' * 32)
        self.wait_for_paths(self.a, 'up', 'up')
        before, learned = places()
        self.assertEqual(before, [('up', path['public_ipaddr'], lab.DATA_PORT) for path in lab.figure3_paths('b')])
        stream = Stream(self.net['a'], (lab.tunnel_address('a', 4), 5002), self.net['b'], (lab.tunnel_address('b', 4), 5000))
        try:
            for _ in range(2):
                self.a.run('systemctl', 'restart', UNIT)
                now, still_learned = places()
                self.assertEqual(now, before)
                for usec, usec_now in zip(learned, still_learned):
                    self.assertLess(abs(usec_now - usec), 1.5e6, 'it is kept in seconds')
                stream.wait_for_more()
        finally:
            gap, lost, late = stream.end()
        say(f'a peer that was found: no datagram for {gap:.0f} ms, {lost} lost, {late} out of order')

    def test_many(self):
        """A thousand connections, each with ports of its own."""
        self.addCleanup(lambda: self.a.run('sh', '-c', f'rm -f /etc/mpt/connections/many*; systemctl restart {UNIT}'))
        folder = self.net.directory / 'many'
        folder.mkdir()
        paths = [{**path, **LINK_KEYS} for path in lab.figure3_paths('a')]
        for number in range(999):
            (folder / f'many{number}.conf').write_text(
                lab.connection('10.0.0.2', f'10.0.{1 + number // 250}.{1 + number % 250}', paths, f'many{number}', 30000 + number))
        archive = subprocess.run(['tar', '-C', folder, '-c', '.'], capture_output=True, check=True).stdout
        self.a.run('tar', '-C', '/etc/mpt/connections', '--no-same-owner', '-x', input=archive, stdin=None, text=False)
        stream = Stream(self.net['a'], (lab.tunnel_address('a', 4), 5002), self.net['b'], (lab.tunnel_address('b', 4), 5000))
        try:
            for what in ('that are new', 'again', 'and again'):
                began = time.monotonic()
                self.a.run('systemctl', 'restart', UNIT)
                say(f'restart with 1000 connections, {what}: {1000 * (time.monotonic() - began):.0f} ms')
                sockets = self.sockets(0)
                if what == 'that are new':
                    before = sockets
                    # beside them the tunnel, the state and the control port of both IP versions
                    lab.wait_for(lambda: int(self.a.property('NFileDescriptorStore')) == len(before) + 4, 'all sockets of paths are kept',
                                 machine.BOOT_PATIENCE)
                    say(f'{len(before)} sockets are kept after {time.monotonic() - began:.1f} s')
                self.assertEqual(sockets, before)
            stream.wait_for_more()
        finally:
            gap, lost, late = stream.end()
        say(f'no datagram for {gap:.0f} ms meanwhile, {lost} lost, {late} out of order')


if __name__ == '__main__':
    machine.main()
