#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Usage: type3_vectors.py {print|check}

Makes test vectors of authentication type 3 from the words of mpt-protocol(7), with hashlib and hmac alone. `print` prints
type3_vectors.hpp; `check` says whether that file is what is printed, and whether the manual page has the same vectors."""

import hashlib
import hmac
import ipaddress
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
HEADER = HERE / 'type3_vectors.hpp'
PAGE = HERE.parents[2] / 'man/mpt-protocol.7.scd'

KEY = bytes(range(32))
NONE = bytes(16)
MAC_SIZE = 32


def number(first):
    """A random number: 16 octets that count up."""
    return bytes(range(first, first + 16))


def address(text):
    """The 16 octets of an address field."""
    parsed = ipaddress.ip_address(text)
    return parsed.packed if parsed.version == 6 else bytes(10) + b'\xff\xff' + parsed.packed


def hkdf(secret, salt, info):
    """RFC 5869 for 32 octets, which are one block."""
    extracted = hmac.new(salt, secret, hashlib.sha256).digest()
    return hmac.new(extracted, info + b'\x01', hashlib.sha256).digest()


def derive(label, sender, receiver, x, y):
    return hkdf(KEY, x + y, label + b'\x00' + address(sender) + address(receiver))


def signed(key, before, after=b''):
    """The message with its MAC between the two parts."""
    return before + hmac.new(key, before + bytes(MAC_SIZE) + after, hashlib.sha256).digest() + after


def control(argument, round_, initiator, responder, x, y, rest, command=0xa2):
    sender, receiver = (initiator, responder) if round_ % 2 else (responder, initiator)
    version = ipaddress.ip_address(initiator).version
    fixed = bytes([round_, version, 0, 0]) + address(initiator) + address(responder)
    return signed(derive(b'mpt3 control', sender, receiver, x, y), bytes([command, argument, 3, 48]) + x, fixed + rest)


def keepalive(sender, receiver, s, r, offer, path, sequence, numbers, observed=None):
    gre = struct.pack('>HH', 0, 0x0800 if ipaddress.ip_address(sender).version == 4 else 0x86dd)
    flags = 0 if sequence is None else 1
    body = bytes([0xa4, 1, path, flags]) + struct.pack('>I', sequence or 0) + address(sender) + address(receiver)
    body += s + r + offer + struct.pack('>8Q', *numbers)
    body += address(observed[0]) + struct.pack('>H', observed[1]) if observed else bytes(18)
    body += bytes(6)
    return signed(derive(b'mpt3 keepalive', sender, receiver, s, r), gre + body)


def probe(sender, receiver, s, r, path, count, received=None, size=84):
    gre = struct.pack('>HH', 0, 0x0800 if ipaddress.ip_address(sender).version == 4 else 0x86dd)
    body = bytes([0xa5, 1, path, 0 if received is None else 1]) + struct.pack('>HH', received or 0, 0) + s + r + struct.pack('>Q', count)
    return signed(derive(b'mpt3 keepalive', sender, receiver, s, r), gre + body, bytes(size - 84))


def vectors():
    """Name, comment, octets, and whether the manual page has it."""
    a, b = '10.0.0.2', '10.0.0.3'
    n, m = number(0x40), number(0x60)
    body = bytes([1, 3]) + struct.pack('>H', 300) + bytes(4)
    length = struct.pack('<I', len(body))
    yield 'kControlKey', 'The key of round 3 below.', derive(b'mpt3 control', a, b, n, m), True
    yield 'kRound1', 'Path 1 is down, and the peer is to send with weight 300 on it.', control(0x80, 1, a, b, n, NONE, length), True
    yield 'kRound2', '', control(0, 2, a, b, m, n, length), True
    yield 'kRound3', '', control(0x80, 3, a, b, n, m, body), True
    yield 'kRound4', '', control(0, 4, a, b, m, n, b''), True
    yield 'kCreateRound1', 'A create whose responder is not known, over IPv6.', \
        control(0, 1, 'fec0::2', '::', n, NONE, struct.pack('<I', 1126), 0xa3), False
    s, r, offer = number(0x80), number(0xa0), number(0xc0)
    yield 'kKeepaliveKey', 'The key of kKeepalive.', derive(b'mpt3 keepalive', a, b, s, r), True
    yield 'kKeepalive', 'Within a session, with all fields.', \
        keepalive(a, b, s, r, offer, 2, 0xfffffff0, (7, 10**12, 5 * 10**11, 2500, 1000, 10, 0x1122334455667788, 0x99aabbccddeeff00),
                  ('198.51.100.7', 40001)), True
    yield 'kFirst', 'Before a session.', keepalive(a, b, s, NONE, s, 0, None, (1, 10**12, 0, 0, 0, 0, 0, 0)), True
    yield 'kAnswer', 'An answer to kFirst.', keepalive(b, a, r, s, NONE, 0, None, (1, 2 * 10**12, 0, 0, 5, 0, 0, 0)), True
    yield 'kIpv6', 'Of a connection between IPv6 tunnel addresses.', \
        keepalive('fec0::2', 'fec0::3', s, r, offer, 19, 5, (2**64 - 1, 1, 2, 3, 4, 5, 6, 7), ('2001:db8::7', 65535)), False

    yield 'kProbe', 'A probe of the MTU, of 140 octets with the headers of IPv4 and UDP.', probe(a, b, s, r, 2, 0x0123456789abcdef, size=112), True
    yield 'kProbeAnswer', 'The answer to it.', probe(b, a, r, s, 2, 0x0123456789abcdef, 112), True


def lines_of(octets):
    text = octets.hex()
    return [text[at:at + 64] for at in range(0, len(text), 64)]


def header():
    yield '// SPDX-License-Identifier: GPL-3.0-or-later'
    yield '// Made by type3_vectors.py.'
    yield '#pragma once'
    yield ''
    yield '#include <string_view>'
    yield ''
    yield '// clang-format off'
    yield '// Messages of authentication type 3 between 10.0.0.2 and 10.0.0.3, of whose random numbers each is 16 octets that count up.'
    yield 'namespace mpt::proto::type3 {'
    yield ''
    yield f'inline constexpr std::string_view kAuthKey = "{KEY.hex()}";'
    for name, comment, octets, _ in vectors():
        yield ''
        if comment:
            yield '// ' + comment
        yield f'inline constexpr std::string_view {name} ='
        lines = [f'    "{line}"' for line in lines_of(octets)]
        lines[-1] += ';'
        yield from lines
    yield ''
    yield '} // namespace mpt::proto::type3'


def main():
    text = '\n'.join(header()) + '\n'
    if sys.argv[1:] == ['print']:
        print(text, end='')
        return 0
    if sys.argv[1:] != ['check']:
        sys.exit(__doc__)
    failed = 0
    if HEADER.read_text() != text:
        print(f'{HEADER.name} is not what type3_vectors.py prints')
        failed = 1
    page = PAGE.read_text()
    for name, _, octets, is_in_page in vectors():
        if is_in_page and '\n'.join(lines_of(octets)) not in page:
            print(f'{PAGE.name} does not have {name}:', *lines_of(octets), sep='\n')
            failed = 1
    return failed


if __name__ == '__main__':
    sys.exit(main())
