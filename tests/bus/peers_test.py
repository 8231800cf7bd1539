#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts tell each other about their paths and create connections on each other, commanded by mpt (guide 2.6.3.1 and 4.7)."""

import configparser
import pathlib
import socket
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import hosts  # noqa: E402
from hosts import SILENT, lab  # noqa: E402

KEY = 'A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1D2'
UP, DOWN = 'up', 'dead'
CONTROL_PORT_FIELDS = struct.Struct('!HH')


class PeersTest(lab.LabTest):
    def make_hosts(self, **options):
        net = self.make_lab('a', 'b')
        pair = hosts.Hosts(net, **options)
        self.addCleanup(pair.close)
        return pair

    def status_signals(self, monitor, number, count=0):
        """From, to and reason of those that are told of the path, at least so many."""
        def told():
            return monitor.messages(member='StatusChanged', path=hosts.PATH_OBJECT.format(number))

        lab.wait_for(lambda: len(told()) >= count, f'{count} changes of status are told')
        return [message['payload']['data'][:3] for message in told()]

    def wait_for_drops(self, host, **counted):
        """Until the host has counted these at its control port, and nothing else."""
        lab.wait_for(lambda: host.daemon.statistics().control == counted, f'{counted} is counted')


class PathStatus(PeersTest):
    def changes(self, auth_type):
        pair = self.make_hosts()
        pair.start(auth_type=auth_type, auth_key=KEY)
        a, b = pair['a'], pair['b']
        monitors = {host: pair[host].bus.monitor() for host in hosts.HOSTS}
        local, remote = (lab.path_address(host, 4, 0) for host in hosts.HOSTS)

        def told(status):
            b.wait_status(0, status, 'by-peer')
            self.assertEqual(b.path(1)['status'], UP)

        a.done('path', 'link', 0, 'down')
        told(DOWN)
        pair.net['a'].ping(lab.tunnel_address('b', 4))
        a.done('path', 'up', local, remote)
        told(UP)
        pair.net['a'].run('ip', 'link', 'set', 'eth1', 'down')
        a.wait_status(0, 'interface-down')
        told(DOWN)
        self.assertEqual(b.path(0)['waits_for'], '', 'its own interface stays up')
        pair.net['a'].run('ip', 'link', 'set', 'eth1', 'up')
        told(UP)
        pair.net['a'].run('ip', 'address', 'delete', f'{local}/24', 'dev', 'eth1')
        told(DOWN)
        pair.net['a'].add_address('eth1', f'{local}/24')
        told(UP)
        self.assertEqual(self.status_signals(monitors['b'], 0, 6), [[UP, DOWN, 'by-peer'], [DOWN, UP, 'by-peer']] * 3)
        self.assertEqual(self.status_signals(monitors['b'], 1), [])
        self.assertEqual([reason for _, _, reason in self.status_signals(monitors['a'], 0, 6)],
                         ['by-hand', 'by-hand', 'interface', 'interface', 'address', 'address'], 'nothing is told back')
        # the other way, and of the other path
        b.done('path', 'link', 1, 'down')
        a.wait_status(1, DOWN, 'by-peer')
        b.done('path', 'link', 1, 'up')
        a.wait_status(1, UP, 'by-peer')
        for host in (a, b):
            self.assertEqual(host.daemon.statistics().control, {})

    def test_type_0(self):
        self.changes(0)

    def test_type_1(self):
        self.changes(1)

    def test_type_2(self):
        self.changes(2)

    def test_type_3(self):
        self.changes(3)

    def test_weight_of_the_peer(self):
        pair = self.make_hosts()
        pair.start(auth_type=3, auth_key=KEY)
        a, b = pair['a'], pair['b']
        monitor = b.bus.monitor()
        a.done('path', 'link', 1, 'weight-in', 77)
        lab.wait_for(lambda: b.path(1)['weight_out'] == 77, 'b sends with that weight')
        self.assertEqual((a.path(1)['weight_in'], b.path(0)['weight_out']), (77, 1))
        lab.wait_for(lambda: any('WeightOut' in str(message) for message in monitor.messages(member='PropertiesChanged')), 'all are told')
        b.done('save')
        self.assertIn('weight_out = 77', b.file('link.conf').read_text().replace('  ', ' '))
        status, _, error = a.mpt('path', 'link', 1, 'weight-in', 0)
        self.assertEqual(status, 64, error)
        for host in hosts.HOSTS:
            pair[host].file('link.conf').write_text(pair.link(host, SILENT, auth_type=2, auth_key=KEY))
            pair[host].done('reload')
        status, _, error = a.mpt('path', 'link', 1, 'weight-in', 5)
        self.assertNotEqual(status, 0)
        self.assertIn('auth_type = 3', error)

    def test_ipv6(self):
        pair = self.make_hosts(version=6)
        pair.start(auth_type=2, auth_key=KEY)
        pair['a'].done('path', 'link', 0, 'down')
        pair['b'].wait_status(0, DOWN, 'by-peer')
        pair['a'].done('path', 'link', 0, 'up')
        pair['b'].wait_status(0, UP, 'by-peer')

    def test_what_is_set_down_by_hand_stays_so(self):
        pair = self.make_hosts()
        pair.start()
        a, b = pair['a'], pair['b']
        b.done('path', 'link', 0, 'down')
        a.wait_status(0, DOWN, 'by-peer')
        a.done('path', 'link', 0, 'up')
        a.done('path', 'link', 1, 'down')
        b.wait_status(1, DOWN, 'by-peer')  # told after the other
        b.wait_status(0, 'set-down', 'by-hand')

    def test_silent_cut(self):
        """b would wait for ten minutes: it is told by a, which has missed keepalives. They bring the path back on both."""
        slow = {'keepalive_msec': 100, 'dead_time': 600}
        for auth_type in (0, 1, 2, 3):
            pair = self.make_hosts()
            pair.start({'keepalive_msec': 100, 'dead_msec': 300}, slow, auth_type=auth_type, auth_key=KEY)
            pair['b'].wait_status(0, UP)
            pair.emulator.cut('eth1')
            pair['a'].wait_status(0, DOWN, 'keepalives-missed')
            pair['b'].wait_status(0, DOWN, 'by-peer')
            lab.wait_for(pair.ping, 'the tunnel works')
            pair.emulator.restore('eth1')
            for host in hosts.HOSTS:
                pair[host].wait_status(0, UP, 'keepalive')
            pair.close()

    def test_last_path_is_told_when_one_is_back(self):
        pair = self.make_hosts()
        pair.start(auth_type=2, auth_key=KEY)
        a, b = pair['a'], pair['b']
        a.done('path', 'link', 0, 'down')
        b.wait_status(0, DOWN, 'by-peer')
        status, _, error = a.mpt('path', 'link', 1, 'down')
        self.assertNotEqual(status, 0)
        self.assertIn('the last one', error)
        a.done('path', 'link', 1, 'down', '--force')
        self.assertEqual(b.path(1)['status'], UP, 'there is no path to tell it')
        a.done('path', 'link', 0, 'up')
        b.wait_status(0, UP, 'by-peer')
        b.wait_status(1, DOWN, 'by-peer')
        a.done('path', 'link', 1, 'up')
        b.wait_status(1, UP, 'by-peer')

    def test_wrong_key_and_type_change_nothing(self):
        pair = self.make_hosts()
        for host, keys in (('a', {'auth_type': 2, 'auth_key': KEY}), ('b', {'auth_type': 2, 'auth_key': KEY[::-1]})):
            pair.configure(host, pair.interface_conf(host), link=pair.link(host, SILENT, **keys)).start()
        a, b = pair['a'], pair['b']
        a.done('path', 'link', 0, 'down')
        lab.wait_for(lambda: 'does not answer' in a.daemon.log(), 'a gives up for now')
        self.assertEqual(b.path(0)['status'], UP)
        self.wait_for_drops(b, drop_wrong_hash=6)
        b.file('link.conf').write_text(pair.link('b', SILENT, auth_type=0))
        b.done('reload')
        lab.wait_for(lambda: 'drop_wrong_authentication_type' in b.daemon.statistics().control, 'a tries again')
        self.assertEqual(b.path(0)['status'], UP)
        b.file('link.conf').write_text(pair.link('b', SILENT, auth_type=2, auth_key=KEY))
        b.done('reload')
        b.wait_status(0, DOWN, 'by-peer')


