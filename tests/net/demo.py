#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Usage: demo.py [--seconds N]

The users' guide's Figure 3 at work: two hosts, two paths of 100 Mbit/s, one tunnel, and TCP through it for N seconds (default 10).
./quickstart runs it after building; needs root, and MPTD for another program than the one in a build directory."""

import argparse
import json
import signal
import subprocess
import sys
import time

import lab

PATH_MEGABITS = 100
PEER = '10.0.0.3'
NAMES = ('eth1', 'eth2')


def say(text=''):
    print(text, flush=True)


class Table:
    """Host A's packets and rates by path: redrawn in place on a terminal, else lines after lines."""

    HEAD = ('                   sent by A            received by A\n'
            '               packets   Mbit/s      packets   Mbit/s')

    def __init__(self, statistics):
        self.start = self.last = statistics
        self.drawn = 0
        self.begin = self.time = time.monotonic()

    def show(self, statistics):
        now = time.monotonic()
        rows, sums = [], [0, 0.0, 0, 0.0]
        for number, name in enumerate(NAMES):
            row = []
            for direction in ('out', 'in'):
                path, last, start = (from_.path(number) for from_ in (statistics, self.last, self.start))
                octets = path[f'octets_{direction}'] - last[f'octets_{direction}']
                row += [path[f'packets_{direction}'] - start[f'packets_{direction}'], octets * 8e-6 / (now - self.time)]
            rows.append(self.line(f'path {number}, {name}', row))
            sums = [total + value for total, value in zip(sums, row)]
        rows.append(self.line('both', sums))
        if sys.stdout.isatty():
            rows = [self.HEAD, *rows]
            if self.drawn:
                rows[0] = f'\x1b[{self.drawn}A{rows[0]}'
        else:
            rows = [*([] if self.drawn else [self.HEAD]), f'after {now - self.begin:.0f} s', *rows]
        say('\n'.join(rows))
        self.drawn = 5
        self.last, self.time = statistics, now

    @staticmethod
    def line(name, values):
        return f'{name:13} {values[0]:8} {values[1]:8.1f}     {values[2]:8} {values[3]:8.1f}'


def demo(net, seconds):
    a, b = net['a'], net['b']
    say(f'Two hosts as network namespaces, A ({a.namespace}) and B ({b.namespace}),')
    say(f'joined by eth1 and eth2, each limited to {PATH_MEGABITS} Mbit/s.')
    for number, name in enumerate(NAMES, 1):
        net.link('a', 'b', name, [f'10.{number}.{number}.2/24'], [f'10.{number}.{number}.3/24'])
        for host in (a, b):
            host.limit(name, PATH_MEGABITS)

    say('\nmptd starts on both, with conf/host-a and conf/host-b. On A it says:')
    daemons = [lab.Daemon(host, lab.ROOT / 'conf' / f'host-{host.name}') for host in (a, b)]
    for line in [daemon.wait_ready() for daemon in daemons][0]:
        say(f'    {line}')

    say('\nA pings B through the tunnel:')
    for line in a.run('ping', '-c', 3, '-i', 0.3, PEER).splitlines():
        say(f'    {line}')

    say(f'\nA sends to B through the tunnel, one TCP connection (iperf3) for {seconds} s:\n')
    b.start('iperf3', '--server', '--one-off', stdout=subprocess.DEVNULL)
    lab.wait_for(lambda: b.run('ss', '-Hltn', 'sport = :5201'), 'iperf3 listens')
    table = Table(daemons[0].statistics())
    result = net.directory / 'iperf3'
    with result.open('w') as output:
        client = a.start('iperf3', '--json', '--time', seconds, '--client', PEER, stdout=output)
        while True:
            try:
                client.wait(1)
                break
            except subprocess.TimeoutExpired:
                table.show(daemons[0].statistics())
    end = json.loads(result.read_text())
    if 'error' in end:
        sys.exit(f'iperf3: {end["error"]}')
    megabits = end['end']['sum_received']['bits_per_second'] / 1e6
    paths = PATH_MEGABITS * len(NAMES)
    say(f'\nTogether: {megabits:.1f} Mbit/s of TCP payload arrived: {100 * megabits / paths:.0f} % of both paths ({paths} Mbit/s).')
    say('(With an MTU of 1440 the headers alone take 6.8 %.)')
    for daemon in daemons:
        if daemon.stop() != 0:
            sys.exit(f'mptd on {daemon.host.name} did not end well:\n{daemon.log()}')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seconds', type=int, default=10)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the shell had it ignored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    lab.sweep()
    try:
        net = lab.Lab('a', 'b')
        demo(net, arguments.seconds)
        net.close(show_logs=False)
        say('Hosts, daemons and tunnel are gone again.')
    except KeyboardInterrupt:
        lab.close_all(show_logs=False)
        say('\nInterrupted: hosts, daemons and tunnel are gone again.')
        sys.exit(130)
    finally:
        lab.close_all()


if __name__ == '__main__':
    main()
