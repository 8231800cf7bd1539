#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command mpt against the real daemon."""

import contextlib
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bus  # noqa: E402
from bus import lab  # noqa: E402

# As mpt(1) documents them.
SUCCESS, FAILED, USAGE, UNAVAILABLE, NOT_AUTHORISED, CONFIG = 0, 1, 64, 69, 77, 78
COMPLETION = lab.ROOT / 'cli' / 'completion' / 'mpt'

STATUS = {  # the schema of mpt(1)
    'schema': int, 'version': str, 'config_directory': str, 'control_port': int, 'accept_remote': bool,
    'command_timeout_usec': int, 'workers': int, 'stun_servers': list, 'monotonic_usec': int, 'problems': list, 'tunnels': list, 'connections': list}
STATUS_TUNNEL = {'name': str, 'mtu': int, 'mtu_reason': str, 'addresses': list, 'counters': dict}
STATUS_CONNECTION = {
    'name': str, 'file': str, 'file_present': bool, 'unsaved': bool, 'created_by': str, 'tunnel': str, 'permission': int, 'ip_version': int,
    'local_address': str, 'remote_address': str, 'local_port': int, 'remote_port': int, 'remote_control_port': int,
    'status': int, 'reorder_window': int, 'copy_dscp': bool, 'clamp_mss': bool, 'max_buffer_delay_usec': int, 'auth_type': int, 'has_key': bool, 'networks': list,
    'counters': dict, 'paths': list}
STATUS_PATH = {
    'number': int, 'interface': str, 'ip_version': int, 'local_address': str, 'public_address': str, 'public_port': int, 'public_source': str, 'gateway_address': str,
    'remote_address': str, 'remote_port': int, 'remote_learned_usec': int, 'remote_learned_monotonic_usec': int, 'weight_out': int, 'weight_in': int, 'keepalive_time_usec': int, 'dead_time_usec': int,
    'command_default': bool, 'status': str, 'status_code': int, 'status_reason': str, 'status_since_usec': int,
    'status_since_monotonic_usec': int, 'held_back': bool, 'metered': bool, 'waits_for': str, 'counters': dict}
RATES = {'bits_out': float, 'bits_in': float, 'packets_out': float, 'packets_in': float}


class MptTest(bus.BusTest):
    def setUp(self):
        super().setUp()
        self.program = self.net.directory / 'mpt'  # where every user may run it
        shutil.copy(lab.built('MPT', 'cli/mpt'), self.program)
        self.environment = {**os.environ, 'DBUS_SYSTEM_BUS_ADDRESS': self.bus.address, 'TZ': 'UTC', 'LC_ALL': 'C.UTF-8',
                            'TERM': 'xterm'}
        self.environment.pop('NO_COLOR', None)

    def mpt(self, *words, user=bus.ROOT):
        """Exit status, standard output and standard error."""
        done = subprocess.run([*bus.as_user(user), self.program, *map(str, words)], env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=lab.PATIENCE, check=False)
        return done.returncode, done.stdout, done.stderr

    def done(self, *words, **options):
        """The output of what must succeed."""
        status, output, error = self.mpt(*words, **options)
        self.assertEqual((status, error), (SUCCESS, ''), f'mpt {words}')
        return output

    def fails(self, expected, *words, **options):
        """The message of what must fail with this exit status."""
        status, output, error = self.mpt(*words, **options)
        self.assertEqual((status, output), (expected, ''), f'mpt {words}: {error}')
        for line in error.splitlines() if expected != USAGE else ():
            self.assertRegex(line, '^mpt: ')
        return error

    def status(self, *words):
        return json.loads(self.done('status', '--json', *words))

    def path_status(self, number):
        return self.status()['connections'][0]['paths'][number]['status']

    def wait_up(self):
        lab.wait_for(lambda: self.path_status(0) == self.path_status(1) == 'up', 'both paths are up')

    def start_up(self, **options):
        daemon = self.start(**options)
        self.wait_up()
        return daemon