class Permission(PeersTest):
    """Guide Table 2: 1 is SEND, 2 is RECEIVE."""

    def capture(self, host):
        return host.net.socket(socket.AF_PACKET, socket.SOCK_RAW, ('eth2', 3))

    def read(self, capture, is_last):
        """Messages of the control port up to the frame that is_last() says: pairs of round and octet 1."""
        messages = []
        while True:
            frame, address = capture.recvfrom(2048)
            if address[1] != 0x0800:
                continue
            payload = frame[14 + 20 + 8:]
            is_control = frame[23] == socket.IPPROTO_UDP and lab.COMMAND_PORT in CONTROL_PORT_FIELDS.unpack_from(frame, 34)
            if is_control:
                messages.append((payload[4], payload[1]))
            if is_last(frame, messages):
                return messages

    def one_way(self, pair, sender, receiver, may_send, may_receive):
        signals = sender.bus.monitor()
        capture = self.capture(receiver)
        for command, argument, status in (('down', 0x80, DOWN), ('up', 0, UP)):
            sender.done('path', 'link', 0, command)
            lab.wait_for(lambda: [to for _, to, _ in self.status_signals(signals, 0)][-1:] == ['up' if command == 'up' else 'set-down'],
                         'the path is so')
            sender.connections()  # what the change makes it do is done
            if may_send:
                # there may be repetitions of what was said before
                messages = self.read(capture, lambda _, messages: (3, argument) in messages and messages[-1][0] == 4)
                self.assertEqual(messages[-2:], [(3, argument), (4, 0 if may_receive else 8)])
            else:
                sender.net.run('ping', '-c', 1, lab.path_address(receiver.net.name, 4, 1))
                self.assertEqual(self.read(capture, lambda frame, _: frame[23] == socket.IPPROTO_ICMP), [])
            if may_send and may_receive:
                receiver.wait_status(0, status, 'by-peer')
            else:
                self.assertEqual(receiver.path(0)['status'], UP)
        capture.close()

    def test_all_combinations(self):
        pair = self.make_hosts()
        pair.start()
        for of_a in range(4):
            for of_b in range(4):
                for host, permission in (('a', of_a), ('b', of_b)):
                    pair[host].file('link.conf').write_text(pair.link(host, SILENT, permission=permission))
                    pair[host].done('reload', 'link.conf')
                try:
                    self.one_way(pair, pair['a'], pair['b'], of_a & 1, of_b & 2)
                    self.one_way(pair, pair['b'], pair['a'], of_b & 1, of_a & 2)
                except AssertionError as error:
                    raise AssertionError(f'permission {of_a} on a and {of_b} on b') from error
        for host in hosts.HOSTS:
            said = [line for line in pair[host].daemon.log().splitlines() if 'not permitted' in line]
            self.assertTrue(said)
            self.assertIn('telling the peer', said[0])


