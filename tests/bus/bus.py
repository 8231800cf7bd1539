# SPDX-License-Identifier: GPL-3.0-or-later
"""A private system bus with the policy that is installed, users that exist on it alone, a polkit or none, and busctl and
dbus-send to call a real daemon on it. Needs root."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'net'))
import lab  # noqa: E402

DBUS, POLKIT = lab.ROOT / 'dbus', lab.ROOT / 'polkit'
NAME = 'org.mptd1'
MANAGER, TUNNEL, CONNECTION, PATH = (f'{NAME}.{name}' for name in ('Manager', 'Tunnel', 'Connection', 'Path'))
ROOT_OBJECT = '/org/mptd1'
LINK = f'{ROOT_OBJECT}/connection/link'
ERROR = f'{NAME}.Error.'
PROPERTIES, OBJECTS = 'org.freedesktop.DBus.Properties', 'org.freedesktop.DBus.ObjectManager'

# Users of the private bus; alice is in the group of the example rule. They are nobody on the machine.
ROOT, MPTD, ALICE, BOB = 0, 64901, 64902, 64903
ACCOUNTS = ((MPTD, 'mptd'), (ALICE, 'alice'), (BOB, 'bob'))
GROUPS = 'mpt:x:64910:alice\n'

CONFIG = '''<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={directory}/bus</listen>
  <auth>EXTERNAL</auth>
  <!-- as in system.conf of dbus -->
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
  </policy>
  <policy user="root">
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/>
    <!-- the mock -->
    <allow own="org.freedesktop.PolicyKit1"/>
  </policy>
  <include ignore_missing="yes">/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>
  {policy}
</busconfig>
'''


def as_user(user):
    """What runs a command as that user, with no group but its own."""
    return [] if user == ROOT else ['setpriv', f'--reuid={user}', f'--regid={user}', '--clear-groups']


class Call:
    """A method call under way, of dbus-send."""

    def __init__(self, process):
        self.process = process

    def answer(self):
        """(None, what was returned) or (name of the error, its text)."""
        said, error = self.process.communicate(timeout=lab.PATIENCE)
        if self.process.returncode == 0:
            return None, said
        name, _, text = error.removeprefix('Error ').partition(': ')
        return name, text.rstrip('\n')

    def drop(self):
        """The caller goes away."""
        self.process.kill()
        self.process.communicate()


class Bus:
    """One bus; lab is a lab.Lab, in whose folder everything is."""

    def __init__(self, lab_, policy=True):
        self.directory = lab_.directory / 'bus'
        self.directory.mkdir()
        lab_.directory.chmod(0o755)  # for every user
        self.address = f'unix:path={self.directory}/bus'
        self._environment = {**os.environ, 'DBUS_SYSTEM_BUS_ADDRESS': self.address}
        self._processes = []
        self._polkit = None
        for name, lines in (('passwd', (f'{name}:x:{number}:{number}::/nonexistent:/bin/false\n' for number, name in ACCOUNTS)),
                            ('group', (GROUPS, *(f'{name}:x:{number}:\n' for number, name in ACCOUNTS)))):
            (self.directory / name).write_text(pathlib.Path('/etc', name).read_text() + ''.join(lines))
        self._config = self.directory / 'config'
        self._config.write_text(CONFIG.format(directory=self.directory,
                                              policy=f'<include>{DBUS}/org.mptd1.conf</include>' if policy else ''))
        self.start()

    def start(self):
        self._daemon = self._with_users('exec dbus-daemon --nofork --nopidfile --config-file="$0"/config')
        lab.wait_for(lambda: self.driver('GetId', check=False), 'the bus answers')

    def stop(self):
        self._end(self._daemon)
        with contextlib.suppress(FileNotFoundError):
            (self.directory / 'bus').unlink()

    def process_id(self):
        return self._daemon.pid

    def own_name(self, name):
        """A process that has the name until it is killed."""
        process = self._start('/usr/bin/python3', '-m', 'dbusmock', '--system', name, '/nothing', name, stderr=subprocess.DEVNULL)
        lab.wait_for(lambda: self.has_owner(name), f'somebody has {name}')
        return process

    def close(self):
        for process in reversed(self._processes[:]):
            self._end(process)

    def _start(self, *command, **options):
        process = subprocess.Popen(['setpriv', '--pdeathsig', 'KILL', '--', *map(str, command)], env=self._environment,
                                   stdin=subprocess.DEVNULL, **options)
        self._processes.append(process)
        return process

    def _with_users(self, script):
        """Runs the shell script where the users exist; $0 is the folder of the bus."""
        with (self.directory / 'log').open('a') as log:
            return self._start('unshare', '--mount', 'bash', '-ec',
                               f'mount --bind "$0"/passwd /etc/passwd; mount --bind "$0"/group /etc/group; {script}',
                               self.directory, stdout=log, stderr=log)

    def _end(self, process):
        if process in self._processes:
            self._processes.remove(process)
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()

    # ---- polkit

    def start_polkitd(self, *rules):
        """The real one, with the actions that are installed and these files as its rules, beside what it comes with."""
        actions = '/usr/share/polkit-1/actions'
        places = ' '.join(str(path) for path in rules)
        self._polkit = self._with_users(f'''
            cp {actions}/org.freedesktop.policykit.policy {POLKIT}/org.mptd1.policy "$0"
            mount -t tmpfs -o mode=755 tmpfs {actions}
            cp "$0"/*.policy {actions}
            mount -t tmpfs -o mode=755 tmpfs /etc/polkit-1/rules.d
            for rules in {places}; do cp "$rules" /etc/polkit-1/rules.d; done
            chmod -R a+rX /etc/polkit-1/rules.d {actions}
            exec /usr/lib/polkit-1/polkitd --no-debug''')
        self._wait_for_polkit()

    def start_mock(self):
        with (self.directory / 'log').open('a') as log:
            self._polkit = self._start('/usr/bin/python3', '-m', 'dbusmock', '--system', '--template', 'polkitd',
                                       stdout=log, stderr=log)
        self._wait_for_polkit()

    def stop_polkit(self):
        self._end(self._polkit)

    def _wait_for_polkit(self):
        lab.wait_for(lambda: self.has_owner('org.freedesktop.PolicyKit1'), 'polkit is on the bus')

    def mock(self, method, *arguments):
        """Tells the mock what to do."""
        self.busctl('call', 'org.freedesktop.PolicyKit1', '/org/freedesktop/PolicyKit1/Authority',
                    'org.freedesktop.DBus.Mock', method, *arguments)

    # ---- calls

    def text(self, *words, user=ROOT, check=True):
        """What busctl(1) says; None if it fails."""
        done = subprocess.run([*as_user(user), 'busctl', '--system', *map(str, words)],
                              env=self._environment, capture_output=True, text=True, timeout=lab.PATIENCE, check=False)
        if done.returncode != 0 and check:
            raise AssertionError(f'busctl {" ".join(map(str, words))}: {done.stderr}')
        return done.stdout if done.returncode == 0 else None

    def popen(self, *words, user=ROOT):
        """busctl(1) under way."""
        process = subprocess.Popen([*as_user(user), 'busctl', '--system', *map(str, words)], env=self._environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._processes.insert(0, process)
        return process

    def busctl(self, *words, **options):
        """What text() says, from JSON; None if it says nothing."""
        said = self.text('--json=short', *words, **options)
        return json.loads(said) if said else None

    def driver(self, method, *arguments, check=True):
        """A method of the bus itself."""
        said = self.busctl('call', 'org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', method, *arguments,
                           check=check)
        return said and said['data'][0]

    def has_owner(self, name):
        return self.driver('NameHasOwner', 's', name, check=False)

    def call(self, path, interface, method, *arguments, user=ROOT, interactive=False):
        """What the method returns; arguments as busctl takes them, with their signature in front."""
        said = self.busctl(f'--allow-interactive-authorization={"yes" if interactive else "no"}', 'call', NAME, path, interface,
                           method, *arguments, user=user)
        return said and said['data']

    def get(self, path, interface, name, user=ROOT):
        return self.busctl('get-property', NAME, path, interface, name, user=user)['data']

    def get_all(self, path, interface, user=ROOT):
        return {name: value['data']
                for name, value in self.call(path, PROPERTIES, 'GetAll', 's', interface, user=user)[0].items()}

    def objects(self, user=ROOT):
        return self.call(ROOT_OBJECT, OBJECTS, 'GetManagedObjects', user=user)[0]

    def interfaces(self, path):
        """What the running service says of the object's interfaces: XML elements by name."""
        said = self.text('introspect', '--xml-interface', NAME, path)
        return {element.get('name'): element for element in xml.etree.ElementTree.fromstring(said).iter('interface')}

    def send(self, path, interface, method, *arguments, user=ROOT, destination=NAME):
        """Starts a call; arguments as dbus-send takes them ('string:x', 'uint16:5')."""
        process = subprocess.Popen(
            [*as_user(user), 'dbus-send', f'--bus={self.address}', '--print-reply', f'--reply-timeout={lab.PATIENCE * 1000}',
             f'--dest={destination}', path, f'{interface}.{method}', *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return Call(process)

    def answer(self, *words, **options):
        return self.send(*words, **options).answer()

    def monitor(self, *names):
        """A Monitor of what goes to and comes from these names."""
        monitor = Monitor(self._start('busctl', '--system', '--json=short', 'monitor', *(names or [NAME]),
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        self._processes.remove(monitor.process)
        self._processes.insert(0, monitor.process)
        return monitor


class Monitor:
    """Messages on the bus as busctl monitor tells them, in their order."""

    def __init__(self, process):
        self.process = process
        self._messages = []
        said = b''
        while b'stream.' not in said:  # it sees everything from then on
            octets = os.read(process.stderr.fileno(), 4096)
            if not octets:
                raise AssertionError(f'busctl monitor: {said.decode()}')
            said += octets
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with contextlib.suppress(ValueError):  # closed under our hands at the end
            for line in self.process.stdout:
                self._messages.append(json.loads(line))

    def messages(self, **fields):
        """Those seen so far that have these fields."""
        return [message for message in self._messages[:] if all(message.get(key) == value for key, value in fields.items())]

    def wait(self, condition=lambda message: True, **fields):
        """The first message that has these fields and satisfies the condition."""
        return lab.wait_for(lambda: next(filter(condition, self.messages(**fields)), None), f'a message on the bus: {fields}')

    def data(self, **fields):
        return self.wait(**fields)['payload']['data']

    def changes(self, path):
        """Properties of the object that were told to have changed so far: a dictionary for each signal."""
        return [{name: value['data'] for name, value in message['payload']['data'][1].items()}
                for message in self.messages(member='PropertiesChanged', path=path)]

    def wait_for_change(self, path, **properties):
        """The signal that tells all these values."""
        return lab.wait_for(lambda: next((change for change in self.changes(path) if properties.items() <= change.items()), None),
                            f'{path} tells {properties}')


class BusTest(lab.LabTest):
    """A test with a private bus (self.bus) and hosts a and b with two paths (self.net); start() starts the daemon on a."""

    def setUp(self):
        self.net = self.make_lab('a', 'b')
        self.net.figure3()
        self.bus = self.make_bus()
        self.config = lab.write_config(self.net.directory / 'config', self.interface_conf(), link=self.link())

    def make_bus(self):
        bus = Bus(self.net)
        self.addCleanup(bus.close)
        return bus

    def interface_conf(self, **general):
        return lab.tunnels(('10.0.0.2/24', 'fec0::2/64'), **general)

    def link(self, **keys):
        return lab.connection('10.0.0.2', '10.0.0.3', lab.figure3_paths('a'), **keys)

    def second(self, remote='10.0.0.4', name='second', **keys):
        """Another connection, over the same interfaces."""
        return lab.connection('10.0.0.2', remote, lab.figure3_paths('a'), name, lab.DATA_PORT + 1, **keys)

    def write(self, name, text):
        path = self.config / 'connections' / name
        path.write_text(text)
        return path

    def start(self, user=ROOT, wait=True, until_ready=True):
        """The daemon, ready, and on the bus, unless told not to wait for that."""
        wrapper = ['env', f'DBUS_SYSTEM_BUS_ADDRESS={self.bus.address}']
        if user != ROOT:
            # every user may open the device that makes tunnels, as udev has it
            wrapper += ['unshare', '--mount', 'bash', '-ec',
                        'mount -t tmpfs -o mode=755 tmpfs /dev/net; mknod -m 666 /dev/net/tun c 10 200; exec "$@"', 'bash']
            wrapper += ['setpriv', f'--reuid={user}', f'--regid={user}', '--clear-groups', '--inh-caps=-all,+net_admin',
                        '--ambient-caps=+net_admin', '--bounding-set=-all,+net_admin', '--no-new-privs', '--pdeathsig=KILL', '--']
            for path in (self.config, *self.config.rglob('*')):
                os.chown(path, user, user)
            self.use_readable_program()
        daemon = lab.Daemon(self.net['a'], self.config, wrapper)
        if until_ready:
            daemon.wait_ready()
        if wait:
            self.assertTrue(self.bus.has_owner(NAME), 'the name is there when the daemon says that it is ready')
        return daemon

    def use_readable_program(self):
        """The daemon where every user may run it: a checkout need not be such a place."""
        program = self.net.directory / 'mptd'
        original = lab.mptd_path()
        shutil.copy(original, program)
        os.environ['MPTD'] = str(program)
        self.addCleanup(os.environ.__setitem__, 'MPTD', original)

    def path(self, number, connection='link'):
        return f'{ROOT_OBJECT}/connection/{connection}/path/{number}'

    def refused(self, error, *words, **options):
        """The call fails with this error; its text."""
        name, text = self.bus.answer(*words, **options)
        self.assertEqual(name, error if '.' in error else ERROR + error, f'{words}: {text}')
        self.assertTrue(text)
        return text

    def served(self, *words, **options):
        name, text = self.bus.answer(*words, **options)
        self.assertIsNone(name, f'{words}: {text}')
        return text


def main():
    lab.main()
