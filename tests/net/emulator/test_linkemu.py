# SPDX-License-Identifier: GPL-3.0-or-later
"""The link emulator against ping, iperf3, the kernel's time stamps and `ip`. Needs root: exits with 77 without it, or
with 1 where CI=true. LINKEMU names the program.

This machine may be busy with other things at any time: a frame can always be late, so what is asserted strictly is that
it is not early; upper bounds leave room for a scheduler that has other plans (SLACK)."""

import collections
import json
import math
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest
from statistics import median

from linkemu import LinkEmulator, LinkEmulatorError

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import lab
from emulated import run_in_real_time
from lab import wait_for

SLACK = 0.025  # s
SLEW = 0.001  # by which the clock of the time stamps may go slower than the emulator's
HEADERS = 14 + 20 + 8  # octets of Ethernet, IPv4 and UDP
SO_TIMESTAMPNS = 35  # of asm-generic/socket.h; Python has no name for it
NOISE = 5  # standard deviations


def address(end, index=0):
    return f"10.77.{index}.{1 if end == 'a' else 2}"


def devices(host):
    """By name, as `ip` tells."""
    return {device['ifname']: device for device in json.loads(host.run('ip', '-j', '-s', 'link', 'show'))}


def configure(net, index=0):
    """Addresses and neighbours for link number `index`, whose device is wan<index> on both ends."""
    name = f'wan{index}'
    mac = {end: devices(net[end])[name]['address'] for end in 'ab'}
    for near, far in ('ab', 'ba'):
        net[near].run('ip', 'address', 'replace', address(near, index) + '/24', 'dev', name)
        net[near].run('ip', 'neighbour', 'replace', address(far, index), 'lladdr', mac[far], 'dev', name)


class Stream:
    """Numbered datagrams over one direction of link 0, with the times at which they were sent and, by the kernel's
    clock, received."""

    def __init__(self, net, emulator, direction='a>b'):
        near, far = direction[0], direction[2]
        self._emulator, self._direction = emulator, direction
        self._in = net[far].socket(socket.AF_INET, socket.SOCK_DGRAM, (address(far), 0))
        self._in.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._in.setsockopt(socket.SOL_SOCKET, lab.SO_RCVBUFFORCE, 64 << 20)  # nothing is read before the end
        self._in.setblocking(False)
        self._out = net[near].socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._out.connect(self._in.getsockname())
        self._frames_before = self._row()['frames']
        self.sent = []  # when, by number; s
        self.arrivals = []  # (number, when) in the order of arrival

    def _row(self):
        return self._emulator.stats()['one'][self._direction]

    def send(self, count, per_second, payload=100):
        start = time.monotonic()
        for index in range(count):
            while (ahead := start + index / per_second - time.monotonic()) > 0:
                time.sleep(ahead)
            number = struct.pack('!I', len(self.sent))
            self.sent.append(time.time_ns() / 1e9)
            self._out.send(number.ljust(payload, b'.'))

    def receive(self):
        """What has arrived until now."""
        while True:
            try:
                data, ancillary, _, _ = self._in.recvmsg(2048, 64)
            except BlockingIOError:
                return
            seconds, nanoseconds = struct.unpack('ll', ancillary[0][2])
            self.arrivals.append((struct.unpack_from('!I', data)[0], seconds + nanoseconds / 1e9))

    def finish(self):
        """Receives until the emulator has read and passed on all. A frame that it has written is in the socket."""
        def quiet():
            row = self._row()
            return row['frames'] - self._frames_before == len(self.sent) and row['in_flight'] == 0
        wait_for(quiet, 'an empty link')
        self.receive()

    def numbers(self):
        return [number for number, _ in self.arrivals]

    def delays(self):
        return [when - self.sent[number] for number, when in self.arrivals]


