#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API as clients see it: it is that of the XML files, everybody may read it but the keys, and a wrong call changes nothing."""

import os
import xml.etree.ElementTree

import bus
from bus import CONNECTION, LINK, MANAGER, PATH, ROOT_OBJECT, TUNNEL
import lab

KEY = '0123456789abcdef' * 4
TUN0 = f'{ROOT_OBJECT}/tunnel/tun0'
GENERATOR = 'org.freedesktop.DBus.Method.Async'  # tells sdbus-c++-xml2cpp what code to make, and nothing to a client
FILE_METHODS = ('Reload', 'Restart', 'Save', 'Delete', 'Create')
HOSTILE_FILES = ('../x.conf', '/etc/passwd', '/etc/mpt/connections/link.conf', '..', '.', '.conf', 'link', 'a/b.conf',
                 'x' * 5000 + '.conf', ' link.conf', 'link.conf ', 'link.conf\n', '%s%n.conf/', '-rf')


def api_of(interface):
    """All that an <interface> says, for a comparison."""
    def arguments(element, direction):
        return [(each.get('name'), each.get('type'), each.get('direction', direction)) for each in element.iter('arg')]

    def annotations(element):
        return {each.get('name'): each.get('value') for each in element.findall('annotation') if each.get('name') != GENERATOR}

    return {'annotations': annotations(interface),
            'methods': {each.get('name'): (arguments(each, 'in'), annotations(each)) for each in interface.iter('method')},
            'signals': {each.get('name'): (arguments(each, 'out'), annotations(each)) for each in interface.iter('signal')},
            'properties': {each.get('name'): (each.get('type'), each.get('access'), annotations(each))
                           for each in interface.iter('property')}}


