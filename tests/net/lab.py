# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts as network namespaces, joined by veth pairs, with a real daemon on each: what the tests in this folder, the
benchmarks and ./quickstart share. Needs root. Everything is gone again after Lab.close(), also when a test is
interrupted; what a killed run left behind is taken away by sweep()."""

import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
OURS = re.compile(r'mptd-lab(\d+)-\w+$')  # a namespace or a folder; the number is the process that made it
SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>
PATIENCE = 30  # seconds until what must happen is taken for not happening; nothing is measured with it
NO_BUS = 'unix:path=/nonexistent/bus'  # a daemon under test is no service of this machine
DATA_PORT = 23456
COMMAND_PORT = 60456

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_lab_numbers = itertools.count()
_open_labs = []


def built(variable, place):
    """A program of ours: the one that the environment variable names, else one at that place in a build directory of this checkout."""
    candidates = [os.environ[variable]] if variable in os.environ else sorted(ROOT.glob(f'build*/**/{place}'))
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return str(candidate)
    sys.exit(f'no {place} found: build it (meson setup build && ninja -C build) or set {variable} to its path')


def mptd_path():
    """The daemon under test."""
    return built('MPTD', 'daemon/mptd')


def wait_for(condition, what, seconds=PATIENCE):
    """The first true value of condition(); an AssertionError that names `what` if it stays false."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f'not within {seconds} s: {what}')
        time.sleep(0.02)


def ping(run, address, *options, count=10):
    """Each of at least so many echo requests is answered once, however late; how many were sent. `run` is a host's, whatever kind of host
    it is. (Without -w ping(8) waits for the last answer twice as long as the slowest one took, at least for the time between two requests.)"""
    said = run('ping', '-c', count, '-i', 0.02, '-w', PATIENCE, *options, address, check=False)
    answered = sorted(map(int, re.findall(r' bytes from .* icmp_seq=(\d+) ', said)))  # more than `count`, if they come at once
    if len(answered) < count or answered != list(range(1, len(answered) + 1)):
        raise AssertionError(f'not every packet to {address} is answered once:\n{said}')
    return int(re.search(r'(\d+) packets transmitted', said)[1])


@contextlib.contextmanager
def network_of(namespace):
    """The calling thread is in the namespace: sockets made and processes started in here stay there."""
    with open('/proc/thread-self/ns/net') as before, open(f'/run/netns/{namespace}') as wanted:
        _setns(wanted)
        try:
            yield
        finally:
            _setns(before)


def _setns(handle):
    if _libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), 'setns')


def sweep():
    """Removes the namespaces and files of labs whose process is gone, and the processes in them."""
    for folder, remove in (('/run/netns', lambda path: _delete_namespace(path.name)),
                           (tempfile.gettempdir(), lambda path: shutil.rmtree(path, ignore_errors=True))):
        for path in pathlib.Path(folder).glob('mptd-lab*'):
            match = OURS.match(path.name)
            if match and not os.path.exists(f'/proc/{match[1]}'):
                remove(path)


def _delete_namespace(name):
    pids = subprocess.run(['ip', 'netns', 'pids', name], capture_output=True, text=True, check=False).stdout
    for pid in pids.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    subprocess.run(['ip', 'netns', 'delete', name], stderr=subprocess.DEVNULL, check=False)


