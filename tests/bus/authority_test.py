#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: with no polkit, with one that does as it is told (allows, refuses, hangs, dies), and with the real one."""

import bus
from bus import ALICE, BOB, CONNECTION, LINK, MANAGER, MPTD, PATH, ROOT, ROOT_OBJECT
import lab

CONTROL, CONFIGURE = 'org.mptd1.control', 'org.mptd1.configure'
PATH_1 = f'{LINK}/path/1'
# Every method that changes something, and the action that it takes.
METHODS = (
    (CONTROL, (ROOT_OBJECT, MANAGER, 'Reload', 'string:')),
    (CONTROL, (ROOT_OBJECT, MANAGER, 'Reload', 'string:link.conf')),
    (CONTROL, (ROOT_OBJECT, MANAGER, 'Restart', 'string:')),
    (CONTROL, (ROOT_OBJECT, MANAGER, 'Restart', 'string:link.conf')),
    (CONTROL, (ROOT_OBJECT, MANAGER, 'SetInterface', 'string:eth2', 'boolean:true')),
    (CONTROL, (ROOT_OBJECT, MANAGER, 'SetInterface', 'string:tun0', 'boolean:true')),
    (CONTROL, (LINK, CONNECTION, 'Reload')),
    (CONTROL, (LINK, CONNECTION, 'Restart')),
    (CONTROL, (PATH_1, PATH, 'Down', 'boolean:false')),
    (CONTROL, (PATH_1, PATH, 'Up')),
    (CONTROL, (PATH_1, PATH, 'SetWeight', 'uint16:3')),
    (CONFIGURE, (ROOT_OBJECT, MANAGER, 'SetInterface', 'string:lo', 'boolean:true')),
    (CONTROL, (ROOT_OBJECT, MANAGER, 'SetMetered', 'string:eth2', 'boolean:true')),
    (CONFIGURE, (ROOT_OBJECT, MANAGER, 'AddAddress', 'string:10.9.0.1/24', 'string:eth1')),
    (CONFIGURE, (ROOT_OBJECT, MANAGER, 'RemoveAddress', 'string:10.9.0.1/24', 'string:eth1')),
    (CONFIGURE, (ROOT_OBJECT, MANAGER, 'Create', 'string:link.conf')),
    (CONFIGURE, (LINK, CONNECTION, 'Create')),
    (CONFIGURE, (ROOT_OBJECT, MANAGER, 'Save', 'string:')),
    (CONFIGURE, (LINK, CONNECTION, 'Save')),
    (CONFIGURE, (LINK, CONNECTION, 'Delete')),
    (CONFIGURE, (ROOT_OBJECT, MANAGER, 'Delete', 'string:second.conf')),
)
CREATE_FAILS = 'InvalidConfig'  # the files here have no key for it


class AuthorityTest(bus.BusTest):
    def setUp(self):
        super().setUp()
        self.write('second.conf', self.second())

    def everything(self):
        files = {path.name: path.read_text() for path in (self.config / 'connections').iterdir()}
        return self.bus.objects(), self.bus.get_all(ROOT_OBJECT, MANAGER), files, self.net['a'].network_state()

    def check_methods(self, user, allowed=()):
        """The user may do what takes the allowed actions; the rest is refused and changes nothing."""
        for action, words in METHODS:
            if action not in allowed:
                before = self.everything()
                text = self.refused('NotAuthorized', *words, user=user)
                self.assertIn(action, text)
                self.assertEqual(self.everything(), before, words)
        for action, words in METHODS:
            if action in allowed and words[2] == 'Create':
                self.refused(CREATE_FAILS, *words, user=user)
            elif action in allowed:
                self.served(*words, user=user)

    def weight(self):
        return self.bus.get(self.path(0), PATH, 'WeightOut')

    def set_weight(self, weight, user=ROOT):
        return self.bus.send(self.path(0), PATH, 'SetWeight', f'uint16:{weight}', user=user)


class NoPolkit(AuthorityTest):
    def test_root_alone(self):
        self.start()
        self.check_methods(BOB)
        self.check_methods(ALICE)
        self.check_methods(ROOT, (CONTROL, CONFIGURE))

    def test_daemon_that_is_not_root(self):
        self.start(MPTD)
        self.check_methods(BOB)
        self.check_methods(MPTD)  # its user is one like others
        self.check_methods(ROOT, (CONTROL, CONFIGURE))


