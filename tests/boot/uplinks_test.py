#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine whose uplinks a manager of the network sets up by DHCP, NetworkManager or systemd-networkd: the paths follow their leases, the
tunnel's interface is left alone, and the service is told which uplinks are metered. Times are printed, not judged."""

import contextlib
import datetime
import json
import os
import re
import socket
import subprocess
import time

import machine
import lab
from machine import install, package, say

UNIT = 'mptd.service'
SERVER, PEER = '203.0.113.9', '10.0.0.3'
DISPATCHER = '/usr/lib/networkd-dispatcher/routable.d/50-mptd'
LINK_KEYS = {'keepalive_msec': 100, 'dead_msec': 1000}
AUTHENTICATION = {'auth_type': 3, 'auth_key': 'c3' * 32}
ETH_P_ALL = 3


class Leased(lab.LabTest):
    """Machine a has two uplinks, to networks with a DHCP server and a router of their own; server s has one address behind both routers, and
    does not know where a is. Router r stands for both."""

    def setUp(self):
        self.net = net = self.make_lab('a', 'r', 's')
        self.leases, self.dhcp = {}, {}
        for number in (1, 2):
            net.link('a', 'r', f'eth{number}', (), [f'10.{number}.{subnet}.1/24' for subnet in (0, 7)])
        net.link('s', 'r', 'eth0', [f'{SERVER}/24'], ['203.0.113.1/24'])
        net['r'].run('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1')
        net['s'].run('ip', 'route', 'add', 'default', 'via', '203.0.113.1')
        for number in (1, 2):
            self.serve(number, 0)
        paths = [lab.path('eth0', SERVER, '0.0.0.0', private_ipaddr=SERVER, **LINK_KEYS)] * 2
        self.server = lab.Daemon(net['s'], lab.write_config(net.directory / 's', lab.tunnels((f'{PEER}/24', 'fec0::3/64')),
                                                            link=lab.connection(PEER, '10.0.0.2', paths, **AUTHENTICATION)))
        self.host = machine.Machine(net['a'])
        install(self.host, package())
        paths = [lab.path(f'eth{number}', '0.0.0.0', SERVER, private_ipaddr='0.0.0.0', gateway_ipaddr='0.0.0.0', **LINK_KEYS) for number in (1, 2)]
        self.host.write('/etc/mpt/interface.conf', lab.tunnels(('10.0.0.2/24', 'fec0::2/64')))
        self.host.write('/etc/mpt/connections/link.conf', lab.connection('10.0.0.2', PEER, paths, **AUTHENTICATION), mode=0o640)

    def serve(self, number, subnet, *options):
        """From now on the network behind this uplink is 10.NUMBER.SUBNET.0/24, and leases one address."""
        address = self.leases[number] = f'10.{number}.{subnet}.50'
        if number in self.dhcp:
            self.dhcp[number].kill()
            self.dhcp[number].wait()
        self.dhcp[number] = self.net['r'].start(
            'dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--user=root', '--pid-file=', '--log-facility=/dev/null', '--port=0', '--no-ping',
            f'--interface=eth{number}', '--except-interface=lo', '--bind-interfaces', '--dhcp-authoritative',
            f'--dhcp-leasefile={self.net.directory}/leases{number}', f'--dhcp-range={address},{address},255.255.255.0,2m',
            f'--dhcp-option=option:router,10.{number}.{subnet}.1', *options)

    def path(self, number):
        """What the status has of the path over eth1 or eth2."""
        said = self.host.complete('mpt', 'status', '--json')
        return json.loads(said.stdout)['connections'][0]['paths'][number - 1] if said.returncode == 0 else {}

    def wait_for_path(self, number, **expected):
        def is_so():
            path = self.path(number)
            return all(path.get(key) == value for key, value in expected.items())

        lab.wait_for(is_so, f'path over eth{number}: {expected}', machine.BOOT_PATIENCE)

    def wait_for_leases(self):
        for number, address in self.leases.items():
            self.wait_for_path(number, status='up', local_address=address, gateway_address=re.sub(r'\.50$', '.1', address))
            self.wait_for_server(number, 'up')

    def wait_for_server(self, number, status):
        lab.wait_for(lambda: self.server.statistics().path(number - 1)['status'] == status, f'to the server the path over eth{number} is {status}')

    def ping(self):
        lab.wait_for(lambda: ' 0% packet loss' in self.host.run('ping', '-q', '-c', 10, '-i', 0.02, '-W', 1, PEER, check=False), 'no packet is lost any more')

    def tunnel(self):
        """All that the kernel knows of the tunnel's interface but counters."""
        return [json.loads(self.host.run('ip', '-j', *what.split()))
                for what in ('link show tun0', 'address show tun0', 'route show dev tun0', '-6 route show dev tun0')]

    @contextlib.contextmanager
    def untouched_tunnel(self):
        """The kernel has nothing to tell of the tunnel's addresses and routes meanwhile, and it is as it was. (NetworkManager resets addr_gen_mode
        of every interface when it ends.)"""
        before = self.tunnel()
        with self.net['a'].monitor('monitor', 'address', 'route', 'dev', 'tun0') as monitor:
            yield
            monitor.kill()
            self.assertEqual(monitor.stdout.read(), '')
        self.assertEqual(self.tunnel(), before)


