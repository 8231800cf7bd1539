#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Usage: man.py

Checks the manual pages: they build, mandoc is content, and they say of keys, counters, the sample configuration and the D-Bus
interfaces what the code, conf/, dbus/ and polkit/ say. Prints each finding with its place; the exit status is 1 if there is one."""

import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'daemon/config'

# What scdoc makes of every page: it puts a .P before and after each heading.
SCDOC_MAKES = re.compile(r'WARNING: skipping paragraph macro: PP (empty|after S[HS])$')

# The page and heading that describe the keys of a table of fields.
TABLES = {
    'kGeneralFields': ('mpt-interface.conf.5', '# [GENERAL] SECTION'),
    'kTunnelFields': ('mpt-interface.conf.5', '# [TUN_N] SECTIONS'),
    'kConnectionFields': ('mpt-connection.conf.5', '# [CONNECTION] SECTION'),
    'kPathFields': ('mpt-connection.conf.5', '# [PATH_N] SECTIONS'),
    'kNetworkFields': ('mpt-connection.conf.5', '# [NET_N] SECTIONS'),
}
# The page whose examples have a file of conf/, without its comments.
SAMPLES = {'interface.conf': 'mpt-interface.conf.5', 'to-host-*.conf': 'mpt-connection.conf.5'}
# The headings under which the page of the D-Bus interfaces describes them.
API_PAGE = 'org.mptd1.5'
API = {'Manager': '# THE MANAGER', 'Tunnel': '# TUNNELS', 'Connection': '# CONNECTIONS', 'Path': '# PATHS'}


def source(page):
    return (ROOT / 'man' / f'{page}.scd').read_text()


def lint(page):
    """What scdoc and mandoc have to say."""
    built = subprocess.run(['scdoc'], input=re.sub(r'@\w+@', '/somewhere', source(page)), capture_output=True, text=True, check=False)
    if built.returncode != 0:
        yield from built.stderr.splitlines()
        return
    said = subprocess.run(['mandoc', '-T', 'lint', '-W', 'warning'], input=built.stdout, capture_output=True, text=True, check=False)
    for line in (said.stdout + said.stderr).splitlines():
        if not SCDOC_MAKES.search(line):
            yield f'{line} (the line is of the built page)'


def split(text):
    """The parts of a list in C++ between commas outside parentheses and angle brackets."""
    part, depth = '', 0
    for char in re.sub(r'//.*', '', text):
        depth += (char in '(<{') - (char in ')>}')
        if char == ',' and depth == 0:
            yield part.strip()
            part = ''
        else:
            part += char
    if part.strip():
        yield part.strip()


def keys_of(field, code):
    """The spellings of a field, an expression that makes one; none if it is not understood."""
    helper = re.match(r'(?:field::)?(\w+)(?:<[^"]*>)?\(\)$', field)
    if helper is None:
        return re.findall(r'\("(\w+)"', field)[:1]
    body = re.search(rf'^(?:constexpr|template <auto M> constexpr) Field<[^\n]*> {helper[1]}\(\)\n\{{\n(.*?)^\}}', code, re.M | re.S)
    if body is None:
        return []
    first = re.search(r'Field<\w+> field =\s[^;]*?\((?:"(\w+)"|(k\w+)\b)', body[1])
    if first is None:
        return []
    name = first[1] or re.search(rf'\b{first[2]} = "(\w+)"', code)[1]
    return [name] + re.findall(r'field\.other = "(\w+)"', body[1])


def keys_of_code():
    """The keys of each table."""
    code = ''.join((CONFIG / name).read_text() for name in ('interface.cpp', 'connection.cpp', 'fields.hpp'))
    for table, fields in re.findall(r'constexpr std::array (k\w+Fields)\{\n(.*?)^\};', code, re.M | re.S):
        keys = []
        for field in split(fields):
            found = keys_of(field, code)
            if not found:
                yield table, f'cannot tell the key of {field}'
            keys += found
        yield table, keys


def section_of(page, heading):
    """The text under a heading; None if there is no such heading."""
    section = re.search(rf'^{re.escape(heading)}\n(.*?)(?=^# |\Z)', source(page), re.M | re.S)
    return section and section[1]


def keys_of_page(page, heading):
    section = section_of(page, heading)
    if section is None:
        return None
    terms = re.findall(r'^(\*\w+\* = .*)$', section, re.M)
    return [key for term in terms for key in re.findall(r'\*(\w+)\* = ', term)]


def check_keys():
    seen = set()
    for table, keys in keys_of_code():
        if isinstance(keys, str):
            yield f'tests/lint/man.py: {table}: {keys}'
            continue
        seen.add(table)
        if table not in TABLES:
            yield f'tests/lint/man.py: no page is named for {table}'
            continue
        page, heading = TABLES[table]
        documented = keys_of_page(page, heading)
        if documented is None:
            yield f'man/{page}.scd: there is no heading {heading}'
            continue
        for key in keys:
            if documented.count(key) != 1:
                yield f'man/{page}.scd: {heading}: {key} is there {documented.count(key)} times'
        for key in documented:
            if key not in keys:
                yield f'man/{page}.scd: {heading}: daemon/config knows no key {key}'
    for table in TABLES.keys() - seen:
        yield f'tests/lint/man.py: daemon/config has no table {table}'


def check_statistics():
    """Every counter and every reason for a drop is described, and no other one."""
    text = source('mptd.8')
    section = re.search(r'^# STATISTICS\n(.*?)^# ', text, re.M | re.S)[1]
    documented = set(re.findall(r'\*(drop_\w+)\*', section))
    for line in re.findall(r'^\t+(\*\w+\*(?:, \*\w+\*)*)$', section, re.M):
        documented.update(re.findall(r'\*(\w+)\*', line))
    known = {'status'} | set(re.findall(r'\{"(\w+)", ', (ROOT / 'daemon/statistics.cpp').read_text()))
    for name, kind in (('daemon/plane/counters.cpp', ''), ('daemon/proto/drop_reason.cpp', ''), ('daemon/proto/control.cpp', 'ControlDrop::')):
        reasons = re.findall(rf'case {kind}.*:\n\s+return "(.*)";', (ROOT / name).read_text())
        known.update('drop_' + reason.replace(' ', '_') for reason in reasons)
    for name in sorted(known - documented):
        yield f'man/mptd.8.scd: STATISTICS does not describe {name}'
    for name in sorted(documented - known):
        yield f'man/mptd.8.scd: STATISTICS describes {name}, which is not printed'


def synopsis(interface):
    """An <interface> as systemd's pages write them."""
    yield f'  interface {interface.get("name")} {{'
    for kind in ('method', 'signal', 'property'):
        members = interface.findall(kind)
        if members:
            yield f'    {"properties" if kind == "property" else kind + "s"}:'
        for member in members:
            for annotation in member.findall('annotation'):
                if 'Property' in annotation.get('name'):
                    yield f'      @{annotation.get("name")}("{annotation.get("value")}")'
            if kind == 'property':
                yield f'      readonly {member.get("type")} {member.get("name")} = ...;'
                continue
            begin = f'      {member.get("name")}('
            width = {'in': 'in  ', 'out': 'out ', None: ''}
            arguments = [f'{width[each.get("direction")]}{each.get("type")} {each.get("name")}' for each in member.findall('arg')]
            yield begin + (',\n' + ' ' * len(begin)).join(arguments) + ');'
    yield '  };'


