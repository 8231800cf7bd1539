#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the daemon starts, refuses to start, and ends: messages, exit statuses (sysexits.h), and nothing left behind."""

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess

import lab

EX_USAGE, EX_UNAVAILABLE, EX_NOPERM, EX_CONFIG = 64, 69, 77, 78
TUNNEL = ('10.0.0.2/24', 'fec0::2/64')
NOBODY = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups']


class CommandLine(lab.LabTest):
    def call(self, *arguments):
        return subprocess.run([lab.mptd_path(), *arguments], capture_output=True, text=True, timeout=lab.PATIENCE, check=False)

    def test_help_and_version(self):
        for option, expected in (('--help', '--config'), ('--version', r'\d+\.\d+')):
            answer = self.call(option)
            self.assertEqual((answer.returncode, answer.stderr), (0, ''))
            self.assertRegex(answer.stdout, expected)

    def test_wrong_usage(self):
        for arguments in (['--no-such-option'], ['--config'], ['superfluous']):
            answer = self.call(*arguments)
            self.assertEqual(answer.returncode, EX_USAGE, arguments)
            self.assertIn('mptd', answer.stderr)
            self.assertEqual(answer.stdout, '')


class Start(lab.LabTest):
    def setUp(self):
        self.net = self.make_lab('a', 'b')

    def config(self, name='config', interface=None, link=None, **more):
        if link is None:
            link = lab.connection('10.0.0.2', '10.0.0.3', lab.figure3_paths('a'))
        return lab.write_config(self.net.directory / name, interface or lab.tunnels(TUNNEL), link=link, **more)

    def refused(self, status, directory, wrapper=()):
        """The daemon ends with the status, leaves everything as it was, and says why: its log."""
        before = self.net['a'].network_state()
        daemon = lab.Daemon(self.net['a'], directory, wrapper)
        self.assertEqual(daemon.wait(), status, daemon.log())
        self.assertEqual(self.net['a'].network_state(), before)
        return daemon.log()

    def ping(self, count=5):
        self.net['a'].run('ping', '-c', count, '-i', 0.01, '10.0.0.3')

    def test_start_information(self):
        """In the form of the guide's chapter 3."""
        self.net.figure3()
        said = '\n'.join(lab.Daemon(self.net['a'], self.config(interface=lab.tunnels(TUNNEL, accept_remote=1))).wait_ready())
        for line in (r'Tunnel information:', r'\s+Tunnel interface\s*: tun0', r'\s+Tunnel device\s*: /dev/net/tun',
                     r'\s+Tunnel ipv4 addr\.\s*: 10\.0\.0\.2/24', r'\s+Tunnel ipv6 addr\.\s*: fec0::2/64',
                     r'\s*CMD server port number\s*: 60456', r'\s*Global server\s*: 1'):
            self.assertRegex(said, f'(?m)^{line}$')

    def test_information_about_many_connections(self):
        """It is more than a pipe takes at once, and no line of it may be missing: the last one says that mptd is ready."""
        self.net.figure3()
        count = 1000
        peers = [f'{number // 250}.{number % 250 + 1}' for number in range(count)]
        connections = {f'peer-{number}': lab.connection('10.0.0.2', f'10.200.{peer}', [lab.path('eth1', '10.1.1.2', f'10.3.{peer}')],
                                                        f'peer-{number}') for number, peer in enumerate(peers)}
        directory = lab.write_config(self.net.directory / 'many', lab.tunnels(TUNNEL), **connections)
        daemon = lab.Daemon(self.net['a'], directory)
        fcntl.fcntl(daemon.process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        self.assertEqual(sum(line.startswith('Connection peer-') for line in daemon.wait_ready()), count)

    def test_tunnel_is_set_up(self):
        self.net.figure3()
        lab.Daemon(self.net['a'], self.config(interface=lab.tunnels(TUNNEL, mtu=1420))).wait_ready()
        said = self.net['a'].run('ip', 'address', 'show', 'tun0')
        for text in ('mtu 1420', ',UP', 'inet 10.0.0.2/24', 'inet6 fec0::2/64'):
            self.assertIn(text, said)
        for address in ('10.0.0.3', 'fec0::3'):
            self.assertIn('dev tun0', self.net['a'].run('ip', 'route', 'get', address))

    def test_ends_without_a_trace(self):
        self.net.figure3()
        before = self.net['a'].network_state()
        directory = self.config()
        for how in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
            daemon = lab.Daemon(self.net['a'], directory)
            daemon.wait_ready()
            self.assertNotEqual(self.net['a'].network_state(), before)
            self.assertEqual(daemon.stop(how), 0 if how != signal.SIGKILL else -how)
            lab.wait_for(lambda: self.net['a'].network_state() == before, f'everything as before after signal {how}')

    def test_ends_under_load(self):
        self.net.figure3()
        daemon = lab.Daemon(self.net['a'], self.config())
        daemon.wait_ready()
        lab.start_figure3_host(self.net, 'b')
        flood = self.net['a'].start('ping', '-f', '-q', '10.0.0.3', stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        lab.wait_for(lambda: daemon.statistics().path(0)['packets_in'] > 100, 'packets')
        self.assertEqual(daemon.stop(), 0)
        flood.kill()

    def refused_a_privilege(self, directory, wrapper):
        """As refused(), for a wrapper that takes away what the daemon needs to read files of this checkout."""
        self.net.directory.chmod(0o755)
        program = self.net.directory / 'mptd'  # where anybody may run it
        os.environ['MPTD'], original = str(program), lab.mptd_path()
        shutil.copy(original, program)
        try:
            return self.refused(EX_NOPERM, directory, wrapper)
        finally:
            os.environ['MPTD'] = original

    def test_without_privileges(self):
        self.net.figure3()
        directory = self.config()
        for wrapper in (['setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin'], NOBODY):
            self.assertIn('CAP_NET_ADMIN', self.refused_a_privilege(directory, wrapper))

    def take(self, address, port):
        """Another program has it, until what is returned is closed."""
        return self.net['a'].socket(socket.AF_INET, socket.SOCK_DGRAM, (address, port))

    def test_port_in_use(self):
        """That of each path, or the control port."""
        self.net.figure3()
        for addresses, port in ((('10.1.1.2', '10.2.2.2'), lab.DATA_PORT), (('0.0.0.0',), lab.DATA_PORT),
                                (('10.1.1.2',), lab.COMMAND_PORT)):
            taken = [self.take(address, port) for address in addresses]
            said = self.refused(EX_UNAVAILABLE, self.config(f'taken-{addresses[0]}-{port}'))
            self.assertIn(str(port), said)
            for other in taken:
                other.close()

    def test_port_of_one_path_in_use(self):
        """The others work, and so does that one once the port is free."""
        self.net.figure3()
        lab.start_figure3_host(self.net, 'b')
        paths = lab.figure3_paths('a')
        taken = self.take('10.2.2.2', lab.DATA_PORT)
        another = lab.connection('10.0.0.2', '10.0.0.9', paths[:1], 'another', lab.DATA_PORT + 1)
        daemon = lab.Daemon(self.net['a'], self.config(another=another))
        daemon.wait_ready()
        self.assertEqual(re.findall('.* disabled: .*', daemon.log()),
                         [f'mptd: error: connection link, path 1 (eth2) is disabled: binding to UDP 10.2.2.2:{lab.DATA_PORT} on eth2: '
                          'Address already in use'])
        status = {key: values['status'] for key, values in daemon.statistics().paths.items()}
        self.assertEqual(status, {('another', 0): 'up', ('link', 0): 'up', ('link', 1): 'disabled'})
        self.ping()
        taken.close()
        lab.wait_for(lambda: daemon.statistics().path(1, 'link')['status'] == 'up', 'path 1 is up')
        self.ping(20)
        self.assertGreaterEqual(daemon.statistics().path(1, 'link')['packets_out'], 10)

    def test_interface_that_appears_later(self):
        self.net.link('a', 'b', 'eth1', ['10.1.1.2/24'], ['10.1.1.3/24'])
        daemon = lab.Daemon(self.net['a'], self.config())
        daemon.wait_ready()
        lab.start_figure3_host(self.net, 'b')
        self.assertIn('eth2', daemon.log())
        self.assertEqual(daemon.statistics().path(0)['status'], 'up')
        self.assertNotEqual(daemon.statistics().path(1)['status'], 'up')
        self.ping()
        self.net.link('a', 'b', 'eth2', ['10.2.2.2/24'], ['10.2.2.3/24'])
        lab.wait_for(lambda: daemon.statistics().path(1)['status'] == 'up', 'path 1 is up')
        self.ping(20)
        lab.wait_for(lambda: daemon.statistics().path(1)['packets_out'] >= 10, 'half of them left over path 1')
        self.net['a'].run('ip', 'link', 'delete', 'eth2')
        lab.wait_for(lambda: daemon.statistics().path(1)['status'] != 'up', 'path 1 is down')
        self.ping()

    def test_broken_interface_conf(self):
        self.net.figure3()
        lines = lab.tunnels(TUNNEL).splitlines()
        wrong = {'cmdport_local': '70000', 'mtu': 'large', 'ipv4_addr': '10.0.0.300/24'}
        text, places = self.spoil(lines, wrong)
        said = self.refused(EX_CONFIG, self.config(interface=text))
        for key, line in places.items():
            self.assertRegex(said, rf'interface\.conf:{line}:.*{key}.*{re.escape(wrong[key])}')

    def test_interface_conf_that_may_not_be_read(self):
        directory = self.config()
        (directory / 'interface.conf').chmod(0o600)
        said = self.refused_a_privilege(directory, NOBODY)
        self.assertRegex(said, r'interface\.conf: Permission denied .*run mptd as root')

    def test_no_configuration(self):
        said = self.refused(EX_CONFIG, self.net.directory / 'nowhere')
        self.assertIn('nowhere', said)

    def test_broken_connection_beside_a_good_one(self):
        """The broken file is left out, and all its problems are told; the other connection works."""
        self.net.figure3()
        lab.start_figure3_host(self.net, 'b')
        wrong = {'local_port': '70000', 'remote_ipaddr': 'somewhere', 'weight_out': '0', 'reorder_window': '10001'}
        lines = lab.connection('10.0.0.2', '10.0.0.9', lab.figure3_paths('a')[:1], 'other', reorder_window=0).splitlines()
        text, places = self.spoil(lines, wrong)
        daemon = lab.Daemon(self.net['a'], self.config(broken=text))
        daemon.wait_ready()
        for key, line in places.items():
            self.assertRegex(daemon.log(), rf'broken\.conf:{line}:.*{key}.*{re.escape(wrong[key])}')
        self.assertEqual(set(daemon.statistics().connections), {'link'})
        self.ping()

    def test_unknown_key_is_a_warning(self):
        self.net.figure3()
        text = lab.connection('10.0.0.2', '10.0.0.3', lab.figure3_paths('a'), reorder_windov=5)
        daemon = lab.Daemon(self.net['a'], self.config(link=text))
        daemon.wait_ready()
        line = next(number for number, line in enumerate(text.splitlines(), 1) if 'windov' in line)
        self.assertRegex(daemon.log(), rf'link\.conf:{line}:.*reorder_windov.*reorder_window')

    def spoil(self, lines, wrong):
        """The text with other values for some keys, and their line numbers by key."""
        places = {}
        for number, line in enumerate(lines, 1):
            key = line.partition(' = ')[0]
            if key in wrong and key not in places:
                lines[number - 1] = f'{key} = {wrong[key]}'
                places[key] = number
        self.assertEqual(set(places), set(wrong))
        return '\n'.join(lines) + '\n', places


class Topology(lab.LabTest):
    def test_several_tunnels_and_several_connections_on_one(self):
        net = self.make_lab('a', 'b', 'c')
        net.link('a', 'b', 'eth1', ['10.1.1.2/24'], ['10.1.1.3/24'])
        net.link('a', 'c', 'eth2', ['10.2.2.2/24'], ['10.2.2.4/24'])
        to_b, to_c = lab.path('eth1', '10.1.1.2', '10.1.1.3'), lab.path('eth2', '10.2.2.2', '10.2.2.4')
        from_b, from_c = lab.path('eth1', '10.1.1.3', '10.1.1.2'), lab.path('eth2', '10.2.2.4', '10.2.2.2')
        configs = {
            'a': lab.write_config(
                net.directory / 'a', lab.tunnels(('10.0.0.2/24', 'fec0::2/64'), ('10.9.0.2/24', 'fec0:9::2/64')),
                b=lab.connection('10.0.0.2', '10.0.0.3', [to_b], 'b', 23456), c=lab.connection('10.0.0.2', '10.0.0.4', [to_c], 'c', 23457),
                second=lab.connection('fec0:9::2', 'fec0:9::3', [to_b], 'second', 23458)),
            'b': lab.write_config(
                net.directory / 'b', lab.tunnels(('10.0.0.3/24', 'fec0::3/64'), ('10.9.0.3/24', 'fec0:9::3/64')),
                a=lab.connection('10.0.0.3', '10.0.0.2', [from_b], 'a', 23456),
                second=lab.connection('fec0:9::3', 'fec0:9::2', [from_b], 'second', 23458)),
            'c': lab.write_config(net.directory / 'c', lab.tunnels(('10.0.0.4/24', 'fec0::4/64')),
                                  a=lab.connection('10.0.0.4', '10.0.0.2', [from_c], 'a', 23457)),
        }
        daemons = {host: lab.Daemon(net[host], directory) for host, directory in configs.items()}
        for daemon in daemons.values():
            daemon.wait_ready()
        sent = []
        for address, tunnel in (('10.0.0.3', 'tun0'), ('10.0.0.4', 'tun0'), ('fec0:9::3', 'tun1')):
            before = {name: net['a'].received(name) for name in ('tun0', 'tun1')}
            sent.append(net['a'].ping(address))
            wanted = {'tun0': 0, 'tun1': 0, tunnel: sent[-1]}
            lab.wait_for(lambda: {name: net['a'].received(name) - before[name] for name in before} == wanted,
                         'the answers come out of their own tunnel')
        statistics = daemons['a'].statistics()
        self.assertEqual(set(statistics.tunnels), {'tun0', 'tun1'})
        for name, count in zip(('b', 'c', 'second'), sent):
            self.assertEqual(statistics.path(0, name)['packets_in'], count, name)


if __name__ == '__main__':
    lab.main()
