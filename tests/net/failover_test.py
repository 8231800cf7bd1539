#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths that die are left out at once and used again when they return (guide keepalive_time, dead_time). The links are emulated, so
that they can be cut without anybody being told."""

import os
import pathlib
import socket
import sys
import threading
import time

import lab

sys.path.insert(0, str(pathlib.Path(__file__).parent / 'emulator'))
from linkemu import LinkEmulator

LINKS = ('eth1', 'eth2')
# Stops one thread of another process until this one ends: PTRACE_SEIZE and PTRACE_INTERRUPT of <linux/ptrace.h>.
STOP_THREAD = """
import ctypes, signal, sys
libc = ctypes.CDLL(None)
for request in (0x4206, 0x4207):
    if libc.ptrace(request, int(sys.argv[1]), None, None) != 0:
        sys.exit('ptrace refused')
signal.pause()
"""
FAST = {'keepalive_msec': 100, 'dead_msec': 300}


class Stream:
    """UDP datagrams with rising numbers through the tunnel, one a millisecond, from a to b."""

    def __init__(self, net):
        self.sink = net['b'].socket(socket.AF_INET, socket.SOCK_DGRAM, (lab.tunnel_address('b', 4), 7007))
        self.source = net['a'].socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.source.connect((lab.tunnel_address('b', 4), 7007))
        self.arrived = []  # (time, number)
        self._stop = False
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _send(self):
        number = 0
        while not self._stop:
            try:
                self.source.send(number.to_bytes(8, 'big'))
            except OSError:
                pass  # an ICMP error of a moment without any path
            number += 1
            time.sleep(0.001)

    def _receive(self):
        while not self._stop:
            try:
                octets = self.sink.recv(100)
            except TimeoutError:
                continue
            except OSError:
                return  # closed at the end
            self.arrived.append((time.monotonic(), int.from_bytes(octets, 'big')))

    def next_after(self, moment):
        """Waits for a datagram that was received after the moment."""
        return lab.wait_for(lambda: self.arrived and self.arrived[-1][0] > moment, 'a datagram arrives')

    def longest_gap(self):
        """Seconds between two datagrams that arrived one after the other."""
        times = [moment for moment, _ in self.arrived]
        return max(later - earlier for earlier, later in zip(times, times[1:]))

    def stop(self):
        self._stop = True
        self._threads[0].join()


class EmulatedPair:
    """Hosts a and b of the guide's Figure 3 over two emulated links, with ready daemons."""

    def __init__(self, net, path_keys=FAST, daemon_options=None, link=None, **keys):
        self.net = net
        self.emulator = LinkEmulator()
        for name in LINKS:
            self.emulator.link(name, (net['a'].namespace, name), (net['b'].namespace, name), **(link or {'delay': '5ms'}))
        self.emulator.start()
        for number, name in enumerate(LINKS):
            for host in 'ab':
                net[host].add_address(name, f'{lab.path_address(host, 4, number)}/24')
        self.daemons = {}
        for host in 'ab':
            peer = {'a': 'b', 'b': 'a'}[host]
            paths = [lab.path(name, lab.path_address(host, 4, number), lab.path_address(peer, 4, number), **path_keys)
                     for number, name in enumerate(LINKS)]
            directory = lab.write_config(
                net.directory / f'config-{host}', lab.tunnels((f'{lab.tunnel_address(host, 4)}/24', f'{lab.tunnel_address(host, 6)}/64')),
                link=lab.connection(lab.tunnel_address(host, 4), lab.tunnel_address(peer, 4), paths,
                                    **{'reorder_window': 1000, 'max_buffdelay_msec': 100, **keys}))
            self.daemons[host] = lab.Daemon(net[host], directory)
            self.daemons[host].wait_ready()

    def status(self, host, number):
        return self.daemons[host].statistics().path(number)['status']

    def wait_status(self, host, number, wanted):
        lab.wait_for(lambda: self.status(host, number) == wanted, f'path {number} of {host} is {wanted}')

    def wait_traffic(self, host, number):
        """Until the path carries packets out of the host."""
        before = self.daemons[host].statistics().path(number)['packets_out']
        lab.wait_for(lambda: self.daemons[host].statistics().path(number)['packets_out'] > before + 100,
                     f'path {number} of {host} is used')