class LinkTest(lab.LabTest):
    def setUp(self):
        self.net = self.make_lab('a', 'b')
        for host in self.net.hosts.values():  # no multicast listener reports: the tests count frames
            host.run('sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1')

    def start(self, links=('one',), seed=1, **settings):
        emulator = LinkEmulator(seed=seed)
        for index, name in enumerate(links):
            emulator.link(name, self.place('a', f'wan{index}'), self.place('b', f'wan{index}'), **settings)
        emulator.start()
        self.addCleanup(emulator.stop)
        for index in range(len(links)):
            configure(self.net, index)
        return emulator

    def place(self, host, device):
        return self.net[host].namespace, device

    def send_all(self, emulator, count, per_second, payload=100, direction='a>b'):
        stream = Stream(self.net, emulator, direction)
        stream.send(count, per_second, payload)
        stream.finish()
        return stream

    def assert_near(self, value, expected, deviation):
        self.assertLessEqual(abs(value - expected), NOISE * deviation, f'{value} is not about {expected}')


class TimedTest(LinkTest):
    """This thread and what it starts run when they want to, where the machine lets them."""

    def setUp(self):
        super().setUp()
        self.addCleanup(os.sched_setscheduler, 0, os.SCHED_OTHER, os.sched_param(0))
        run_in_real_time()


class Delay(TimedTest):
    def ping(self, count=20):
        lines = self.net['a'].run('ping', '-c', count, '-i', 0.02, address('b')).splitlines()
        times = [float(line.split('time=')[1].split()[0]) / 1e3 for line in lines if 'time=' in line]
        self.assertEqual(len(times), count)
        return times

    def test_round_trip_is_the_sum_of_both_directions(self):
        emulator = self.start(delay='20ms')
        times = self.ping()
        self.assertGreaterEqual(min(times), 0.040)
        self.assertLess(median(times), 0.040 + SLACK)
        emulator.set('one', 'b>a', delay='80ms')
        times = self.ping()
        self.assertGreaterEqual(min(times), 0.100)
        self.assertLess(median(times), 0.100 + SLACK)
        emulator.set('one', delay='0ms')
        self.assertLess(median(self.ping()), SLACK)

    def test_directions_are_independent(self):
        emulator = self.start()
        emulator.set('one', 'a>b', delay='60ms')
        emulator.set('one', 'b>a', delay='10ms')
        for direction, delay in (('a>b', 0.060), ('b>a', 0.010)):
            delays = self.send_all(emulator, 100, 500, direction=direction).delays()
            self.assertEqual(len(delays), 100)
            self.assertGreaterEqual(min(delays), delay * (1 - SLEW))
            self.assertLess(median(delays), delay + SLACK)

    def test_jitter_keeps_the_order_unless_told_not_to(self):
        emulator = self.start(delay='10ms', jitter='20ms')
        ordered = self.send_all(emulator, 1000, 1000)
        self.assertEqual(ordered.numbers(), list(range(1000)))
        self.assertGreaterEqual(min(ordered.delays()), 0.010 * (1 - SLEW))
        # Everyone waits for the slowest of the last twenty.
        self.assertGreater(median(ordered.delays()), 0.020)
        self.assertLess(median(ordered.delays()), 0.030 + SLACK)

        emulator.set('one', reorder=True)
        mixed = self.send_all(emulator, 1000, 1000)
        self.assertEqual(sorted(mixed.numbers()), list(range(1000)))
        self.assertGreaterEqual(min(mixed.delays()), 0.010 * (1 - SLEW))
        self.assertLess(median(mixed.delays()), 0.020 + SLACK)
        overtaken = sum(1 for first, second in zip(mixed.numbers(), mixed.numbers()[1:]) if second < first)
        self.assertGreater(overtaken, 300)


class Iperf:
    """One run from a to b over link `index`; the result is iperf3's own."""

    def __init__(self, net, index, *options):
        self._server = net['b'].start('iperf3', '-s', '-1', '--forceflush', '-B', address('b', index),
                                      stdout=subprocess.PIPE, text=True)
        while 'listening' not in (line := self._server.stdout.readline()):
            if not line:
                raise AssertionError('the iperf3 server does not start')
        self._client = net['a'].start('iperf3', '-J', '-c', address('b', index), *options,
                                      stdout=subprocess.PIPE, text=True)

    def result(self):
        try:
            result = json.loads(self._client.communicate(timeout=60)[0])
        finally:
            self._client.kill()
            self._server.kill()
            self._client.communicate()
            self._server.communicate()
        if 'error' in result:
            raise AssertionError('iperf3: ' + result['error'])
        return result['end']