class Status(MptTest):
    def check(self, value, members):
        self.assertEqual({name: type(member) for name, member in value.items()}, members)

    def test_json_has_the_documented_schema(self):
        self.start_up()
        status = self.status()
        self.check(status, STATUS)
        self.assertEqual(status['schema'], 1)
        self.check(status['tunnels'][0], STATUS_TUNNEL)
        connection, = status['connections']
        self.check(connection, STATUS_CONNECTION)
        self.assertEqual(len(connection['paths']), 2)
        for path in connection['paths']:
            self.check(path, STATUS_PATH)
            self.assertIn('packets_out', path['counters'])
            self.assertTrue(all(type(value) is int for value in path['counters'].values()))
        self.assertIn('delivered', connection['counters'])
        connection, = self.status('--rates', 'link')['connections']
        self.check(connection, {**STATUS_CONNECTION, 'rates': dict})
        self.check(connection['rates'], RATES)
        self.check(connection['paths'][1]['rates'], RATES)

    def test_json_says_what_the_bus_says(self):
        self.start_up()
        connection, = self.status()['connections']
        told = self.bus.get_all(bus.LINK, bus.CONNECTION)
        self.assertEqual([connection[name] for name in ('name', 'file', 'local_address', 'remote_port', 'reorder_window',
                                                        'max_buffer_delay_usec')],
                         [told[name] for name in ('Name', 'File', 'LocalAddress', 'RemotePort', 'ReorderWindow',
                                                  'MaxBufferDelay')])
        for path in connection['paths']:
            told = self.bus.get_all(self.path(path['number']), bus.PATH)
            self.assertEqual([path[name] for name in ('interface', 'remote_address', 'weight_out', 'status', 'status_since_usec')],
                             [told[name] for name in ('Interface', 'RemoteAddress', 'WeightOut', 'StatusName', 'StatusSince')])

    def test_table_is_plain_and_fits(self):
        self.write('broken.conf', '[connection]\nname = x\nweight = 5\n')
        self.start_up()
        output = self.done('status')
        self.assertTrue(output.isascii())
        self.assertNotIn('\033', output)
        lines = output.splitlines()
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertRegex(lines[0], '^mptd .*: 1 connection, 2 of 2 paths up, .* problem')
        self.assertIn('broken.conf', output)
        for number, interface in enumerate(path['interface_name'] for path in lab.figure3_paths('a')):
            self.assertRegex(output, rf'(?m)^  {number}  +{interface} .* up ')
        self.assertEqual(output.splitlines()[0], self.done('show', 'status').splitlines()[0])

    def test_one_connection(self):
        second = self.write('second.conf', self.second())
        self.start_up()
        self.assertEqual([c['name'] for c in self.status('second')['connections']], ['second'])
        output = self.done('status', 'second')
        self.assertIn(second.name, output)
        self.assertNotIn('link.conf', output)
        self.assertIn('there is no connection third', self.fails(FAILED, 'status', 'third'))

    def test_everybody_may_look(self):
        self.start_up()
        for user in (bus.ALICE, bus.BOB):
            self.assertIn('2 of 2 up', self.done('status', user=user))


class Changes(MptTest):
    def test_path_by_number(self):
        self.start_up()
        self.done('path', 'link', 1, 'down')
        self.assertEqual(self.path_status(1), 'set-down')
        self.done('path', 'link', 1, 'up')
        self.assertEqual(self.path_status(1), 'up')
        self.done('path', 'link', 0, 'weight', 7)
        self.assertEqual(self.bus.get(self.path(0), bus.PATH, 'WeightOut'), 7)

    def test_path_by_addresses(self):
        self.start_up()
        local, remote = (lab.path_address(host, 4, 1) for host in 'ab')
        local, remote = (address.partition('/')[0] for address in (local, remote))
        self.done('path', 'down', local, remote)
        self.assertEqual((self.path_status(0), self.path_status(1)), ('up', 'set-down'))
        self.done('path', 'up', local, remote)
        self.assertEqual(self.path_status(1), 'up')
        message = self.fails(FAILED, 'path', 'up', remote, local)
        self.assertIn(f'link 1: {local} to {remote}', message)

    def test_the_last_path_goes_down_by_force_only(self):
        self.start_up()
        self.done('path', 'link', 0, 'down')
        self.fails(FAILED, 'path', 'link', 1, 'down')
        self.assertEqual(self.path_status(1), 'up')
        self.done('path', 'link', 1, 'down', '--force')
        self.assertEqual(self.path_status(1), 'set-down')

    def test_addresses_have_the_default_lengths(self):
        self.start()
        interface = lab.figure3_paths('a')[0]['interface_name']

        def addresses():
            return re.findall(r'inet6? (\S+)', self.net['a'].run('ip', 'address', 'show', 'dev', interface))
        for word, address, expected in (('addr', '192.168.77.1', '192.168.77.1/24'), ('address', '2001:db8:77::1', '2001:db8:77::1/64'),
                                        ('addr', '192.168.78.1/30', '192.168.78.1/30')):
            self.done(word, 'add', address, 'dev', interface)
            self.assertIn(expected, addresses())
            self.done(word, 'del', address, 'dev', interface)
            self.assertNotIn(expected, addresses())
        self.fails(FAILED, 'addr', 'add', '192.168.77.1', 'dev', 'absent0')

    def test_interface(self):
        self.start_up()
        interface = lab.figure3_paths('a')[1]['interface_name']
        self.done('int', interface, 'down')
        lab.wait_for(lambda: self.path_status(1) == 'interface-down', 'the path follows')
        self.done('interface', interface, 'up')
        self.wait_up()

    def test_files(self):
        self.start_up()
        self.assertEqual(self.done('save'), '')
        self.done('path', 'link', 1, 'weight', 9)
        self.assertEqual(self.done('save'), 'link.conf\n')
        self.assertRegex((self.config / 'connections' / 'link.conf').read_text(), r'weight_out\s*= 9')
        self.done('reload')
        self.done('restart', 'link.conf')
        broken = self.write('link.conf', self.link().replace('permission = ', 'permission = 9'))
        line = next(n for n, text in enumerate(broken.read_text().splitlines(), 1) if text.startswith('permission'))
        self.assertIn(f'link.conf:{line}: permission', self.fails(CONFIG, 'reload'))
        self.assertEqual(len(self.status()['connections']), 1)
        self.fails(CONFIG, 'create', 'link.conf')
        self.done('delete', 'link.conf')
        self.assertFalse(broken.exists())
        self.assertTrue(broken.with_name('link.conf.disabled').exists())
        self.fails(FAILED, 'delete', 'link.conf')
        self.fails(FAILED, 'reload', '../interface.conf')