class Loss(PeersTest):
    def agree(self, auth_type):
        pair = self.make_hosts()
        pair.start(auth_type=auth_type, auth_key=KEY)
        for name in hosts.emulated.LINKS:
            pair.emulator.set(name, loss='20%')
        a, b = pair['a'], pair['b']
        for number in range(20):
            wanted = (DOWN, UP)[number % 2]
            a.done('path', 'link', 0, 'down' if wanted == DOWN else 'up')
            b.wait_status(0, wanted, 'by-peer')
        for number in range(11):  # faster than they can be told
            a.done('path', 'link', 0, *(('down', '--force'), ('up',))[number % 2])
            b.done('path', 'link', 1, *(('down', '--force'), ('up',))[number % 2])
        b.wait_status(0, DOWN)
        a.wait_status(1, DOWN)
        b.done('path', 'link', 1, 'up')
        a.done('path', 'link', 0, 'up')
        for host in (a, b):
            for number in (0, 1):
                host.wait_status(number, UP)

    def test_type_0(self):
        self.agree(0)

    def test_type_2(self):
        self.agree(2)

    def test_type_3(self):
        self.agree(3)


class Create(PeersTest):
    TEMPLATE = {'name': 'Template', 'permission': 3, 'ip_ver': 4, 'ip_local': '10.0.0.3', 'local_port': 65060, 'path_count': 2,
                'network_count': 0, 'reorder_window': 900, 'max_buffdelay_msec': 300, 'status': 0, 'auth_type': 0, 'auth_key': KEY}

    def make_pair(self, template=True, accept_remote=1, template_keys=None, **keys):
        pair = self.make_hosts()
        paths = [lab.path(f'eth{n + 1}', lab.path_address('a', 4, n), lab.path_address('b', 4, n), weight=2 - n, weight_in=7 + n,
                          keepalive_time=1, cmd_default=1 - n) for n in (0, 1)]
        del paths[1]['remote_ipaddr']
        paths[1]['gateway_ipaddr'] = '10.2.2.2'
        text = lab.connection('10.0.0.2', '10.0.0.3', paths, **{'reorder_window': 100, 'auth_key': KEY, **keys})
        lines = [line for line in text.splitlines() if not line.startswith(('remote_port', 'remote_cmd_port'))]
        pair.configure('a', pair.interface_conf('a'), link='; of a\n' + '\n'.join(lines) + '\n').start()
        b = pair.configure('b', pair.interface_conf('b', accept_remote=accept_remote))
        if template:
            b.file('conf.template').write_text(lab.ini([('connection', {**self.TEMPLATE, **(template_keys or {})})] + [
                (f'path_{n}', {'interface_name': f'eth{n + 1}', 'ip_ver': 4, 'public_ipaddr': lab.path_address('b', 4, n),
                               'gateway_ipaddr': lab.path_address('a', 4, n), 'status': 0}) for n in (0, 1)]))
        b.start()
        return pair

    def read(self, host, name):
        parser = configparser.ConfigParser(inline_comment_prefixes=';#', comment_prefixes=';#')
        parser.read_string(host.file(name).read_text())
        return {section: dict(parser[section]) for section in parser.sections()}

    def test_create_save_restart(self):
        pair = self.make_pair(auth_type=1)
        a, b = pair['a'], pair['b']
        self.assertEqual((a.connections(), b.connections()), ([], []))
        a.done('create', 'link.conf')
        for host in (a, b):
            for number in (0, 1):
                host.wait_status(number, UP)
        lab.wait_for(pair.ping, 'the tunnel works')
        of_a, = a.connections()
        of_b, = b.connections()
        for connection, host in ((of_a, 'a'), (of_b, 'b')):
            peer = hosts.other(host)
            self.assertEqual(connection['remote_address'], lab.tunnel_address(peer, 4))
            self.assertEqual([path['remote_address'] for path in connection['paths']], [lab.path_address(peer, 4, n) for n in (0, 1)])
            self.assertTrue(connection['unsaved'])
            self.assertEqual(connection['reorder_window'], 900, 'the larger of both')
            self.assertEqual(connection['remote_control_port'], lab.COMMAND_PORT)
        self.assertEqual((of_a['local_port'], of_a['remote_port']), (lab.DATA_PORT, 65060))
        self.assertEqual((of_b['local_port'], of_b['remote_port']), (65060, lab.DATA_PORT))
        self.assertEqual([(path['weight_out'], path['weight_in']) for path in of_a['paths']], [(2, 7), (1, 8)])
        self.assertEqual([(path['weight_out'], path['weight_in']) for path in of_b['paths']], [(7, 2), (8, 1)])
        self.assertEqual((of_b['file'], of_b['file_present'], of_b['auth_type']), ('peer_10_0_0_2.conf', False, 1))
        self.assertFalse(b.file('peer_10_0_0_2.conf').exists())
        a.done('path', 'link', 0, 'down')
        b.wait_status(0, DOWN)
        a.done('path', 'link', 0, 'up')

        status, _, error = a.mpt('create', 'link.conf')
        self.assertNotEqual(status, 0)
        self.assertIn('10.1.1.3:60456 does not create the connection: a connection between these tunnel addresses exists', error)
        self.assertEqual(len(b.connections()), 1)

        for host in (a, b):
            host.done('save')
        self.assertTrue(a.file('link.conf').read_text().startswith('; of a\n'))
        mine, made = self.read(a, 'link.conf'), self.read(b, 'peer_10_0_0_2.conf')
        self.assertEqual((mine['connection']['remote_port'], mine['connection']['remote_cmd_port'], mine['path_1']['remote_ipaddr']),
                         ('65060', str(lab.COMMAND_PORT), '10.2.2.3'))
        self.assertEqual((made['connection']['ip_remote'], made['connection']['remote_port'], made['connection']['auth_type'],
                          made['path_0']['weight_out'], made['path_1']['remote_ipaddr']),
                         ('10.0.0.2', str(lab.DATA_PORT), '1', '7', '10.2.2.2'))
        self.assertNotIn(KEY, b.file('peer_10_0_0_2.conf').read_text(), 'the key of conf.template is for creates')
        for host in (a, b):
            connection, = host.connections()
            self.assertEqual((connection['unsaved'], connection['file_present']), (False, True))
            host.restart()
        for host in (a, b):
            for number in (0, 1):
                host.wait_status(number, UP)
        lab.wait_for(pair.ping, 'the tunnel is back by itself')
        for host in (a, b):
            self.assertEqual([line for line in host.daemon.log().splitlines() if 'error' in line.lower()], [])

    def refused(self, pair, *words):
        status, _, error = pair['a'].mpt('create', 'link.conf')
        self.assertNotEqual(status, 0)
        for word in words:
            self.assertIn(word, error)
        for host in hosts.HOSTS:
            self.assertEqual(pair[host].connections(), [])

    def test_type_3(self):
        pair = self.make_pair(auth_type=3, template_keys={'auth_type': 3})
        a, b = pair['a'], pair['b']
        a.done('create', 'link.conf')
        for host in (a, b):
            for number in (0, 1):
                host.wait_status(number, UP)
            self.assertEqual([connection['auth_type'] for connection in host.connections()], [3])
            host.done('save')
        lab.wait_for(pair.ping, 'the tunnel works')
        for host in (a, b):
            host.restart()
        for host in (a, b):
            for number in (0, 1):
                host.wait_status(number, UP)
        lab.wait_for(pair.ping, 'the tunnel is back by itself')

    def test_what_is_weaker_than_the_template(self):
        self.refused(self.make_pair(auth_type=2, template_keys={'auth_type': 3}), 'allow_default_key')
        pair = self.make_pair(auth_type=1, template_keys={'auth_type': 3})
        self.refused(pair, '10.1.1.3:60456 does not answer')
        self.wait_for_drops(pair['b'], drop_wrong_authentication_type=6)

    def test_with_another_key(self):
        pair = self.make_pair(auth_key=KEY[::-1])
        self.refused(pair, '10.1.1.3:60456 does not answer', 'auth_key')
        self.wait_for_drops(pair['b'], drop_wrong_hash=6)
        self.assertEqual(pair['b'].daemon.log().splitlines()[1:], [], 'nobody fills it from outside')

    def test_where_nobody_may(self):
        for options in ({'accept_remote': 0}, {'template': False}):
            pair = self.make_pair(**options)
            self.refused(pair, '10.1.1.3:60456 does not answer', 'accept_remote', 'conf.template')
            self.wait_for_drops(pair['b'], drop_unknown_peer=6)
            self.assertEqual(pair['b'].daemon.log().splitlines()[1:], [], 'nobody fills it from outside')
            pair.close()

    def test_default_key_is_not_taken(self):
        """auth_type 2 would mean the key that everybody knows."""
        self.refused(self.make_pair(auth_type=2), 'allow_default_key')

    def test_which_path_carries_the_command(self):
        """The one with cmd_default, else another one that is not down."""
        pair = self.make_pair()
        a, b = pair['a'], pair['b']
        paths = [lab.path(f'eth{n + 1}', lab.path_address('a', 4, n), lab.path_address('b', 4, n), cmd_default=n, **SILENT)
                 for n in (0, 1)]
        a.file('link.conf').write_text(lab.connection('10.0.0.2', '10.0.0.3', paths, auth_key=KEY))
        a.done('reload')
        for number in (0, 1):
            a.done('path', 'link', number, 'down', '--force')
        status, _, error = a.mpt('create', 'link.conf')
        self.assertNotEqual(status, 0)
        self.assertIn('connections/link.conf: no path can carry the command', error)
        for number, address in ((0, '10.1.1.2'), (1, '10.2.2.2')):
            a.done('path', 'link', number, 'up')
            a.done('create', 'link.conf')
            b.daemon.wait_for_log(f'connection link is created by {address}:60456')
            b.done('delete', 'peer_10_0_0_2.conf')

    def test_what_cannot_be_is_not_asked_for(self):
        """The peer would be left with its side of it."""
        pair = self.make_pair()
        a = pair['a']
        text = a.file('link.conf').read_text()
        a.file('link.conf').write_text(text.replace('ip_ver = 4', 'ip_ver = 5', 1))
        self.refused(pair, 'connections/link.conf:', 'ip_ver')
        a.file('link.conf').write_text(text.replace('ip_local = 10.0.0.2', 'ip_local = 10.0.0.9'))
        self.refused(pair, 'connections/link.conf:', 'ip_local', '10.0.0.9')

    def test_over_20_percent_loss(self):
        pair = self.make_pair()
        for name in hosts.emulated.LINKS:
            pair.emulator.set(name, loss='20%')
        pair['a'].done('create', 'link.conf')
        for host in hosts.HOSTS:
            for number in (0, 1):
                pair[host].wait_status(number, UP)


if __name__ == '__main__':
    lab.main()
