# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which guest a request comes from: decided by where it came in, and by nothing that it says. Pure."""
from __future__ import annotations

import typing as t

from .._events.record import Guest, Guests, Interface

#: A bridge of the kernel, whose forwarding table tells at which port a guest is.
LINUX = "linux"


class Tables(t.Protocol):
    """What the host knows of its bridges; see `Neighbours`."""

    def mac(self, bridge: str, address: str) -> str | None:
        """The MAC address of an IP address at a bridge."""

    def device_of_mac(self, bridge: str, mac: str) -> str | None:
        """The port at which a bridge saw a MAC address last, as its device."""


def caller(guests: Guests, tables: Tables, bridge: str, address: str, sender: str | None) -> Guest | None:
    """The guest that asks, `None`: it is not known, or could be another.

    A guest that takes another's MAC address moves that in the bridge's table to its own port, which is not the other's: then neither is answered. One that
    only says, by ARP, that its IP address is at another's MAC address, still has begun the connection from its own.

    :param bridge: Where the request came in.
    :param address: Its source address.
    :param sender: The MAC address from which its connection was begun, `None` where the kernel does not tell.
    """
    mac = tables.mac(bridge, address)
    found = _at(guests, bridge, mac)
    if mac is None or found is None:
        return None
    guest, interface = found
    if guests.bridges.get(bridge) == LINUX and tables.device_of_mac(bridge, mac) != interface.device:
        return None
    if sender not in (None, mac):  # a guest with two interfaces may use one for the other's address
        other = _at(guests, bridge, sender)
        if other is None or other[0].uuid != guest.uuid:
            return None
    return guest


def _at(guests: Guests, bridge: str, mac: str | None) -> tuple[Guest, Interface] | None:
    """The one guest with a MAC address at a bridge, and its interface there; `None`: there is none, or there are several."""
    found = [(guest, one) for guest in guests.guests for one in guest.interfaces if one.bridge == bridge and one.mac == mac]
    return found[0] if len(found) == 1 else None