class Errors(MptTest):
    def test_no_daemon(self):
        for words in (('status',), ('status', '--json'), ('reload',), ('path', 'link', 0, 'up'), ('top',)):
            self.assertIn('systemctl start mptd', self.fails(UNAVAILABLE, *words))
        self.assertEqual(self.mpt('complete-words', 'files')[1:], ('', ''))

    def test_no_bus(self):
        self.environment['DBUS_SYSTEM_BUS_ADDRESS'] = f'unix:path={self.bus.directory}/none'
        self.assertIn('no system bus', self.fails(UNAVAILABLE, 'status'))

    def test_the_action_is_named(self):
        self.start_up()
        interface = lab.figure3_paths('a')[0]['interface_name']
        for action, words in (('control', ('path', 'link', 0, 'down')), ('control', ('reload',)), ('control', ('restart',)),
                              ('control', ('int', interface, 'down')), ('configure', ('int', 'lo', 'down')),
                              ('configure', ('save',)), ('configure', ('delete', 'link.conf')),
                              ('configure', ('addr', 'add', '192.168.77.1', 'dev', interface))):
            self.assertIn(f'org.mptd1.{action}', self.fails(NOT_AUTHORISED, *words, user=bus.BOB))
        self.assertEqual(self.path_status(0), 'up')

    def test_a_person_is_asked_unless_told_not_to(self):
        self.bus.start_mock()
        self.start_up()
        monitor = self.bus.monitor('org.freedesktop.PolicyKit1')
        master, terminal = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, terminal)
        flags = []
        for words, stdin in ((['reload'], terminal), (['--no-ask-password', 'reload'], terminal),
                             (['reload', '--no-ask-password'], terminal), (['reload'], subprocess.DEVNULL)):
            done = subprocess.run([*bus.as_user(bus.ALICE), self.program, *words], env=self.environment, stdin=stdin,
                                  capture_output=True, timeout=lab.PATIENCE, check=False)
            self.assertEqual(done.returncode, NOT_AUTHORISED, done.stderr)
            seen = lab.wait_for(lambda: monitor.messages(member='CheckAuthorization')[len(flags):], 'polkit was asked')
            flags.append(seen[0]['payload']['data'][3])
        self.assertEqual(flags, [1, 0, 0, 0])

    def test_help_is_shown_without_arguments(self):
        for word in ('address', 'addr', 'interface', 'int', 'path', 'delete', 'create'):
            status, output, error = self.mpt(word)
            self.assertEqual((status, error), (USAGE, ''))
            self.assertRegex(output, '^mpt ')
        self.assertEqual(self.mpt()[0], USAGE)
        self.assertEqual(self.done('path', '--help'), self.mpt('path')[1])

    def test_wrong_words(self):
        for words in (('bogus',), ('status', '--bogus'), ('addr', 'add', '192.168.77.1', 'eth0'), ('addr', 'add', '1.2.3.4/33', 'dev', 'x'),
                      ('int', 'eth0', 'left'), ('path', 'link', '0', 'sideways'), ('path', 'link', '0', 'weight', '0'),
                      ('path', 'link', '0', 'weight', '10001'), ('path', 'link', '-1', 'up'), ('path', 'up', 'a', 'b'),
                      ('path', 'link', '0', 'up', '--force'), ('reload', ''), ('reload', 'a', 'b'), ('delete', '')):
            self.fails(USAGE, *words)