class Reading(bus.BusTest):
    def setUp(self):
        super().setUp()
        self.write('to-b.conf', self.second(name='to-b.2', auth_type=2, auth_key=KEY))
        self.start()
        self.to_b = f'{ROOT_OBJECT}/connection/to_2db_2e2'

    def test_introspection_is_the_files(self):
        for name, path in ((MANAGER, ROOT_OBJECT), (TUNNEL, TUN0), (CONNECTION, LINK), (PATH, self.path(1))):
            written = xml.etree.ElementTree.parse(bus.DBUS / f'{name}.xml').find('interface')
            self.assertEqual(written.get('name'), name)
            running = self.bus.interfaces(path)
            self.maxDiff = None
            self.assertEqual(api_of(running[name]), api_of(written))
            others = {each for each in running if not each.startswith('org.freedesktop.DBus.')}
            self.assertEqual(others, {name}, f'{path} has nothing else')

    def test_objects(self):
        """One object for each thing that there is; names are escaped as sd_bus_path_encode(3) does."""
        self.assertEqual(
            {path: {each for each in interfaces if each.startswith(bus.NAME)} for path, interfaces in self.bus.objects().items()},
            {TUN0: {TUNNEL}, LINK: {CONNECTION}, self.path(0): {PATH}, self.path(1): {PATH}, self.to_b: {CONNECTION},
             f'{self.to_b}/path/0': {PATH}, f'{self.to_b}/path/1': {PATH}})
        self.assertEqual(set(self.bus.text('tree', '--list', bus.NAME).split()) - {'/', '/org'}, {
            ROOT_OBJECT, f'{ROOT_OBJECT}/tunnel', TUN0, f'{ROOT_OBJECT}/connection', LINK, f'{LINK}/path', self.path(0), self.path(1),
            self.to_b, f'{self.to_b}/path', f'{self.to_b}/path/0', f'{self.to_b}/path/1'})
        self.assertIn('org.freedesktop.DBus.ObjectManager', self.bus.interfaces(ROOT_OBJECT))

    def test_values(self):
        """What the files say."""
        manager = self.bus.get_all(ROOT_OBJECT, MANAGER)
        self.assertRegex(manager.pop('Version'), r'^\d+\.\d+')
        self.assertEqual(manager, {'ConfigDirectory': str(self.config), 'ControlPort': lab.COMMAND_PORT, 'AcceptRemote': False,
                                   'CommandTimeout': 25_000_000, 'Workers': 1, 'StunServers': [], 'Tunnels': [TUN0],
                                   'Connections': [LINK, self.to_b], 'Problems': []})
        self.assertEqual(self.bus.get_all(TUN0, TUNNEL), {'Name': 'tun0', 'Mtu': 1440, 'MtuReason': '', 'Addresses': ['10.0.0.2/24', 'fec0::2/64']})
        self.assertEqual(self.bus.get_all(self.to_b, CONNECTION), {
            'Name': 'to-b.2', 'File': 'to-b.conf', 'FilePresent': True, 'Unsaved': False, 'CreatedBy': '', 'Tunnel': TUN0, 'Permission': 3, 'IpVersion': 4,
            'LocalAddress': '10.0.0.2', 'RemoteAddress': '10.0.0.4', 'LocalPort': lab.DATA_PORT + 1, 'RemotePort': lab.DATA_PORT + 1,
            'RemoteControlPort': lab.COMMAND_PORT, 'Status': 0, 'ReorderWindow': 0, 'CopyDscp': False, 'ClampMss': False, 'MaxBufferDelay': 100_000, 'AuthType': 2,
            'HasKey': True, 'Paths': [f'{self.to_b}/path/0', f'{self.to_b}/path/1'], 'Networks': []})
        path = self.bus.get_all(self.path(1), PATH)
        self.assertGreater(path.pop('StatusSince'), 1_600_000_000_000_000)
        self.assertGreater(path.pop('StatusSinceMonotonic'), 0)
        self.assertEqual(path, {
            'Number': 1, 'Connection': LINK, 'Interface': 'eth2', 'IpVersion': 4, 'LocalAddress': '10.2.2.2', 'PublicAddress': '10.2.2.2',
            'PublicPort': lab.DATA_PORT, 'PublicSource': 'configured',
            'GatewayAddress': '10.2.2.3', 'RemoteAddress': '10.2.2.3', 'RemotePort': lab.DATA_PORT, 'RemoteLearned': 0, 'RemoteLearnedMonotonic': 0,
            'WeightOut': 1, 'WeightIn': 1, 'KeepaliveTime': 0, 'DeadTime': 0,
            'CommandDefault': False, 'Status': 0, 'StatusName': 'up', 'StatusReason': 'start', 'HeldBack': False, 'Metered': False,
            'WaitsFor': ''})

    def test_statistics(self):
        """All counters of a connection in one call."""
        self.net['a'].run('ping', '-c', 4, '-i', 0.01, '-W', 1, '10.0.0.3', check=False)  # nobody answers
        connection, paths = lab.wait_for(
            lambda: (all_ := self.bus.call(LINK, CONNECTION, 'GetStatistics'))[0]['packets_out'] == 4 and all_, 'they are counted')
        self.assertEqual(len(paths), 2)
        self.assertEqual([path['packets_out'] for path in paths], [2, 2])
        (tunnel,) = self.bus.call(TUN0, TUNNEL, 'GetStatistics')
        self.assertTrue(all(name.startswith('drop_') for name in tunnel), tunnel)

    def test_anybody_reads_everything(self):
        for user in (bus.ALICE, bus.BOB):
            self.assertEqual(self.bus.objects(user), self.bus.objects())
            for path, interface in ((ROOT_OBJECT, MANAGER), (TUN0, TUNNEL), (LINK, CONNECTION), (self.path(0), PATH)):
                self.assertEqual(self.bus.get_all(path, interface, user), self.bus.get_all(path, interface))
            self.assertEqual(len(self.bus.call(LINK, CONNECTION, 'GetStatistics', user=user)), 2)

    def test_nobody_reads_a_key(self):
        """In no property, no signal, no error: a wrong key is not quoted either."""
        monitor = self.bus.monitor()
        wrong = KEY[:-1]
        self.write('to-b.conf', self.second(name='to-b.2', auth_type=2, auth_key=wrong))
        text = self.refused('InvalidConfig', ROOT_OBJECT, MANAGER, 'Reload', 'string:')
        self.assertIn('auth_key', text)
        self.bus.objects()
        self.assertTrue(self.bus.get(ROOT_OBJECT, MANAGER, 'Problems'))
        self.bus.call(self.to_b, CONNECTION, 'GetStatistics')
        self.bus.busctl('set-property', bus.NAME, ROOT_OBJECT, MANAGER, 'Version', 's', 'the end', check=False)
        monitor.wait(lambda message: 'the end' in str(message))
        seen = str(monitor.messages())
        self.assertIn('HasKey', seen)
        self.assertNotIn(wrong[:16], seen)


