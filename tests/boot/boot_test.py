#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The package of mptd on machines that boot: what it installs and takes away again; two machines with a tunnel between them, over reboots,
changes of their uplinks by NetworkManager and wrong configurations. Times are printed, not judged."""

import json
import re
import subprocess
import time

import machine
import lab
from machine import install, older_package, package, say

UNIT = 'mptd.service'
LINK_KEYS = {'keepalive_msec': 100, 'dead_msec': 2000}
PEER = {'a': '10.0.0.3', 'b': '10.0.0.2'}
ALLOWED = {'cap_net_admin': 12, 'cap_net_bind_service': 10}


def masks(host, thread):
    """The capability sets of a thread, as numbers."""
    status = host.run('cat', f'/proc/{thread}/status')
    return {name: int(value, 16) for name, value in re.findall(r'^Cap(\w+):\s*(\w+)$', status, re.M)}


class Lint(lab.LabTest):
    def test_lintian(self):
        """Of a build without debugging symbols: their absence is no finding."""
        done = subprocess.run(['lintian', '--allow-root', '--fail-on', 'error,warning', package()], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ''))


class Package(lab.LabTest):
    def setUp(self):
        self.net = self.make_lab('a')
        self.host = machine.Machine(self.net['a'])

    def is_active(self):
        return self.host.property('ActiveState') == 'active'

    def test_life(self):
        """Installed, enabled, upgraded, removed and purged: nothing starts by itself, and nothing stays."""
        host = self.host
        files, accounts = host.files(), host.accounts()
        install(host, older_package())
        self.assertFalse(self.is_active(), 'nothing runs that nobody wanted')
        self.assertEqual(host.complete('systemctl', 'is-enabled', UNIT).stdout.strip(), 'disabled')
        self.assertEqual(host.run('stat', '-c', '%U:%G %a', '/etc/mpt/connections').strip(), 'root:mptd 2770')

        call = ('busctl', 'call', 'org.mptd1', '/org/mptd1', 'org.freedesktop.DBus.Peer', 'Ping')
        self.assertNotEqual(host.complete(*call).returncode, 0, 'no call starts what is not enabled')
        self.assertFalse(self.is_active())
        host.run('systemctl', 'enable', UNIT)
        self.assertFalse(self.is_active())
        host.run(*call)
        lab.wait_for(self.is_active, 'the call has started it', machine.BOOT_PATIENCE)
        lab.wait_for(lambda: host.property('StatusText') == 'no connections configured', 'the status says so')
        self.assertIn('no connections configured', host.journal('-u', UNIT))
        self.assertNotIn('tun0', host.run('ip', '-br', 'link'))
        self.assertEqual(host.complete('systemd-analyze', 'verify', '--man=no', '--recursive-errors=no', UNIT).stderr, '')
        said = host.run('systemd-analyze', 'security', '--no-pager', UNIT).splitlines()[-1]
        say(said)
        self.assertLessEqual(float(re.search(r': (\d+\.\d) ', said)[1]), 2.0)

        process = host.property('MainPID')
        install(host, package())
        self.assertTrue(self.is_active())
        self.assertNotEqual(host.property('MainPID'), process, 'the new one runs after an upgrade')
        self.assertEqual(host.property('NRestarts'), '0')

        host.write('/etc/mpt/interface.conf', lab.tunnels(('10.0.0.2/24', 'fec0::2/64')))
        host.run('apt-get', '-q', '-y', 'remove', 'mptd')
        self.assertFalse(self.is_active())
        self.assertIn('tunnel_num', host.run('cat', '/etc/mpt/interface.conf'), 'the configuration stays until a purge')
        left = {line.split()[0] for line in host.files() - files}
        self.assertEqual({place for place in left if not re.match(r'/etc/mpt(/|$)|/etc/systemd/system/|/var/lib/mptd$', place)}, set(),
                         'nothing else but that it is enabled, and its state')
        self.assertNotIn('mptd', host.run('find', '/run', '-name', '*mptd*'))
        install(host, package())
        host.run('systemctl', 'start', UNIT)
        self.assertIn('tun0', host.run('ip', '-br', 'link'))
        host.run('apt-get', '-q', '-y', 'purge', 'mptd')
        self.assertEqual(host.files() ^ files, set())
        self.assertEqual(host.accounts() ^ accounts, set())

    def test_keys(self):
        """Keys reach the service as credentials, which only it can read; no folder of keys is no reason not to start."""
        host = self.host
        install(host, package())
        host.run('systemctl', 'start', UNIT)
        self.assertTrue(self.is_active())
        host.write('/etc/mpt/keys/link', '0123\n', mode=0o600)
        host.run('systemctl', 'restart', UNIT)
        credential = f'/run/credentials/{UNIT}/keys_link'
        self.assertEqual(host.run('cat', credential), '0123\n')
        self.assertNotEqual(host.as_user('nobody', 'cat', credential)[0], 0)
        self.assertEqual(host.as_user('mptd', 'cat', credential), (0, '0123\n'))


class Pair(lab.LabTest):
    """Two machines, eth1 to eth1 and eth2 to eth2, whose addresses NetworkManager sets; the tunnel runs when a test begins."""

    @classmethod
    def setUpClass(cls):
        cls.net = lab.Lab('a', 'b')
        cls.net.link('a', 'b', 'eth1')
        cls.net.link('a', 'b', 'eth2')
        cls.machines = {name: machine.Machine(cls.net[name]) for name in 'ab'}
        for name, host in cls.machines.items():
            install(host, older_package())
            host.write('/etc/mpt/interface.conf', lab.tunnels((f'{lab.tunnel_address(name, 4)}/24', f'{lab.tunnel_address(name, 6)}/64')))
            host.write('/etc/mpt/connections/link.conf',
                       lab.connection(lab.tunnel_address(name, 4), PEER[name], [{**path, **LINK_KEYS} for path in lab.figure3_paths(name)]))
            for number in (0, 1):
                host.run('nmcli', 'connection', 'add', 'type', 'ethernet', 'con-name', f'up{number + 1}', 'ifname', f'eth{number + 1}',
                         'ipv4.method', 'manual', 'ipv4.addresses', f'{lab.path_address(name, 4, number)}/24', 'ipv6.method', 'disabled')
            # a system call that the unit does not allow is no error to get over here, but the end
            host.write(f'/run/systemd/system/{UNIT}.d/strict.conf', '[Service]\nSystemCallErrorNumber=kill\n')
            host.run('systemctl', 'daemon-reload')
            host.run('systemctl', 'enable', '--now', UNIT)

    @classmethod
    def tearDownClass(cls):
        cls.net.close(False)

    def setUp(self):
        self.a, self.b = self.machines['a'], self.machines['b']
        for host in (self.a, self.b):
            self.addCleanup(lambda host=host: self.assertNotIn('status=31/SYS', host.journal('-u', UNIT)))
        self.wait_for_both('up', 'up')
        self.ping()

    def ping(self):
        self.a.ping(PEER['a'])

    def status(self, host):
        said = host.complete('mpt', 'status', '--json')
        return json.loads(said.stdout) if said.returncode == 0 else None

    def paths(self, host):
        status = self.status(host)
        return status and [path['status'] for path in status['connections'][0]['paths']]

    def wait_for_paths(self, host, *expected):
        lab.wait_for(lambda: self.paths(host) == list(expected), f'the paths are {expected}: {self.paths(host)}', machine.BOOT_PATIENCE)

    def wait_for_both(self, *expected):
        for host in (self.a, self.b):
            self.wait_for_paths(host, *expected)

    def tunnel(self, host):
        """All that the kernel knows of the tunnel's interface but counters."""
        return [json.loads(host.run('ip', '-j', *what.split()))
                for what in ('link show tun0', 'address show tun0', 'route show dev tun0', '-6 route show dev tun0')]

    def test_privileges(self):
        """Of the running process and each of its threads; what the unit allows is what they need."""
        process = self.a.property('MainPID')
        self.assertEqual(self.a.run('stat', '-c', '%U:%G', f'/proc/{process}').strip(), 'mptd:mptd')
        net_admin, both = 1 << ALLOWED['cap_net_admin'], sum(1 << number for number in ALLOWED.values())
        self.assertEqual(masks(self.a, process), {'Inh': net_admin, 'Prm': net_admin, 'Eff': net_admin, 'Amb': net_admin, 'Bnd': both})
        threads = {thread: self.a.run('cat', f'/proc/{process}/task/{thread}/comm').strip()
                   for thread in self.a.run('ls', f'/proc/{process}/task').split()}
        self.assertIn('mptd-worker', threads.values())
        for thread, name in threads.items():
            if thread != process:
                self.assertEqual(masks(self.a, f'{process}/task/{thread}')['Prm'], 0, name)
        status = self.a.run('cat', f'/proc/{process}/status')
        self.assertRegex(self.a.run('cat', f'/proc/{process}/limits'), r'(?m)^Max core file size +0 +0 ')
        self.assertRegex(status, r'(?m)^NoNewPrivs:\s+1$')
        self.assertRegex(status, r'(?m)^Seccomp:\s+2$')

    def booted(self):
        """When the machine began to boot, in microseconds of CLOCK_MONOTONIC."""
        return int(self.a.run('systemctl', 'show', '--value', '-p', 'UserspaceTimestampMonotonic'))

    def up_since(self, path):
        return self.status(self.a)['connections'][0]['paths'][path]['status_since_monotonic_usec']

    def test_reboot(self):
        """The tunnel comes back by itself, with the uplink that is there, and takes the other one when it comes."""
        self.net['a'].run('ip', 'link', 'delete', 'eth2')
        self.a.reboot()
        lab.wait_for(lambda: ' 0% packet loss' in self.b.run('ping', '-q', '-c', 1, '-W', 1, PEER['b'], check=False), 'the tunnel is back',
                     machine.BOOT_PATIENCE)
        self.assertNotEqual(self.paths(self.a)[1], 'up')
        began = self.booted()
        for what in ('ActiveEnterTimestampMonotonic', 'ExecMainStartTimestampMonotonic'):
            say(f'{what[:-len("TimestampMonotonic")]}: {(int(self.a.property(what)) - began) / 1e6:.2f} s after the machine began to boot')
        say(f'a path is up: {(self.up_since(0) - began) / 1e6:.2f} s after the machine began to boot')
        self.net.link('a', 'b', 'eth2')
        self.wait_for_both('up', 'up')
        self.ping()

    def test_reboot_without_uplinks(self):
        """It waits for them, and is there when they come."""
        for uplink in ('eth1', 'eth2'):
            self.net['a'].run('ip', 'link', 'delete', uplink)
        self.a.reboot()
        self.wait_for_paths(self.a, 'interface-down', 'interface-down')
        lab.wait_for(lambda: self.a.property('StatusText') == '1 connection, 0 of 2 paths up', 'the status says so')
        began = time.monotonic()
        self.net.link('a', 'b', 'eth1')
        self.wait_for_paths(self.a, 'up', 'interface-down')
        say(f'a path is up: {self.up_since(0) / 1e6 - began:.2f} s after its interface was made')
        self.net.link('a', 'b', 'eth2')
        self.wait_for_both('up', 'up')
        self.ping()

    def test_network_manager(self):
        """It takes an uplink down and up, and is started anew: the paths follow, and the tunnel's interface stays as it was."""
        before = self.tunnel(self.a)
        for command, expected in ((('connection', 'down', 'up1'), 'address-missing'), (('connection', 'up', 'up1'), 'up'),
                                  (('device', 'down', 'eth2'), 'address-missing'), (('device', 'up', 'eth2'), 'up')):
            self.a.run('nmcli', *command)
            path = 0 if '1' in command[2] else 1
            lab.wait_for(lambda: self.paths(self.a)[path] == expected, f'{command}: path {path} is {expected}')
            lab.wait_for(lambda: self.paths(self.b)[path] == ('up' if expected == 'up' else 'dead'), f'{command}: b knows of path {path}')
            self.ping()
        self.a.run('systemctl', 'restart', 'NetworkManager')
        self.a.run('nm-online', '-q', '-t', 30)
        self.wait_for_paths(self.a, 'up', 'up')
        self.assertEqual(self.tunnel(self.a), before)

    def test_users(self):
        """Everybody may look; the example rule lets its group control tunnels, and nobody else."""
        self.a.run('sh', '-ec', 'groupadd -f --system mpt; useradd -G mpt alice; useradd bob; '
                                'cp /usr/share/doc/mptd/examples/50-mpt-group.rules /etc/polkit-1/rules.d/')
        weight = ('busctl', '--allow-interactive-authorization=no', 'call', 'org.mptd1', '/org/mptd1/connection/link/path/1', 'org.mptd1.Path',
                  'SetWeight', 'q')
        for user in ('alice', 'bob'):
            status, said = self.a.as_user(user, 'mpt', 'status')
            self.assertEqual(status, 0, said)
            self.assertIn('2 of 2 paths up', said)
        lab.wait_for(lambda: self.a.as_user('alice', *weight, '3')[0] == 0, 'polkit has read the rule')
        self.assertEqual(self.status(self.a)['connections'][0]['paths'][1]['weight_out'], 3)
        self.assertEqual(self.a.as_user('alice', 'mpt', 'path', 'link', '1', 'weight', '1')[0], 0)
        status, said = self.a.as_user('bob', *weight, '5')
        self.assertNotEqual(status, 0)
        self.assertIn('org.mptd1.control is needed', said)
        self.assertEqual(self.a.as_user('bob', 'mpt', 'path', 'link', '1', 'weight', '5')[0], 77)
        self.assertEqual(self.status(self.a)['connections'][0]['paths'][1]['weight_out'], 1)
        # the configuration, too, is not for everybody
        self.assertNotEqual(self.a.as_user('alice', 'ls', '/etc/mpt/connections')[0], 0)

    def test_dialogue(self):
        """Somebody whom no rule lets is asked for an administrator's password, on the terminal."""
        self.a.run('sh', '-ec', 'useradd carol; useradd -G sudo dave; echo dave:secret | chpasswd')
        # in a session: polkit does not use the agents of commands outside of one
        command = ('systemd-run', '--quiet', '--pty', '--wait', '--collect', '--uid=carol', '-p', 'PAMName=login',
                   'mpt', 'path', 'link', '1', 'weight', '7')
        for answer, weight in (('wrong', 1), ('secret', 7)):
            with machine.Terminal(self.a, *command) as terminal:
                terminal.wait('Password:')
                lab.wait_for(lambda: self.a.hears_secrets('pkttyagent'), 'the password may be typed')
                terminal.type(answer)
                self.assertEqual(terminal.end() == 0, weight == 7, terminal.said)
            self.assertEqual(self.status(self.a)['connections'][0]['paths'][1]['weight_out'], weight)
        self.a.run('mpt', 'path', 'link', '1', 'weight', '1')

    def test_reload(self):
        """systemctl says whether it was right, and the status what is wrong; what runs goes on. The service may write what it should."""
        broken = '/etc/mpt/connections/broken.conf'
        process = self.a.property('MainPID')
        self.a.write(broken, '[connection]\nname = x\nlocal_port = 70000\n')
        self.assertNotEqual(self.a.complete('systemctl', 'reload', UNIT).returncode, 0)
        self.assertIn('broken.conf:3: local_port = 70000', self.a.journal('-u', UNIT, '-p', 'err'))
        lab.wait_for(lambda: 'connections/broken.conf' in self.a.property('StatusText'), 'the status names the file')
        self.assertIn('1 connection, 2 of 2 paths up', self.a.property('StatusText'))
        self.ping()
        self.assertEqual(self.a.property('MainPID'), process)
        self.a.run('systemctl', 'restart', UNIT)  # as at boot
        process = self.a.property('MainPID')
        self.wait_for_both('up', 'up')
        self.ping()
        lab.wait_for(lambda: 'connections/broken.conf' in self.a.property('StatusText'), 'the status names the file')
        self.assertIn('broken.conf:3: local_port = 70000', self.a.complete('mpt', 'status').stdout)
        self.a.run('rm', broken)
        self.a.run('systemctl', 'reload', UNIT)
        self.assertEqual(self.a.property('ActiveState'), 'active')
        lab.wait_for(lambda: self.a.property('StatusText') == '1 connection, 2 of 2 paths up', 'the status is good again')
        self.a.run('systemctl', 'kill', '-s', 'HUP', UNIT)
        self.a.run('mpt', 'path', 'link', '1', 'weight', '2')
        self.a.run('mpt', 'save')
        self.assertIn('weight_out = 2', self.a.run('cat', '/etc/mpt/connections/link.conf'))
        self.assertEqual(self.a.run('stat', '-c', '%G', '/etc/mpt/connections/link.conf').strip(), 'mptd')
        self.assertEqual(self.a.property('MainPID'), process)

    def test_journal(self):
        """Messages are found by connection and path, and explained by the catalog; under the watch of another service, too, if people want it."""
        self.net['a'].run('ip', 'link', 'set', 'eth2', 'down')
        self.wait_for_paths(self.a, 'up', 'interface-down')
        said = self.a.journal('-o', 'json', '-u', UNIT, 'MPT_CONNECTION=link', 'MPT_PATH=1', '-p', 'warning')
        message = json.loads(said.splitlines()[-1])
        self.assertIn('is down', message['MESSAGE'])
        self.assertEqual((message['PRIORITY'], message['SYSLOG_IDENTIFIER'], message['_SYSTEMD_UNIT']), ('4', 'mptd', UNIT))
        explained = self.a.run('journalctl', '--no-pager', '-x', f'MESSAGE_ID={message["MESSAGE_ID"]}')
        self.assertIn('Path 1 of the connection link carries no packets', explained)
        self.net['a'].run('ip', 'link', 'set', 'eth2', 'up')
        self.wait_for_paths(self.a, 'up', 'up')
        known = {line.split()[0] for line in self.a.run('journalctl', '--list-catalog').splitlines() if 'mptd: ' in line}
        source = (lab.ROOT / 'daemon/journal.cpp').read_text() + (lab.ROOT / 'daemon/journal.hpp').read_text()
        self.assertEqual(known, set(re.findall(r'"([0-9a-f]{32})"', source)))
        # without and with the option, standard error of another service
        for number, options in enumerate(([], ['--foreground'])):
            done = self.a.complete('systemd-run', '--quiet', '--wait', '--unit=other', 'mptd', '--config', '/nowhere', *options)
            self.assertEqual(done.returncode, 78)

            def said_now():  # the journal does not always find out the unit of a process that has ended
                said = self.a.complete('journalctl', '-o', 'json', 'SYSLOG_IDENTIFIER=mptd', '--grep', '/nowhere').stdout
                return said.splitlines()[number:]

            line = json.loads(lab.wait_for(said_now, 'the message')[0])
            self.assertEqual((line['_TRANSPORT'], line['MESSAGE'].startswith('mptd: ')), ('stdout', True) if options else ('journal', False))
            self.a.run('systemctl', 'reset-failed', 'other')

    def test_tunnel_that_is_deleted(self):
        """What is kept of it is of no use any more: it is made anew."""
        before = self.a.property('MainPID')
        self.a.run('ip', 'link', 'delete', 'tun0')
        lab.wait_for(lambda: self.a.property('MainPID') not in (before, '0'), 'another process runs', machine.BOOT_PATIENCE)
        self.wait_for_both('up', 'up')
        self.ping()

    def test_tunnel_that_is_no_more_configured(self):
        """What was kept over a restart is not what should be there: it goes."""
        configured = lab.tunnels((f'{lab.tunnel_address("a", 4)}/24', f'{lab.tunnel_address("a", 6)}/64'))
        self.addCleanup(lambda: (self.a.write('/etc/mpt/interface.conf', configured), self.a.run('systemctl', 'restart', UNIT)))
        self.a.write('/etc/mpt/interface.conf', configured.replace('tun0', 'tun7').replace('fec0::2', 'fec0::22'))
        self.a.run('systemctl', 'restart', UNIT)
        lab.wait_for(lambda: 'tun0' not in self.a.run('ip', '-br', 'link'), 'the old one is gone')
        self.assertIn('fec0::22/64', self.a.run('ip', '-br', 'address', 'show', 'tun7'))
        self.a.write('/etc/mpt/interface.conf', configured.replace('tun0', 'tun7').replace('1440', '1400'))
        self.a.run('systemctl', 'restart', UNIT)
        said = self.a.run('ip', 'address', 'show', 'tun7')
        self.assertIn('mtu 1400', said)
        self.assertNotIn('fec0::22', said)
        self.assertIn('fec0::2/64', said)
        self.wait_for_both('up', 'up')
        self.ping()
        self.a.run('systemctl', 'stop', UNIT)
        self.assertNotIn('tun7', self.a.run('ip', '-br', 'link'), 'it does not outlive the service')
        self.assertEqual(self.a.run('ip', 'route', 'show', 'proto', '212'), '')


if __name__ == '__main__':
    machine.main()