class NetworkManager(Leased):
    def setUp(self):
        super().setUp()
        for number in (1, 2):
            self.host.run('nmcli', 'connection', 'add', 'type', 'ethernet', 'con-name', f'up{number}', 'ifname', f'eth{number}', 'ipv4.method', 'auto',
                          'ipv6.method', 'disabled')
        self.host.run('systemctl', 'enable', '--now', UNIT)
        self.wait_for_leases()
        self.process = self.host.property('MainPID')

    def replug(self, number, subnet):
        """The cable goes into another network; how long after the new address is there the path sends from it by the new router, and then
        has packets for it, in milliseconds."""
        host, router = self.net['a'], self.net['r']
        router.run('ip', 'link', 'set', f'eth{number}', 'down')
        self.wait_for_path(number, status='interface-down', local_address='')  # NetworkManager gives it up after 5 s
        self.serve(number, subnet)
        address = self.leases[number]
        with (host.monitor('-ts', 'monitor', 'address', 'dev', f'eth{number}', env={**os.environ, 'TZ': 'UTC0'}) as monitor,
              host.start('ping', '-q', '-i', 0.01, '-s', 1000, PEER, stdout=subprocess.DEVNULL) as ping):
            router.run('ip', 'link', 'set', f'eth{number}', 'up')
            frames = router.socket(socket.AF_PACKET, socket.SOCK_RAW, (f'eth{number}', ETH_P_ALL), socket.htons(ETH_P_ALL))
            frames.settimeout(machine.BOOT_PATIENCE)

            def wait_for_frame(place, least):
                """On the path, of that many octets, with the new address in that place; when it came."""
                while not (len(frame := frames.recv(2048)) >= least and frame[12:14] == b'\x08\x00' and frame[23] == socket.IPPROTO_UDP
                           and frame[place:place + 4] == socket.inet_aton(address) and int.from_bytes(frame[36:38], 'big') == lab.DATA_PORT):
                    pass
                return frame, time.time()

            first, sent = wait_for_frame(26, 0)
            _, came = wait_for_frame(30, 1000)
            ping.kill()
            monitor.kill()
            said = monitor.stdout.read()
        at_router = json.loads(router.run('ip', '-j', 'link', 'show', f'eth{number}'))[0]['address']
        self.assertEqual(first[:6], bytes.fromhex(at_router.replace(':', '')))
        stamp = re.search(rf'\[(\S+)\] (?!Deleted).* inet {re.escape(address)}/24', said)[1]
        there = datetime.datetime.fromisoformat(f'{stamp}+00:00').timestamp()
        return 1000 * (sent - there), 1000 * (came - there)

    def test_leases(self):
        """Another network at an uplink: another address, another router; without a restart."""
        listener = self.net['s'].socket(socket.AF_INET, socket.SOCK_STREAM, (PEER, 5001))
        listener.listen()
        client = self.net['a'].socket(socket.AF_INET, socket.SOCK_STREAM)
        client.connect((PEER, 5001))
        server, _ = listener.accept()
        server.settimeout(lab.PATIENCE)
        self.addCleanup(server.close)
        for number, subnet in ((1, 7), (1, 0), (2, 7)):
            sent, came = self.replug(number, subnet)
            say(f'with its new lease a path sends after {sent:.0f} ms, and its peer to it after {came:.0f} ms')
            self.wait_for_leases()
            for source, sink in ((client, server), (server, client)):
                octets = os.urandom(20_000)
                source.sendall(octets)
                received = b''
                while len(received) < len(octets):
                    received += sink.recv(len(octets)) or self.fail('the connection has ended')
                self.assertEqual(received, octets)
        for command, status in ((('connection', 'down', 'up1'), 'address-missing'), (('connection', 'up', 'up1'), 'up'),
                                (('device', 'disconnect', 'eth1'), 'address-missing'), (('device', 'connect', 'eth1'), 'up')):
            self.host.run('nmcli', *command)
            self.wait_for_path(1, status=status)
            self.wait_for_server(1, 'up' if status == 'up' else 'dead')
            self.ping()
        self.wait_for_leases()
        self.assertEqual(self.host.property('MainPID'), self.process)

    def states(self):
        return dict(line.split(':') for line in self.host.run('nmcli', '-t', '-f', 'DEVICE,STATE', 'device').splitlines())

    def test_tunnel_is_left_alone(self):
        """Whatever NetworkManager is told; and others' interfaces of that kind are not."""
        lab.wait_for(lambda: self.states().get('tun0') == 'unmanaged', 'NetworkManager knows')
        with self.untouched_tunnel():
            for verb in ('connect', 'disconnect', 'reapply'):
                self.assertNotEqual(self.host.complete('nmcli', '--wait', '5', 'device', verb, 'tun0').returncode, 0)
            self.host.run('systemctl', 'restart', 'NetworkManager')
            self.host.run('nm-online', '-q', '-t', 30)
            lab.wait_for(lambda: self.states().get('tun0') == 'unmanaged', 'it knows after its restart, too')
        self.host.run('ip', 'tuntap', 'add', 'tun00', 'mode', 'tun')
        self.host.run('ip', 'address', 'add', '10.98.0.1/24', 'dev', 'tun00')
        self.host.run('ip', 'link', 'set', 'tun00', 'up')
        lab.wait_for(lambda: self.states().get('tun00', 'unmanaged') != 'unmanaged', 'another one is not ours')
        self.wait_for_leases()
        # another name
        self.host.write('/etc/mpt/interface.conf', lab.tunnels(('10.0.0.2/24', 'fec0::2/64')).replace('tun0', 'my-tunnel ; of ours'))
        self.host.run('systemctl', 'restart', UNIT)
        lab.wait_for(lambda: self.states().get('my-tunnel') == 'unmanaged', 'the new one')

    def test_metered(self):
        """NetworkManager says so; over a restart of each, too. Nothing is started by it."""
        self.assertEqual([self.path(number)['metered'] for number in (1, 2)], [False, False])
        self.host.run('nmcli', 'connection', 'modify', 'up2', 'connection.metered', 'yes')
        self.host.run('nmcli', 'device', 'reapply', 'eth2')
        self.wait_for_path(2, metered=True)
        self.assertFalse(self.path(1)['metered'])
        self.assertIn('metered', self.host.run('mpt', 'status'))
        self.host.run('nmcli', 'connection', 'down', 'up2')
        self.wait_for_path(2, metered=False)
        self.host.run('nmcli', 'connection', 'up', 'up2')
        self.wait_for_path(2, metered=True)
        self.host.run('systemctl', 'restart', UNIT)
        self.wait_for_path(2, metered=True)
        self.host.run('systemctl', 'stop', UNIT)
        for action in ('up', 'down'):
            began = time.monotonic()
            done = self.host.complete('/usr/lib/NetworkManager/dispatcher.d/50-mptd', 'eth2', action)
            say(f'the script, without mptd: {1000 * (time.monotonic() - began):.0f} ms')
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ''))
        self.assertEqual(self.host.property('ActiveState'), 'inactive')
        self.assertNotIn('50-mptd', self.host.journal('-u', 'NetworkManager-dispatcher', '-p', 'warning'))


