# SPDX-License-Identifier: GPL-3.0-or-later
"""Emulated links between network namespaces, by the program linkemu (its --help explains settings and units).

    emulator = LinkEmulator()
    emulator.link("fast", ("left", "wan0"), ("right", "wan0"), delay="20ms", rate=50, queue="100ms")
    with emulator:                                  # both devices are up; give them addresses now
        emulator.set("fast", "a>b", loss="1%")      # or "b>a"; "both" if left out
        emulator.cut("fast")
        emulator.restore("fast")
        print(emulator.stats()["fast"]["a>b"]["delivered"])
"""

import json
import os
import select
import subprocess
import time


class LinkEmulatorError(Exception):
    pass


class LinkEmulator:
    """Settings are keywords: delay, jitter, loss, duplicate, queue as text with a unit; rate in Mbit/s, burst, queue
    in octets as numbers; reorder as a bool. A direction is "a>b", "b>a" or "both", an end "a" or "b"."""

    ANSWER_SECONDS = 30

    def __init__(self, program=None, seed=1):
        """`program`: default is the environment's LINKEMU."""
        self._command = [program or os.environ['LINKEMU'], '--seed', str(seed)]
        self._process = None
        self._unread = b''

    def link(self, name, a, b, **settings):
        """Adds a link, before start(); `a` and `b` are (namespace, device) of devices that do not exist yet."""
        self._command += ['--link', name, '--a', ':'.join(a), '--b', ':'.join(b)]
        for key, value in settings.items():
            self._command += [f'--{key}', self._text(value)]

    def start(self):
        """Returns when all devices are up."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE)
        try:
            line = self._line()
            if line != 'ready':
                raise LinkEmulatorError(f"linkemu said '{line}' instead of 'ready'")
        except BaseException:
            self.stop()
            raise

    def stop(self):
        """Ends the program, and with it the devices. Returns its exit status; a second call does nothing."""
        if self._process is None:
            return None
        process, self._process = self._process, None
        process.stdin.close()
        try:
            return process.wait(self.ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise LinkEmulatorError('linkemu did not end when its input did') from None
        finally:
            process.wait()
            process.stdout.close()
            process.stderr.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self._process.pid

    def set(self, name, direction='both', **settings):
        """Holds for the frames that come from now on."""
        words = [word for key, value in settings.items() for word in (key, self._text(value))]
        self.command('set', name, direction, *words)

    def cut(self, name, direction='both'):
        """Silently loses every frame, also those on their way: nothing arrives after this returns."""
        self.command('cut', name, direction)

    def restore(self, name, direction='both'):
        self.command('restore', name, direction)

    def carrier(self, name, on, end=None):
        """Takes away or gives back the carrier of one end, or of both."""
        self.command('carrier', name, self._text(bool(on)), *([end] if end else []))

    def unplug(self, name, end):
        """Removes the device."""
        self.command('unplug', name, end)

    def plug(self, name, end):
        """Brings it back: a new device of the same name, up and without addresses."""
        self.command('plug', name, end)

    def stats(self):
        """{link: {direction: {"frames": ..., ...}}}: frames and octets read from the sender's device, delivered and
        delivered_octets written to the receiver's, duplicated, lost, dropped_queue, dropped_cut, dropped_other (the
        receiver's device is down or gone; linkemu's memory is full), in_flight, queue_ms (that a frame would wait if
        it came now), late_ms (how late a frame was delivered at worst since the last stats: the machine's fault)."""
        table = {}
        for line in self.command('stats'):
            row = json.loads(line)
            table.setdefault(row.pop('link'), {})[row.pop('direction')] = row
        return table

    def command(self, *words):
        """Returns the lines before the `ok`; raises LinkEmulatorError with the program's words otherwise."""
        try:
            self._process.stdin.write((' '.join(words) + '\n').encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # _line() tells why
        lines = []
        while True:
            line = self._line()
            if line == 'ok':
                return lines
            if line.startswith('error '):
                raise LinkEmulatorError(f"{' '.join(words)}: {line[6:]}")
            lines.append(line)

    def _line(self):
        deadline = time.monotonic() + self.ANSWER_SECONDS
        while b'\n' not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise LinkEmulatorError(f'linkemu said nothing for {self.ANSWER_SECONDS} s')
            octets = os.read(self._process.stdout.fileno(), 65536)
            if not octets:
                words = self._process.stderr.read().decode().strip()
                raise LinkEmulatorError(f"linkemu ended: {words or 'without a word'}")
            self._unread += octets
        line, _, self._unread = self._unread.partition(b'\n')
        return line.decode()

    @staticmethod
    def _text(value):
        if isinstance(value, bool):
            return 'on' if value else 'off'
        return str(value)