class Keys(bus.BusTest):
    """link has its key from a file, second as a credential."""

    def setUp(self):
        super().setUp()
        credentials = self.net.directory / 'credentials'
        credentials.mkdir()
        (credentials / 'second-key').write_text(KEY)
        os.environ['CREDENTIALS_DIRECTORY'] = str(credentials)
        self.addCleanup(os.environ.pop, 'CREDENTIALS_DIRECTORY')
        self.key_file = self.write('link.key', KEY + '\n')
        for file in self.key_file, credentials / 'second-key':
            file.chmod(0o640)
        self.write('link.conf', self.link(auth_type=2, auth_key_file=self.key_file))
        self.write('second.conf', self.second(auth_type=2, auth_key_file='second-key'))
        self.daemon = self.start()

    def reload(self):
        return self.bus.call(ROOT_OBJECT, MANAGER, 'Reload', 's', '')[0]

    def test_are_followed(self):
        self.assertNotIn('key', self.daemon.log())
        self.assertEqual(set(self.bus.get(ROOT_OBJECT, MANAGER, 'Connections')), {LINK, f'{ROOT_OBJECT}/connection/second'})
        needs_restart = ('connections/second.conf: the key is as the service manager passed it when mptd was started: a new one '
                         'needs a restart of mptd')
        self.assertEqual(self.reload(), [needs_restart])
        self.key_file.write_text(KEY[::-1])
        self.assertEqual(self.reload(), [needs_restart, 'connection link has changed'])
        self.key_file.chmod(0o644)
        self.key_file.write_text(KEY)
        self.assertIn('every user may read the key', str(self.reload()))
        self.key_file.unlink()
        text = self.refused('InvalidConfig', ROOT_OBJECT, MANAGER, 'Reload', 'string:')
        self.assertRegex(text, r'^connections/link.conf:\d+: auth_key_file = .*/link.key: reading .*/link.key: No such file or '
                               r'directory \(mpt genkey .*/link.key makes one')
        self.assertTrue(self.bus.get(LINK, CONNECTION, 'HasKey'))

    def test_are_shown_and_saved_nowhere(self):
        monitor = self.bus.monitor()
        for path, interfaces in self.bus.objects().items():
            self.bus.text('introspect', bus.NAME, path)
            for interface in interfaces:
                self.bus.get_all(path, interface)
        self.key_file.write_text(KEY[:-1] + 'x')
        self.refused('InvalidConfig', ROOT_OBJECT, MANAGER, 'Reload', 'string:')
        self.bus.call(self.path(0), PATH, 'SetWeight', 'q', 7)
        self.assertEqual(self.bus.call(ROOT_OBJECT, MANAGER, 'Save', 's', ''), [['link.conf']])
        (self.config / 'connections' / 'second.conf').unlink()
        self.assertEqual(self.bus.call(ROOT_OBJECT, MANAGER, 'Save', 's', ''), [['second.conf']])
        self.bus.busctl('set-property', bus.NAME, ROOT_OBJECT, MANAGER, 'Version', 's', 'the end', check=False)
        monitor.wait(lambda message: 'the end' in str(message))
        files = [(self.config / 'connections' / name).read_text() for name in ('link.conf', 'second.conf')]
        self.assertRegex(files[0], rf'\nauth_key_file *= {self.key_file}\n')
        self.assertRegex(files[1], r'\nauth_key_file *= second-key\n')
        everything = str([monitor.messages(), files, self.daemon.statistics(), self.daemon.log()])
        self.assertIn('HasKey', everything)
        self.assertIn('must hold 64 hexadecimal digits', everything)
        self.assertNotIn(KEY[:16], everything)


