# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where on a bridge of the host an address is: the kernel's tables, read anew at most so often. It holds no decisions."""
from __future__ import annotations

import os
import struct
import time
import typing as t

#: Seconds for which what was read is used.
FRESH = 1.0
#: Seconds for which it is used even for an address that is not in it: whoever asks from many addresses costs no more than this.
FRESH_FOR_ANYONE = 0.05

_ARP = "/proc/net/arp"
_NET = "/sys/class/net"
#: struct __fdb_entry, linux/if_bridge.h: address, port, is local, age, high byte of the port, padding.
_ENTRY = struct.Struct("=6sBBIBxxx")
_COMPLETE = 0x2


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
            found[":".join(f"{byte:02x}" for byte in mac)] = high << 8 | low
    return found


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:  # no such bridge or port (any more)
        return b""


def _port(device: str) -> tuple[str, int] | None:
    """The bridge that a device is a port of, and the port's number."""
    try:
        bridge = os.path.basename(os.readlink(f"{_NET}/{device}/brport/bridge"))
        return bridge, int(_read(f"{_NET}/{device}/brport/port_no"), 16)
    except (OSError, ValueError):
        return None


Key = t.TypeVar("Key")
Found = t.TypeVar("Found")


class _Table(t.Generic[Key, Found]):
    """A table of the kernel."""

    def __init__(self, read: t.Callable[[], dict[Key, Found]]) -> None:
        self._read = read
        self._content: dict[Key, Found] = {}
        self._at = -FRESH

    def get(self, key: Key) -> Found | None:
        age = time.monotonic() - self._at
        if age >= FRESH or (key not in self._content and age >= FRESH_FOR_ANYONE):
            self._content, self._at = self._read(), time.monotonic()
        return self._content.get(key)


class Neighbours:
    """The tables of the host."""

    def __init__(self) -> None:
        self._arp = _Table(lambda: parse_arp(_read(_ARP).decode("ascii", "replace")))
        self._forwarding: dict[str, _Table[str, int]] = {}
        self._ports: dict[str, _Table[str, tuple[str, int] | None]] = {}

    def mac(self, bridge: str, address: str) -> str | None:
        """The MAC address of an IP address at a bridge, `None` when it is not known."""
        return self._arp.get((bridge, address))

    def port_of_mac(self, bridge: str, mac: str) -> int | None:
        """The port at which a Linux bridge last saw a MAC address."""
        if bridge not in self._forwarding:
            self._forwarding[bridge] = _Table(lambda: parse_forwarding(_read(f"{_NET}/{bridge}/brforward")))
        return self._forwarding[bridge].get(mac)

    def port_of_device(self, bridge: str, device: str) -> int | None:
        """The port of a Linux bridge that a device is."""
        if device not in self._ports:
            self._ports[device] = _Table(lambda: {device: _port(device)})
        found = self._ports[device].get(device)
        return found[1] if found is not None and found[0] == bridge else None

    def forget(self, bridges: t.Container[str], devices: t.Container[str]) -> None:
        """Keep only what is known of these."""
        self._forwarding = {name: table for name, table in self._forwarding.items() if name in bridges}
        self._ports = {name: table for name, table in self._ports.items() if name in devices}