class Host:
    """One namespace."""

    def __init__(self, name, namespace, lab):
        self.name = name
        self.namespace = namespace
        self.lab = lab
        subprocess.run(['ip', 'netns', 'add', namespace], check=True)
        # No waiting for duplicate addresses, no link-local addresses and their chatter: counters count the test's packets.
        settings = {'net/ipv6/conf/all/accept_dad': 0, 'net/ipv6/conf/default/accept_dad': 0,
                    'net/ipv6/conf/default/addr_gen_mode': 1, 'net/ipv6/conf/default/router_solicitations': 0}
        with self.inside():
            for path, value in settings.items():
                pathlib.Path('/proc/sys', path).write_text(str(value))
        self.run('ip', 'link', 'set', 'lo', 'up')

    def inside(self):
        return network_of(self.namespace)

    def run(self, *command, check=True, **options):
        """Runs the command to its end; its standard output."""
        options = {'stdout': subprocess.PIPE, 'text': True, 'timeout': 300, **options}
        with self.inside():
            return subprocess.run([str(word) for word in command], check=check, **options).stdout

    def ping(self, address, *options, count=10):
        return ping(self.run, address, *options, count=count)

    def start(self, *command, **options):
        """Starts the command; it ends with the lab, and with this process at the latest."""
        with self.inside():
            process = subprocess.Popen(['setpriv', '--pdeathsig', 'KILL', '--', *map(str, command)], **options)
        self.lab.processes.append(process)
        return process

    def monitor(self, *what, **options):
        """ip monitor, which hears everything from now on; its standard output is a pipe."""
        process = self.start('ip', *what, stdout=subprocess.PIPE, text=True, **options)

        def hears():
            lines = pathlib.Path(f'/proc/{process.pid}/net/netlink').read_text().splitlines()[1:]
            # NETLINK_ROUTE, whose it is, and its groups
            return any((protocol, owner) == ('0', str(process.pid)) and int(groups, 16) for _, protocol, owner, groups, *_ in map(str.split, lines))

        wait_for(hears, f'ip {" ".join(what)} hears')
        return process

    def socket(self, family, kind, bound_to=None, protocol=0):
        with self.inside():
            made = socket.socket(family, kind, protocol)
        self.lab.sockets.append(made)
        made.settimeout(PATIENCE)
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)  # what a test has not yet read is not lost
        if bound_to is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(bound_to)
        return made

    def add_address(self, interface, prefix):
        self.run('ip', 'address', 'add', prefix, 'dev', interface, *(['nodad'] if ':' in prefix else []))

    def limit(self, interface, megabits):
        """The interface sends at most that; None takes the limit away. The queue behind the bucket holds more than a socket's send
        buffer, so that the sender waits and nothing is dropped."""
        if megabits is None:
            self.run('tc', 'qdisc', 'delete', 'dev', interface, 'root')
        else:
            self.run('tc', 'qdisc', 'replace', 'dev', interface, 'root', 'tbf', 'rate', f'{megabits}mbit', 'burst', '32kb',
                     'limit', '1mb')

    def received(self, interface):
        """Packets that the kernel counted in on the interface."""
        return json.loads(self.run('ip', '-j', '-s', 'link', 'show', interface))[0]['stats64']['rx']['packets']

    def network_state(self):
        """Addresses, routes and rules, for a comparison."""
        return {what: json.loads(self.run('ip', '-j', *what.split()))
                for what in ('-4 address', '-6 address', '-4 route show table all', '-6 route show table all', '-4 rule', '-6 rule')}


class Lab:
    """Hosts 'a', 'b' ... by name: lab['a']."""

    def __init__(self, *names):
        self._prefix = f'mptd-lab{os.getpid()}-{next(_lab_numbers)}'
        self._handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self.processes = []
        self.sockets = []
        self.daemons = []
        self.hosts = {}
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f'mptd-lab{os.getpid()}-'))
        _open_labs.append(self)
        for name in names:
            self.hosts[name] = Host(name, self._prefix + name, self)

    def __getitem__(self, name):
        return self.hosts[name]

    def link(self, a, b, interface, addresses_a=(), addresses_b=()):
        """A veth pair of that name on both hosts, up, with the addresses ('10.1.1.2/24')."""
        self.hosts[a].run('ip', 'link', 'add', interface, 'type', 'veth', 'peer', 'name', interface, 'netns',
                          self.hosts[b].namespace)
        for host, addresses in ((self.hosts[a], addresses_a), (self.hosts[b], addresses_b)):
            for address in addresses:
                host.add_address(interface, address)
        for host in (self.hosts[a], self.hosts[b]):
            host.run('ip', 'link', 'set', interface, 'up')
        for host in (self.hosts[a], self.hosts[b]):
            wait_for(lambda: '"UP"' in host.run('ip', '-j', 'link', 'show', interface), f'{interface} of {host.name} has a carrier')

    def figure3(self):
        """Hosts a and b with the two paths of the users' guide, and an IPv6 address beside each IPv4 one."""
        for number in (1, 2):
            self.link('a', 'b', f'eth{number}', *([f'10.{number}.{number}.{host}/24', f'fd00:{number}::{host}/64'] for host in (2, 3)))

    def close(self, show_logs=True):
        """Ends everything. The daemons' logs go to standard error, which meson shows where a test failed."""
        if self not in _open_labs:
            return
        for number in self._handlers:  # it is being ended: not half
            signal.signal(number, signal.SIG_IGN)
        _open_labs.remove(self)
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        for process in self.processes:  # all are killed: one may not end before the one that traces it
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        for opened in self.sockets:
            opened.close()
        for namespace in pathlib.Path('/run/netns').glob(f'{self._prefix}*'):
            _delete_namespace(namespace.name)
        for daemon in self.daemons if show_logs else ():
            lines = daemon.log().splitlines()
            print(f'--- log of mptd on {daemon.host.name}, {len(lines)} lines', *lines[:40], sep='\n', file=sys.stderr)
        shutil.rmtree(self.directory, ignore_errors=True)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)


