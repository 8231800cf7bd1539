#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Usage: lint.py {layers|files|format|python|shell} | lint.py {alone|tidy|analyse} BUILD-DIRECTORY

Checks the sources and prints each finding with its place; the exit status is 1 if there is one."""

import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAX_LINES = 600

# The layers, lowest first: a folder of daemon/ includes itself and what stands above it here, and the libraries of its line. What
# `base` knows (fmt, tl::expected) is known to all.
LAYERS = {
    'base': ('fmt/', 'tl/expected.hpp'),
    'config': ('ini.h', 'INIReader.h'),
    'proto': ('openssl/',),
    'core': (),
    'sys': ('systemd/',),
    'plane': (),
    'net': ('netlink/',),
    'service': (),
    # sdbus-c++ is made of sd-bus; the adaptors are generated from dbus/
    'bus': ('sdbus-c++/', 'systemd/sd-bus.h', 'connection_adaptor.hpp', 'manager_adaptor.hpp', 'path_adaptor.hpp', 'tunnel_adaptor.hpp'),
}
# Beyond the order: only main.cpp puts these together.
STRANGERS = {'net': {'plane'}, 'service': {'plane', 'net'}, 'bus': {'plane', 'net'}}
# These decide and compute: no descriptor, clock, log or thread.
PURE = ('base', 'config', 'proto', 'core')
IMPURE_HEADERS = re.compile(r'<(sys/|linux/|net/|netinet/|systemd/|unistd\.h|fcntl\.h|poll\.h|signal\.h|syslog\.h|pthread\.h|time\.h|'
                            r'ctime|csignal|cstdio|stdio\.h|iostream|fstream|filesystem|thread|mutex|shared_mutex|future|'
                            r'condition_variable|random)')
IMPURE_CODE = re.compile(r'\b(system_clock|steady_clock|high_resolution_clock|now\s*\(\)|getenv|gettimeofday|clock_gettime|'
                         r'fopen|s?rand|getrandom|syslog)\b')
LIBRARY_EXITS = re.compile(r'\b(std::(cout|cerr|clog|exit|abort|quick_exit)|f?printf|_exit)\b')
# The command is a client of the bus: of the daemon it takes the values and the files' grammar.
CLI_LAYERS = ('base', 'config')
CLI_LIBRARIES = ('fmt/', 'tl/expected.hpp', 'sdbus-c++/', 'systemd/sd-bus.h', 'CLI/',
                 'connection_proxy.hpp', 'manager_proxy.hpp', 'path_proxy.hpp', 'tunnel_proxy.hpp')  # generated from dbus/
CLI_FORBIDDEN = re.compile(r'<(linux/|netlink/|net/if|netinet/)|/dev/net/tun|AF_NETLINK')

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)
SYSTEM_PREFIXES = ('sys/', 'linux/', 'net/', 'netinet/', 'arpa/', 'bits/')
# Outside libraries that some line above names; any other header with a folder or a .hpp must be named too.
NAMED_LIBRARIES = {library for libraries in LAYERS.values() for library in libraries} | set(CLI_LIBRARIES)

SOURCES = ('.cpp', '.hpp')
COMMENTED = (*SOURCES, '.py', '.build', '.sh', '.yml', '.1', '.5', '.7', '.8', '.scd')
MACHINE = re.compile(r'(?<![\w.])/(?:work|root|home|Users)/|\.\./shared|\blocalhost\.localdomain\b')


def files():
    """Every file of the checkout, relative, without builds and hidden folders (but with .ci)."""
    for folder, folders, names in os.walk(ROOT):
        here = pathlib.Path(folder).relative_to(ROOT)
        folders[:] = sorted(name for name in folders
                            if name == '.ci' or not name.startswith(('.', '__')) and not (here == pathlib.Path() and name.startswith('build')))
        for name in sorted(names):
            if name != '.git':
                yield here / name


def text_of(file):
    return (ROOT / file).read_text(errors='replace')


def starts_with(file, interpreter):
    with (ROOT / file).open('rb') as opened:
        first = opened.readline()
    return first.startswith(b'#!') and interpreter in first


def includes(file):
    for number, line in enumerate(text_of(file).splitlines(), 1):
        if match := INCLUDE.match(line):
            yield number, match[1] == '"', match[2]


def is_library(header):
    return header in NAMED_LIBRARIES or header.startswith(tuple(NAMED_LIBRARIES)) or (
        '/' in header and not header.startswith(SYSTEM_PREFIXES)) or header.endswith('.hpp')


def check_includes(file, layers, libraries, strangers=()):
    """Findings of one file that may include these layers and libraries."""
    for number, ours, header in includes(file):
        if ours and header.startswith('daemon/'):
            layer = header.split('/')[1]
            if layer not in layers or layer in strangers:
                yield f'{file}:{number}: must not include {header}'
        elif ours:
            if not (ROOT / file.parts[0] / '..' / header).is_file():
                yield f'{file}:{number}: "{header}" is not a path from the root of the project'
        elif is_library(header) and not header.startswith(tuple(libraries)):
            yield f'{file}:{number}: must not use the library of <{header}>'


def matching_code(file, pattern, what):
    """Findings of the pattern outside comments and strings."""
    code = COMMENT_OR_STRING.sub(lambda match: '\n' * match[0].count('\n'), text_of(file))
    for number, line in enumerate(code.splitlines(), 1):
        if match := pattern.search(line):
            yield f'{file}:{number}: {what}: {match[0]}'


def layers():
    order = list(LAYERS)
    for file in files():
        if file.suffix not in SOURCES:
            continue
        if file.parts[0] == 'cli':
            yield from check_includes(file, CLI_LAYERS, CLI_LIBRARIES)
            for number, line in enumerate(text_of(file).splitlines(), 1):
                if CLI_FORBIDDEN.search(line):
                    yield f'{file}:{number}: the command talks to the bus alone: {line.strip()}'
        if file.parts[0] != 'daemon' or len(file.parts) == 2:
            continue
        layer = file.parts[1]
        if layer not in order:
            yield f'{file}: daemon/{layer} is no layer that tests/lint/lint.py knows'
            continue
        yield from check_includes(file, order[:order.index(layer) + 1], LAYERS['base'] + LAYERS[layer], STRANGERS.get(layer, ()))
        yield from matching_code(file, LIBRARY_EXITS, 'a library returns a Result; it does not print or exit')
        if layer in PURE:
            for number, ours, header in includes(file):
                if not ours and IMPURE_HEADERS.match(f'<{header}>'):
                    yield f'{file}:{number}: {layer} has no descriptor, clock, log or thread: <{header}>'
            yield from matching_code(file, IMPURE_CODE, f'{layer} has no descriptor, clock, log or thread')


def check_files():
    for file in files():
        if (ROOT / file).is_symlink() or b'\0' in (ROOT / file).read_bytes():
            continue
        lines = text_of(file).splitlines()
        script = bool(lines) and lines[0].startswith('#!')
        if file.suffix in COMMENTED or script:
            if not any('SPDX-License-Identifier: GPL-3.0-or-later' in line for line in lines[:2]):
                yield f'{file}:1: no SPDX-License-Identifier: GPL-3.0-or-later'
        if (file.suffix in (*SOURCES, '.py') or script) and len(lines) > MAX_LINES:
            yield f'{file}:{len(lines)}: more than {MAX_LINES} lines: it wants to be two files'
        if file.name != 'lint.py':
            for number, line in enumerate(lines, 1):
                if match := MACHINE.search(line):
                    yield f'{file}:{number}: a place on one machine: {match[0]}'
        if file.suffix == '.hpp' and not any(line == '#pragma once' for line in lines):
            yield f'{file}:1: no #pragma once'


def run(*command, cwd=ROOT):
    """The lines that a checking command has to say if it is not content."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return (done.stdout.splitlines() or [f'{command[0]} failed']) if done.returncode != 0 else []