class Check(MptTest):
    def test_it_says_what_the_daemon_says(self):
        self.write('broken.conf', '[connection]\nname = x\nwieght = 5\npath_count = 99\n')
        self.write('second.conf', self.second(remote='10.0.0.3'))  # as link.conf has it
        self.write('conf.template', '[connection]\nname = T\nip_ver = 5\n')
        status, output, error = self.mpt('check', self.config)
        self.assertEqual((status, error), (CONFIG, ''))
        log = self.start().log()
        told = [line.partition(': ')[2] for line in output.splitlines() if line.startswith(('error: ', 'warning: '))]
        self.assertGreater(len(told), 4)
        for line in told:
            if 'conf.template' not in line:  # which the daemon reads when it has a use for it
                self.assertIn(line.partition('connections/')[2], log)
        self.assertTrue(any(line.startswith('connections/conf.template:3: ip_ver = 5') for line in told))

    def test_good_files(self):
        self.assertRegex(self.done('check', self.config), '2 files, 0 errors, 0 warnings')
        self.environment['MPTD_CONFIG_DIR'] = str(self.config)
        self.assertRegex(self.done('check'), '2 files, 0 errors, 0 warnings')

    def test_what_cannot_be_read(self):
        self.fails(CONFIG, 'check', self.config / 'none')
        (self.config / 'connections' / 'link.conf').chmod(0o600)
        self.config.chmod(0o755)
        status, output, _ = self.mpt('check', self.config, user=bus.BOB)
        self.assertEqual(status, NOT_AUTHORISED)
        self.assertIn('link.conf: cannot be read: Permission denied', output)


    def test_keys_in_files_of_their_own(self):
        self.config.chmod(0o755)
        file = self.net.directory / 'key'
        text = self.link(auth_type=2, auth_key_file=file)
        self.write('link.conf', text)
        self.write('second.conf', self.second(auth_type=2, auth_key_file='a-credential'))
        line = 1 + text.partition('auth_key_file')[0].count('\n')
        problem = f'connections/link.conf:{line}: auth_key_file = {file}: '
        status, output, _ = self.mpt('check', self.config)
        self.assertEqual(status, CONFIG)
        self.assertIn(f'error: {problem}cannot be read: No such file or directory', output)
        for text in '', 'ab' * 31 + 'x', 'ab' * 33, 'ab' * 10000:
            file.write_text(text)
            status, output, _ = self.mpt('check', self.config)
            self.assertEqual(status, CONFIG)
            self.assertIn(f'error: {problem}', output)
            self.assertNotIn('abab', output)
        file.unlink()
        self.done('genkey', file)
        self.assertRegex(self.done('check', self.config), '3 files, 0 errors, 0 warnings')
        file.chmod(0o600)
        output = self.done('check', self.config, user=bus.BOB)
        self.assertIn(f'warning: {problem}cannot be read: Permission denied, so it is not checked', output)
        self.assertIn('0 errors, 1 warnings', output)