class Mock(AuthorityTest):
    """polkit does as it is told."""

    def begin(self, *actions, **general):
        (self.config / 'interface.conf').write_text(self.interface_conf(**general))
        self.bus.start_mock()
        self.questions = self.bus.monitor('org.freedesktop.PolicyKit1')
        self.start()
        self.bus.mock('SetAllowed', 'as', len(actions), *actions)

    def hang(self):
        self.bus.mock('SimulateHang', 'b', 'true')

    def asked(self):
        """What it was asked so far: the arguments of the calls."""
        return [message['payload']['data'] for message in self.questions.messages(member='CheckAuthorization')]

    def wait_until_asked(self, count=1):
        lab.wait_for(lambda: len(self.asked()) >= count, f'polkit is asked {count} times')

    def release(self):
        self.bus.mock('ReleaseHangingCalls')

    def test_refused(self):
        self.begin()
        self.check_methods(BOB)

    def test_control_alone(self):
        self.begin(CONTROL)
        self.check_methods(BOB, (CONTROL,))

    def test_configure_alone(self):
        self.begin(CONFIGURE)
        self.check_methods(BOB, (CONFIGURE,))

    def test_question(self):
        """What polkit is asked: who, what for, in words for people, and whether a person may be asked."""
        self.begin(CONTROL, CONFIGURE)
        for words, details, flags in (
                (('call', self.path(0), PATH, 'SetWeight', 'q', 12), {'connection': 'link', 'path': '0', 'weight': '12'}, 0),
                (('call', LINK, CONNECTION, 'Restart'), {'connection': 'link'}, 1),
                (('call', ROOT_OBJECT, MANAGER, 'AddAddress', 'ss', '10.9.0.1/24', 'eth1'), {'interface': 'eth1', 'address': '10.9.0.1/24'}, 1),
                (('call', ROOT_OBJECT, MANAGER, 'SetInterface', 'sb', 'eth1', 'true'), {'interface': 'eth1'}, 0),
                (('call', ROOT_OBJECT, MANAGER, 'Save', 's', 'link.conf'), {'file': 'link.conf'}, 0),
                (('call', ROOT_OBJECT, MANAGER, 'Reload', 's', ''), {}, 0)):
            before = len(self.asked())
            calls = self.bus.monitor()
            self.bus.call(*words[1:], user=BOB, interactive=flags == 1)
            self.wait_until_asked(before + 1)
            subject, _, said, said_flags, cancellation = self.asked()[before]
            caller = calls.wait(member=words[3])['sender']
            self.assertEqual(subject, ['system-bus-name', {'name': {'type': 's', 'data': caller}}])
            message = said.pop('polkit.message')
            self.assertEqual(said.pop('polkit.gettext_domain'), 'mptd')
            self.assertEqual(said, details)
            self.assertRegex(message, r'^Authentication is required to .*\.$')
            for key in details:
                self.assertIn(f'$({key})', message)
            self.assertEqual(said_flags, flags)
            self.assertTrue(cancellation)
        self.assertEqual([question[1] for question in self.asked()], [CONTROL, CONTROL, CONFIGURE, CONTROL, CONFIGURE, CONTROL])

    def test_others_are_served_while_it_hangs(self):
        self.begin(CONTROL)
        self.hang()
        waiting = self.set_weight(5, BOB)
        self.wait_until_asked()
        self.assertEqual(self.weight(), 1)
        self.bus.objects(ALICE)
        self.bus.call(ROOT_OBJECT, MANAGER, 'Reload', 's', '')
        self.bus.call(self.path(1), PATH, 'Down', 'b', 'false')
        self.assertIsNone(waiting.process.poll(), 'it waits')
        self.release()
        self.assertIsNone(waiting.answer()[0])
        self.assertEqual(self.weight(), 5)

    def test_second_change_while_the_first_waits(self):
        """Each is done when it is allowed."""
        self.begin(CONTROL)
        self.hang()
        first = self.set_weight(5, BOB)
        self.wait_until_asked(1)
        second = self.set_weight(6, ALICE)
        self.wait_until_asked(2)
        self.assertIsNone(self.set_weight(9).answer()[0])
        self.assertEqual(self.weight(), 9)
        self.release()
        self.assertIsNone(first.answer()[0])
        self.assertIsNone(second.answer()[0])
        self.assertEqual(self.weight(), 6)

    def test_too_late(self):
        """Without a person to ask, no answer within cmd_timeout means no, and polkit is told that nobody waits."""
        self.begin(CONTROL, cmd_timeout=1)
        self.hang()
        self.assertIn(CONTROL, self.refused('NotAuthorized', self.path(0), PATH, 'SetWeight', 'uint16:5', user=BOB))
        self.assertEqual(self.questions.data(member='CancelCheckAuthorization'), self.asked()[0][4:])
        self.release()
        self.bus.objects()  # what came too late has been seen by then
        self.assertEqual(self.weight(), 1)

    def test_person_has_time(self):
        """cmd_timeout is not for somebody who types a password."""
        self.begin(CONTROL, cmd_timeout=1)
        self.hang()
        call = self.bus.popen('--timeout=30', '--allow-interactive-authorization=yes', 'call', bus.NAME, self.path(0), PATH, 'SetWeight', 'q',
                              5, user=BOB)
        self.wait_until_asked()
        name, _ = self.set_weight(6, BOB).answer()  # comes later, and is over after cmd_timeout
        self.assertEqual(name, 'org.mptd1.Error.NotAuthorized')
        self.assertIsNone(call.poll(), 'it waits')
        self.release()
        self.assertEqual(call.wait(lab.PATIENCE), 0)
        self.assertEqual(self.weight(), 5)

    def test_polkit_dies(self):
        self.begin(CONTROL)
        self.hang()
        waiting = self.set_weight(5, BOB)
        self.wait_until_asked()
        self.bus.stop_polkit()
        self.assertEqual(waiting.answer()[0], 'org.mptd1.Error.NotAuthorized')
        self.assertEqual(self.weight(), 1)
        self.bus.start_mock()
        self.bus.mock('SetAllowed', 'as', 1, CONTROL)
        self.assertIsNone(self.set_weight(5, BOB).answer()[0])

    def test_what_it_is_for_goes_away(self):
        """Its own calls end at once, those that name it when they are allowed; what comes under its name later has nothing to do with them."""
        self.begin(CONTROL, CONFIGURE)
        self.hang()
        own = [self.bus.send(*words, user=BOB) for words in (
            (LINK, CONNECTION, 'Restart'), (LINK, CONNECTION, 'Reload'), (LINK, CONNECTION, 'Save'), (LINK, CONNECTION, 'Delete'),
            (self.path(0), PATH, 'SetWeight', 'uint16:5'), (self.path(0), PATH, 'Up'), (self.path(1), PATH, 'Down', 'boolean:true'))]
        named = [self.bus.send(ROOT_OBJECT, MANAGER, method, 'string:link.conf', user=BOB) for method in ('Restart', 'Delete')]
        self.wait_until_asked(len(own) + len(named))
        self.bus.call(LINK, CONNECTION, 'Delete')
        for call in own:
            self.assertEqual(call.answer()[0], 'org.mptd1.Error.NotFound')
        lab.wait_for(lambda: len(self.questions.messages(member='CancelCheckAuthorization')) == len(own), 'no password is asked for')
        self.release()
        for call in named:
            self.assertEqual(call.answer()[0], 'org.mptd1.Error.NotFound')
        self.assertEqual(self.bus.get(ROOT_OBJECT, MANAGER, 'Connections'), [f'{ROOT_OBJECT}/connection/second'])

    def test_interface_is_no_longer_ours(self):
        """What was allowed as control is not done where it takes more by then."""
        self.begin(CONTROL)
        self.net['a'].run('ip', 'link', 'add', 'eth7', 'type', 'veth', 'peer', 'name', 'eth8')
        link = self.link()
        self.write('link.conf', link.replace('eth2', 'eth7'))
        self.bus.call(ROOT_OBJECT, MANAGER, 'Reload', 's', '')
        self.hang()
        waiting = self.bus.send(ROOT_OBJECT, MANAGER, 'SetInterface', 'string:eth7', 'boolean:true', user=BOB)
        self.wait_until_asked()
        self.write('link.conf', link)
        self.bus.call(ROOT_OBJECT, MANAGER, 'Reload', 's', '')
        self.release()
        self.assertEqual(waiting.answer()[0], 'org.mptd1.Error.Conflict')
        self.assertNotIn('UP', self.net['a'].run('ip', '-br', 'link', 'show', 'eth7'))

    def test_caller_goes_away(self):
        self.begin(CONTROL, cmd_timeout=3600)
        self.hang()
        waiting = self.set_weight(5, BOB)
        self.wait_until_asked()
        waiting.drop()
        self.assertEqual(self.questions.data(member='CancelCheckAuthorization'), self.asked()[0][4:])
        self.release()
        self.bus.objects()
        self.assertEqual(self.weight(), 1)

    def test_too_many(self):
        """A user who asks without end takes nothing from others."""
        self.begin(CONTROL)
        self.hang()
        calls = [self.set_weight(100 + number, BOB) for number in range(20)]
        refused = lab.wait_for(lambda: len(over := [call for call in calls if call.process.poll() is not None]) >= 4 and over,
                               'some are too many')
        self.assertEqual(len(refused), 4)
        for call in refused:
            self.assertEqual(call.answer()[0], 'org.mptd1.Error.LimitsExceeded')
        other = self.set_weight(7, ALICE)
        self.wait_until_asked(17)
        self.assertIsNone(self.set_weight(8).answer()[0])
        self.assertEqual(self.weight(), 8)
        self.assertIsNone(other.process.poll(), 'it waits, and is not refused')
        for call in calls:
            if call not in refused:
                call.drop()
        lab.wait_for(lambda: len(self.questions.messages(member='CancelCheckAuthorization')) == 16, 'the others are dropped')
        self.release()
        self.assertIsNone(other.answer()[0])
        self.assertEqual(self.weight(), 7)


