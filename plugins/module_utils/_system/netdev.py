# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own means for network devices, without libvirt and at once: set a device up, add an entry to a bridge's forwarding table.

What is asked of the kernel is exactly what libvirt asks (`virNetDevSetOnline` in src/util/virnetdev.c, `virNetDevBridgeFDBAdd` in
src/util/virnetdevbridge.c). Each call is one system call or two; they wait for the kernel's lock of the network configuration, which a driver in
trouble may hold for long: where that must not hurt, make them in a thread that can be given up.
"""
from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import struct

from . import netlink

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
#: struct ifreq of 64-bit Linux (netdevice(7)): the name, the flags, and the rest of a union.
_IFREQ = struct.Struct("16sH22x")

#: How often a table is read anew that changed while it was read.
_READS = 10


def _check_name(device: str) -> bytes:
    """The name as the kernel takes it (`dev_valid_name`); a longer one would be cut to that of another device."""
    name = os.fsencode(device)
    if not 0 < len(name) < 16 or device in (".", "..") or re.search(rb"[/:\s\0]", name):
        raise OSError(errno.EINVAL, f"{device!r} is no name of a network device")
    return name


def _mac_bytes(mac: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", mac):
        raise ValueError(f"{mac!r} is no MAC address")
    return bytes.fromhex(mac.replace(":", ""))


def _flags(control: socket.socket, device: str) -> int:
    request = _IFREQ.pack(_check_name(device), 0)
    try:
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, request)
    except OSError as error:
        raise OSError(error.errno, f"network device {device} cannot be looked at ({error.strerror})") from None
    return int(_IFREQ.unpack(answer)[1])


def is_up(device: str) -> bool:
    """Whether a device is set up, as opposed to whether it has a link.

    :param device: Its name.
    :raises OSError: There is no such device, in words.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        return bool(_flags(control, device) & _IFF_UP)


def set_up(device: str) -> bool:
    """Set a device up. One that is up is left alone.

    :param device: Its name.
    :returns: Whether it was down.
    :raises OSError: It cannot be set up, in words.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = _flags(control, device)
        if flags & _IFF_UP:
            return False
        try:
            fcntl.ioctl(control, _SIOCSIFFLAGS, _IFREQ.pack(_check_name(device), flags | _IFF_UP))
        except OSError as error:
            raise OSError(error.errno, f"network device {device} cannot be set up ({error.strerror})") from None
    return True


def _index(device: str) -> int:
    _check_name(device)
    try:
        return socket.if_nametoindex(device)
    except OSError as error:
        raise OSError(errno.ENODEV, f"there is no network device {device}") from error


def _ask(kind: int, flags: int, content: bytes) -> list[netlink.Message]:
    with netlink.connect() as link:
        return netlink.ask(link, kind, flags, content)


def add_forwarding_entry(port: str, mac: str) -> bool:
    """Tell a bridge that a MAC address is behind one of its ports. The entry stays until it is removed, or the port is.

    :param port: The name of the device that is a port of the bridge.
    :param mac: The address.
    :returns: Whether it was missing.
    :raises OSError: It cannot be added, in words.
    :raises ValueError: That is no MAC address.
    """
    # NUD_NOARP is what makes the entry one that is not forgotten; libvirt's flags "master" and "temp" (virnetdevbridge.c).
    state = netlink.LASTING | netlink.REACHABLE
    wanted = netlink.entry(socket.AF_BRIDGE, _index(port), {netlink.MAC: _mac_bytes(mac)}, state, netlink.MASTERS)
    try:
        _ask(netlink.NEW_NEIGHBOUR, netlink.ACK | netlink.CREATE | netlink.EXCLUSIVE, wanted)
    except FileExistsError:
        # Also when the bridge has only learnt it, which libvirt takes for enough, too: it has switched learning off at such ports.
        return False
    except OSError as error:
        reason = "it is no port of a bridge" if error.errno == errno.EOPNOTSUPP else error.strerror or error
        raise OSError(error.errno or errno.ETIMEDOUT, f"the forwarding entry for {mac} at {port} cannot be added ({reason})") from None
    return True


def has_forwarding_entry(port: str, mac: str) -> bool:
    """Whether a bridge has a lasting entry for a MAC address at a port, as `add_forwarding_entry` makes it. What it has learnt does not count.

    :param port: The name of the device that is a port of the bridge.
    :param mac: The address.
    :raises OSError: It cannot be found out, in words.
    :raises ValueError: That is no MAC address.
    """
    index, address = _index(port), _mac_bytes(mac)
    for _read in range(_READS):
        try:
            answer = _ask(netlink.GET_NEIGHBOUR, netlink.DUMP, netlink.entry(socket.AF_BRIDGE, 0, {}))
        except OSError as error:
            raise OSError(error.errno or errno.ETIMEDOUT, f"the forwarding entries of {port} cannot be read ({error.strerror or error})") from None
        for message in answer:
            at, state, attributes = netlink.parse_entry(message.content)
            if at == index and state & netlink.LASTING and netlink.MASTER in attributes and attributes.get(netlink.MAC) == address:
                return True
        if not any(message.flags & netlink.INTERRUPTED for message in answer):
            return False
    raise OSError(errno.EAGAIN, f"the forwarding entries of {port} cannot be read (they change all the time)")
