# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark scripts of this folder share."""

import argparse
import contextlib
import json
import math
import os
import pathlib
import signal
import statistics
import subprocess
import sys

for folder in ('net', 'bus'):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / folder))
import lab


def spread(values, form='.2f'):
    """Median and, in brackets, the lowest and the highest."""
    return f'{statistics.median(values):{form}} ({min(values):{form}} .. {max(values):{form}})'


def median_interval(values):
    """The interval that holds the median of what the values are samples of, with a probability of at least 0.95."""
    ordered, outside = sorted(values), 0.0
    for rank in range(len(ordered) // 2):
        outside += 2 * math.comb(len(ordered), rank) / 2 ** len(ordered)
        if outside > 0.05:
            return ordered[max(rank - 1, 0)], ordered[-max(rank, 1)]
    return ordered[len(ordered) // 2 - 1], ordered[-(len(ordered) // 2)]


def resident(daemon):
    """Kilobytes of memory."""
    status = pathlib.Path(f'/proc/{daemon.process.pid}/status').read_text()
    return int(status.partition('VmRSS:')[2].split()[0])


def iperf(source, sink, address, seconds, *options):
    """What iperf3 says at its end, as a client on one host and as a server on the other."""
    server = sink.start('iperf3', '--server', '--one-off', '--json', stdout=subprocess.PIPE, text=True)
    lab.wait_for(lambda: sink.run('ss', '-Hltn', 'sport = :5201'), 'iperf3 listens')
    results = [json.loads(source.run('iperf3', '--json', '--time', seconds, '--client', address, *options, check=False,
                                     timeout=seconds + 60))]
    if 'error' not in results[0]:
        results.append(json.loads(server.communicate(timeout=lab.PATIENCE)[0]))
    for result in results:
        if 'error' in result:
            sys.exit(f'iperf3: {result["error"]}')
    return [result['end'] for result in results]


def run_cases(usage, cases, **defaults):
    """Runs the named ones of `cases` (functions of the arguments, by name), or all; `defaults`: numbers that options change."""
    parser = argparse.ArgumentParser(usage=usage)
    for name, value in defaults.items():
        parser.add_argument(f'--{name}', type=int, default=value)
    parser.add_argument('cases', nargs='*', default=list(cases))
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - set(cases)
    if unknown:
        parser.error(f'no such case: {", ".join(unknown)}')
    with ending_well():
        for case in arguments.cases:
            cases[case](arguments)
            sys.stdout.flush()


@contextlib.contextmanager
def ending_well():
    """Whatever happens in here, no host and no daemon is left behind."""
    if os.geteuid() != 0:
        sys.exit('this makes network namespaces: run it as root')
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        lab.close_all()