class Rate(TimedTest):
    def test_tcp_gets_the_rate_and_not_more(self):
        self.start(delay='5ms', rate=50, queue='100ms')
        # 1448 octets of data in a frame of 1514: at most 47.8 Mbit/s. What a busy machine withholds is no fault here.
        best = 0
        for _ in range(4):
            got = Iperf(self.net, 0, '-t', '3', '-C', 'cubic').result()['sum_received']['bits_per_second'] / 1e6
            self.assertLess(got, 50)
            best = max(best, got)
            if best >= 45:
                break
        self.assertGreaterEqual(best, 45)

    def test_udp_at_twice_the_rate_loses_half(self):
        emulator = self.start(rate=20, queue='20ms')
        end = Iperf(self.net, 0, '-u', '-b', '40M', '-l', '1400', '-t', '3').result()['sum']
        # The line takes 1400 of 1442 octets, and 20 ms of traffic fit into the queue: 51 % in 3 s.
        self.assertGreater(end['lost_percent'], 43)
        self.assertLess(end['lost_percent'], 59)
        dropped = emulator.stats()['one']['a>b']['dropped_queue']
        self.assertLess(abs(end['lost_packets'] - dropped), 0.02 * end['packets'])

    def check_queue(self, queue):
        """A queue of 50 ms at 10 Mbit/s, given as `queue`, grows to its limit and not beyond."""
        sending = (958 + HEADERS) * 8 / 10e6  # 0.8 ms a frame
        emulator = self.start(rate=10, queue=queue)
        longest = 0
        stream = Stream(self.net, emulator)
        for _ in range(15):
            stream.send(250, 2500, 958)
            longest = max(longest, emulator.stats()['one']['a>b']['queue_ms'] / 1e3)
        stream.finish()
        arrived = stream.numbers()
        self.assertEqual(arrived, sorted(set(arrived)))
        # Each waited for those before it, however late: the line is never faster than its rate.
        for index, (_, when) in enumerate(stream.arrivals):
            self.assertGreaterEqual(when - stream.sent[0], (index + 1) * sending * (1 - SLEW))
        # And it is never idle while the sender keeps the queue full.
        took = stream.sent[-1] - stream.sent[0]
        self.assertGreater(len(arrived), 0.8 * min(took / sending, len(stream.sent)))
        self.assertGreater(longest, 0.040)
        self.assertLessEqual(longest, 0.050 + sending)
        waits = stream.delays()[len(arrived) // 2:]
        self.assertGreater(median(waits), 0.045)
        self.assertLess(median(waits), 0.050 + sending + SLACK)

    def test_the_queue_has_a_limit_in_time(self):
        self.check_queue('50ms')

    def test_the_queue_has_a_limit_in_octets(self):
        self.check_queue(62500)

    def test_no_rate_no_queue(self):
        emulator = self.start(queue='0ms')
        self.assertEqual(len(self.send_all(emulator, 1000, 5000).arrivals), 1000)


class Loss(LinkTest):
    COUNT = 20000

    def runs_of_losses(self, arrived):
        previous, runs = -1, []
        for number in arrived:
            if number > previous + 1:
                runs.append(number - previous - 1)
            previous = number
        return runs

    def test_share_and_direction(self):
        emulator = self.start()
        emulator.set('one', 'a>b', loss='10%')
        arrived = self.send_all(emulator, self.COUNT, 20000).numbers()
        lost = self.COUNT - len(arrived)
        self.assert_near(lost, 0.1 * self.COUNT, math.sqrt(0.1 * 0.9 * self.COUNT))
        self.assertEqual(emulator.stats()['one']['a>b']['lost'], lost)
        # Independent losses: a run has 1/0.9 frames on average; one frame more has the probability 0.1.
        runs = self.runs_of_losses(arrived)
        self.assert_near(sum(runs) / len(runs), 1 / 0.9, math.sqrt(0.1) / 0.9 / math.sqrt(len(runs)))
        self.assertEqual(len(self.send_all(emulator, 2000, 20000, direction='b>a').arrivals), 2000)

    def test_bursts(self):
        emulator = self.start()
        emulator.set('one', loss='10%', burst=5)
        arrived = self.send_all(emulator, self.COUNT, 20000).numbers()
        # Two-state chain with the eigenvalue r: the variance of the share is (1 + r) / (1 - r) times the binomial one.
        leave, enter = 1 / 5, 0.1 / (5 * 0.9)
        r = 1 - leave - enter
        self.assert_near(self.COUNT - len(arrived), 0.1 * self.COUNT,
                         math.sqrt(0.1 * 0.9 * self.COUNT * (1 + r) / (1 - r)))
        runs = self.runs_of_losses(arrived)
        self.assert_near(sum(runs) / len(runs), 5, math.sqrt(1 - leave) / leave / math.sqrt(len(runs)))

    def test_the_seed_decides(self):
        lost = []
        for seed in (7, 7, 8):
            emulator = self.start(seed=seed)
            emulator.set('one', loss='20%')
            lost.append(self.send_all(emulator, 2000, 10000).numbers())
            emulator.stop()
        self.assertEqual(lost[0], lost[1])
        self.assertNotEqual(lost[0], lost[2])

    def test_all_and_nothing(self):
        emulator = self.start(loss='100%')
        self.assertEqual(self.send_all(emulator, 500, 5000).arrivals, [])
        emulator.set('one', loss='0%')
        self.assertEqual(len(self.send_all(emulator, 500, 5000).arrivals), 500)

    def test_duplicates(self):
        emulator = self.start()
        emulator.set('one', 'a>b', duplicate='10%')
        numbers = self.send_all(emulator, self.COUNT, 20000).numbers()
        self.assertEqual(sorted(set(numbers)), list(range(self.COUNT)))
        twice = len(numbers) - self.COUNT
        self.assert_near(twice, 0.1 * self.COUNT, math.sqrt(0.1 * 0.9 * self.COUNT))
        self.assertEqual(max(collections.Counter(numbers).values()), 2)
        self.assertEqual(emulator.stats()['one']['a>b']['duplicated'], twice)


class Failures(LinkTest):
    def test_a_cut_loses_what_is_on_its_way(self):
        emulator = self.start(delay='2s')
        stream = Stream(self.net, emulator)
        stream.send(50, 5000)
        wait_for(lambda: emulator.stats()['one']['a>b']['in_flight'] == 50, 'frames on their way')
        emulator.cut('one')
        stream.send(50, 5000)
        wait_for(lambda: emulator.stats()['one']['a>b']['dropped_cut'] == 100, 'frames lost')
        emulator.restore('one')
        stream.send(50, 5000)
        stream.finish()
        self.assertEqual(stream.numbers(), list(range(100, 150)))

    def test_a_cut_of_one_direction(self):
        emulator = self.start()
        emulator.cut('one', 'a>b')
        self.assertEqual(self.send_all(emulator, 100, 5000).arrivals, [])
        self.assertEqual(len(self.send_all(emulator, 100, 5000, direction='b>a').arrivals), 100)
        emulator.restore('one', 'a>b')
        self.assertEqual(len(self.send_all(emulator, 100, 5000).arrivals), 100)

    def test_a_cut_leaves_the_other_links_alone(self):
        emulator = self.start(('one', 'two'), delay='50ms')
        stream = Stream(self.net, emulator)
        stream.send(50, 5000)
        emulator.cut('two')
        emulator.carrier('two', False)
        stream.finish()
        self.assertEqual(len(stream.arrivals), 50)

    def carrier(self, host):
        device = devices(self.net[host])['wan0']
        self.assertIn('UP', device['flags'])
        return 'NO-CARRIER' not in device['flags'] and device['operstate'] == 'UP'

    def test_carrier(self):
        emulator = self.start()
        for end, seen in ((None, (False, False)), ('a', (False, True)), ('b', (True, False))):
            with self.subTest(end=end):
                emulator.carrier('one', False, end)
                wait_for(lambda expected=seen: (self.carrier('a'), self.carrier('b')) == expected, 'carrier loss')
                if end:  # who still has it, sends in vain
                    self.assertEqual(self.send_all(emulator, 10, 1000, direction=f"{'ba'[end == 'b']}>{end}").arrivals,
                                     [])
                emulator.carrier('one', True, end)
                wait_for(lambda: (self.carrier('a'), self.carrier('b')) == (True, True), 'carrier')
                self.assertEqual(len(self.send_all(emulator, 10, 1000).arrivals), 10)

    def test_an_interface_goes_and_comes_back(self):
        emulator = self.start()
        emulator.unplug('one', 'a')
        self.assertNotIn('wan0', devices(self.net['a']))
        self.assertIn('wan0', devices(self.net['b']))
        with self.assertRaisesRegex(LinkEmulatorError, 'unplugged'):
            emulator.carrier('one', False, 'a')
        emulator.plug('one', 'a')
        configure(self.net)
        self.assertEqual(len(self.send_all(emulator, 100, 5000).arrivals), 100)

    def test_somebody_deletes_the_device(self):
        emulator = self.start(('one', 'two'))
        self.net['b'].run('ip', 'link', 'delete', 'wan1')
        emulator.cut('two')
        self.assertEqual(len(self.send_all(emulator, 100, 5000).arrivals), 100)
        emulator.plug('two', 'b')
        self.assertIn('wan1', devices(self.net['b']))

    def test_every_frame_is_counted_once(self):
        emulator = self.start(delay='20ms', jitter='10ms', reorder=True, loss='5%', burst=3, duplicate='5%', rate=8,
                              queue='10ms')
        stream = Stream(self.net, emulator)
        for action in (lambda: None, lambda: emulator.cut('one', 'a>b'), lambda: emulator.restore('one'),
                       lambda: self.net['b'].run('ip', 'link', 'set', 'wan0', 'down')):
            action()
            stream.send(1000, 4000, 500)
            row = emulator.stats()['one']['a>b']
            self.assertEqual(row['frames'] + row['duplicated'],
                             row['delivered'] + row['lost'] + row['dropped_queue'] + row['dropped_cut'] +
                             row['dropped_other'] + row['in_flight'])
        stream.finish()
        row = emulator.stats()['one']['a>b']
        self.assertEqual((row['frames'], row['octets']), (4000, 4000 * (500 + HEADERS)))
        self.assertEqual(row['delivered_octets'], row['delivered'] * (500 + HEADERS))
        self.assertEqual(row['delivered'], len(stream.arrivals))
        for reason in ('duplicated', 'lost', 'dropped_queue', 'dropped_cut', 'dropped_other'):
            self.assertGreater(row[reason], 0, reason)


class Program(LinkTest):
    def refused(self, *arguments):
        done = subprocess.run([os.environ['LINKEMU'], *arguments], stdin=subprocess.PIPE, capture_output=True,
                              text=True, timeout=lab.PATIENCE, check=False)
        self.assertEqual(done.stdout, '')
        return done.returncode, done.stderr

    def test_arguments_that_make_no_sense(self):
        ends = ('--a', 'a:x', '--b', 'b:x')
        for arguments, words in (((), 'at least one --link'), (('--delay', '1ms'), '--delay belongs to a link'),
                                 (('--link', 'one'), 'needs --a and --b'), (('--link',), '--link needs a value'),
                                 (('--link', 'one', '--a', 'x'), "'x' is not NETNS:DEVICE"),
                                 (('--link', 'one', *ends, '--delay', '5'), "delay: '5' is not a time"),
                                 (('--link', 'one', *ends, '--link', 'one'), "two links 'one'"),
                                 (('--seed', '-1'), "--seed: '-1'"), (('link',), "'link' is not an option")):
            with self.subTest(arguments=arguments):
                status, text = self.refused(*arguments)
                self.assertEqual(status, 2)
                self.assertIn(words, text)

    def test_devices_that_cannot_be_made(self):
        a, b = (host.namespace for host in self.net.hosts.values())
        status, text = self.refused('--link', 'one', '--a', 'mptd-none:x', '--b', b + ':x')
        self.assertEqual(status, 1)
        self.assertIn('/run/netns/mptd-none', text)
        self.start()
        status, text = self.refused('--link', 'one', '--a', a + ':new', '--b', b + ':wan0')
        self.assertEqual(status, 1)
        self.assertIn(b + ':wan0', text)
        self.assertNotIn('new', devices(self.net['a']))

    def test_commands_that_make_no_sense_change_nothing(self):
        emulator = self.start()
        for line, words in (('set one both', 'expected: set NAME'), ('set two both loss 1%', "no link 'two'"),
                            ('set one c>d loss 1%', "'c>d' is not a>b, b>a or both"),
                            ('set one both loss 100% delay fast', "delay: 'fast' is not a time"),
                            ('set one both loss 100% delay', 'expected: set NAME'),
                            ('set one both loss 101%', "loss: '101%' is not a share"),
                            ('set one both loss 0.5', "loss: '0.5' is not a share"),
                            ('set one both delay 61s', "delay: '61s'"), ('set one both delay -1ms', "delay: '-1ms'"),
                            ('set one both loss 100% rate nan', "rate: 'nan'"),
                            ('set one both loss 90% burst 2', 'cannot make a loss of 90 %'),
                            ('set one both loss 100% speed 3', "'speed' is not a setting"),
                            ('cut one a', "'a' is not a>b"), ('carrier one maybe', "'maybe' is not on or off"),
                            ('unplug one', 'too few'), ('dance one', 'is not a command'), ('', 'not a complete')):
            with self.subTest(line=line), self.assertRaises(LinkEmulatorError) as caught:
                emulator.command(line)
            self.assertIn(words, str(caught.exception))
        self.assertEqual(len(self.send_all(emulator, 100, 5000).arrivals), 100)

    def test_devices_go_with_the_program(self):
        emulator = self.start()
        self.assertEqual(emulator.stop(), 0)
        self.assertNotIn('wan0', devices(self.net['a']))
        self.assertNotIn('wan0', devices(self.net['b']))
        for number, status in ((signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -signal.SIGKILL)):
            emulator = self.start()
            os.kill(emulator.pid, number)
            with self.assertRaisesRegex(LinkEmulatorError, 'linkemu ended'):
                while True:
                    emulator.stats()
            self.assertEqual(emulator.stop(), status)
            self.assertNotIn('wan0', devices(self.net['a']))
            self.assertNotIn('wan0', devices(self.net['b']))


class Measurement(LinkTest):
    """Says what it costs here and now."""

    @staticmethod
    def processor_seconds(pid):
        with open(f'/proc/{pid}/stat', encoding='ascii') as stat:
            fields = stat.read().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def measure(self, what, emulator, indices):
        emulator.stats()
        start, spent = time.monotonic(), self.processor_seconds(emulator.pid)
        runs = [Iperf(self.net, index, '-t', '3', '-C', 'cubic') for index in indices]
        got = [run['sum_received'] for run in [iperf.result() for iperf in runs]]
        spent, took = self.processor_seconds(emulator.pid) - spent, time.monotonic() - start
        late = max(row['late_ms'] for link in emulator.stats().values() for row in link.values())
        missed = sum(device['stats64']['tx']['dropped'] for host in self.net.hosts.values()
                     for device in devices(host).values())
        print(f"{what}: {' + '.join(str(round(one['bits_per_second'] / 1e6)) for one in got)} Mbit/s of TCP, "
              f"{spent:.2f} CPU-seconds in {took:.1f} s, {spent / sum(one['bytes'] * 8e-9 for one in got):.2f} "
              f'CPU-seconds a Gbit, {late:.1f} ms late at worst, {missed} frames not read in time', flush=True)

    def test_throughput(self):
        emulator = self.start(('one', 'two'))
        self.measure('one link without limits', emulator, [0])
        self.measure('two links without limits', emulator, [0, 1])
        for name in ('one', 'two'):
            emulator.set(name, delay='10ms', rate=300, queue='50ms')
        self.measure('one link of 300 Mbit/s and 10 ms', emulator, [0])
        self.measure('two links of 300 Mbit/s and 10 ms', emulator, [0, 1])


if __name__ == '__main__':
    if os.geteuid() != 0:
        print('needs root (network namespaces and tap devices): run it with sudo')
        sys.exit(1 if os.environ.get('CI') == 'true' else 77)
    unittest.main(verbosity=2)
