# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""At which bridges guests are served, and the rules that keep the address between a host and its own guests. Pure.

Every host has the same address. So on a bridge with an uplink a question for it must not go out, where another host would answer, and none may come in.
No guest may answer in the host's place either. A guest that has only a route to a router sends its packets to that router's MAC address: they are turned to
the bridge's own. None may begin a connection to it from another's MAC address: by that the service knows who asks.

Nor may the host itself speak of the address elsewhere. It asks for a guest's MAC address in the name of what it answers with, and whoever hears that corrects
what he knew of the address (RFC 826). And Linux answers who asks for any of its addresses at any of its devices (arp_ignore of the kernel's ip-sysctl).
"""
from __future__ import annotations

import re
import typing as t

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
#: The table of nftables in each of `FAMILIES`: between the ports of a bridge, and at the devices of the host.
TABLE = "vm_preserving_events"
FAMILIES = ("bridge", "arp")


class Bridge(t.NamedTuple):
    """A bridge of the kernel at which guests are.

    :ivar name: Its name.
    :ivar mac: Its own address.
    :ivar taps: The ports that are guests of ours.
    :ivar others: Its other ports: uplinks, containers, guests of others.
    :ivar macs: The MAC addresses of our guests there, each as its port and itself.
    """

    name: str
    mac: str
    taps: tuple[str, ...]
    others: tuple[str, ...]
    macs: tuple[tuple[str, str], ...] = ()


def needs_rules(bridge: Bridge) -> bool:
    """Whether a bridge may be served only with rules: others than our guests are at it."""
    return bool(bridge.others)


def no_rules(family: str = "bridge") -> str:
    """The script of nft(8) that removes a table. It creates it before, for what is not there cannot be removed.

    :param family: One of `FAMILIES`.
    """
    return f"table {family} {TABLE}\ndelete table {family} {TABLE}\n"


def makes_table(text: str, family: str) -> bool:
    """Whether a script leaves a table of a family behind."""
    return f"table {family} {TABLE} {{" in text


def _names(devices: t.Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in sorted(devices))


def _pair(device: str, mac: str) -> str:
    return f'"{device}" . {mac}'


def rules(bridges: t.Sequence[Bridge], address: str, port: int) -> str:
    """The script of nft(8) that makes the table of bridges what it should be, in one step.

    :param bridges: Those of the kernel that are served.
    :param address: The service's address.
    :param port: Its port.
    """
    taps = [name for bridge in bridges for name in bridge.taps]
    others = [name for bridge in bridges for name in bridge.others]
    if not taps:
        return no_rules()
    lines = [no_rules(), f"table bridge {TABLE} {{", "chain prerouting {", "type filter hook prerouting priority -300; policy accept;"]
    macs = sorted({pair for bridge in bridges for pair in bridge.macs if _MAC.fullmatch(pair[1])})
    if macs:
        # The bridge's own table would tell, but only until the guest whose address it is sends something.
        lines += [
            f"ip daddr {address} ether saddr {{ {', '.join(sorted({mac for _device, mac in macs}))} }} "
            f"iifname . ether saddr != {{ {', '.join(_pair(device, mac) for device, mac in macs)} }} drop"
        ]
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
        lines += ["}", "chain output {", "type filter hook output priority 0; policy accept;"]
        lines += [f"oifname {{ {_names(others)} }} {what} {address} drop" for what in ("arp saddr ip", "ip saddr")]
        lines += ["}"]
    return "\n".join([*lines, "}", ""])


def arp_rules(served: t.Collection[str], address: str) -> str:
    """The script of nft(8) that makes the table of ARP what it should be: who asks for the address elsewhere than at a served bridge gets no answer.

    :param served: All bridges that are served, of whatever kind.
    :param address: The service's address.
    """
    if not served:
        return no_rules("arp")
    return "\n".join([
        no_rules("arp"), f"table arp {TABLE} {{", "chain input {", "type filter hook input priority 0; policy accept;",
        f"iifname != {{ {_names(served)} }} arp daddr ip {address} drop", "}", "}", "",
    ])
