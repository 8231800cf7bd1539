# SPDX-License-Identifier: GPL-3.0-or-later
"""Real daemons over emulated links, which can be cut and changed while they run, and streams that tell what arrives and when: what the
tests of fail-over and the benchmarks of it share. Needs root, and the program linkemu (LINKEMU= its path, else one in a build
directory of this checkout)."""

import contextlib
import os
import pathlib
import socket
import struct
import sys
import threading
import time

import lab

sys.path.insert(0, str(pathlib.Path(__file__).parent / 'emulator'))
from linkemu import LinkEmulator

LINKS = ('eth1', 'eth2')
FAST = {'keepalive_msec': 100, 'dead_msec': 300}
# Stops one thread of another process until this one ends: PTRACE_SEIZE and PTRACE_INTERRUPT of <linux/ptrace.h>.
STOP_THREAD = """
import ctypes, signal, sys
libc = ctypes.CDLL(None)
for request in (0x4206, 0x4207):
    if libc.ptrace(request, int(sys.argv[1]), None, None) != 0:
        sys.exit('ptrace refused')
signal.pause()
"""
SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>


def run_in_real_time():
    """The calling thread, where the machine lets it: what is late shall be the network's fault."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def make_emulator():
    return LinkEmulator(lab.built('LINKEMU', 'tests/net/emulator/linkemu'))


def stop_control_thread(daemon):
    """Stops it as a disk would that does not answer (ptrace(2) stops one thread of a process), until the returned process is killed."""
    pid = daemon.process.pid
    tracer = daemon.host.start(sys.executable, '-c', STOP_THREAD, pid)
    lab.wait_for(lambda: ') t ' in pathlib.Path(f'/proc/{pid}/task/{pid}/stat').read_text(), 'the control thread is stopped')
    return tracer


class Stream:
    """UDP datagrams with rising numbers from one host to another, one a millisecond. `sent` has the time of each (its index is its
    number), `arrived` pairs of time and number in the order in which the kernel took them; times are time.time()."""

    PERIOD = 0.001

    def __init__(self, source, sink, address, port=7007):
        self.sink = sink.socket(socket.AF_INET, socket.SOCK_DGRAM, (address, port))
        self.sink.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.sink.settimeout(0.1)
        self.source = source.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.source.connect((address, port))
        self.sent = []
        self.arrived = []
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _send(self):
        run_in_real_time()
        due = time.monotonic()
        while not self._stopped.is_set():
            self.sent.append(time.time())
            try:
                self.source.send((len(self.sent) - 1).to_bytes(8, 'big'))
            except OSError:
                pass  # an ICMP error of a moment without any path
            now = time.monotonic()
            due = max(due + self.PERIOD, now)
            time.sleep(due - now)

    def _receive(self):
        run_in_real_time()
        while not self._stopped.is_set():
            try:
                octets, ((_, _, stamp),), _, _ = self.sink.recvmsg(100, 100)
            except TimeoutError:
                continue
            seconds, nanoseconds = struct.unpack('ll', stamp)
            self.arrived.append((seconds + nanoseconds * 1e-9, int.from_bytes(octets, 'big')))

    def next_after(self, moment):
        """Waits for a datagram that arrived after the moment."""
        return lab.wait_for(lambda: self.arrived and self.arrived[-1][0] > moment, 'a datagram arrives')

    def longest_gap(self, begin, end):
        """The most seconds between two datagrams, the first of which arrived between these times."""
        times = [at for at, _ in self.arrived]
        return max(later - earlier for earlier, later in zip(times, times[1:]) if begin <= earlier <= end)

    def last_lost(self, begin, end):
        """When the last datagram that was lost was sent, of those that were sent between these times; begin, if none was."""
        here = {number for _, number in self.arrived}
        return max((at for number, at in enumerate(self.sent) if begin <= at <= end and number not in here), default=begin)

    def stop(self):
        self._stopped.set()
        for thread in self._threads:
            thread.join()


class Trickle:
    """A TCP connection from one host to another, to see whether it survives: a kilobyte each 10 ms."""

    def __init__(self, source, sink, address, port=7008):
        listener = sink.socket(socket.AF_INET, socket.SOCK_STREAM, (address, port))
        listener.listen()
        self.client = source.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.client.connect((address, port))
        self.server, _ = listener.accept()
        listener.close()
        self.server.settimeout(lab.PATIENCE)
        self._stopped = threading.Event()
        self._sent = self._received = b''
        self._errors = []
        self._threads = [threading.Thread(target=self._guard, args=(run,), daemon=True) for run in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _guard(self, run):
        try:
            run()
        except OSError as error:
            self._errors.append(error)

    def _send(self):
        while not self._stopped.wait(0.01):
            octets = os.urandom(1000)
            self._sent += octets
            self.client.sendall(octets)
        self.client.shutdown(socket.SHUT_WR)

    def _receive(self):
        while octets := self.server.recv(1 << 16):
            self._received += octets

    def survived(self):
        """Ends the connection: whether all of it arrived."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self.server.close()
        return not self._errors and self._sent == self._received


