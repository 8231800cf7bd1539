#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths that die are left out at once and used again when they return (guide keepalive_time, dead_time). The links are emulated, so
that they can be cut without anybody being told."""

import os
import socket
import threading
import time

import lab
from emulated import LINKS, EmulatedPair, TranslatedPair, stop_control_thread


class Failover(lab.LabTest):
    def pair(self, **options):
        net = self.make_lab('a', 'b')
        pair = EmulatedPair(net, **options)
        self.addCleanup(pair.emulator.stop)
        pair.wait_up()
        return pair

    def test_silent_cut_and_return(self):
        pair = self.pair(permission=0)  # neither host tells the other: each finds it by itself
        stream = pair.stream('a', 'b')
        self.addCleanup(stream.stop)
        for number in (0, 1):
            pair.wait_traffic('a', number)
        pair.emulator.cut('eth1')
        for host in 'ab':
            pair.wait_status(host, 0, 'dead')
            pair.wait_status(host, 1, 'up')
        sent = pair.daemons['a'].statistics().path(0)['packets_out']
        stream.next_after(time.time())
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
        stream = pair.stream('a', 'b')
        self.addCleanup(stream.stop)
        pair.wait_traffic('a', 0)
        pair.emulator.carrier('eth1', False, 'a')
        pair.wait_status('a', 0, 'interface-down')
        stream.next_after(time.time())
        pair.emulator.carrier('eth1', True, 'a')
        pair.wait_status('a', 0, 'up')
        pair.wait_traffic('a', 0)

    def test_removed_interface_and_another_one_of_its_name(self):
        pair = self.pair()
        stream = pair.stream('a', 'b')
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
        pair = TranslatedPair(net, '192.168.7.50')
        self.addCleanup(pair.emulator.stop)
        ping = ('ping', '-c', 1, '-W', 1, lab.tunnel_address('b', 4))
        lab.wait_for(lambda: '1 received' in net['a'].run(*ping, check=False), 'the tunnel works')
        net['a'].run('ip', 'address', 'delete', '192.168.7.50/24', 'dev', 'eth1')
        pair.translate('192.168.7.77')
        pair.give_address('192.168.7.77')
        lab.wait_for(lambda: '1 received' in net['a'].run(*ping, check=False), 'the tunnel works with the new address')

    def test_fails_over_while_the_control_thread_is_stuck(self):
        """The thread is stopped (ptrace(2) stops one thread of a process) as it would be by a disk that does not answer."""
        pair = self.pair()
        stream = pair.stream('a', 'b')
        self.addCleanup(stream.stop)
        stream.next_after(time.time())
        tracer = stop_control_thread(pair.daemons['a'])
        count = len(stream.arrived)
        pair.emulator.cut('eth1')
        pair.wait_status('b', 0, 'dead')
        lab.wait_for(lambda: len(stream.arrived) > count + 2000, 'the stream goes on')
        pair.emulator.restore('eth1')
        pair.wait_status('b', 0, 'up')
        pair.emulator.carrier('eth2', False, 'a')
        count = len(stream.arrived)
        lab.wait_for(lambda: len(stream.arrived) > count + 2000, 'the stream goes on without a carrier')
        # All of its datagrams leave by the other path: half of them would be lost otherwise. A busy machine may lose some.
        last = [number for _, number in stream.arrived[-1000:]]
        self.assertLess(last[-1] - last[0], 1500)
        tracer.kill()

    def test_all_paths_down(self):
        pair = self.pair()
        for name in LINKS:
            pair.emulator.cut(name)
        for number in (0, 1):
            pair.wait_status('a', number, 'dead')
        used = pair.daemons['a'].processor_seconds()
        said = pair.net['a'].run('ping', '-c', 20, '-i', 0.05, '-W', 1, lab.tunnel_address('b', 4), check=False)
        self.assertIn(f'From {lab.tunnel_address("b", 4)} icmp_seq=1 Destination Host Unreachable', said)
        unreachable = said.count('Destination Host Unreachable')
        self.assertLess(unreachable, 20, 'an answer once in a while, not to each')
        drops = pair.daemons['a'].statistics().connections['link']['drop_no_path']
        self.assertGreaterEqual(drops, 20)
        self.assertLess(pair.daemons['a'].processor_seconds() - used, 1, 'it turns in no loop')
        for name in LINKS:
            pair.emulator.restore(name)
        lab.wait_for(lambda: '1 received' in pair.net['a'].run('ping', '-c', 1, '-W', 1, lab.tunnel_address('b', 4), check=False),
                     'the tunnel works again')

    def test_tcp_survives_cuts(self):
        pair = self.pair(links=dict.fromkeys(LINKS, {'delay': '2ms', 'rate': 50, 'queue': '50ms'}))
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