class Statistics:
    """What the daemon prints on SIGUSR1: connections['NAME'], paths['NAME', N], tunnels['tun0'], sockets['ADDRESS:PORT'] and
    control are dictionaries of the keys, numbers as int."""

    def __init__(self, lines):
        self.connections, self.paths, self.tunnels, self.sockets, self.control = {}, {}, {}, {}, {}
        for line in lines:
            values = dict(word.split('=', 1) for word in line.split()[1:] if '=' in word)
            values = {key: int(value) if value.isdecimal() else value for key, value in values.items()}
            if 'path' in values:
                self.paths[values.pop('connection'), values.pop('path')] = values
            elif 'connection' in values:
                self.connections[values.pop('connection')] = values
            elif 'tunnel' in values:
                self.tunnels[values.pop('tunnel')] = values
            elif 'socket' in values:
                self.sockets[values.pop('socket')] = values
            else:
                self.control = values

    def drops(self):
        """Drop reasons and how often, summed over everything but the control port."""
        total = {}
        for lines in (self.connections, self.paths, self.tunnels, self.sockets):
            for values in lines.values():
                for key, value in values.items():
                    if key.startswith('drop_'):
                        total[key] = total.get(key, 0) + value
        return total

    def path(self, number, connection=None):
        """Of the only connection, unless one is named."""
        if connection is None:
            (connection,) = {name for name, _ in self.paths}
        return self.paths[connection, number]


class Daemon:
    """A running mptd. Its standard output is read all the time; its log goes to a file."""

    def __init__(self, host, directory, wrapper=()):
        self.host = host
        self.directory = pathlib.Path(directory)
        self.ended = False  # somebody waited for its end
        self._log = host.lab.directory / f'log-{len(host.lab.daemons)}'
        with self._log.open('w') as log:
            self.process = host.start(*wrapper, mptd_path(), '--config', directory, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=log, text=True,
                                      env={**os.environ, 'DBUS_SYSTEM_BUS_ADDRESS': NO_BUS})
        host.lab.daemons.append(self)
        self._lines = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()

    def _read(self, stream):
        with contextlib.suppress(ValueError):  # closed under our hands at the end
            for line in stream:
                self._lines.put(line.rstrip('\n'))
        self._lines.put(None)

    def log(self):
        return self._log.read_text(errors='replace')

    def wait_for_log(self, pattern):
        """The daemon does something first, and tells of it then."""
        wait_for(lambda: re.search(pattern, self.log()), f'mptd on {self.host.name} says {pattern}')

    def lines_until(self, last):
        """The lines of standard output up to the given one, without it."""
        lines = []
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f'mptd on {self.host.name} said no "{last}" within {PATIENCE} s') from None
            if line is None:
                raise AssertionError(f'mptd on {self.host.name} ended with {self.process.wait()}:\n{self.log()}')
            if line == last:
                return lines
            lines.append(line)

    def wait_ready(self):
        """The lines that it said at its start."""
        return self.lines_until('mptd: ready')

    def statistics(self):
        self.process.send_signal(signal.SIGUSR1)
        return Statistics(self.lines_until('statistics end'))

    def processor_seconds(self):
        """Of all its threads, in user and kernel mode."""
        fields = pathlib.Path(f'/proc/{self.process.pid}/stat').read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def wait(self):
        """Its exit status."""
        self.ended = True
        return self.process.wait(PATIENCE)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.wait()


def ini(sections):
    """Text of a configuration file from pairs of a section's name and a dictionary."""
    return '\n'.join('\n'.join([f'[{name}]', *(f'{key} = {value}' for key, value in keys.items()), ''])
                     for name, keys in sections)


def tunnels(*addresses, mtu=1440, **general):
    """interface.conf with a tunnel for each pair of an IPv4 and an IPv6 prefix."""
    return ini([('general', {'tunnel_num': len(addresses), 'accept_remote': 0, 'cmdport_local': COMMAND_PORT, 'cmd_timeout': 25,
                             **general})]
               + [(f'tun_{number}', {'name': f'tun{number}', 'mtu': mtu, 'ipv4_addr': v4, 'ipv6_addr': v6})
                  for number, (v4, v6) in enumerate(addresses)])


def path(interface, local, remote, weight=1, **keys):
    """Keys of a [path_N] section."""
    return {'interface_name': interface, 'ip_ver': 6 if ':' in local else 4, 'public_ipaddr': local, 'remote_ipaddr': remote,
            'gateway_ipaddr': remote, 'weight_out': weight, 'status': 0, **keys}


