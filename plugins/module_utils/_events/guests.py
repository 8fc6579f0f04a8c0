# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a guest before it asks: the operator's word, then the guest's own metadata, then libvirt's name. Pure."""
from __future__ import annotations

import dataclasses
import typing as t
import xml.etree.ElementTree as ET

from .._core.policy import policy
from .record import Guest, GuestSettings, Interface, Settings


@dataclasses.dataclass(frozen=True)
class Link:
    """A network interface of a guest, as its definition has it.

    :ivar mac: Its address, in lower case with colons.
    :ivar device: The device on the host; empty when it has none.
    :ivar bridge: The bridge that libvirt names; empty when it names none.
    :ivar openvswitch: Its port is one of Open vSwitch.
    """

    mac: str
    device: str
    bridge: str
    openvswitch: bool


def links(xml: ET.Element) -> list[Link]:
    """The network interfaces of a guest.

    :param xml: The live XML, or that of libvirt's status file, where what a network has become of is in `<actual>`.
    """
    found = []
    for interface in xml.findall("devices/interface"):
        mac, target = interface.find("mac"), interface.find("target")
        source = interface.find("actual/source") if interface.find("actual/source") is not None else interface.find("source")
        ports = [*interface.findall("virtualport"), *interface.findall("actual/virtualport")]
        if mac is not None and target is not None:
            found.append(Link(
                mac.get("address", "").lower(), target.get("dev", ""), "" if source is None else source.get("bridge", ""),
                any(port.get("type") == "openvswitch" for port in ports),
            ))
    return found


def _first(*words: str | None) -> str:
    return next((word for word in words if word is not None), "")


def guest(xml: ET.Element, settings: Settings, since: int, interfaces: t.Sequence[Interface]) -> Guest:
    """A guest as the service knows it.

    :param xml: Its XML, with its metadata.
    :param since: See `Guest`.
    :param interfaces: Its interfaces at bridges.
    """
    name = xml.findtext("name", "")
    own = policy(xml)
    given = settings.guests.get(name, GuestSettings())
    # libosinfo's name of the system, by whatever program has noted it.
    system = next((one.get("id", "") for one in xml.iter("{http://libosinfo.org/xmlns/libvirt/domain/1.0}os")), "")
    return Guest(
        uuid=xml.findtext("uuid", ""), name=name, resource=_first(given.resource, own.get("resource"), name),
        availability_set=_first(given.availability_set, own.get("availability_set")) or None, tags=_first(given.tags, own.get("tags")),
        os_type="Windows" if "microsoft" in system else "Linux", since=since, interfaces=tuple(interfaces),
    )
