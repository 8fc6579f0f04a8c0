# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""At which bridges guests are served, and the rules that keep the address between a host and its own guests. Pure.

Every host has the same address. So on a bridge with an uplink a question for it must not go out, where another host would answer, and none may come in.
No guest may answer in the host's place either. A guest that has only a route to a router sends its packets to that router's MAC address: they are turned to
the bridge's own.
"""
from __future__ import annotations

import typing as t

#: The table of nftables, family `bridge`.
TABLE = "vm_preserving_events"


class Bridge(t.NamedTuple):
    """A bridge of the kernel at which guests are.

    :ivar name: Its name.
    :ivar mac: Its own address.
    :ivar taps: The ports that are guests of ours.
    :ivar others: Its other ports: uplinks, containers, guests of others.
    """

    name: str
    mac: str
    taps: tuple[str, ...]
    others: tuple[str, ...]


def needs_rules(bridge: Bridge) -> bool:
    """Whether a bridge may be served only with rules: others than our guests are at it."""
    return bool(bridge.others)


def no_rules() -> str:
    """The script of nft(8) that removes the table. It creates it before, for what is not there cannot be removed."""
    return f"table bridge {TABLE}\ndelete table bridge {TABLE}\n"


def _names(devices: t.Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in sorted(devices))


def rules(bridges: t.Sequence[Bridge], address: str, port: int) -> str:
    """The script of nft(8) that makes the table what it should be, in one step.

    :param bridges: Those that are served.
    :param address: The service's address.
    :param port: Its port.
    """
    taps = [name for bridge in bridges for name in bridge.taps]
    others = [name for bridge in bridges for name in bridge.others]
    if not taps:
        return no_rules()
    lines = [no_rules(), f"table bridge {TABLE} {{", "chain prerouting {", "type filter hook prerouting priority -300; policy accept;"]
    # The kernel has looked before whether a frame is for the bridge itself (net/bridge/br_input.c, br_handle_frame).
    lines += [
        f"iifname {{ {_names(bridge.taps)} }} ip daddr {address} tcp dport {port:d} ether daddr set {bridge.mac} meta pkttype set host"
        for bridge in bridges if bridge.taps
    ]
    lines += ["}", "chain forward {", "type filter hook forward priority 0; policy accept;"]
    for which, way in (("iifname", "daddr"), ("oifname", "saddr")):
        lines += [f"{which} {{ {_names(taps)} }} {what} {address} drop" for what in (f"arp {way} ip", f"ip {way}")]
    lines += ["}"]
    if others:
        lines += ["chain input {", "type filter hook input priority 0; policy accept;"]
        lines += [f"iifname {{ {_names(others)} }} {what} {address} drop" for what in ("arp daddr ip", "ip daddr")]
        lines += ["}"]
    return "\n".join([*lines, "}", ""])
