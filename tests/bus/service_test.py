#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon and the bus around it: a bus that is not there, dies, hangs or gives the name to somebody else does not touch the
tunnel, and the service comes when it can."""

import os
import re
import signal
import socket

import bus
from bus import CONNECTION, LINK, MANAGER, NAME, PATH, ROOT_OBJECT
import lab


class ServiceTest(bus.BusTest):
    def setUp(self):
        super().setUp()
        lab.start_figure3_host(self.net, 'b')

    def ping(self):
        self.net['a'].ping('10.0.0.3', count=5)

    def wait_for_service(self):
        lab.wait_for(lambda: self.bus.has_owner(NAME), f'{NAME} is on the bus')

    def lines(self, daemon, text):
        return [line for line in daemon.log().splitlines() if text in line]


class Bus(ServiceTest):
    def test_comes_later(self):
        self.bus.stop()
        daemon = self.start(wait=False)
        self.ping()
        daemon.wait_for_log('No such file')
        self.assertEqual(len(self.lines(daemon, 'bus')), 1, daemon.log())
        self.bus.start()
        self.wait_for_service()
        self.assertEqual(self.bus.get(LINK, CONNECTION, 'Name'), 'link')

    def test_is_tried_again(self):
        """Again and again, and told once."""
        self.bus.stop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(self.bus.directory / 'bus'))
            listener.listen()
            listener.settimeout(lab.PATIENCE)
            daemon = self.start(wait=False, until_ready=False)
            for _ in range(3):
                listener.accept()[0].close()
            daemon.wait_ready()
            self.assertEqual(len(self.lines(daemon, 'bus')), 1, daemon.log())
        (self.bus.directory / 'bus').unlink()
        self.bus.start()
        self.wait_for_service()

    def test_dies_and_comes_back(self):
        """What happened meanwhile is known afterwards."""
        daemon = self.start()
        for turn in (1, 2):
            self.bus.stop()
            lab.wait_for(lambda: len(self.lines(daemon, 'without the system bus')) >= turn, 'it has noticed')
            self.ping()
            self.write(f'new{turn}.conf', self.second(f'10.0.0.{10 + turn}', f'new{turn}', local_port=24000 + turn))
            daemon.process.send_signal(signal.SIGHUP)
            lab.wait_for(lambda: f'connection new{turn} is new' in daemon.log(), 'the configuration is read')
            self.bus.start()
            self.wait_for_service()
            self.assertIn(f'{ROOT_OBJECT}/connection/new{turn}/path/1', self.bus.objects())
            monitor = self.bus.monitor()
            self.bus.call(self.path(0), PATH, 'SetWeight', 'q', 10 + turn)
            monitor.wait_for_change(self.path(0), WeightOut=10 + turn)
        self.ping()

    def test_reload_is_told_to_the_service_manager(self):
        """As one by a signal is; and its end, also if a file is wrong."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(self.net.directory / 'notify'))
            manager.settimeout(lab.PATIENCE)
            os.environ['NOTIFY_SOCKET'] = str(self.net.directory / 'notify')
            self.addCleanup(os.environ.pop, 'NOTIFY_SOCKET')
            self.start()

            def reloads():
                """What was told of them until the service was ready."""
                said = iter(lambda: manager.recv(4096).decode(), 'READY=1')
                return [re.sub(r'\d+$', '...', each) for each in said if 'RELOADING' in each]

            self.assertEqual(reloads(), [])
            self.bus.call(ROOT_OBJECT, MANAGER, 'Reload', 's', '')
            self.assertEqual(reloads(), ['RELOADING=1\nMONOTONIC_USEC=...'])
            self.write('link.conf', 'wrong')
            self.refused('InvalidConfig', ROOT_OBJECT, MANAGER, 'Reload', 'string:')
            self.assertEqual(reloads(), ['RELOADING=1\nMONOTONIC_USEC=...'])
        self.ping()

    def hang(self):
        os.kill(self.bus.process_id(), signal.SIGSTOP)
        self.addCleanup(os.kill, self.bus.process_id(), signal.SIGCONT)

    def test_hangs_from_the_start(self):
        """A bus that takes connections and says nothing holds nothing up."""
        self.hang()
        daemon = self.start(wait=False, until_ready=False)
        lab.wait_for(lambda: self.net['a'].run('ping', '-c', 1, '-W', 1, '10.0.0.3', check=False).count(' 1 received'), 'the tunnel works')
        self.write('second.conf', self.second())
        daemon.process.send_signal(signal.SIGHUP)
        lab.wait_for(lambda: 'connection second is new' in daemon.log(), 'signals are served')
        self.assertEqual(daemon.stop(), 0)

    def test_hangs_later(self):
        """So does one that takes no more of what is told."""
        daemon = self.start()
        self.hang()
        for number in range(150):
            self.write(f'new{number}.conf', self.second(f'10.0.0.{10 + number}', f'new{number}', local_port=24000 + number))
        daemon.process.send_signal(signal.SIGHUP)
        lab.wait_for(lambda: 'connection new149 is new' in daemon.log(), 'signals are served')
        self.ping()
        self.assertEqual(daemon.stop(), 0)

    def test_dies_while_calls_wait(self):
        self.bus.start_mock()
        daemon = self.start()
        self.bus.mock('SimulateHang', 'b', 'true')
        questions = self.bus.monitor('org.freedesktop.PolicyKit1')
        waiting = self.bus.send(self.path(0), PATH, 'SetWeight', 'uint16:5', user=bus.BOB)
        questions.wait(member='CheckAuthorization')
        self.bus.stop()
        self.assertIsNotNone(waiting.answer()[0])
        self.ping()
        self.bus.start()
        self.wait_for_service()
        self.assertEqual(self.bus.get(self.path(0), PATH, 'WeightOut'), 1)
        self.assertEqual(daemon.stop(), 0)


