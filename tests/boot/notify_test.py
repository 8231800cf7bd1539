#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the daemon tells the service manager, read in its place: that it is ready, reloads and ends, how its paths are, and that it is
alive only while all of its threads are."""

import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'net'))
import lab  # noqa: E402

WATCHDOG = 1.0  # seconds
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17  # <linux/ptrace.h>
WALL = 0x40000000  # of waitpid(2)

_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.argtypes = (ctypes.c_long,) * 4


def ptrace(request, thread):
    if _ptrace(request, thread, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), 'ptrace')


@contextlib.contextmanager
def held(thread):
    """The thread stands still, and the others of its process do not."""
    ptrace(PTRACE_SEIZE, thread)
    try:
        ptrace(PTRACE_INTERRUPT, thread)
        os.waitpid(thread, WALL)
        yield
    finally:
        ptrace(PTRACE_DETACH, thread)


class NotifyTest(lab.LabTest):
    def setUp(self):
        self.net = self.make_lab('a', 'b')
        self.net.figure3()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(str(self.net.directory / 'notify'))
        self.socket.settimeout(lab.PATIENCE)
        self.config = lab.write_config(
            self.net.directory / 'config', lab.tunnels(('10.0.0.2/24', 'fec0::2/64')),
            link=lab.connection('10.0.0.2', '10.0.0.3', lab.figure3_paths('a')))

    def start(self):
        wrapper = ['bash', '-c', f'export NOTIFY_SOCKET={self.net.directory}/notify WATCHDOG_USEC={int(WATCHDOG * 1e6)} WATCHDOG_PID=$$; exec "$@"',
                   'bash']
        return lab.Daemon(self.net['a'], self.config, wrapper)

    def told(self):
        """The next message, as a dictionary."""
        return dict(line.split('=', 1) for line in self.socket.recv(4096).decode().splitlines())

    def wait(self, key, condition=lambda value: True):
        """The value of the key in the next message that has it with a right one."""
        deadline = time.monotonic() + lab.PATIENCE
        seen = []
        while time.monotonic() < deadline:
            message = self.told()
            if key in message:
                if condition(message[key]):
                    return message[key]
                seen.append(message[key])
        raise AssertionError(f'no other {key} within {lab.PATIENCE} s than {seen}')

    def forget(self):
        """Nothing that was told so far counts."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.recv(4096)
        self.socket.settimeout(lab.PATIENCE)

    def test_states(self):
        daemon = self.start()
        self.wait('READY')
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        daemon.process.send_signal(signal.SIGHUP)
        while 'RELOADING' not in (message := self.told()):
            pass
        self.assertEqual(message['RELOADING'], '1')
        self.assertTrue(before <= int(message['MONOTONIC_USEC']) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000, message)
        self.wait('READY')
        daemon.process.send_signal(signal.SIGTERM)
        self.wait('STOPPING')
        self.assertEqual(daemon.wait(), 0)

    def test_status(self):
        """One line, and a current one: paths that come and go, files that are wrong, and no connection at all."""
        daemon = self.start()
        self.wait('STATUS', '1 connection, 2 of 2 paths up'.__eq__)
        for state, up in (('down', 1), ('up', 2)):
            self.net['a'].run('ip', 'link', 'set', 'eth2', state)
            self.wait('STATUS', f'1 connection, {up} of 2 paths up'.__eq__)
        broken = self.config / 'connections/broken.conf'
        broken.write_text('[connection]\nlocal_port = 70000\n')
        daemon.process.send_signal(signal.SIGHUP)
        self.assertRegex(self.wait('STATUS'), r'^1 connection, 2 of 2 paths up; \d+ problems: connections/broken\.conf:1: name: is missing')
        broken.unlink()
        daemon.process.send_signal(signal.SIGHUP)
        self.wait('STATUS', '1 connection, 2 of 2 paths up'.__eq__)

    def test_status_is_told_once_a_second_at_most(self):
        self.start().wait_ready()
        self.wait('STATUS')
        end = time.monotonic() + 2
        while time.monotonic() < end:
            for state in ('down', 'up'):
                self.net['a'].run('ip', 'link', 'set', 'eth2', state)
        self.net['a'].run('ip', 'link', 'set', 'eth2', 'down')
        count = 0
        while self.wait('STATUS') != '1 connection, 1 of 2 paths up' or time.monotonic() < end:
            count += 1
        self.assertLessEqual(count, time.monotonic() - end + 3)

    def test_nothing_configured(self):
        """An empty directory is no failure."""
        empty = self.net.directory / 'empty'
        empty.mkdir()
        self.config = empty
        daemon = self.start()
        daemon.wait_ready()
        self.assertEqual(self.wait('STATUS'), 'no connections configured')
        self.assertIn('no connections configured', daemon.log())
        self.assertNotIn('tun', self.net['a'].run('ip', '-br', 'link'))

    def test_is_alive(self):
        """While the control thread's and all workers' loops go round; not if one does not."""
        daemon = self.start()
        daemon.wait_ready()
        (worker,) = [thread for thread in pathlib.Path(f'/proc/{daemon.process.pid}/task').iterdir()
                     if (thread / 'comm').read_text() == 'mptd-worker\n']
        for _ in range(3):
            self.wait('WATCHDOG')
        for thread in (int(worker.name), daemon.process.pid):
            with held(thread):
                self.forget()
                self.socket.settimeout(2 * WATCHDOG)
                with self.assertRaises(TimeoutError, msg=f'{thread} of {daemon.process.pid}'):
                    for _ in range(2):  # one may have been under way
                        self.wait('WATCHDOG')
                self.socket.settimeout(lab.PATIENCE)
            self.wait('WATCHDOG')


if __name__ == '__main__':
    lab.main()
