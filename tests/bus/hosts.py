# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts that agree over their control ports: on each a daemon, a system bus of its own, and mpt to command it. Needs root, the
programs mpt and linkemu (MPT=, LINKEMU= their paths, else those in a build directory of this checkout)."""

import json
import os
import pathlib
import subprocess
import sys
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bus  # noqa: E402
from bus import lab  # noqa: E402
import emulated  # noqa: E402

HOSTS = ('a', 'b')
# Nothing but a message can tell that a path is down.
SILENT = {'keepalive_time': 0}
PATH_OBJECT = f'{bus.LINK}/path/{{}}'


def other(host):
    return {'a': 'b', 'b': 'a'}[host]


class Host:
    """One of them; `lab_host` is where it runs, `config` the directory of its configuration."""

    def __init__(self, lab_host, config):
        self.net = lab_host
        self.config = config
        directory = lab_host.lab.directory / f'host-{lab_host.name}'
        directory.mkdir()
        self.bus = bus.Bus(types.SimpleNamespace(directory=directory))
        self._environment = {**os.environ, 'DBUS_SYSTEM_BUS_ADDRESS': self.bus.address, 'LC_ALL': 'C.UTF-8'}
        self._program = lab.built('MPT', 'cli/mpt')
        self.daemon = None

    def start(self):
        self.daemon = lab.Daemon(self.net, self.config, ['env', f'DBUS_SYSTEM_BUS_ADDRESS={self.bus.address}'])
        self.daemon.wait_ready()

    def restart(self):
        self.daemon.stop()
        self.start()

    def close(self):
        self.bus.close()

    def mpt(self, *words):
        """Exit status, standard output and standard error."""
        done = subprocess.run([self._program, *map(str, words)], env=self._environment, text=True, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=2 * lab.PATIENCE, check=False)
        return done.returncode, done.stdout, done.stderr

    def done(self, *words):
        """The output of what must succeed."""
        status, output, error = self.mpt(*words)
        if (status, error) != (0, ''):
            raise AssertionError(f'mpt {words} on {self.net.name}: {status} {error}')
        return output

    def connections(self):
        return json.loads(self.done('status', '--json'))['connections']

    def path(self, number, connection='link'):
        """What mpt says of it."""
        found, = (each for each in self.connections() if each['name'] == connection)
        return found['paths'][number]

    def wait_status(self, number, status, reason=None):
        """The path, once it has that status for that reason."""
        def as_wanted():
            path = self.path(number)
            return path['status'] == status and reason in (None, path['status_reason']) and path
        return lab.wait_for(as_wanted, f'path {number} of {self.net.name} is {status} ({reason})')

    def file(self, name):
        return self.config / 'connections' / name


class Hosts:
    """Both, over two emulated links of 5 ms. They start with start()."""

    def __init__(self, net, version=4, links=None):
        self.net = net
        self.version = version
        self.emulator = emulated.make_emulator()
        for name in emulated.LINKS:
            self.emulator.link(name, *((net[host].namespace, name) for host in HOSTS), **(links or {'delay': '5ms'}))
        self.emulator.start()
        for number, name in enumerate(emulated.LINKS):
            for host in HOSTS:
                net[host].add_address(name, f'{lab.path_address(host, version, number)}/{24 if version == 4 else 64}')
        self.hosts = {}

    def __getitem__(self, host):
        return self.hosts[host]

    def interface_conf(self, host, **general):
        return lab.tunnels((f'{lab.tunnel_address(host, 4)}/24', f'{lab.tunnel_address(host, 6)}/64'), **general)

    def link(self, host, path_keys=(), **keys):
        """The file of the connection."""
        paths = [lab.path(name, lab.path_address(host, self.version, number), lab.path_address(other(host), self.version, number),
                          **dict(path_keys)) for number, name in enumerate(emulated.LINKS)]
        return lab.connection(lab.tunnel_address(host, self.version), lab.tunnel_address(other(host), self.version), paths, **keys)

    def configure(self, host, interface, **connections):
        """A host that does not run yet."""
        self.hosts[host] = Host(self.net[host], lab.write_config(self.net.directory / f'config-{host}', interface, **connections))
        return self.hosts[host]

    def start(self, path_keys=SILENT, keys_of_b=None, **keys):
        """Both with the connection; `path_keys` are those of each path, of b others if they are given."""
        for host in HOSTS:
            self.configure(host, self.interface_conf(host),
                           link=self.link(host, path_keys if host == 'a' or keys_of_b is None else keys_of_b, **keys)).start()
        for host in HOSTS:
            for number in range(len(emulated.LINKS)):
                self[host].wait_status(number, 'up')

    def ping(self):
        """Whether the tunnel carries packets."""
        address = lab.tunnel_address('b', self.version)
        return ' 1 received' in self.net['a'].run('ping', '-c', 1, '-W', 1, address, check=False, stderr=subprocess.DEVNULL)

    def close(self):
        for host in self.hosts.values():
            host.close()
        self.emulator.stop()
