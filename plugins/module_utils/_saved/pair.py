# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pair of libvirt and the installed QEMU: what has to be tried on it before a guest is saved, and what follows from that. Pure.

A pair can be unable to restore any image of a format, whoever made it. Seen: libvirt 11.3 with QEMU 11.1.3 and ordinary images (`fd: migration to a file is
not supported`); libvirt 12.1 knows better. No version rule tells that; a throw-away guest does.
"""
from __future__ import annotations

import typing as t
import xml.etree.ElementTree as ET

from .._core.states import Blocker
from .._core.throwaway import Throwaway
from .._system.hypervisor import ORDINARY, SPARSE

#: Memory of a throw-away guest, MiB. It executes nothing.
_MEMORY = 16


class Pair(t.NamedTuple):
    """What a guest asks of the installed QEMU, and what a throw-away guest has in its place.

    :ivar kind: The type of the domain: `kvm`, `qemu`.
    :ivar arch: The architecture.
    :ivar machine: The machine type.
    :ivar emulator: The path of the QEMU.
    """

    kind: str
    arch: str
    machine: str
    emulator: str


class Trial(t.NamedTuple):
    """A save and a restore that are tried.

    :ivar pair: What is tried.
    :ivar in_place: With the memory staying where it is.
    :ivar image_format: `ORDINARY` or `SPARSE`.
    """

    pair: Pair
    in_place: bool
    image_format: str


def image_formats(sparse: bool, fast: bool) -> list[str]:
    """The formats in which a guest can be saved, the best first.

    :param sparse: libvirt and its running QEMU can make a sparse image.
    :param fast: Its memory is copied while it is away, through RAM, where a sparse image is faster. On a disk, and where there is no memory in it, the
        format that the operator has configured comes first.
    """
    return ([SPARSE, ORDINARY] if fast else [ORDINARY, SPARSE]) if sparse else [ORDINARY]


def pair_of(xml: ET.Element, emulator: str) -> Pair:
    """The pair that a guest needs.

    :param xml: Its live XML.
    :param emulator: The QEMU on which it will be restored.
    """
    kind = xml.find("os/type")
    return Pair(
        xml.get("type", ""), "" if kind is None else kind.get("arch", ""), "" if kind is None else kind.get("machine", ""), emulator,
    )


def throwaway_xml(who: Throwaway, pair: Pair, in_place: bool) -> str:
    """The definition of a throw-away guest: nothing but the machine.

    :param who: Its name and its UUID.
    :param in_place: Its memory is a shared file.
    """
    root = ET.Element("domain", type=pair.kind)

    def add(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
        child = ET.SubElement(parent, tag, attributes)
        child.text = text
        return child

    add(root, "name", who.name)
    add(root, "uuid", who.uuid)
    add(root, "title", "Thrown away by vm_preserving.maintenance, which tries a save and a restore on it")
    add(root, "memory", str(_MEMORY), unit="MiB")
    if in_place:
        backing = add(root, "memoryBacking")
        add(backing, "source", type="file")
        add(backing, "access", mode="shared")
    add(root, "vcpu", "1")
    add(add(root, "os"), "type", "hvm", arch=pair.arch, machine=pair.machine)
    for event in ("on_poweroff", "on_reboot", "on_crash"):
        add(root, event, "destroy")
    devices = add(root, "devices")
    add(devices, "emulator", pair.emulator)
    add(devices, "controller", type="usb", model="none")
    add(devices, "memballoon", model="none")
    return ET.tostring(root, encoding="unicode")


def judged(wanted: t.Sequence[Trial], failures: t.Mapping[Trial, str]) -> tuple[list[str], Blocker | None]:
    """What the trials say of one guest.

    :param wanted: Its trials, one for each format, the best first.
    :param failures: By trial that failed, why.
    :returns: The formats that are left for it, and why it cannot be saved when none is.
    """
    formats = [trial.image_format for trial in wanted if trial not in failures]
    if formats:
        return formats, None
    pair = wanted[0].pair
    rows = "; ".join(f"{trial.image_format} image: {failures[trial]}" for trial in wanted)
    how, advice = (", with its memory in place,", ", or move it by copy (memory: copy)") if wanted[0].in_place else ("", "")
    return [], Blocker(
        "pair", f"libvirt and the installed QEMU ({pair.emulator}) could not restore{how} a throw-away guest of its machine {pair.machine} that they had saved "
        f"just before ({rows}), so it would stay saved; install a libvirt and a QEMU that go together{advice}",
    )