class WrongCalls(bus.BusTest):
    """Each is answered with a named error, and everything is as it was."""

    def setUp(self):
        super().setUp()
        self.daemon = self.start()
        self.before = self.everything()

    def everything(self):
        files = {path.name: path.read_text() for path in (self.config / 'connections').iterdir()}
        return self.bus.objects(), self.bus.get_all(ROOT_OBJECT, MANAGER), files, self.net['a'].network_state()

    def tearDown(self):
        self.assertEqual(self.everything(), self.before)
        super().tearDown()

    def test_file_names(self):
        for file in HOSTILE_FILES:
            for method in FILE_METHODS:
                text = self.refused('InvalidArgument', ROOT_OBJECT, MANAGER, method, f'string:{file}')
                self.assertLess(len(text), 400, 'it does not say it all back')

    def test_files_that_are_not_there(self):
        for method in ('Reload', 'Restart', 'Save', 'Delete'):
            self.refused('NotFound', ROOT_OBJECT, MANAGER, method, 'string:none.conf')
            text = self.refused('NotFound', ROOT_OBJECT, MANAGER, method, 'string:\u202ePr\u00fcfung.conf')
            self.assertIn('Pr\u00fcfung.conf', text)
            self.assertNotIn('\u202e', text, 'it turns what follows around')
        for method in ('Delete', 'Create'):  # these are for one
            self.refused('InvalidArgument', ROOT_OBJECT, MANAGER, method, 'string:')

    def test_interfaces_and_addresses(self):
        for method in ('AddAddress', 'RemoveAddress'):
            for address in ('', '10.9.0.1', '10.9.0.1/33', '10.9.0.1/-1', '300.1.1.1/8', 'fec0::1/129', '/', '10.9.0.1/24/24', 'x' * 5000,
                            '10.9.0.1/24 ', '::ffff:10.9.0.1/96'):
                text = self.refused('InvalidArgument', ROOT_OBJECT, MANAGER, method, f'string:{address}', 'string:eth1')
                self.assertLess(len(text), 400)
        for interface in ('', '.', '..', 'x' * 16, 'x' * 5000, 'eth1/..', 'eth 1', 'eth:1', 'eth%d', 'eth\u00e9'):
            self.refused('InvalidArgument', ROOT_OBJECT, MANAGER, 'AddAddress', 'string:10.9.0.1/24', f'string:{interface}')
            text = self.refused('InvalidArgument', ROOT_OBJECT, MANAGER, 'SetInterface', f'string:{interface}', 'boolean:false')
            self.assertLess(len(text), 400)
        self.refused('NotFound', ROOT_OBJECT, MANAGER, 'AddAddress', 'string:10.9.0.1/24', 'string:eth9')
        self.refused('NotFound', ROOT_OBJECT, MANAGER, 'RemoveAddress', 'string:10.9.0.1/24', 'string:eth1')
        self.refused('NotFound', ROOT_OBJECT, MANAGER, 'SetInterface', 'string:eth9', 'boolean:true')
        self.refused('InvalidArgument', ROOT_OBJECT, MANAGER, 'SetMetered', 'string:eth%d', 'boolean:true')
        self.refused('NotFound', ROOT_OBJECT, MANAGER, 'SetMetered', 'string:eth9', 'boolean:true')

    def test_weights(self):
        for weight in (0, 10001, 65535):
            self.refused('InvalidArgument', self.path(0), PATH, 'SetWeight', f'uint16:{weight}')

    def test_types(self):
        """sd-bus itself looks at them."""
        error = 'org.freedesktop.DBus.Error.InvalidArgs'
        for method in FILE_METHODS:
            for arguments in ([], ['uint32:1'], ['array:string:a,b'], ['string:', 'string:']):
                self.refused(error, ROOT_OBJECT, MANAGER, method, *arguments)
            self.refused(error, LINK, CONNECTION, method, 'string:link.conf')
        self.refused(error, ROOT_OBJECT, MANAGER, 'SetInterface', 'string:eth1', 'string:down')
        for arguments in ([], ['uint32:5'], ['int16:5'], ['string:5'], ['double:5'], ['uint16:5', 'uint16:5']):
            self.refused(error, self.path(0), PATH, 'SetWeight', *arguments)
        self.refused(error, self.path(0), PATH, 'Down')
        self.refused(error, self.path(0), PATH, 'Up', 'boolean:true')

    def test_names(self):
        unknown = 'org.freedesktop.DBus.Error.Unknown'
        for path in (f'{ROOT_OBJECT}/connection/none', self.path(2), f'{ROOT_OBJECT}/connection/link/path', self.path(0) + '/x',
                     f'{ROOT_OBJECT}/connection/' + 'x' * 5000, '/'):
            name, _ = self.bus.answer(path, PATH, 'Up')
            self.assertIn(name, (f'{unknown}Object', f'{unknown}Method', f'{unknown}Interface'), path)
        self.refused(f'{unknown}Method', self.path(0), PATH, 'NoSuchMethod')
        self.refused(f'{unknown}Method', self.path(0), CONNECTION, 'Restart')
        self.refused(f'{unknown}Property', ROOT_OBJECT, bus.PROPERTIES, 'Get', f'string:{MANAGER}', 'string:Key')

    def test_properties_are_for_reading(self):
        for path, interface, name, value in ((ROOT_OBJECT, MANAGER, 'AcceptRemote', 'boolean:true'),
                                             (self.path(0), PATH, 'WeightOut', 'uint16:9'), (LINK, CONNECTION, 'Status', 'byte:1')):
            self.refused('org.freedesktop.DBus.Error.PropertyReadOnly', path, bus.PROPERTIES, 'Set', f'string:{interface}', f'string:{name}',
                         f'variant:{value}')

    def test_create_without_a_key(self):
        self.refused('InvalidConfig', ROOT_OBJECT, MANAGER, 'Create', 'string:link.conf')
        self.refused('InvalidConfig', LINK, CONNECTION, 'Create')


class ReadOnlyDirectory(bus.BusTest):
    def test_what_cannot_be_written(self):
        """The bus says why, and the old file stays."""
        self.start(bus.MPTD)  # root writes everywhere
        self.bus.call(self.path(0), PATH, 'SetWeight', 'q', 7)
        file = self.config / 'connections' / 'link.conf'
        before = file.read_text()
        file.parent.chmod(0o555)
        for words in ((ROOT_OBJECT, MANAGER, 'Save', 'string:'), (LINK, CONNECTION, 'Save'),
                      (ROOT_OBJECT, MANAGER, 'Delete', 'string:link.conf'), (LINK, CONNECTION, 'Delete')):
            self.assertIn('link.conf', self.refused('NotPermitted', *words))
        self.assertEqual([path.name for path in file.parent.iterdir()], ['link.conf'])
        self.assertEqual(file.read_text(), before)
        self.assertTrue(self.bus.get(LINK, CONNECTION, 'Unsaved'))
        file.parent.chmod(0o755)
        self.assertEqual(self.bus.call(LINK, CONNECTION, 'Save'), [True])
        self.assertFalse(self.bus.get(LINK, CONNECTION, 'Unsaved'))


if __name__ == '__main__':
    bus.main()