class Failover(lab.LabTest):
    def pair(self, **options):
        net = self.make_lab('a', 'b')
        pair = EmulatedPair(net, **options)
        self.addCleanup(pair.emulator.stop)
        for host in 'ab':
            for number in (0, 1):
                pair.wait_status(host, number, 'up')
        return pair

    def test_silent_cut_and_return(self):
        pair = self.pair()
        stream = Stream(pair.net)
        self.addCleanup(stream.stop)
        for number in (0, 1):
            pair.wait_traffic('a', number)
        pair.emulator.cut('eth1')
        for host in 'ab':
            pair.wait_status(host, 0, 'dead')
            self.assertEqual(pair.status(host, 1), 'up')
        sent = pair.daemons['a'].statistics().path(0)['packets_out']
        stream.next_after(time.monotonic())
        pair.wait_traffic('a', 1)
        self.assertEqual(pair.daemons['a'].statistics().path(0)['packets_out'], sent)
        pair.emulator.restore('eth1')
        for host in 'ab':
            pair.wait_status(host, 0, 'up')
        pair.wait_traffic('a', 0)
        said = pair.daemons['a'].log()
        self.assertIn('path 0 (eth1) is dead (no keepalive came in its dead time)', said)
        self.assertIn('path 0 (eth1) is up (a keepalive came)', said)

    def test_carrier_loss_and_return(self):
        pair = self.pair()
        stream = Stream(pair.net)
        self.addCleanup(stream.stop)
        pair.wait_traffic('a', 0)
        pair.emulator.carrier('eth1', False, 'a')
        pair.wait_status('a', 0, 'interface-down')
        stream.next_after(time.monotonic())
        pair.emulator.carrier('eth1', True, 'a')
        pair.wait_status('a', 0, 'up')
        pair.wait_traffic('a', 0)

    def test_removed_interface_and_another_one_of_its_name(self):
        pair = self.pair()
        stream = Stream(pair.net)
        self.addCleanup(stream.stop)
        pair.wait_traffic('a', 0)
        pair.emulator.unplug('eth1', 'a')
        pair.wait_status('a', 0, 'interface-down')
        pair.emulator.plug('eth1', 'a')
        pair.wait_status('a', 0, 'address-missing')
        pair.net['a'].add_address('eth1', f'{lab.path_address("a", 4, 0)}/24')
        pair.wait_status('a', 0, 'up')
        pair.wait_traffic('a', 0)

    def test_address_taken_away_and_given_back(self):
        pair = self.pair()
        prefix = f'{lab.path_address("a", 4, 0)}/24'
        pair.net['a'].run('ip', 'address', 'delete', prefix, 'dev', 'eth1')
        pair.wait_status('a', 0, 'address-missing')
        pair.wait_status('b', 0, 'dead')
        pair.net['a'].add_address('eth1', prefix)
        for host in 'ab':
            pair.wait_status(host, 0, 'up')

    def test_another_address_from_dhcp(self):
        """Host a finds its address by itself; a translator on the way, as providers have, shows b always the same one."""
        net = self.make_lab('a', 'b', 'nat')
        net.link('a', 'nat', 'eth1', ['192.168.7.50/24'], ['192.168.7.1/24'])
        net['nat'].run('sysctl', '-qw', 'net.ipv4.ip_forward=1')
        net.link('nat', 'b', 'eth2', ['10.2.2.1/24'], ['10.2.2.3/24'])
        net['a'].run('ip', 'route', 'add', '10.2.2.0/24', 'via', '192.168.7.1')

        def translate(inside):
            net['nat'].run('nft', '-f', '-', input=f'''
                table ip test
                delete table ip test
                table ip test {{
                    chain there {{ type filter hook postrouting priority 0; oifname "eth2" ip saddr set 10.2.2.1; }}
                    chain back {{ type filter hook prerouting priority -300; iifname "eth2" ip daddr set {inside}; }}
                }}''')

        translate('192.168.7.50')
        configs = {'a': lab.path('eth1', '10.2.2.1', '10.2.2.3', private_ipaddr='0.0.0.0', **FAST),
                   'b': lab.path('eth2', '10.2.2.3', '10.2.2.1', **FAST)}
        daemons = {}
        for host, peer in (('a', 'b'), ('b', 'a')):
            directory = lab.write_config(
                net.directory / f'config-{host}', lab.tunnels((f'{lab.tunnel_address(host, 4)}/24', f'{lab.tunnel_address(host, 6)}/64')),
                link=lab.connection(lab.tunnel_address(host, 4), lab.tunnel_address(peer, 4), [configs[host]]))
            daemons[host] = lab.Daemon(net[host], directory)
            daemons[host].wait_ready()
        ping = ('ping', '-c', 1, '-W', 1, lab.tunnel_address('b', 4))
        lab.wait_for(lambda: '1 received' in net['a'].run(*ping, check=False), 'the tunnel works')
        net['a'].run('ip', 'address', 'delete', '192.168.7.50/24', 'dev', 'eth1')
        net['a'].add_address('eth1', '192.168.7.77/24')
        net['a'].run('ip', 'route', 'replace', '10.2.2.0/24', 'via', '192.168.7.1')
        translate('192.168.7.77')
        lab.wait_for(lambda: '1 received' in net['a'].run(*ping, check=False), 'the tunnel works with the new address')

    def test_fails_over_while_the_control_thread_is_stuck(self):
        """The thread is stopped (ptrace(2) stops one thread of a process) as it would be by a disk that does not answer."""
        pair = self.pair()
        stream = Stream(pair.net)
        self.addCleanup(stream.stop)
        stream.next_after(time.monotonic())
        pid = pair.daemons['a'].process.pid
        tracer = pair.net['a'].start(sys.executable, '-c', STOP_THREAD, pid)
        lab.wait_for(lambda: ') t ' in pathlib.Path(f'/proc/{pid}/task/{pid}/stat').read_text(), 'the control thread is stopped')
        count = len(stream.arrived)
        pair.emulator.cut('eth1')
        pair.wait_status('b', 0, 'dead')
        lab.wait_for(lambda: len(stream.arrived) > count + 2000, 'the stream goes on')
        pair.emulator.restore('eth1')
        pair.wait_status('b', 0, 'up')
        pair.emulator.carrier('eth2', False, 'a')
        count = len(stream.arrived)
        lab.wait_for(lambda: len(stream.arrived) > count + 2000, 'the stream goes on without a carrier')
        # All of its datagrams leave by the other path: half of them would be lost otherwise.
        last = [number for _, number in stream.arrived[-1000:]]
        self.assertLess(last[-1] - last[0], 1100)
        tracer.kill()

    def test_all_paths_down(self):
        pair = self.pair()
        for name in LINKS:
            pair.emulator.cut(name)
        for number in (0, 1):
            pair.wait_status('a', number, 'dead')
        used = pair.daemons['a'].processor_seconds()
        said = pair.net['a'].run('ping', '-c', 5, '-i', '0.3', '-W', 1, lab.tunnel_address('b', 4), check=False)
        self.assertIn(f'From {lab.tunnel_address("b", 4)} icmp_seq=1 Destination Host Unreachable', said)
        unreachable = said.count('Destination Host Unreachable')
        self.assertLess(unreachable, 5, 'an answer once in a while, not to each')
        drops = pair.daemons['a'].statistics().connections['link']['drop_no_path']
        self.assertGreaterEqual(drops, 5)
        self.assertLess(pair.daemons['a'].processor_seconds() - used, 1, 'it turns in no loop')
        for name in LINKS:
            pair.emulator.restore(name)
        lab.wait_for(lambda: '1 received' in pair.net['a'].run('ping', '-c', 1, '-W', 1, lab.tunnel_address('b', 4), check=False),
                     'the tunnel works again')

    def test_tcp_survives_cuts(self):
        pair = self.pair(link={'delay': '2ms', 'rate': 50, 'queue': '50ms'})
        listener = pair.net['b'].socket(socket.AF_INET, socket.SOCK_STREAM, (lab.tunnel_address('b', 4), 5001))
        listener.listen()
        client = pair.net['a'].socket(socket.AF_INET, socket.SOCK_STREAM)
        client.connect((lab.tunnel_address('b', 4), 5001))
        server, _ = listener.accept()
        server.settimeout(lab.PATIENCE)
        content = os.urandom(20_000_000)
        sender = threading.Thread(target=lambda: (client.sendall(content), client.shutdown(socket.SHUT_WR)), daemon=True)
        sender.start()
        received = bytearray()
        cuts = [(name, at) for at, name in enumerate(LINKS * 2, start=1)]
        cut = None
        with server:
            while chunk := server.recv(1 << 16):
                received += chunk
                if cuts and len(received) > cuts[0][1] * 3_500_000:
                    if cut:
                        pair.emulator.restore(cut)
                        for host in 'ab':
                            pair.wait_status(host, LINKS.index(cut), 'up')
                    cut, _ = cuts.pop(0)
                    pair.emulator.cut(cut)
        sender.join()
        self.assertEqual(bytes(received), content)
        self.assertEqual(cuts, [])


if __name__ == '__main__':
    lab.main()
