#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine on which something is wrong: a full disk, a bus that dies, a key that is not there, a service that stands still. The service that the
package brings goes on, and says what is wrong; and nothing of what it does needs a system call or a capability that its unit does not leave it."""

import json
import os
import re
import shutil
import subprocess
import time

import machine
import lab
from machine import install, package

UNIT = 'mptd.service'
CONNECTIONS = '/etc/mpt/connections'
LINK_KEYS = {'keepalive_msec': 100, 'dead_msec': 2000}
PEER = '10.0.0.3'


class Installation(lab.LabTest):
    def test_meson_installs_what_the_package_does(self):
        """But what is only a package's: its places for units, its documents, and compression."""
        place = self.make_lab().directory / 'installed'
        subprocess.run(['meson', 'install', '-C', os.environ['BUILD'], '--no-rebuild', '--quiet', '--destdir', place], check=True, stdout=subprocess.DEVNULL)
        installed = {(str(path.relative_to(place)), path.stat().st_mode & 0o7777) for path in place.rglob('*') if not path.is_dir()}
        said = subprocess.run(['dpkg-deb', '--fsys-tarfile', package()], check=True, capture_output=True).stdout
        listed = subprocess.run(['tar', '-tv'], input=said, check=True, capture_output=True).stdout.decode()
        packed = set()
        for mode, name in re.findall(r'^-(\S+)\s+root/root\s+.* \./(.*)$', listed, re.M):
            octal = int(''.join('0' if letter == '-' else '1' for letter in mode), 2)
            packed.add((re.sub(r'^lib/systemd/', 'usr/lib/systemd/', re.sub(r'(?<=\d)\.gz$', '', name)), octal))
        ours = {each for each in packed if not re.match(r'usr/share/doc/mptd/(README\.md|changelog.*|copyright)(\.gz)?$', each[0])}
        self.assertEqual(installed, ours)