def check_format():
    return run('clang-format-14', '--dry-run', '-Werror', *(str(file) for file in files() if file.suffix in SOURCES))


def check_python():
    return run('pyflakes3', *(str(file) for file in files() if file.suffix == '.py' or starts_with(file, b'python')))


def check_shell():
    scripts = [str(file) for file in files() if file.suffix == '.sh' or starts_with(file, b'bash') or starts_with(file, b'/sh')]
    return run('shellcheck', *scripts)


def unity_commands(build_directory, *folders):
    """Those of compile_commands.json that compile whole targets in these folders as one file each."""
    commands = json.loads(pathlib.Path(build_directory, 'compile_commands.json').read_text())
    ours = [entry for entry in commands if entry['file'].startswith(folders) and '-unity' in entry['file']]
    if not ours:
        sys.exit(f'{build_directory}: this is no unity build: meson setup -Dunity=on -Dunity_size=1000')
    return ours


def in_parallel(commands, cwd=ROOT):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda command: run(*command, cwd=cwd), commands)


def tidy(build_directory, checks='-clang-analyzer-*'):
    """All of .clang-tidy's checks but the static analyser, which takes longer than the others together. Target by target, which reads
    headers once: file by file takes five times as long."""
    options = ['--quiet', f'--checks={checks},-bugprone-suspicious-include', r'--header-filter=/(daemon|cli)/[^ ]*\.[ch]pp$', '-p', build_directory]
    files = [pathlib.Path(entry['directory'], entry['file']) for entry in unity_commands(build_directory, 'daemon/', 'cli/')]
    for said in in_parallel(['clang-tidy-14', *options, file] for file in files):
        yield from (line for line in said if not re.search(r'warnings? generated|warnings treated as errors', line))


def alone(build_directory):
    """Every file of the daemon and the command compiles by itself, as in the builds of users: in a unity build it may live on what the one
    before it includes."""
    commands = []
    for entry in unity_commands(build_directory, 'daemon/', 'cli/'):
        words = [word for word in shlex.split(entry['command']) if word != 'ccache']
        words = words[:words.index('-MD')] + ['-fsyntax-only']
        whole = pathlib.Path(entry['directory'], entry['file']).read_text()
        for file in re.findall(r'#include\s*<([^>]+)>', whole):
            commands.append([*words, pathlib.Path(file).resolve()])
    for said in in_parallel(commands, build_directory):
        yield from said


def analyse(build_directory):
    return tidy(build_directory, '-*,clang-analyzer-*')


def main():
    checks = {'layers': layers, 'files': check_files, 'format': check_format, 'python': check_python, 'shell': check_shell, 'tidy': tidy,
              'analyse': analyse, 'alone': alone}
    if len(sys.argv) < 2 or sys.argv[1] not in checks:
        sys.exit(__doc__)
    findings = list(checks[sys.argv[1]](*sys.argv[2:]))
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())