class Networkd(Leased):
    def test_networkd(self):
        self.host.run('systemctl', 'disable', '--now', 'NetworkManager')
        self.host.write('/etc/systemd/network/50-all.network', '[Match]\nName=*\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n')
        self.serve(2, 0, '--dhcp-option-force=43,ANDROID_METERED')
        self.host.run('systemctl', 'start', UNIT, 'systemd-networkd')
        self.wait_for_leases()
        links = {link['Name']: link for link in json.loads(self.host.run('networkctl', '--json=short'))['Interfaces']}
        self.assertEqual({name: link['AdministrativeState'] for name, link in links.items() if name != 'lo'},
                         {'eth1': 'configured', 'eth2': 'configured', 'tun0': 'unmanaged'})
        # as networkd-dispatcher does
        for number in (1, 2):
            self.host.run('env', f'IFACE=eth{number}', 'STATE=routable', DISPATCHER)
        self.assertEqual([self.path(number)['metered'] for number in (1, 2)], [False, True])
        with self.untouched_tunnel():
            self.host.run('systemctl', 'restart', 'systemd-networkd')
            self.wait_for_leases()
        self.host.run('systemctl', 'restart', UNIT)
        self.wait_for_path(2, metered=True)
        self.serve(2, 7)
        self.host.run('networkctl', 'reconfigure', 'eth2')
        self.wait_for_leases()
        self.ping()
        self.host.run('env', 'IFACE=eth2', 'STATE=routable', DISPATCHER)
        self.assertFalse(self.path(2)['metered'])
        self.host.run('systemctl', 'stop', UNIT)
        self.host.run('env', 'IFACE=eth2', 'STATE=routable', DISPATCHER)
        self.assertEqual(self.host.property('ActiveState'), 'inactive')


if __name__ == '__main__':
    machine.main()
