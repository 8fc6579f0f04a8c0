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
import typing as t

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
#: struct ifreq of 64-bit Linux (netdevice(7)): the name, the flags, and the rest of a union.
_IFREQ = struct.Struct("16sH22x")

# rtnetlink(7), linux/netlink.h, linux/neighbour.h
_NLMSGHDR = struct.Struct("=IHHII")
_NDMSG = struct.Struct("=BBHiHBB")
_RTATTR = struct.Struct("=HH")
_RTM_NEWNEIGH, _RTM_GETNEIGH = 28, 30
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_EXCL, _NLM_F_CREATE, _NLM_F_DUMP, _NLM_F_DUMP_INTR = 0x1, 0x4, 0x200, 0x400, 0x300, 0x10
_NUD_REACHABLE, _NUD_NOARP = 0x02, 0x40
_NTF_MASTER = 0x04
_NDA_LLADDR, _NDA_MASTER = 2, 9
#: Seconds that the kernel may take for a part of its answer.
_ANSWER = 5.0
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


def _messages(link: socket.socket) -> t.Iterator[tuple[int, int, bytes]]:
    """The messages of one answer, each as (type, flags, content), until the kernel says that it is over.

    :raises OSError: The kernel refuses, or does not answer.
    """
    while True:
        data = link.recv(1 << 20)
        while data:
            length, kind, flags, _sequence, _port = _NLMSGHDR.unpack_from(data)
            content, data = data[_NLMSGHDR.size:length], data[(length + 3) & ~3:]
            if kind == _NLMSG_ERROR:
                number = -struct.unpack_from("=i", content)[0]
                if number:
                    raise OSError(number, os.strerror(number))
                return
            if kind == _NLMSG_DONE:
                return
            yield kind, flags, content


def _ask(kind: int, flags: int, content: bytes) -> list[tuple[int, int, bytes]]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as link:
        link.settimeout(_ANSWER)
        link.bind((0, 0))
        link.send(_NLMSGHDR.pack(_NLMSGHDR.size + len(content), kind, flags | _NLM_F_REQUEST, 1, 0) + content)
        return list(_messages(link))


def add_forwarding_entry(port: str, mac: str) -> bool:
    """Tell a bridge that a MAC address is behind one of its ports. The entry stays until it is removed, or the port is.

    :param port: The name of the device that is a port of the bridge.
    :param mac: The address.
    :returns: Whether it was missing.
    :raises OSError: It cannot be added, in words.
    :raises ValueError: That is no MAC address.
    """
    # NUD_NOARP is what makes the entry one that is not forgotten; libvirt's flags "master" and "temp" (virnetdevbridge.c).
    entry = _NDMSG.pack(socket.AF_BRIDGE, 0, 0, _index(port), _NUD_NOARP | _NUD_REACHABLE, _NTF_MASTER, 0)
    address = _mac_bytes(mac)
    try:
        _ask(_RTM_NEWNEIGH, _NLM_F_ACK | _NLM_F_CREATE | _NLM_F_EXCL, entry + _RTATTR.pack(_RTATTR.size + len(address), _NDA_LLADDR) + address + b"\0\0")
    except FileExistsError:
        # Also when the bridge has only learnt it, which libvirt takes for enough, too: it has switched learning off at such ports.
        return False
    except OSError as error:
        reason = "it is no port of a bridge" if error.errno == errno.EOPNOTSUPP else error.strerror or error
        raise OSError(error.errno or errno.ETIMEDOUT, f"the forwarding entry for {mac} at {port} cannot be added ({reason})") from None
    return True


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= _RTATTR.size:
        length, kind = _RTATTR.unpack_from(data)
        if length < _RTATTR.size:
            break
        found[kind], data = data[_RTATTR.size:length], data[(length + 3) & ~3:]
    return found


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
            answer = _ask(_RTM_GETNEIGH, _NLM_F_DUMP, _NDMSG.pack(socket.AF_BRIDGE, 0, 0, 0, 0, 0, 0))
        except OSError as error:
            raise OSError(error.errno or errno.ETIMEDOUT, f"the forwarding entries of {port} cannot be read ({error.strerror or error})") from None
        for _kind, _flags_of_answer, content in answer:
            _family, _pad1, _pad2, at, state, _flags_of_entry, _type = _NDMSG.unpack_from(content)
            attributes = _attributes(content[_NDMSG.size:])
            if at == index and state & _NUD_NOARP and _NDA_MASTER in attributes and attributes.get(_NDA_LLADDR) == address:
                return True
        if not any(flags & _NLM_F_DUMP_INTR for _kind, flags, _content in answer):
            return False
    raise OSError(errno.EAGAIN, f"the forwarding entries of {port} cannot be read (they change all the time)")
