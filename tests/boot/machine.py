# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that boot: containers with a Debian of their own, systemd, system bus, polkit and NetworkManager, in the network namespaces of
a lab; and the package of mptd. Needs root. Everything is gone again after Lab.close()."""

import contextlib
import fcntl
import functools
import json
import os
import pathlib
import re
import select
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'net'))
import lab  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
BOOT_PATIENCE = 90  # seconds
ENVIRONMENT = {'HOME': '/root', 'LANG': 'C.UTF-8', 'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'}


class Machine:
    """A machine that has booted, in the namespace of a host of a lab: a clean Debian."""

    def __init__(self, host):
        self.host = host
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix='machine-', dir=host.lab.directory))
        self._console = self.directory / 'console'
        mounts = self.directory / 'mounts'
        mounts.mkdir()
        with self._console.open('wb') as console:
            self._process = subprocess.Popen(
                ['setpriv', '--pdeathsig', 'KILL', '--', 'unshare', '--mount', HERE / 'nspawn', host.name, host.namespace, debian(), mounts],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        host.lab.processes.append(self._process)
        self._wait_for_boot()

    def _leader(self):
        """The first process of the machine, as it is called here; None while there is none."""
        ours = os.readlink('/proc/self/ns/pid')
        waiting = [self._process.pid]
        while waiting:
            process = waiting.pop()
            with contextlib.suppress(OSError):
                if os.readlink(f'/proc/{process}/ns/pid') != ours:
                    return process
                waiting += pathlib.Path(f'/proc/{process}/task/{process}/children').read_text().split()
        return None

    def _wait_for_boot(self):
        def is_up():
            if self._process.poll() is not None:
                raise AssertionError(f'{self.host.name} ended:\n{self._console.read_text(errors="replace")[-2000:]}')
            return self.run('systemctl', 'is-system-running', '--wait', check=False).strip() in ('running', 'degraded')

        lab.wait_for(is_up, f'{self.host.name} boots', BOOT_PATIENCE)

    def command(self, command):
        """What runs the command there as root, outside of every unit."""
        leader = self._leader()
        return ['nsenter', '-t', str(leader), '-m', '-u', '-i', '-n', '-p', '-C', '-r', '-w', '--', *map(str, command)] if leader else ['false']

    def run(self, *command, check=True, **options):
        """Runs the command as root, outside of every unit; its standard output."""
        return self.complete(*command, check=check, **options).stdout

    def complete(self, *command, check=False, **options):
        options = {'capture_output': True, 'text': True, 'timeout': 120, 'env': ENVIRONMENT, 'stdin': subprocess.DEVNULL, **options}
        done = subprocess.run(self.command(command), check=False, **options)
        if check and done.returncode != 0:
            raise AssertionError(f'{" ".join(map(str, command))} on {self.host.name}: {done.returncode}\n{done.stdout}{done.stderr}')
        return done

    def as_user(self, user, *command):
        """Runs the command as somebody else, in a unit of its own; (exit status, what it said)."""
        done = self.complete('systemd-run', '--quiet', '--pipe', '--wait', '--collect', f'--uid={user}', *command)
        return done.returncode, done.stdout + done.stderr

    def write(self, path, text, mode=None):
        """A file there; as a shell with the usual umask would make it, unless its mode is given."""
        self.run('sh', '-c', 'mkdir -p "$(dirname "$0")" && cat >"$0"' + (f' && chmod {mode:o} "$0"' if mode else ''), path, input=text, stdin=None)

    def copy(self, file, folder):
        with open(file, 'rb') as opened:
            self.run('sh', '-c', 'cat >"$0"', f'{folder}/{file.name}', stdin=opened)

    def reboot(self):
        """Returns when it has booted again."""
        before = self._leader()
        self.run('systemctl', 'reboot', check=False)
        lab.wait_for(lambda: self._leader() not in (before, None), f'{self.host.name} reboots', BOOT_PATIENCE)
        self._wait_for_boot()

    def ping(self, address, *options, count=10):
        return lab.ping(self.run, address, *options, count=count)

    def journal(self, *options):
        """With all that was said before."""
        self.run('journalctl', '--sync')
        return self.run('journalctl', '--no-pager', '-o', 'cat', *options)

    def property(self, name, unit='mptd'):
        return self.run('systemctl', 'show', '--value', '-p', name, unit).strip()

    def hears_secrets(self, program):
        """Whether the terminal of the program of that name shows nothing of what is typed. What is typed before that is thrown away."""
        for line in self.complete('sh', '-c', 'cat /proc/[0-9]*/stat').stdout.splitlines():
            if f'({program})' in line:
                terminal = int(line.rpartition(')')[2].split()[4])  # proc(5), tty_nr
                minor = terminal & 0xff | terminal >> 12 & 0xfff00
                return '-echo ' in self.complete('stty', '-a', '-F', f'/dev/pts/{minor}').stdout
        return False

    def files(self):
        """Paths of all files, folders and links but those that come and go by themselves, with owner, group and mode."""
        said = self.run('find', '/', '-xdev', '-printf', '%p %U:%G %m\n')
        volatile = re.compile(r'/(proc|sys|dev|run|tmp|var/(cache|lib/(apt|dpkg|systemd|NetworkManager)|log|tmp))(/| )|/etc/(passwd|group|shadow|gshadow|subuid|subgid|\.pwd\.lock)-? ')
        return {line for line in said.splitlines() if not volatile.match(line)}

    def accounts(self):
        return {line for name in ('passwd', 'group') for line in self.run('cat', f'/etc/{name}').splitlines()}


class Terminal:
    """A command on a machine with a terminal of its own, at which somebody sits."""

    def __init__(self, host, *command):
        self.said = ''
        self._process = subprocess.Popen(host.command(['script', '-q', '-e', '-c', shlex.join(command), '/dev/null']), env=ENVIRONMENT,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def wait(self, text):
        """Until it says that."""
        deadline = time.monotonic() + lab.PATIENCE
        while text not in self.said:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0, deadline - time.monotonic()))
            octets = os.read(self._process.stdout.fileno(), 4096) if ready else b''
            if not octets:
                raise AssertionError(f'no "{text}" on the terminal, but: {self.said}')
            self.said += octets.decode(errors='replace')

    def type(self, line):
        self._process.stdin.write(f'{line}\n'.encode())
        self._process.stdin.flush()

    def end(self):
        """Its exit status, when it has ended."""
        return self._process.wait(lab.PATIENCE)

    def __exit__(self, *unused):
        self._process.kill()
        self._process.communicate()


def remove_groups():
    """The control groups of machines whose process is gone."""
    script = '''
        mount -t cgroup2 none /mnt
        for group in /mnt/mptd-lab*; do
            process=${group#/mnt/mptd-lab}
            [ -d "$group" ] && { [ "${process%%-*}" = "$0" ] || [ ! -d "/proc/${process%%-*}" ]; } || continue
            echo 1 >"$group/cgroup.kill"
            for _ in 1 2 3 4 5 6 7 8 9 10; do
                find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
                sleep 0.1
            done
        done'''
    subprocess.run(['unshare', '--mount', 'bash', '-c', script, str(os.getpid())], check=False)


@functools.cache
def _shared():
    """A folder of all the tests of a script."""
    return lab.Lab().directory


@functools.cache
def debian():
    """A clean Debian, from the archive that the environment variable ROOTFS names; made if it is missing."""
    archive = pathlib.Path(os.environ['ROOTFS'])
    subprocess.run([HERE / 'rootfs', archive], check=True)
    directory = _shared() / 'debian'
    directory.mkdir()
    subprocess.run(['tar', '-C', directory, '--numeric-owner', '--exclude=./dev/*', '-xf', archive], check=True)
    for place in ('usr/sbin/policy-rc.d', 'etc/fstab'):
        (directory / place).unlink(missing_ok=True)
    (directory / 'etc/NetworkManager/conf.d/test.conf').write_text('[main]\nno-auto-default=*\n')
    return directory


def package():
    """The file of the package of the build that BUILD names."""
    return _packages()[0]


def older_package():
    """The same with a lower version."""
    return _packages()[1]


@functools.cache
def _packages():
    """Both. Built once for all tests of the build; they are kept beside the archive that ROOTFS names."""
    directory = _shared()
    kept = pathlib.Path(os.environ['ROOTFS']).with_name('package')
    kept.mkdir(parents=True, exist_ok=True)
    content = _package_content()
    with (kept / 'lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (kept / 'content').exists() or (kept / 'content').read_text() != content:
            (kept / 'content').unlink(missing_ok=True)
            _build_package(directory, kept)
            (kept / 'content').write_text(content)
        return [shutil.copy(kept / f'{name}.deb', directory / f'mptd_{name}.deb') for name in ('newer', 'older')]


def _package_content():
    """Which files the package is made of, and when they were written."""
    said = subprocess.run(['meson', 'introspect', '--installed', os.environ['BUILD']], capture_output=True, text=True, check=True).stdout
    places = [pathlib.Path(place) for place in json.loads(said)] + [lab.ROOT / name for name in ('debian', 'README.md', 'CHANGELOG.md')]
    files = sorted(file for place in places for file in (place, *place.rglob('*')) if file.is_file())
    return ''.join(f'{file} {file.stat().st_size} {file.stat().st_mtime_ns}\n' for file in files)


def _build_package(directory, kept):
    tree = directory / 'mptd'
    tree.mkdir()
    shutil.copytree(lab.ROOT / 'debian', tree / 'debian')
    for file in ('README.md', 'CHANGELOG.md'):
        shutil.copy(lab.ROOT / file, tree)
    done = subprocess.run(['dpkg-buildpackage', '-b', '-us', '-uc', '-d'], cwd=tree, capture_output=True, text=True, check=False,
                          env={**os.environ, 'MPTD_BUILD': os.environ['BUILD'], 'DEB_BUILD_OPTIONS': 'noautodbgsym'})
    if done.returncode != 0:
        raise AssertionError(f'dpkg-buildpackage: {done.stdout[-3000:]}{done.stderr[-3000:]}')
    (package,) = directory.glob('mptd_*.deb')
    subprocess.run(['dpkg-deb', '-R', package, directory / 'older'], check=True)
    shutil.move(package, kept / 'newer.deb')
    control = directory / 'older/DEBIAN/control'
    control.write_text(re.sub(r'^Version: .*$', lambda match: match[0] + '~0', control.read_text(), flags=re.M))
    subprocess.run(['dpkg-deb', '--root-owner-group', '-b', directory / 'older', kept / 'older.deb'], check=True, stdout=subprocess.DEVNULL)


def install(host, package):
    host.copy(package, '/var/tmp')
    host.run('apt-get', '-q', '-y', '--no-install-recommends', 'install', f'/var/tmp/{package.name}')


def say(text):
    """Beside the tests' results."""
    print(f'# {text}', flush=True)


def main():
    """Runs the tests of the calling script."""
    if os.geteuid() == 0:
        _require()
    try:
        lab.main()
    finally:
        remove_groups()


def _require():
    """Says why, and ends, if machines cannot boot here."""
    for program in ('systemd-nspawn', 'mmdebstrap', 'dpkg-buildpackage', 'dh', 'lintian', 'nsenter', 'dnsmasq'):
        if shutil.which(program) is None:
            print(f'1..0 # SKIP there is no {program} (tests/tools/packages check installs it)')
            sys.exit(0)
    said = subprocess.run(['meson', 'introspect', '--buildoptions', os.environ['BUILD']], capture_output=True, text=True, check=True).stdout
    options = {option['name']: option['value'] for option in json.loads(said)}
    if options['prefix'] != '/usr' or options['sysconfdir'] not in ('/etc', 'etc'):
        print('1..0 # SKIP a package needs a build with --prefix=/usr --sysconfdir=/etc')
        sys.exit(0)


if __name__ == '__main__':
    remove_groups()
