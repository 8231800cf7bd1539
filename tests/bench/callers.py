# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that ask a daemon for the statistics of its connection, again and again, each on a connection of its own to the bus."""

import json
import pathlib
import select
import subprocess
import sys
import time

import dbus.bus

CONNECTION = 'org.mptd1.Connection'


class Callers:
    """`count` of them, as processes of the host, each with `rate` calls a second to that name on the bus."""

    def __init__(self, host, address, destination, path, count, rate):
        self._processes = [host.start(sys.executable, pathlib.Path(__file__).resolve(), address, destination, path, rate,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)]

    def stop(self):
        """Ends them: seconds that each call took, of all together."""
        for process in self._processes:
            process.stdin.close()
        took = [second for process in self._processes for second in json.load(process.stdout)]
        if any(process.wait() != 0 for process in self._processes):
            raise AssertionError('a call has failed')
        return took


def call(address, destination, path, rate):
    """Calls until standard input ends, and prints what stop() wants."""
    connection = dbus.bus.BusConnection(address)
    took = []
    due = time.monotonic()
    while not select.select([sys.stdin], [], [], max(0, due - time.monotonic()))[0]:
        begin = time.monotonic()
        connection.call_blocking(destination, path, CONNECTION, 'GetStatistics', '', ())
        took.append(time.monotonic() - begin)
        due = max(due + 1 / rate, time.monotonic())
    json.dump(took, sys.stdout)


if __name__ == '__main__':
    call(*sys.argv[1:4], float(sys.argv[4]))
