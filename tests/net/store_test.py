#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the daemon keeps in the service manager's descriptor store, and what it makes of it when it is started again: with a service manager of
this script's own, which lets go of a descriptor as late as it may."""

import contextlib
import fcntl
import os
import re
import signal
import socket
import struct
import sys
import threading
import time

import lab

TUNNEL = ('10.0.0.2/24', 'fec0::2/64')
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000  # <linux/if_tun.h>
SOON = 2  # seconds, in which a process that fails has failed soon after its start
MANY = 100  # connections, whose sockets are more than go into the store, or leave it, at once

# Gets descriptors as sd_listen_fds(3) says, and becomes what its arguments name.
RECEIVER = '''
import os, socket, sys
with socket.socket(socket.AF_UNIX) as manager:
    manager.connect(sys.argv[1])
    names, descriptors, _, _ = socket.recv_fds(manager, 65536, 253)
high = [os.dup2(descriptor, 1000 + number) for number, descriptor in enumerate(descriptors)]
for number, descriptor in enumerate(high):
    os.dup2(descriptor, 3 + number)
os.closerange(3 + len(high), 1000 + len(high))
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=names.decode().strip())
os.execvp(sys.argv[2], sys.argv[2:])
'''


class ServiceManager:
    """store: descriptors by name; released: the names that were let go, in their order."""

    def __init__(self, directory):
        self.store, self.released = {}, []
        self._leaving = []
        self._ready = threading.Event()
        self._directory = directory
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(directory / 'notify'))
        self._pass = socket.socket(socket.AF_UNIX)
        self._pass.settimeout(lab.PATIENCE)
        self._pass.bind(str(directory / 'pass'))
        self._pass.listen()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self):
        while True:
            message, descriptors, _, _ = socket.recv_fds(self._notify, 4096, 1)
            lines = dict(line.partition('=')[::2] for line in message.decode().splitlines())
            if 'END' in lines:
                return
            if 'START' in lines:
                self._let_go()
                self.released.clear()
                self._ready.set()
            if 'BARRIER' in lines or 'FDSTOREREMOVE' not in lines and lines.get('FDNAME') in self._leaving:
                self._let_go()
            if 'FDSTORE' in lines:
                self.store[lines['FDNAME']] = descriptors.pop()
            elif 'FDSTOREREMOVE' in lines:
                self.released.append(lines['FDNAME'])
                self._leaving.append(lines['FDNAME'])
            for descriptor in descriptors:
                os.close(descriptor)

    def _let_go(self):
        for name in self._leaving:
            os.close(self.store.pop(name))
        self._leaving.clear()

    def start(self, host, directory):
        """A daemon that gets what is in the store."""
        self._tell('START')  # behind all that the one before may have said
        if not self._ready.wait(lab.PATIENCE):
            raise AssertionError('the messages are not read')
        self._ready.clear()
        daemon = lab.Daemon(host, directory, ['env', f'NOTIFY_SOCKET={self._directory}/notify', sys.executable, '-c', RECEIVER,
                                              self._directory / 'pass'])
        with contextlib.closing(self._pass.accept()[0]) as receiver:
            socket.send_fds(receiver, [(':'.join(self.store) or ' ').encode()], list(self.store.values()))
        return daemon

    def sockets(self):
        return {name for name in list(self.store) if name.startswith('udp/') and name not in self._leaving}

    def ports(self):
        """The names of sockets by local port."""
        ports = {}
        for name in self.sockets():
            with contextlib.suppress(KeyError, OSError), socket.socket(fileno=os.dup(self.store[name])) as opened:
                ports.setdefault(opened.getsockname()[1], set()).add(name)
        return ports

    def _tell(self, what):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto(f'{what}=1'.encode(), str(self._directory / 'notify'))

    def end(self):
        self._tell('END')
        self._thread.join()
        for opened in (self._notify, self._pass):
            opened.close()
        for descriptor in self.store.values():
            os.close(descriptor)