class Faults(lab.LabTest):
    """Machine a, and host b with a daemon alone. The service is as it was when a test begins."""

    @classmethod
    def setUpClass(cls):
        cls.net = lab.Lab('a', 'b')
        cls.net.figure3()
        cls.host = machine.Machine(cls.net['a'])
        install(cls.host, package())
        cls.host.write('/etc/mpt/interface.conf', lab.tunnels(('10.0.0.2/24', 'fec0::2/64'), mtu='auto', stun_servers='stun.test'))
        cls.host.run('sh', '-c', 'echo 10.1.1.3 stun.test >>/etc/hosts')
        paths = [{**path, **LINK_KEYS} for path in lab.figure3_paths('a')]
        paths[0]['public_ipaddr'] = '0.0.0.0'
        cls.link = lab.connection('10.0.0.2', PEER, paths, auth_type=3, auth_key='ab' * 32)
        cls.host.write(f'{CONNECTIONS}/link.conf', cls.link, mode=0o640)
        # a system call that the unit does not allow is no error to get over here, but the end
        cls.host.write(f'/run/systemd/system/{UNIT}.d/strict.conf', '[Service]\nSystemCallErrorNumber=kill\n')
        cls.host.run('systemctl', 'daemon-reload')
        cls.net['b'].start(shutil.which('turnserver') or '/usr/bin/turnserver', '-n', '--listening-ip=10.1.1.3', '--stun-only', '--no-cli', '--no-tls',
                           '--no-dtls', '--no-tcp', '--log-file=stdout', f'--pidfile={cls.net.directory}/coturn.pid', f'--db={cls.net.directory}/coturn.db',
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.host.run('systemctl', 'start', UNIT)
        paths = [{**path, **LINK_KEYS} for path in lab.figure3_paths('b')]
        cls.peer = lab.Daemon(cls.net['b'], lab.write_config(cls.net.directory / 'b', lab.tunnels((f'{PEER}/24', 'fec0::3/64')),
                                                             link=lab.connection(PEER, '10.0.0.2', paths, auth_type=3, auth_key='ab' * 32)))

    @classmethod
    def tearDownClass(cls):
        cls.net.close(False)

    def setUp(self):
        self.wait_for_paths()
        self.process = self.host.property('MainPID')
        self.addCleanup(lambda: self.assertNotIn('status=31/SYS', self.host.journal('-u', UNIT)))

    def status(self):
        said = self.host.complete('mpt', 'status', '--json')
        return json.loads(said.stdout) if said.returncode == 0 else None

    def wait_for_paths(self):
        def are_up():
            status = self.status()
            return status and [path['status'] for path in status['connections'][0]['paths']] == ['up', 'up']

        lab.wait_for(are_up, 'the paths are up', machine.BOOT_PATIENCE)
        self.wait_for_peer('up')

    def wait_for_peer(self, status):
        lab.wait_for(lambda: {path['status'] for path in self.peer.statistics().paths.values()} == {status}, f'to its peer the paths are {status}')

    def goes_on(self):
        """The service is the one that it was, and carries packets."""
        self.assertEqual((self.host.property('ActiveState'), self.host.property('MainPID')), ('active', self.process))
        self.host.ping(PEER)

    def test_full_disk(self):
        """What is saved is not written, and what was there stays."""
        host, file = self.host, f'{CONNECTIONS}/link.conf'
        host.run('sh', '-ec', f'cp -a {CONNECTIONS} /var/tmp/kept; mount -t tmpfs -o size=16k,mode=2770,gid=mptd tmpfs {CONNECTIONS}; cp -a /var/tmp/kept/* {CONNECTIONS}')
        host.run('systemctl', 'restart', UNIT)
        self.wait_for_paths()
        self.process = host.property('MainPID')
        host.run('dd', 'if=/dev/zero', f'of={CONNECTIONS}/filler', 'bs=1k', check=False)
        before = host.run('cat', file)
        host.run('mpt', 'path', 'link', '1', 'weight', '7')
        done = host.complete('mpt', 'save')
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn('No space left on device', done.stderr)
        self.assertIn('link.conf', done.stderr)
        self.assertEqual(host.run('cat', file), before)
        self.assertEqual(host.run('ls', '-A', CONNECTIONS).split(), ['filler', 'link.conf'])
        self.goes_on()
        host.run('rm', f'{CONNECTIONS}/filler')
        host.run('mpt', 'save')
        self.assertIn('weight_out = 7', host.run('cat', file))
        self.assertEqual(host.run('stat', '-c', '%G %a', file).split(), ['mptd', '640'])
        host.run('systemctl', 'stop', UNIT)
        host.run('umount', CONNECTIONS)
        host.run('systemctl', 'start', UNIT)

    def test_bus_dies(self):
        host = self.host
        for _ in range(2):
            host.run('systemctl', 'kill', '-s', 'KILL', 'dbus.service')
            host.ping(PEER)
            self.wait_for_paths()
            self.goes_on()
        host.run('systemctl', 'reload', UNIT)
        host.run('mpt', 'path', 'link', '1', 'weight', '3')
        self.assertEqual(self.status()['connections'][0]['paths'][1]['weight_out'], 3)
        host.run('systemctl', 'reload', UNIT)
        self.goes_on()

    def test_key_that_is_not_there(self):
        """One connection is left out, and said to be; there is not even a folder of keys."""
        host = self.host
        self.addCleanup(lambda: (host.run('rm', '-rf', f'{CONNECTIONS}/other.conf', '/etc/mpt/keys'), host.run('systemctl', 'restart', UNIT)))
        other = self.link.replace('name = link', 'name = other').replace(PEER, '10.0.0.9').replace('auth_key =', 'auth_key_file = keys_other ;')
        host.write(f'{CONNECTIONS}/other.conf', other.replace('local_port = 23456', 'local_port = 23457'), mode=0o640)
        host.run('systemctl', 'restart', UNIT)
        self.wait_for_paths()
        self.assertEqual([connection['name'] for connection in self.status()['connections']], ['link'])
        wrong = r'other\.conf:\d+:[^\n]*keys_other'
        lab.wait_for(lambda: re.search(wrong, host.property('StatusText')), 'the status names the file')
        for said in (host.run('mpt', 'status'), host.journal('-u', UNIT, '-p', 'err')):
            self.assertRegex(said, wrong)
        host.run('sh', '-ec', 'umask 077; mkdir /etc/mpt/keys; mpt genkey /etc/mpt/keys/other')
        host.run('systemctl', 'restart', UNIT)
        self.assertEqual({connection['name'] for connection in self.status()['connections']}, {'link', 'other'})

    def test_stands_still(self):
        """As in a machine that sleeps: nothing of it runs for longer than its peer waits, and then everything is as it was."""
        self.host.run('systemctl', 'freeze', UNIT)
        try:
            self.wait_for_peer('dead')
            time.sleep(3)
        finally:
            self.host.run('systemctl', 'thaw', UNIT)
        self.wait_for_paths()
        self.goes_on()

    def test_clock_that_jumps(self):
        """No timer is of a clock that somebody sets, or that goes on while the machine sleeps. (To set the clock of a container would be to set the
        clock of everybody.)"""
        said = self.host.run('sh', '-c', f'cat /proc/{self.process}/fdinfo/*')
        self.assertEqual(set(re.findall(r'^clockid: (\d+)$', said, re.M)), {str(time.CLOCK_MONOTONIC)})

    def test_all_that_it_does(self):
        """Every command, in the confinement of the unit."""
        def mpt(*words, status=0):
            done = self.host.complete('mpt', *words)
            self.assertEqual(done.returncode, status, f'{words}: {done.stdout}{done.stderr}')
            self.wait_for_paths()

        def public():
            path = self.status()['connections'][0]['paths'][0]
            return path['public_source'], path['public_address']

        lab.wait_for(lambda: public() == ('stun', '10.1.1.2'), 'a STUN server, by its name')
        for words in ('address add 10.77.0.1/24 dev tun0', 'address del 10.77.0.1/24 dev tun0', 'address add fd77::1/64 dev eth1',
                      'address del fd77::1/64 dev eth1', 'path link 0 weight 2', 'path link 0 weight-in 2', 'save', 'reload',
                      'reload link.conf', 'restart link.conf', 'restart', 'status --rates', 'check', 'version'):
            mpt(*words.split())
        for words in ('interface eth2 {}', 'path link 0 {}', 'path {} 10.2.2.2 10.2.2.3'):
            for state in ('down', 'up'):
                self.host.run('mpt', *words.format(state).split())
            self.wait_for_paths()
        networks = 'network_count = 1\n' + self.link.replace('network_count = 0', '').replace('name = link', 'name = more').replace(PEER, '10.0.0.9')
        networks = re.sub(r'^network_count = 1\n(\[connection\])', r'\1\nnetwork_count = 1', networks).replace('local_port = 23456', 'local_port = 1023')
        more = networks + '\n[net_0]\nip_ver = 4\nsrc_addr = 0.0.0.0/0\ndst_addr = 0.0.0.0/0\n'
        self.host.write(f'{CONNECTIONS}/more.conf', more, mode=0o640)
        mpt('reload', status=0)
        self.assertIn('0.0.0.0/1 dev tun0', self.host.run('ip', 'route'))
        mpt('create', 'more.conf', status=78)  # nobody is there
        mpt('delete', 'more.conf')
        self.assertNotIn('0.0.0.0/1 dev tun0', self.host.run('ip', 'route'))
        self.host.run('rm', f'{CONNECTIONS}/more.conf.disabled')
        self.host.run('systemctl', 'kill', '-s', 'USR1', UNIT)
        self.host.run('ping', '-q', '-c', 20, '-i', 0.02, '-s', 4000, PEER)
        self.goes_on()
        self.host.run('systemctl', 'restart', UNIT)


if __name__ == '__main__':
    machine.main()