class Name(ServiceTest):
    def test_is_taken(self):
        """It says so once, and has the name when the other one ends."""
        other = self.bus.own_name(NAME)
        daemon = self.start(wait=False)
        self.ping()
        daemon.wait_for_log('another program has the name')
        self.assertEqual(len(self.lines(daemon, 'another program has the name')), 1, daemon.log())
        self.assertNotEqual(self.bus.driver('GetConnectionUnixProcessID', 's', NAME), daemon.process.pid)
        other.kill()
        lab.wait_for(lambda: self.bus.driver('GetConnectionUnixProcessID', 's', NAME, check=False) == daemon.process.pid, 'it has the name')
        self.assertEqual(self.bus.get(LINK, CONNECTION, 'Name'), 'link')

    def test_is_not_for_everybody(self):
        """The policy lets root and the user of the service have it; who is neither goes on without the bus."""
        daemon = self.start(bus.BOB, wait=False)
        self.ping()
        self.assertFalse(self.bus.has_owner(NAME))
        daemon.wait_for_log(f'the name {NAME} is refused')
        self.assertEqual(len(self.lines(daemon, f'the name {NAME} is refused')), 1, daemon.log())

    def test_user_of_the_service(self):
        daemon = self.start(bus.MPTD)
        self.assertEqual(self.bus.driver('GetConnectionUnixProcessID', 's', NAME), daemon.process.pid)
        self.assertEqual(self.bus.driver('GetConnectionUnixUser', 's', NAME), bus.MPTD)
        self.ping()


class Signals(ServiceTest):
    def test_hangup_reloads_all(self):
        daemon = self.start()
        self.write('second.conf', self.second())
        daemon.process.send_signal(signal.SIGHUP)
        lab.wait_for(lambda: len(self.bus.get(ROOT_OBJECT, MANAGER, 'Connections')) == 2, 'the new file is read')
        self.write('second.conf', self.second(reorder_window=20000))
        daemon.process.send_signal(signal.SIGHUP)
        lab.wait_for(lambda: self.bus.get(ROOT_OBJECT, MANAGER, 'Problems'), 'the problem is told')
        daemon.wait_for_log('reorder_window')
        self.ping()


if __name__ == '__main__':
    bus.main()