class Polkit(AuthorityTest):
    """The real one, with the actions and the example rule that are installed."""

    def begin(self, user):
        self.bus.start_polkitd(bus.POLKIT / '50-mpt-group.rules')
        self.start(user)

    def check(self):
        before = self.everything()
        self.check_methods(BOB)
        self.assertEqual(self.everything(), before)
        self.check_methods(ALICE, (CONTROL,))  # by the rule for her group
        self.check_methods(ROOT, (CONTROL, CONFIGURE))

    def test_daemon_that_is_root(self):
        self.begin(ROOT)
        self.check()

    def test_daemon_that_is_not(self):
        """The actions name its user as their owner: polkit answers nobody else, and takes no details."""
        self.begin(MPTD)
        self.check()

    def test_password(self):
        """Who might type one is told so; where nobody can ask, it is refused."""
        self.begin(MPTD)
        text = self.refused('NotAuthorized', self.path(0), PATH, 'Up', user=BOB)
        self.assertIn('password', text)
        with self.assertRaisesRegex(AssertionError, 'org.mptd1.control'):
            self.bus.call(self.path(0), PATH, 'Up', user=BOB, interactive=True)

    def test_actions(self):
        """As polkit has read them."""
        self.begin(ROOT)
        actions, = self.bus.busctl('call', 'org.freedesktop.PolicyKit1', '/org/freedesktop/PolicyKit1/Authority',
                                   'org.freedesktop.PolicyKit1.Authority', 'EnumerateActions', 's', '')['data']
        ours = {action[0]: action for action in actions if action[0].startswith('org.mptd1.')}
        self.assertEqual(set(ours), {CONTROL, CONFIGURE})
        for action in ours.values():
            _, description, message, _, _, _, any_, inactive, active, annotations = action
            self.assertTrue(description and message.endswith('.'))
            self.assertEqual((any_, inactive, active), (2, 2, 4))  # auth_admin, auth_admin, auth_admin_keep
            self.assertEqual(annotations, {'org.freedesktop.policykit.owner': 'unix-user:mptd'})


if __name__ == '__main__':
    bus.main()