def connection(local, remote, paths, name='link', port=DATA_PORT, **keys):
    """A connection's file; paths as path() makes them."""
    return ini([('connection', {'name': name, 'permission': 3, 'ip_ver': 6 if ':' in local else 4, 'ip_local': local,
                                'local_port': port, 'ip_remote': remote, 'remote_port': port, 'remote_cmd_port': COMMAND_PORT,
                                'path_count': len(paths), 'network_count': 0, 'status': 0, 'auth_type': 0, **keys})]
               + [(f'path_{number}', keys_of_path) for number, keys_of_path in enumerate(paths)])


def write_config(directory, interface, **connections):
    """A configuration directory; connections: text of connections/NAME.conf by NAME."""
    (directory / 'connections').mkdir(parents=True)
    (directory / 'interface.conf').write_text(interface)
    for name, text in connections.items():
        (directory / 'connections' / f'{name}.conf').write_text(text)
    return directory


def tunnel_address(host, version):
    return {4: '10.0.0.{}', 6: 'fec0::{}'}[version].format({'a': 2, 'b': 3}[host])


def path_address(host, version, number):
    return {4: '10.{0}.{0}.{1}', 6: 'fd00:{0}::{1}'}[version].format(number + 1, {'a': 2, 'b': 3}[host])


def figure3_paths(host, version=4, weights=(1, 1)):
    peer = {'a': 'b', 'b': 'a'}[host]
    return [path(f'eth{number + 1}', path_address(host, version, number), path_address(peer, version, number), weight)
            for number, weight in enumerate(weights)]


def start_figure3_host(lab, host, tunnel_version=4, path_version=4, weights=(1, 1), **keys):
    """A daemon on one host of Lab.figure3(), ready; `keys` are further ones of its connection."""
    peer = {'a': 'b', 'b': 'a'}[host]
    directory = write_config(
        lab.directory / f'config-{host}', tunnels((f'{tunnel_address(host, 4)}/24', f'{tunnel_address(host, 6)}/64')),
        link=connection(tunnel_address(host, tunnel_version), tunnel_address(peer, tunnel_version),
                        figure3_paths(host, path_version, weights), **keys))
    daemon = Daemon(lab[host], directory)
    daemon.wait_ready()
    return daemon


class LabTest(unittest.TestCase):
    """A test with labs of its own."""

    def make_lab(self, *names):
        lab = Lab(*names)
        self.addCleanup(self._end, lab)
        return lab

    def _end(self, lab):
        """No daemon may have ended by itself, and those that still run must end well."""
        try:
            for daemon in lab.daemons:
                if not daemon.ended:
                    self.assertEqual(daemon.stop(), 0, f'exit status of mptd on {daemon.host.name}')
        finally:
            lab.close()

    def figure3(self, **options):
        """Two ready daemons on a new Lab.figure3(): the lab, a's and b's."""
        lab = self.make_lab('a', 'b')
        lab.figure3()
        return lab, *(start_figure3_host(lab, host, **options) for host in 'ab')


class _TapResult(unittest.TestResult):
    """The Test Anything Protocol, which meson reads."""

    def __init__(self):
        super().__init__()
        self._broken = None  # the test of which a part has failed

    def _say(self, test, verdict, err=None):
        print(f'{verdict} {self.testsRun} - {test.id().partition(".")[2]}', flush=True)
        self._explain(err)

    @staticmethod
    def _explain(err):
        for line in ''.join(traceback.format_exception(*err) if err else '').splitlines():
            print(f'# {line}', flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._say(test, 'ok')

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._broken = None
        self._say(test, 'not ok', err)

    addError = addFailure

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            print(f'# {subtest}', flush=True)
            self._explain(err)
            self._broken = test

    def stopTest(self, test):
        super().stopTest(test)
        if self._broken is test:
            self._say(test, 'not ok')


class _TapRunner:
    def run(self, tests):
        result = _TapResult()
        print(f'1..{tests.countTestCases()}', flush=True)
        tests.run(result)
        return result


def close_all(show_logs=True):
    """Closes every lab that is still open."""
    for lab in _open_labs[:]:
        lab.close(show_logs)


def main():
    """Runs the tests of the calling script."""
    if os.geteuid() != 0:
        print('1..0 # SKIP makes network namespaces: run it as root')
        sys.exit(0)
    mptd_path()  # or none of them can run
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        unittest.main(testRunner=_TapRunner())
    finally:
        close_all()


if __name__ == '__main__':
    sweep()
