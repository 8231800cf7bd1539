#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service does and tells: paths, weights, interfaces and files, and the signals that say what has changed, and only that."""

import subprocess

import bus
from bus import CONNECTION, LINK, MANAGER, PATH, ROOT_OBJECT, TUNNEL
import lab

SECOND = f'{ROOT_OBJECT}/connection/second'
STATUS = {'Status', 'StatusName', 'StatusReason', 'StatusSince', 'StatusSinceMonotonic'}


class ChangeTest(bus.BusTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.start()
        self.monitor = self.bus.monitor()

    def done(self):
        """Whatever was told before has been seen."""
        count = len(self.monitor.messages(member='Ping'))
        self.bus.call(ROOT_OBJECT, 'org.freedesktop.DBus.Peer', 'Ping')
        lab.wait_for(lambda: len(self.monitor.messages(member='Ping')) > count, 'the ping is seen')
        return self.monitor

    def told(self, path):
        """Names of the properties that signals of the object have named so far, all together."""
        return set().union(*self.done().changes(path))

    def status_signals(self, number, count):
        """The first ones of the path: from, to and reason."""
        signals = lab.wait_for(lambda: len(seen := self.monitor.messages(member='StatusChanged', path=self.path(number))) >= count and seen,
                               'the change of status is told')
        return [message['payload']['data'][:3] for message in signals]

    def signals(self, member, interface='org.freedesktop.DBus.ObjectManager'):
        return [message['payload']['data'] for message in self.done().messages(member=member, interface=interface)]

    def reload(self, file=''):
        return self.bus.call(ROOT_OBJECT, MANAGER, 'Reload', 's', file)[0]

    def is_before_the_answer(self, method, since=0, **fields):
        """The signals come before the method returns: a client that waits for it knows all then. Looks at the messages from the
        given number on."""
        messages = self.done().messages()[since:]
        call = next(message for message in messages if message.get('member') == method)
        answer = next(index for index, message in enumerate(messages) if message.get('reply_cookie') == call['cookie']
                      and message['type'] == 'method_return' and message['destination'] == call['sender'])
        signals = [index for index, message in enumerate(messages) if all(message.get(key) == value for key, value in fields.items())]
        self.assertTrue(signals)
        self.assertLess(max(signals), answer)


class Mtu(ChangeTest):
    """Of a tunnel whose MTU follows its paths."""

    def interface_conf(self, **general):
        return super().interface_conf(**general).replace('mtu = 1440', 'mtu = auto')

    def test_an_interface_has_another_one(self):
        tun0 = f'{ROOT_OBJECT}/tunnel/tun0'
        why = 'link, path {} ({}): interface MTU {}'
        self.assertEqual(self.bus.get(tun0, TUNNEL, 'Mtu'), 1464)
        self.assertEqual(self.bus.get(tun0, TUNNEL, 'MtuReason'), why.format(0, 'eth1', 1500))
        self.net['a'].run('ip', 'link', 'set', 'eth2', 'mtu', 1400)
        self.monitor.wait_for_change(tun0, Mtu=1364, MtuReason=why.format(1, 'eth2', 1400))
        self.assertEqual(len(self.done().changes(tun0)), 1)
        for path in (self.path(1), LINK, ROOT_OBJECT):
            self.assertEqual(self.told(path), set(), path)
        lab.wait_for(lambda: '"mtu":1364' in self.net['a'].run('ip', '-j', 'link', 'show', 'tun0'), 'the interface has it')


class Paths(ChangeTest):
    def test_interface_goes_down_and_comes_back(self):
        before = self.bus.get_all(self.path(0), PATH)
        self.net['a'].run('ip', 'link', 'set', 'eth1', 'down')
        change = self.monitor.wait_for_change(self.path(0), Status=0x81, StatusName='interface-down', StatusReason='interface')
        self.assertGreater(change['StatusSince'], before['StatusSince'])
        self.assertGreater(change['StatusSinceMonotonic'], before['StatusSinceMonotonic'])
        self.monitor.wait_for_change(self.path(0), WaitsFor='eth1 is down or has no carrier')
        self.assertEqual(self.status_signals(0, 1), [['up', 'interface-down', 'interface']])
        self.assertEqual(self.monitor.data(member='StatusChanged')[3], change['StatusSince'])
        self.assertEqual(self.bus.get(self.path(0), PATH, 'StatusSince'), change['StatusSince'], 'it does not move')
        self.assertEqual(self.told(self.path(0)), STATUS | {'WaitsFor'})
        self.net['a'].run('ip', 'link', 'set', 'eth1', 'up')
        self.monitor.wait_for_change(self.path(0), Status=0, StatusName='up')
        lab.wait_for(lambda: self.bus.get(self.path(0), PATH, 'WaitsFor') == '', 'nothing is waited for')
        self.assertEqual(self.status_signals(0, 2)[1:], [['interface-down', 'up', 'interface']])
        for path in (self.path(1), LINK, ROOT_OBJECT):
            self.assertEqual(self.told(path), set(), path)

    def test_address_goes_away(self):
        self.net['a'].run('ip', 'address', 'del', '10.1.1.2/24', 'dev', 'eth1')
        self.monitor.wait_for_change(self.path(0), Status=0x82, StatusName='address-missing')

    def test_by_hand(self):
        self.bus.call(self.path(0), PATH, 'Down', 'b', 'false')
        self.monitor.wait_for_change(self.path(0), Status=0x83, StatusName='set-down', StatusReason='by-hand')
        self.assertEqual(self.status_signals(0, 1), [['up', 'set-down', 'by-hand']])
        self.assertIn('--force', self.refused('Conflict', self.path(1), PATH, 'Down', 'boolean:false'))
        self.assertEqual(self.bus.get(self.path(1), PATH, 'StatusName'), 'up')
        self.bus.call(self.path(1), PATH, 'Down', 'b', 'true')
        self.monitor.wait_for_change(self.path(1), StatusName='set-down')
        self.bus.call(self.path(0), PATH, 'Up')
        self.monitor.wait_for_change(self.path(0), StatusName='up')
        self.assertEqual(self.status_signals(0, 2)[1:], [['set-down', 'up', 'by-hand']])
        self.assertEqual(self.told(self.path(0)), STATUS)
        self.assertEqual(self.bus.get(LINK, CONNECTION, 'Unsaved'), False, 'the status is not what the file is about')

    def test_weight(self):
        self.bus.call(self.path(1), PATH, 'SetWeight', 'q', 7)
        self.assertEqual(self.done().changes(self.path(1)), [{'WeightOut': 7}])
        self.assertEqual(self.monitor.changes(LINK), [{'Unsaved': True}])
        self.is_before_the_answer('SetWeight', member='PropertiesChanged')
        self.bus.call(self.path(1), PATH, 'SetWeight', 'q', 7)  # as it is
        self.assertEqual(len(self.done().changes(self.path(1))), 1)
        self.assertEqual(self.bus.call(ROOT_OBJECT, MANAGER, 'Save', 's', '')[0], ['link.conf'])
        self.assertEqual(self.done().changes(LINK)[1:], [{'Unsaved': False}])
        self.assertIn('weight_out = 7', (self.config / 'connections' / 'link.conf').read_text())
        self.assertEqual(self.bus.call(LINK, CONNECTION, 'Save'), [False])
        self.assertEqual(self.bus.call(ROOT_OBJECT, MANAGER, 'Save', 's', 'link.conf')[0], [])

    def test_packets_follow_the_weight(self):
        self.bus.call(self.path(1), PATH, 'SetWeight', 'q', 3)
        self.net['a'].run('ping', '-c', 40, '-i', 0.01, '-W', 1, '10.0.0.3', check=False)
        _, paths = lab.wait_for(
            lambda: (all_ := self.bus.call(LINK, CONNECTION, 'GetStatistics'))[0]['packets_out'] == 40 and all_, 'they are counted')
        self.assertEqual([path['packets_out'] for path in paths], [10, 30])

    def test_restart(self):
        """Nothing is forgotten but the counters; what was set down stays so."""
        self.bus.call(self.path(1), PATH, 'Down', 'b', 'false')
        self.bus.call(self.path(0), PATH, 'SetWeight', 'q', 9)
        for words in ((ROOT_OBJECT, MANAGER, 'Restart', 's', ''), (ROOT_OBJECT, MANAGER, 'Restart', 's', 'link.conf'),
                      (LINK, CONNECTION, 'Restart')):
            self.bus.call(*words)
            self.assertEqual(self.bus.get(self.path(0), PATH, 'WeightOut'), 9)
            self.assertEqual([self.bus.get(self.path(number), PATH, 'StatusName') for number in (0, 1)], ['up', 'set-down'])
        self.assertEqual(self.signals('InterfacesRemoved'), [])


class Interfaces(ChangeTest):
    def test_addresses(self):
        for address in ('10.9.0.1/24', 'fd09::1/64'):
            self.bus.call(ROOT_OBJECT, MANAGER, 'AddAddress', 'ss', address, 'eth1')
            self.bus.call(ROOT_OBJECT, MANAGER, 'AddAddress', 'ss', address, 'eth1')  # it is there
            self.assertEqual(self.net['a'].run('ip', 'address', 'show', 'eth1').count(address), 1)
            self.bus.call(ROOT_OBJECT, MANAGER, 'RemoveAddress', 'ss', address, 'eth1')
            self.assertNotIn(address, self.net['a'].run('ip', 'address', 'show', 'eth1'))

    def test_up_and_down(self):
        self.bus.call(ROOT_OBJECT, MANAGER, 'SetInterface', 'sb', 'eth1', 'false')
        self.monitor.wait_for_change(self.path(0), StatusName='interface-down')
        self.assertNotIn('UP', self.net['a'].run('ip', '-br', 'link', 'show', 'eth1').split()[1])
        self.bus.call(ROOT_OBJECT, MANAGER, 'SetInterface', 'sb', 'eth1', 'true')
        self.monitor.wait_for_change(self.path(0), StatusName='up')


    def test_metered(self):
        self.bus.call(ROOT_OBJECT, MANAGER, 'SetMetered', 'sb', 'eth2', 'true')
        self.monitor.wait_for_change(self.path(1), Metered=True)
        self.assertFalse(self.bus.get(self.path(0), PATH, 'Metered'))
        self.bus.call(ROOT_OBJECT, MANAGER, 'SetMetered', 'sb', 'eth2', 'false')
        self.monitor.wait_for_change(self.path(1), Metered=False)


class Networks(ChangeTest):
    def test_forwarding_that_is_off(self):
        """The problem comes and goes with the kernel's switch, at once."""
        network = lab.ini([('net_0', {'ip_ver': 4, 'src_addr': '192.168.1.0/24', 'dst_addr': '192.168.2.0/24'})])
        self.write('link.conf', self.link(network_count=1) + network)
        self.reload()
        problem, = self.bus.get(ROOT_OBJECT, MANAGER, 'Problems')
        self.assertRegex(problem, r'does not forward IPv4 packets from tun0, as the networks of link need: set net\.ipv4\.ip_forward')
        for value, problems in ((1, []), (0, [problem])):
            self.net['a'].run('sysctl', '-q', '-w', f'net.ipv4.ip_forward={value}')
            self.monitor.wait_for_change(ROOT_OBJECT, Problems=problems)

    def test_gateway_that_is_found(self):
        self.write('link.conf', self.link().replace('gateway_ipaddr = 10.1.1.3', 'gateway_ipaddr = 0.0.0.0')
                   .replace('remote_ipaddr = 10.1.1.3', 'remote_ipaddr = 203.0.113.9'))
        self.reload()
        self.assertEqual(self.bus.get(self.path(0), PATH, 'GatewayAddress'), '')
        for gateway in ('10.1.1.3', '10.1.1.4'):
            self.net['a'].run('ip', 'route', 'replace', 'default', 'via', gateway)
            self.monitor.wait_for_change(self.path(0), GatewayAddress=gateway)


class Files(ChangeTest):
    def test_new_file(self):
        self.write('second.conf', self.second())
        self.assertEqual(self.reload(), ['connection second is new'])
        paths = [f'{SECOND}/path/0', f'{SECOND}/path/1']
        added = {path: interfaces for path, interfaces in self.signals('InterfacesAdded')}
        self.assertEqual(list(added), [SECOND, *paths])
        self.assertEqual(added[SECOND][CONNECTION]['Paths']['data'], paths)
        self.assertEqual({path: interfaces for path, interfaces in self.bus.objects().items() if path in added}, added,
                         'what was told is what is there')
        self.assertEqual(added[paths[0]][PATH]['StatusName']['data'], 'up')
        self.assertEqual(self.monitor.changes(ROOT_OBJECT), [{'Connections': [LINK, SECOND]}])
        self.assertEqual(self.told(LINK), set())
        self.is_before_the_answer('Reload', member='InterfacesAdded')
        self.is_before_the_answer('Reload', member='PropertiesChanged')

    def test_delete(self):
        file = 'second.conf'
        for number, words in enumerate(((ROOT_OBJECT, MANAGER, 'Delete', 's', file), (SECOND, CONNECTION, 'Delete'))):
            self.write(file, self.second())
            self.reload(file)
            before = len(self.done().messages())
            self.bus.call(*words)
            self.is_before_the_answer('Delete', before, member='InterfacesRemoved', path=ROOT_OBJECT)
            self.assertFalse((self.config / 'connections' / file).exists())
            self.assertTrue((self.config / 'connections' / f'{file}.disabled').exists())
            removed = [(path, {name for name in interfaces if name.startswith(bus.NAME)})
                       for path, interfaces in self.signals('InterfacesRemoved')[3 * number:]]
            self.assertEqual(removed, [(f'{SECOND}/path/0', {PATH}), (f'{SECOND}/path/1', {PATH}), (SECOND, {CONNECTION})])
            self.assertEqual(self.monitor.changes(ROOT_OBJECT)[-1], {'Connections': [LINK]})
            self.assertNotIn(SECOND, self.bus.objects())

    def test_delete_while_the_peer_is_asked(self):
        """A create that waits for the peer ends with its connection."""
        self.write('link.conf', self.link(auth_key='0123456789abcdef' * 4))
        self.reload()
        waiting = self.bus.send(LINK, CONNECTION, 'Create')
        self.monitor.wait(member='Create')
        self.bus.call(LINK, CONNECTION, 'Delete')
        self.assertEqual(waiting.answer()[0], 'org.mptd1.Error.NotFound')

    def mount_over_the_files(self):
        """The connection files are on a file system of 64 KiB."""
        folder = self.config / 'connections'
        kept = {file.name: file.read_text() for file in folder.iterdir()}
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder], check=True)
        self.addCleanup(subprocess.run, ['umount', folder], check=True)
        for name, text in kept.items():
            (folder / name).write_text(text)
        return folder

    def test_a_full_disk(self):
        folder = self.mount_over_the_files()
        before = (folder / 'link.conf').read_text()
        self.bus.call(self.path(0), PATH, 'SetWeight', 'q', 77)
        with (folder / 'filler').open('wb', buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(1024))
            except OSError:
                pass  # it is full
        self.refused('System', ROOT_OBJECT, MANAGER, 'Save', 'string:link.conf')
        self.assertEqual((folder / 'link.conf').read_text(), before)
        self.assertEqual({file.name for file in folder.iterdir()}, {'link.conf', 'filler'})
        self.assertTrue(self.bus.get(LINK, CONNECTION, 'Unsaved'))
        (folder / 'filler').unlink()
        self.bus.call(ROOT_OBJECT, MANAGER, 'Save', 's', 'link.conf')
        self.assertEqual((folder / 'link.conf').read_text().count('77'), 1)

    def test_a_directory_that_cannot_be_written(self):
        folder = self.mount_over_the_files()
        subprocess.run(['mount', '-o', 'remount,ro', folder], check=True)
        self.bus.call(self.path(0), PATH, 'SetWeight', 'q', 77)
        self.refused('System', ROOT_OBJECT, MANAGER, 'Save', 'string:')
        self.refused('System', ROOT_OBJECT, MANAGER, 'Delete', 'string:link.conf')
        self.assertIn(LINK, self.bus.objects())
        self.assertTrue((folder / 'link.conf').exists())

    def test_changed_file(self):
        """Only what has changed is told, and only the changed connection is touched."""
        self.write('second.conf', self.second())
        self.reload()
        self.write('second.conf', self.second(reorder_window=50, max_buffdelay_msec=20))
        self.assertEqual(self.reload(), ['connection second has changed'])
        self.assertEqual(self.done().changes(SECOND), [{'ReorderWindow': 50, 'MaxBufferDelay': 20_000}])
        self.assertEqual(self.told(f'{SECOND}/path/0') | self.told(LINK) | self.told(self.path(0)), set())
        self.assertEqual(self.reload(), [])
        self.assertEqual(len(self.done().changes(SECOND)), 1)

    def test_more_and_fewer_paths(self):
        paths = lab.figure3_paths('a')
        one, two, three = (lab.connection('10.0.0.2', '10.0.0.3', chosen) for chosen in
                           (paths[:1], paths, [*paths, lab.path('eth3', '10.3.3.2', '10.3.3.3')]))
        self.write('link.conf', three)
        self.reload()
        self.assertEqual([path for path, _ in self.signals('InterfacesAdded')], [self.path(2)])
        self.assertEqual(self.done().changes(LINK), [{'Paths': [self.path(number) for number in range(3)]}])
        self.assertEqual(self.bus.get(self.path(2), PATH, 'WaitsFor'), 'there is no interface eth3')
        self.assertEqual(self.bus.get(self.path(2), PATH, 'StatusName'), 'interface-down')
        self.write('link.conf', one)
        self.reload('link.conf')
        self.assertEqual([path for path, _ in self.signals('InterfacesRemoved')], [self.path(2), self.path(1)])
        self.assertEqual(self.done().changes(LINK)[1:], [{'Paths': [self.path(0)]}])
        self.write('link.conf', two)
        self.assertEqual(self.bus.call(LINK, CONNECTION, 'Reload')[0], ['connection link has changed'])
        self.assertEqual(self.bus.get(LINK, CONNECTION, 'Paths'), [self.path(0), self.path(1)])

    def test_moved_to_another_tunnel(self):
        """It ends and starts anew, under the same name: also if that is what it was asked itself."""
        (self.config / 'interface.conf').write_text(lab.tunnels(('10.0.0.2/24', 'fec0::2/64'), ('10.5.0.2/24', 'fec0:5::2/64')))
        self.assertEqual(self.daemon.stop(), 0)
        self.start()
        for local, remote, tunnel in (('10.5.0.2', '10.5.0.3', 'tun1'), ('10.0.0.2', '10.0.0.3', 'tun0')):
            self.write('link.conf', lab.connection(local, remote, lab.figure3_paths('a')))
            self.bus.call(LINK, CONNECTION, 'Reload')
            self.assertEqual(self.bus.get(LINK, CONNECTION, 'Tunnel'), f'{ROOT_OBJECT}/tunnel/{tunnel}')
            self.assertEqual(self.bus.get(self.path(1), PATH, 'StatusName'), 'up')
        self.assertEqual(len(self.signals('InterfacesRemoved')), 6)
        self.assertEqual(len(self.signals('InterfacesAdded')), 6)

    def test_file_that_is_gone(self):
        """The connection goes on, and says so."""
        file = self.config / 'connections' / 'link.conf'
        file.unlink()
        self.reload()
        self.assertEqual(self.done().changes(LINK), [{'FilePresent': False}])
        problems, = self.bus.get(ROOT_OBJECT, MANAGER, 'Problems')
        self.assertIn('link.conf', problems)
        self.assertEqual(self.monitor.changes(ROOT_OBJECT), [{'Problems': [problems]}])
        self.refused('NotFound', ROOT_OBJECT, MANAGER, 'Reload', 'string:link.conf')
        self.assertEqual(self.bus.call(LINK, CONNECTION, 'Save'), [True])
        self.assertTrue(file.exists())
        self.assertEqual(self.done().changes(LINK)[1:], [{'FilePresent': True}])
        self.assertEqual(self.bus.get(ROOT_OBJECT, MANAGER, 'Problems'), [])

    def test_wrong_file(self):
        """The error says all problems, the properties too; what is right is applied, and what runs goes on."""
        self.write('link.conf', self.link(reorder_window=20000).replace('weight_out = 1', 'weight_out = 0'))
        self.write('second.conf', self.second())
        lines = self.refused('InvalidConfig', ROOT_OBJECT, MANAGER, 'Reload', 'string:').splitlines()
        self.assertEqual(len(lines), 3, lines)
        for key, value in (('reorder_window', '20000'), ('weight_out', '0')):
            self.assertTrue(any('link.conf:' in line and key in line and value in line for line in lines), lines)
        self.assertEqual(self.bus.get(ROOT_OBJECT, MANAGER, 'Problems'), lines)
        self.assertEqual(self.bus.get(LINK, CONNECTION, 'ReorderWindow'), 0)
        self.assertIn(SECOND, self.bus.objects())
        self.write('link.conf', self.link())
        self.assertEqual(self.reload('link.conf'), [])
        self.assertEqual(self.bus.get(ROOT_OBJECT, MANAGER, 'Problems'), [])

    def test_octets_of_a_file(self):
        """What is no text, or plays with the reader, does not reach the bus."""
        file = self.config / 'connections' / 'second.conf'
        file.write_bytes(self.second().encode().replace(b'eth1', b'e\xff\x1b[1m\xc3\xbc'))
        text = self.refused('InvalidConfig', ROOT_OBJECT, MANAGER, 'Reload', 'string:')
        self.assertNotIn('\x1b', text)
        self.assertEqual(self.bus.get(ROOT_OBJECT, MANAGER, 'Problems'), text.splitlines())

    def test_interface_conf(self):
        (self.config / 'interface.conf').write_text(self.interface_conf(accept_remote=1, cmd_timeout=7, workers=2))
        notice, = self.reload()
        self.assertIn('workers', notice)
        self.assertEqual(self.done().changes(ROOT_OBJECT), [{'AcceptRemote': True, 'CommandTimeout': 7_000_000}])
        self.assertEqual(self.bus.get(ROOT_OBJECT, MANAGER, 'Workers'), 1)
        self.daemon.wait_for_log('workers')


if __name__ == '__main__':
    bus.main()