class GenKey(MptTest):
    """Without mptd and without a bus."""

    def setUp(self):
        super().setUp()
        self.bus.stop()

    def test_prints_one(self):
        keys = [self.done('genkey') for _ in range(3)]
        for key in keys:
            self.assertRegex(key, r'\A[0-9a-f]{64}\n\Z')
        self.assertEqual(len(set(keys)), 3)

    def test_writes_a_new_file(self):
        file = self.net.directory / 'a.key'
        self.assertEqual(self.done('genkey', file), '')
        key = file.read_text()
        self.assertRegex(key, r'\A[0-9a-f]{64}\n\Z')
        self.assertEqual(file.stat().st_mode & 0o137, 0, 'others may not read it, and nobody run it')
        dangling = self.net.directory / 'dangling'
        dangling.symlink_to(self.net.directory / 'elsewhere')
        for there in file, dangling, self.net.directory:
            self.assertEqual(self.fails(FAILED, 'genkey', there), f'mpt: {there} is there already, and is left as it is\n')
        self.assertEqual(file.read_text(), key)
        self.assertFalse((self.net.directory / 'elsewhere').exists())
        self.assertIn('No such file', self.fails(FAILED, 'genkey', self.net.directory / 'none' / 'a.key'))
        self.assertIn('Permission denied', self.fails(NOT_AUTHORISED, 'genkey', self.net.directory / 'bob.key', user=bus.BOB))
        self.fails(USAGE, 'genkey', '')
        self.fails(USAGE, 'genkey', 'a', 'b')

    def test_a_full_disk(self):
        with open('/dev/full', 'w', encoding='ascii') as full:
            done = subprocess.run([self.program, 'genkey'], stdout=full, stderr=subprocess.PIPE, timeout=lab.PATIENCE, check=False)
        self.assertEqual(done.returncode, FAILED)
        folder = self.net.directory / 'full'
        folder.mkdir()
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=4k', 'tmpfs', folder], check=True)
        self.addCleanup(subprocess.run, ['umount', folder], check=True)
        (folder / 'filler').write_bytes(bytes(4096))
        self.assertIn('No space left', self.fails(FAILED, 'genkey', folder / 'a.key'))
        self.assertFalse((folder / 'a.key').exists())