class Pair:
    """Hosts a and b of the guide's Figure 3 with ready daemons over the links that are there. `path_keys` are keys of every path, `keys`
    further ones of the connection; `wrapper` a command that runs the daemons."""

    def __init__(self, net, path_keys=FAST, wrapper=(), **keys):
        self.net = net
        self.daemons = {}
        for host in 'ab':
            peer = {'a': 'b', 'b': 'a'}[host]
            paths = [lab.path(name, lab.path_address(host, 4, number), lab.path_address(peer, 4, number), **path_keys)
                     for number, name in enumerate(LINKS)]
            self.daemons[host] = start_daemon(net, host, paths, wrapper, **{'reorder_window': 1000, 'max_buffdelay_msec': 100, **keys})

    def statistics(self, host, number):
        return self.daemons[host].statistics().path(number)

    def status(self, host, number):
        return self.statistics(host, number)['status']

    def wait_status(self, host, number, wanted):
        lab.wait_for(lambda: self.status(host, number) == wanted, f'path {number} of {host} is {wanted}')

    def wait_up(self):
        for host in 'ab':
            for number in range(len(LINKS)):
                self.wait_status(host, number, 'up')

    def wait_traffic(self, host, number):
        """Until the path carries packets out of the host."""
        before = self.statistics(host, number)['packets_out']
        lab.wait_for(lambda: self.statistics(host, number)['packets_out'] > before + 100, f'path {number} of {host} is used')

    def stream(self, source, sink):
        """A stream through the tunnel."""
        return Stream(self.net[source], self.net[sink], lab.tunnel_address(sink, 4))


class EmulatedPair(Pair):
    """The same over two emulated links; `links`: their settings by name. The emulator is the caller's to stop."""

    def __init__(self, net, links=None, path_keys=FAST, **keys):
        self.emulator = make_emulator()
        for name in LINKS:
            settings = links[name] if links else {'delay': '5ms'}
            self.emulator.link(name, (net['a'].namespace, name), (net['b'].namespace, name), **settings)
        self.emulator.start()
        for number, name in enumerate(LINKS):
            for host in 'ab':
                net[host].add_address(name, f'{lab.path_address(host, 4, number)}/24')
        super().__init__(net, path_keys, **keys)


class TranslatedPair:
    """Hosts a and b with one path, on which a finds its address by itself: its provider's translator shows b always the same one. The
    link eth1 from a to the translator is emulated; the emulator is the caller's to stop."""

    OUTSIDE, PEER = '10.2.2.1', '10.2.2.3'

    def __init__(self, net, inside):
        self.net = net
        self.emulator = make_emulator()
        self.emulator.link('eth1', (net['a'].namespace, 'eth1'), (net['nat'].namespace, 'eth1'), delay='5ms')
        self.emulator.start()
        net['nat'].add_address('eth1', '192.168.7.1/24')
        net['nat'].run('sysctl', '-qw', 'net.ipv4.ip_forward=1')
        net.link('nat', 'b', 'eth2', [f'{self.OUTSIDE}/24'], [f'{self.PEER}/24'])
        self.translate(inside)
        self.give_address(inside)
        paths = {'a': lab.path('eth1', self.OUTSIDE, self.PEER, private_ipaddr='0.0.0.0', **FAST),
                 'b': lab.path('eth2', self.PEER, self.OUTSIDE, **FAST)}
        self.daemons = {host: start_daemon(net, host, [paths[host]]) for host in 'ab'}

    def stream(self):
        """A stream from a to b through the tunnel."""
        return Stream(self.net['a'], self.net['b'], lab.tunnel_address('b', 4))

    def translate(self, inside):
        """From now on a has this address, as the translator sees it."""
        self.net['nat'].run('nft', '-f', '-', input=f'''
            table ip test
            delete table ip test
            table ip test {{
                chain there {{ type filter hook postrouting priority 0; oifname "eth2" ip saddr set {self.OUTSIDE}; }}
                chain back {{ type filter hook prerouting priority -300; iifname "eth2" ip daddr set {inside}; }}
            }}''')

    def give_address(self, inside):
        """What a DHCP client does: address, then route."""
        self.net['a'].run('ip', '-batch', '-', input=f'address add {inside}/24 dev eth1\nroute replace 10.2.2.0/24 via 192.168.7.1\n')


def start_daemon(net, host, paths, wrapper=(), **keys):
    """A daemon with one connection over these paths, ready; `wrapper` is a command that runs it."""
    peer = {'a': 'b', 'b': 'a'}[host]
    directory = lab.write_config(
        net.directory / f'config-{host}', lab.tunnels((f'{lab.tunnel_address(host, 4)}/24', f'{lab.tunnel_address(host, 6)}/64')),
        link=lab.connection(lab.tunnel_address(host, 4), lab.tunnel_address(peer, 4), paths, **keys))
    daemon = lab.Daemon(net[host], directory, wrapper)
    daemon.wait_ready()
    return daemon
