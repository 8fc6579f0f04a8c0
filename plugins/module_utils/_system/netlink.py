# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to the kernel about its tables of neighbours and bridges, in its own words: rtnetlink(7). It holds no decisions."""
from __future__ import annotations

import os
import socket
import struct
import typing as t

# linux/netlink.h, linux/neighbour.h
_HEADER = struct.Struct("=IHHII")
_ENTRY = struct.Struct("=BBHiHBB")
_ATTRIBUTE = struct.Struct("=HH")
NEW_NEIGHBOUR, GET_NEIGHBOUR = 28, 30
_ERROR, _DONE, _REQUEST = 2, 3, 0x1
ACK, EXCLUSIVE, CREATE, DUMP, INTERRUPTED = 0x4, 0x200, 0x400, 0x300, 0x10
#: States of an entry: with an address that was seen. Of a bridge's: one that is not forgotten.
REACHABLE, STALE, DELAY, PROBE, LASTING, PERMANENT = 0x02, 0x04, 0x08, 0x10, 0x40, 0x80
#: Whose entry it is: that of the bridge which the device is a port of.
MASTERS = 0x04
ADDRESS, MAC, MASTER = 1, 2, 9
#: Seconds that the kernel may take for a part of its answer.
TIMEOUT = 5.0


class Message(t.NamedTuple):
    """A message of the kernel.

    :ivar kind: `NEW_NEIGHBOUR`, for one.
    :ivar flags: `INTERRUPTED`: the table has changed while it was read.
    :ivar content: What follows the header.
    """

    kind: int
    flags: int
    content: bytes


class Entry(t.NamedTuple):
    """An entry of a table.

    :ivar device: The kernel's number of the device.
    :ivar state: Its states.
    :ivar attributes: By their numbers.
    """

    device: int
    state: int
    attributes: dict[int, bytes]


def entry(family: int, device: int, attributes: t.Mapping[int, bytes], state: int = 0, flags: int = 0) -> bytes:
    """The content of a message about an entry.

    :param family: `socket.AF_INET` or `socket.AF_BRIDGE`.
    :param device: The kernel's number of a device; 0: none.
    """
    found = _ENTRY.pack(family, 0, 0, device, state, flags, 0)
    for kind, value in attributes.items():
        found += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)
    return found


def parse_entry(content: bytes) -> Entry:
    """The entry in a message."""
    _family, _pad, _pad2, device, state, _flags, _type = _ENTRY.unpack_from(content)
    found = {}
    rest = content[_ENTRY.size:]
    while len(rest) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        if length < _ATTRIBUTE.size:
            break
        found[kind], rest = rest[_ATTRIBUTE.size:length], rest[(length + 3) & ~3:]
    return Entry(device, state, found)


def connect() -> socket.socket:
    """A connection to the kernel.

    :raises OSError: There is none.
    """
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    link.settimeout(TIMEOUT)
    link.bind((0, 0))
    return link


def ask(link: socket.socket, kind: int, flags: int, content: bytes, number: int = 1, size: int = 1 << 20) -> list[Message]:
    """What the kernel answers: all of a dump, or the one message.

    :param number: Of this question on this connection.
    :param size: Bytes of a part of the answer, at the most.
    :raises OSError: It refuses, or does not answer.
    """
    link.send(_HEADER.pack(_HEADER.size + len(content), kind, flags | _REQUEST, number, 0) + content)
    found: list[Message] = []
    while True:
        data = link.recv(size)
        while data:
            length, kind_of, flags_of, number_of, _port = _HEADER.unpack_from(data)
            part, data = data[_HEADER.size:length], data[(length + 3) & ~3:]
            if number_of != number:  # of an earlier question whose answer came too late
                continue
            if kind_of == _ERROR:
                code = -struct.unpack_from("=i", part)[0]
                if code:
                    raise OSError(code, os.strerror(code))
                return found
            if kind_of == _DONE:
                return found
            found.append(Message(kind_of, flags_of, part))
            if flags & (DUMP | ACK) == 0:
                return found