class Monitor(MptTest):
    def start_monitor(self, *words):
        process = subprocess.Popen([self.program, 'monitor', *words], env=self.environment, text=True, stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def line(self, process):
        self.assertTrue(select.select([process.stdout], [], [], lab.PATIENCE)[0], 'another line')
        return os.read(process.stdout.fileno(), 65536).decode().splitlines()

    def lines_until(self, process, pattern):
        lines = []
        while not lines or not re.search(pattern, lines[-1]):
            lines += self.line(process)
        return [line.partition(' ')[2] for line in lines]

    def test_it_tells_as_it_happens_and_outlives_the_daemon(self):
        process = self.start_monitor()
        self.lines_until(process, 'service state=stopped')
        daemon = self.start()
        self.lines_until(process, 'service state=running')
        self.wait_up()
        interface = lab.figure3_paths('a')[1]['interface_name']
        self.done('path', 'link', 1, 'down')
        self.assertEqual(self.lines_until(process, ' to=set-down ')[-1],
                         f'path-status connection=link path=1 interface={interface} from=up to=set-down reason=by-hand')
        self.write('second.conf', self.second())
        self.done('reload')
        self.lines_until(process, 'connection-added connection=second file=second.conf$')
        self.done('delete', 'second.conf')
        self.lines_until(process, 'connection-removed connection=second$')
        self.write('bad.conf', 'nonsense\n')
        self.fails(CONFIG, 'reload')
        self.lines_until(process, 'problem text=.*bad.conf')
        daemon.stop()
        self.lines_until(process, 'service state=stopped')
        (self.config / 'connections' / 'bad.conf').unlink()
        self.start()
        self.lines_until(process, 'service state=running')
        self.wait_up()
        self.done('path', 'link', 0, 'down')
        self.lines_until(process, 'path=0 .* to=set-down reason=by-hand')

    def test_json(self):
        self.start_up()
        process = self.start_monitor('--json')
        first, = self.line(process)
        self.assertEqual(json.loads(first)['state'], 'running')
        before = time.time()
        self.done('path', 'link', 1, 'down')
        event = json.loads(self.line(process)[0])
        self.assertLess(abs(event.pop('time_usec') / 1e6 - before), lab.PATIENCE)
        self.assertEqual(event, {'event': 'path-status', 'connection': 'link', 'path': 1, 'from': 'up', 'to': 'set-down',
                                 'interface': lab.figure3_paths('a')[1]['interface_name'], 'reason': 'by-hand'})

    def test_nobody_else_is_believed(self):
        self.start_up()
        process = self.start_monitor()
        self.line(process)
        names = {line.split()[0] for line in subprocess.run(
            ['busctl', '--system', 'list', '--unique', '--no-legend'], env=self.environment, text=True, capture_output=True,
            check=True).stdout.splitlines() if f' {process.pid} ' in line}
        for name in names:
            subprocess.run([*bus.as_user(bus.BOB), 'dbus-send', f'--bus={self.bus.address}', '--type=signal', f'--dest={name}',
                            self.path(1), f'{bus.PATH}.StatusChanged', 'string:up', 'string:dead', 'string:forged', 'uint64:1'],
                           check=True, timeout=lab.PATIENCE)
        self.assertTrue(names)
        self.done('path', 'link', 1, 'down')
        self.assertNotIn('forged', ' '.join(self.lines_until(process, 'to=set-down')))


class Top(MptTest):
    def setUp(self):
        super().setUp()
        self.start_up()
        self.master, self.terminal = pty.openpty()
        self.addCleanup(os.close, self.master)
        self.addCleanup(os.close, self.terminal)
        termios.tcsetwinsize(self.terminal, (24, 80))
        self.before = termios.tcgetattr(self.terminal)
        self.process = subprocess.Popen([self.program, 'top'], env=self.environment, stdin=self.terminal, stdout=self.terminal,
                                        stderr=self.terminal)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.shown = ''

    def wait_shown(self, pattern):
        def seen():
            with contextlib.suppress(OSError):
                while select.select([self.master], [], [], 0.05)[0]:
                    self.shown += os.read(self.master, 65536).decode()
            return re.search(pattern, self.shown, re.S)
        lab.wait_for(seen, f'{pattern!r} on the terminal')

    def ends_cleanly(self, status=0):
        self.assertEqual(self.process.wait(lab.PATIENCE), status)
        self.wait_shown(r'\033\[\?1049l')
        self.assertGreater(self.shown.rindex('\033[?25h'), self.shown.rindex('\033[?25l'), 'the cursor is there')
        self.assertEqual(termios.tcgetattr(self.terminal), self.before)

    def test_shows_changes_and_quits(self):
        self.wait_shown('2 of 2 up')
        self.assertNotEqual(termios.tcgetattr(self.terminal)[3], self.before[3])
        self.done('path', 'link', 1, 'down')
        self.wait_shown('set down, was up: set by hand')
        self.wait_shown('1 of 2 up')
        os.write(self.master, b's')
        self.wait_shown('by rate')
        os.write(self.master, b'q')
        self.ends_cleanly()

    def test_resize(self):
        self.wait_shown('2 of 2 up')
        termios.tcsetwinsize(self.terminal, (5, 30))
        self.process.send_signal(signal.SIGWINCH)
        self.wait_shown(r'\033\[H[^\n]*(\n[^\n]*){3}\n[^\n]*q quit')
        os.write(self.master, b'q')
        self.ends_cleanly()

    def test_signals_leave_the_terminal_as_it_was(self):
        self.wait_shown('2 of 2 up')
        self.process.send_signal(signal.SIGTERM)
        self.ends_cleanly()


class Completion(MptTest):
    def complete(self, *words):
        """What is offered for the last of these words behind mpt."""
        script = (f'mpt() {{ {self.program} "$@"; }}; . {COMPLETION}; COMP_WORDS=(mpt "$@"); COMP_CWORD=$#; _mpt; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(['bash', '-c', script, 'bash', *words], env=self.environment, text=True, capture_output=True,
                              timeout=lab.PATIENCE, check=True)
        self.assertEqual(done.stderr, '')
        return done.stdout.split()

    def test_words_of_the_service(self):
        self.write('second.conf', self.second())
        self.start_up()
        local, remote = (lab.path_address(host, 4, 0).partition('/')[0] for host in 'ab')
        interfaces = [path['interface_name'] for path in lab.figure3_paths('a')]
        self.assertEqual(self.complete('reload', ''), ['link.conf', 'second.conf'])
        self.assertEqual(self.complete('delete', 's'), ['second.conf'])
        self.assertEqual(self.complete('status', ''), ['link', 'second'])
        self.assertEqual(self.complete('path', ''), ['up', 'down', 'link', 'second'])
        self.assertEqual(self.complete('path', 'link', ''), ['0', '1'])
        self.assertEqual(self.complete('path', 'link', '0', ''), ['up', 'down', 'weight'])
        self.assertIn(local, self.complete('path', 'up', ''))
        self.assertEqual(self.complete('path', 'up', local, ''), [remote])
        self.assertLess(set(interfaces), set(self.complete('int', '')))
        self.assertEqual(self.complete('addr', 'add', '1.2.3.4', 'dev', interfaces[0]), [interfaces[0]])

    def test_without_the_service(self):
        self.assertEqual(self.complete('reload', ''), [])
        self.assertEqual(self.complete('re'), ['reload', 'restart'])
        self.assertEqual(self.complete('path', ''), ['up', 'down'])
        self.assertEqual(self.complete('status', '--'), ['--help', '--rates', '--json'])


if __name__ == '__main__':
    bus.main()