class Store(lab.LabTest):
    def setUp(self):
        self.net = self.make_lab('a', 'b')
        self.net.figure3()
        self.manager = ServiceManager(self.net.directory)
        self.addCleanup(self.manager.end)
        self.addCleanup(lambda: [daemon.stop() for daemon in self.net.daemons if not daemon.ended])

    def config(self, name, other_port, **general):
        """A connection `link` with two paths, and before it `another` with one, and a port of its own."""
        paths = lab.figure3_paths('a')
        return lab.write_config(self.net.directory / name, lab.tunnels(TUNNEL, **general), link=lab.connection('10.0.0.2', '10.0.0.3', paths),
                                another=lab.connection('10.0.0.2', '10.0.0.9', paths[:1], 'another', other_port))

    def start_and_kill(self):
        """What is kept then of `link` and of `another`."""
        daemon = self.manager.start(self.net['a'], self.config('first', lab.DATA_PORT + 1))
        daemon.wait_ready()
        lab.wait_for(lambda: len(self.manager.sockets()) == 6, 'a listening and a connected socket of each path')
        daemon.stop(signal.SIGKILL)
        kept = self.manager.ports()
        return kept[lab.DATA_PORT], kept[lab.DATA_PORT + 1]

    def assert_kept(self, link, another):
        lab.wait_for(lambda: another <= set(self.manager.released), 'what is of no use is let go')
        self.assertEqual(link & set(self.manager.released), set(), 'the sockets of the other connection stay')
        self.assertLessEqual(link, self.manager.sockets())

    def test_port_in_use_at_the_start(self):
        """It costs none but its own path what was kept of it."""
        link, another = self.start_and_kill()
        self.net['a'].socket(socket.AF_INET, socket.SOCK_DGRAM, ('10.1.1.2', lab.DATA_PORT + 2))
        daemon = self.manager.start(self.net['a'], self.config('second', lab.DATA_PORT + 2))
        daemon.wait_ready()
        self.assertEqual(re.findall(' (.*) is disabled:', daemon.log()), ['error: connection another, path 0 (eth1)'])
        self.assert_kept(link, another)

    def test_control_port_that_a_path_had(self):
        link, another = self.start_and_kill()
        daemon = self.manager.start(self.net['a'], self.config('second', lab.DATA_PORT + 2, cmdport_local=lab.DATA_PORT + 1))
        daemon.wait_ready()
        self.assertNotIn('disabled', daemon.log())
        self.assert_kept(link, another)

    def test_path_whose_listening_socket_was_not_kept(self):
        """The one beside it does not keep it from its port."""
        _, another = self.start_and_kill()
        for name in another:
            with socket.socket(fileno=os.dup(self.manager.store[name])) as opened, contextlib.suppress(OSError):
                opened.getpeername()
                continue
            os.close(self.manager.store.pop(name))
        daemon = self.manager.start(self.net['a'], self.config('second', lab.DATA_PORT + 1))
        daemon.wait_ready()
        self.assertNotIn('disabled', daemon.log())
        self.assertEqual(len(self.manager.released), 1)

    def test_tunnel_that_is_refused(self):
        """One of the same name is made as soon as it is closed."""
        with self.net['a'].inside():
            tun = os.open('/dev/net/tun', os.O_RDWR | os.O_CLOEXEC)
            fcntl.ioctl(tun, TUNSETIFF, struct.pack('16sH22x', b'tun0', IFF_TUN | IFF_NO_PI))
        self.manager.store['tun0'] = tun
        daemon = self.manager.start(self.net['a'], self.config('config', lab.DATA_PORT + 1))
        daemon.wait_ready()
        self.assertEqual(self.manager.released, ['tun0'])
        lab.wait_for(lambda: 'tun0' in self.manager.store, 'the new one is kept')

    def test_control_port_is_kept(self):
        """Nobody takes it between two processes."""
        config = self.config('config', lab.DATA_PORT + 1)
        daemon = self.manager.start(self.net['a'], config)
        daemon.wait_ready()
        daemon.stop(signal.SIGKILL)
        kept = {name: os.fstat(self.manager.store[f'control/{name}']).st_ino for name in (4, 6)}
        with self.assertRaises(OSError):
            self.net['a'].socket(socket.AF_INET, socket.SOCK_DGRAM, ('127.0.0.1', lab.COMMAND_PORT))
        self.manager.start(self.net['a'], config).wait_ready()
        self.assertEqual(self.manager.released, [])
        self.assertEqual({name: os.fstat(self.manager.store[f'control/{name}']).st_ino for name in (4, 6)}, kept)

    def test_names_of_another_version(self):
        """What they are for is not known: it is let go before a port is opened, which it may have."""
        ports = (lab.COMMAND_PORT, lab.DATA_PORT, lab.DATA_PORT + 1)
        names = [f'unknown/{port}' for port in ports]
        for name, port in zip(names, ports):
            with self.net['a'].socket(socket.AF_INET, socket.SOCK_DGRAM, ('0.0.0.0', port)) as opened:
                self.manager.store[name] = os.dup(opened.fileno())
        daemon = self.manager.start(self.net['a'], self.config('config', lab.DATA_PORT + 1))
        daemon.wait_ready()
        self.assertNotIn('disabled', daemon.log())
        self.assertEqual(sorted(self.manager.released), sorted(names))

    def test_tunnel_in_another_namespace(self):
        """It is no way back: another one is made."""
        config = self.config('config', lab.DATA_PORT + 1)
        daemon = self.manager.start(self.net['a'], config)
        daemon.wait_ready()
        daemon.stop(signal.SIGKILL)
        self.net['a'].run('ip', 'link', 'set', 'tun0', 'netns', self.net['b'].namespace)
        daemon = self.manager.start(self.net['a'], config)
        daemon.wait_ready()
        self.assertIn('10.0.0.2/24', self.net['a'].run('ip', '-br', 'address', 'show', 'tun0'))

    def test_tunnel_with_another_address(self):
        """With the first address of a network the kernel takes away the others of it."""
        daemon = self.manager.start(self.net['a'], self.config('first', lab.DATA_PORT + 1))
        daemon.wait_ready()
        self.net['a'].run('ip', 'address', 'add', '10.0.0.77/24', 'dev', 'tun0')
        daemon.stop(signal.SIGKILL)
        folder = self.config('second', lab.DATA_PORT + 1)
        for file in (folder / 'interface.conf', *(folder / 'connections').iterdir()):
            file.write_text(file.read_text().replace('10.0.0.2', '10.3.3.2'))
        self.manager.start(self.net['a'], folder).wait_ready()
        said = self.net['a'].run('ip', '-br', '-4', 'address', 'show', 'tun0')
        self.assertIn('10.3.3.2/24', said)
        self.assertNotIn('10.0.0', said)

    def test_failure_that_comes_late(self):
        """What has run for a while ends at once, for the next one to start."""
        daemon = self.manager.start(self.net['a'], self.config('config', lab.DATA_PORT + 1))
        daemon.wait_ready()
        time.sleep(SOON)
        self.net['a'].run('ip', 'link', 'delete', 'tun0')
        self.assertNotEqual(daemon.wait(), 0)
        self.assertNotIn('soon after the start', daemon.log())

    def test_failure_that_comes_soon(self):
        """The next one would not know of it, for nothing was passed to this one."""
        with self.net['a'].socket(socket.AF_INET, socket.SOCK_DGRAM, ('0.0.0.0', lab.COMMAND_PORT)):
            daemon = self.manager.start(self.net['a'], self.config('config', lab.DATA_PORT + 1))
            self.assertEqual(daemon.wait(), os.EX_UNAVAILABLE)
        self.assertIn('soon after the start', daemon.log())

    def test_ports_that_are_used_again(self):
        """While the store still has the sockets that had them, and has not even been told of all."""
        folder = lab.write_config(self.net.directory / 'many', lab.tunnels(TUNNEL))
        connections, others = folder / 'connections', folder / 'others'
        others.mkdir()
        for place, first in ((connections, 30000), (others, 31000)):
            for number in range(MANY):
                (place / f'many{number}.conf').write_text(
                    lab.connection('10.0.0.2', f'10.0.1.{number + 1}', lab.figure3_paths('a'), f'many{number}', first + number))
        daemon = self.manager.start(self.net['a'], folder)
        daemon.wait_ready()
        lab.wait_for(lambda: len(self.manager.sockets()) == 4 * MANY, 'all are kept')
        for times in (1, 2):
            for old, new in ((connections, folder / 'old'), (others, connections), (folder / 'old', others)):
                old.rename(new)
            daemon.process.send_signal(signal.SIGHUP)
            lab.wait_for(lambda: daemon.log().count('has changed') == times * MANY, 'the files are read')
        self.assertEqual({values['status'] for values in daemon.statistics().paths.values()}, {'up'}, daemon.log())
        self.assertNotIn('disabled', daemon.log())
        kept = {port: 4 for port in range(30000, 30000 + MANY)}
        lab.wait_for(lambda: {port: len(names) for port, names in self.manager.ports().items()} == kept, 'just those of now are kept')


if __name__ == '__main__':
    lab.main()
