# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A listening socket at each bridge of guests. It holds no decisions."""
from __future__ import annotations

import contextlib
import os
import socket
import struct
import typing as t

_IP_FREEBIND = 15  # linux/in.h; Python does not name it
#: Bytes that the kernel takes in for a connection whose client goes on sending. By itself it takes megabytes, which count as the service's memory.
_RECEIVE = 32 * 1024
#: When a client that says nothing any more is asked whether it is there, how often, and how many times in vain, until its connection is ended: seconds after
#: the last word, seconds in between, times. Whoever waits for a change has no other time-out, and a guest that is destroyed ends no connection. One that is
#: away for more than four minutes has to connect anew.
_KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 20), (socket.TCP_KEEPCNT, 9))
#: linux/tcp.h. With 2 the kernel keeps a connection's first packet from its link layer on (Linux 5.10); struct ethhdr, and the first byte of IPv4.
_TCP_SAVE_SYN, _TCP_SAVED_SYN, _FROM_LINK = 27, 28, 2
_FIRST = struct.Struct("!6x6sHB")
_IPV4, _VERSION_4 = 0x0800, 4
#: Bytes of the whole packet at the most, which the kernel gives whole or not at all: with all options of IP and TCP.
_WHOLE = 256


def listener(bridge: str, address: str, port: int) -> socket.socket:
    """A socket that takes what comes in at one bridge, also before that has the address. What comes in at another is not seen by it.

    Its connections have all that is set here.

    :raises OSError: There is no such bridge, or the port is taken.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, os.fsencode(bridge) + b"\0")
        found.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEP_ALIVE:
            found.setsockopt(socket.IPPROTO_TCP, option, value)
        with contextlib.suppress(OSError):  # an older kernel
            found.setsockopt(socket.IPPROTO_TCP, _TCP_SAVE_SYN, _FROM_LINK)
        found.bind((address, port))
        found.listen()
    except BaseException:
        found.close()
        raise
    return found


def sender(connection: t.Any) -> str | None:
    """The MAC address from which a connection was begun; `None`: the kernel does not tell (an older one, or one that is flooded with beginnings).

    :param connection: Its socket. The kernel tells it once.
    """
    try:
        return parse_first(connection.getsockopt(socket.IPPROTO_TCP, _TCP_SAVED_SYN, _WHOLE))
    except OSError:
        return None


def parse_first(packet: bytes) -> str | None:
    """The MAC address that sent the first packet of a connection, `None`: there is none, as at loopback."""
    if len(packet) < _FIRST.size:
        return None
    mac, kind, version = _FIRST.unpack_from(packet)
    return mac.hex(":") if any(mac) and kind == _IPV4 and version >> 4 == _VERSION_4 else None


def index(bridge: str) -> int:
    """The kernel's number of a bridge: one that was made anew has another; 0: there is none."""
    try:
        return socket.if_nametoindex(bridge)
    except OSError:
        return 0