def check_api():
    """Every interface stands there as dbus/ has it, each member is described once, and nothing else is."""
    written = {xml.etree.ElementTree.parse(path).find('interface') for path in (ROOT / 'dbus').glob('*.xml')}
    short = {interface.get('name').rpartition('.')[2]: interface for interface in written}
    for name in sorted(short.keys() ^ API.keys()):
        yield f'man/{API_PAGE}.scd: the interface {name} is not in both, the page (see API in tests/lint/man.py) and dbus/'
    for name in sorted(short.keys() & API.keys()):
        section = section_of(API_PAGE, API[name]) or ''
        expected = '\n'.join(synopsis(short[name]))
        if expected not in section:
            yield f'man/{API_PAGE}.scd: {API[name]}: the interface is not there in these words:\n{expected}'
        members = [member.get('name') + ('()' if member.tag == 'method' else '')
                   for member in short[name] if member.tag in ('method', 'signal', 'property')]
        terms = re.findall(r'^(\*\w+\*(?:\(\))?(?:, \*\w+\*(?:\(\))?)*)$', section, re.M)
        described = [f'{term}{call}' for line in terms for term, call in re.findall(r'\*(\w+)\*((?:\(\))?)', line)]
        for member in members:
            if described.count(member) != 1:
                yield f'man/{API_PAGE}.scd: {API[name]}: {member} is described {described.count(member)} times'
        for member in described:
            if member not in members:
                yield f'man/{API_PAGE}.scd: {API[name]}: dbus/ has no {member}'


def check_api_names():
    """Errors and polkit's actions."""
    for heading, place, pattern in (('# ERRORS', 'daemon/bus/errors.cpp', r'"org\.mptd1\.Error\.(\w+)"'),
                                    ('# AUTHORISATION', 'polkit/org.mptd1.policy', r'<action id="org\.mptd1\.(\w+)"')):
        known = set(re.findall(pattern, (ROOT / place).read_text()))
        documented = set(re.findall(r'^\*(?:org\.mptd1\.)?(\w+)\*$', section_of(API_PAGE, heading) or '', re.M))
        for name in sorted(known ^ documented):
            yield f'man/{API_PAGE}.scd: {heading}: {name} is not in both, the page and {place}'


def settings(text):
    """A configuration without comments and empty lines."""
    lines = (re.sub(r'(^|\s)[;#].*', '', line).strip() for line in text.splitlines())
    return '\n'.join(line for line in lines if line)


def check_examples():
    for pattern, page in SAMPLES.items():
        examples = [settings(block) for block in re.findall(r'^```\n(.*?)^```$', source(page), re.M | re.S)]
        for sample in sorted((ROOT / 'conf').rglob(pattern)):
            if settings(sample.read_text()) not in examples:
                yield f'man/{page}.scd: no example has the settings of {sample.relative_to(ROOT)}'


def check_references(pages):
    """Of our own pages only those that exist are referred to, by pages, units and samples."""
    for folder in ('man', 'units', 'conf'):
        for file in sorted(path for path in (ROOT / folder).rglob('*') if path.is_file()):
            for name, section in re.findall(r'\b((?:org\.)?mpt[\w.-]*)\*?\((\d)\)', file.read_text()):
                if f'{name}.{section}' not in pages:
                    yield f'{file.relative_to(ROOT)}: there is no page {name}({section})'


def main():
    pages = sorted(path.stem for path in (ROOT / 'man').glob('*.scd'))
    findings = [f'man/{page}.scd: {line}' for page in pages for line in lint(page)]
    for check in (check_keys(), check_statistics(), check_examples(), check_api(), check_api_names(), check_references(pages)):
        findings += check
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())
