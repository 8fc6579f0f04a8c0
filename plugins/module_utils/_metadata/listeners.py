# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A listening socket at each bridge of guests. It holds no decisions."""
from __future__ import annotations

import os
import socket

_IP_FREEBIND = 15  # linux/in.h; Python does not name it
#: Bytes that the kernel takes in for a connection whose client goes on sending. By itself it takes megabytes, which count as the service's memory.
_RECEIVE = 32 * 1024


def listener(bridge: str, address: str, port: int) -> socket.socket:
    """A socket that takes what comes in at one bridge, also before that has the address. What comes in at another is not seen by it.

    :raises OSError: There is no such bridge, or the port is taken.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, os.fsencode(bridge) + b"\0")
        found.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        found.bind((address, port))
        found.listen()
    except BaseException:
        found.close()
        raise
    return found


def index(bridge: str) -> int:
    """The kernel's number of a bridge: one that was made anew has another; 0: there is none."""
    try:
        return socket.if_nametoindex(bridge)
    except OSError:
        return 0
