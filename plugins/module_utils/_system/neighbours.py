# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where on a bridge of the host an address is, by the kernel's tables as they are now. It holds no decisions.

Nothing is kept from one question to the next: a guest that takes another's address would be taken for that one as long as an old answer holds.
So the kernel is asked for the one entry (rtnetlink(7), RTM_GETNEIGH, Linux 5.0), and only where it does not know that, for the whole table.
"""
from __future__ import annotations

import contextlib
import os
import socket
import struct

from . import netlink

_ARP = "/proc/net/arp"
_NET = "/sys/class/net"
#: struct __fdb_entry, linux/if_bridge.h: address, port, is local, age, high byte of the port, padding.
_ENTRY = struct.Struct("=6sBBIBxxx")
_COMPLETE = 0x2
#: States in which an entry has an address that was seen.
_SEEN = netlink.REACHABLE | netlink.STALE | netlink.DELAY | netlink.PROBE | netlink.LASTING | netlink.PERMANENT
#: Bytes of an answer, at the most: one entry.
_ANSWER = 4096


def parse_arp(text: str) -> dict[tuple[str, str], str]:
    """The MAC addresses of /proc/net/arp, by device and IP address; arp(7)."""
    found = {}
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) == 6 and int(words[2], 16) & _COMPLETE:
            found[(words[5], words[0])] = words[3].lower()
    return found


def parse_forwarding(data: bytes) -> dict[str, int]:
    """The ports of a bridge's forwarding table by MAC address, without the bridge's own addresses."""
    found = {}
    for place in range(0, len(data) - _ENTRY.size + 1, _ENTRY.size):
        mac, low, is_local, _age, high = _ENTRY.unpack_from(data, place)
        if not is_local:
            found[mac.hex(":")] = high << 8 | low
    return found


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:  # no such bridge or port (any more)
        return b""


class Neighbours:
    """The tables of the host."""

    def __init__(self) -> None:
        self._link: socket.socket | None = None
        self._number = 0
        #: The kernel gives a device that is made anew another number, so these can only be of ones that have gone: then nothing is found.
        self._indexes: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def forget(self) -> None:
        """Forget which numbers devices have; to be called now and then."""
        self._indexes.clear()
        self._names.clear()

    def _index(self, device: str) -> int:
        if device not in self._indexes:
            self._indexes[device] = socket.if_nametoindex(device)
        return self._indexes[device]

    def _name(self, index: int) -> str:
        if index not in self._names:
            self._names[index] = socket.if_indextoname(index)
        return self._names[index]

    def _ask(self, family: int, index: int, attributes: dict[int, bytes]) -> netlink.Entry | None:
        """One entry; `None`: there is none, or the kernel does not answer such questions.

        :param index: The kernel's number of a device, or 0.
        """
        self._number += 1
        try:
            if self._link is None:
                self._link = netlink.connect()
            found = netlink.ask(self._link, netlink.GET_NEIGHBOUR, 0, netlink.entry(family, index, attributes), self._number, _ANSWER)
        except OSError as error:
            # What the kernel says in so many words does not end the connection.
            if self._link is not None and not isinstance(error, FileNotFoundError):
                self._link.close()
                self._link = None
            return None
        return netlink.parse_entry(found[0].content) if found else None

    def mac(self, bridge: str, address: str) -> str | None:
        """The MAC address of an IP address at a bridge, `None` when it is not known."""
        try:
            index = self._index(bridge)
            found = self._ask(socket.AF_INET, index, {netlink.ADDRESS: socket.inet_aton(address)})
        except OSError:  # no such bridge, or no such address
            return None
        if found is not None and found.state & _SEEN and len(found.attributes.get(netlink.MAC, b"")) == 6:
            return found.attributes[netlink.MAC].hex(":")
        return parse_arp(_read(_ARP).decode("ascii", "replace")).get((bridge, address))

    def device_of_mac(self, bridge: str, mac: str) -> str | None:
        """The port at which a Linux bridge last saw a MAC address, as its device."""
        try:
            master = self._index(bridge)
            found = self._ask(socket.AF_BRIDGE, 0, {netlink.MAC: bytes.fromhex(mac.replace(":", "")), netlink.MASTER: struct.pack("=I", master)})
            if found is not None and found.device != master:
                return self._name(found.device)
        except (OSError, ValueError):  # it has just gone
            return None
        # A bridge with VLANs has them with each entry, and an older kernel does not answer: the whole table has all.
        port = parse_forwarding(_read(f"{_NET}/{bridge}/brforward")).get(mac)
        with contextlib.suppress(OSError, ValueError):
            for device in os.listdir(f"{_NET}/{bridge}/brif"):
                if port is not None and int(_read(f"{_NET}/{bridge}/brif/{device}/port_no") or b"-1", 16) == port:
                    return device
        return None
