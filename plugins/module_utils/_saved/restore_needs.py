# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest's next QEMU will open, and whether it will find there what the running one has. Pure.

A guest whose QEMU does not find one of these stays saved: nothing of it can be seen from the running QEMU, which has its files open, or read long ago.
"""
from __future__ import annotations

import typing as t
import xml.etree.ElementTree as ET

from .._core.states import Blocker
from .._system.open_files import Found

#: What has to be at a path: the very file that the running QEMU has open, one of the same size, or just something.
Wanted = t.Literal["same", "size", "any"]

#: Where Linux has the devices of the USB buses, and its network devices.
_USB = "/dev/bus/usb"
_NET = "/sys/class/net"


class Need(t.NamedTuple):
    """Something that the next QEMU will open.

    :ivar path: Where.
    :ivar what: What it is to the guest, for messages.
    :ivar wanted: What has to be there.
    :ivar by_name: QEMU looks for it by its name, in several folders.
    """

    path: str
    what: str
    wanted: Wanted
    by_name: bool = False


def _text(xml: ET.Element, path: str) -> str:
    return (xml.findtext(path) or "").strip()


def _source(element: ET.Element | None) -> str:
    return "" if element is None else element.get("file") or element.get("dev") or ""


def _disks(xml: ET.Element) -> t.Iterator[Need]:
    for disk in xml.findall("devices/disk"):
        source = disk.find("source")
        kind = disk.get("device", "disk")
        target = disk.find("target")
        name = f"{ {'cdrom': 'CD-ROM', 'floppy': 'floppy'}.get(kind, 'disk') } {'' if target is None else target.get('dev', '')}".strip()
        if source is not None and kind in ("cdrom", "floppy") and source.get("startupPolicy") in ("optional", "requisite"):
            continue  # libvirt leaves it out when it is not there
        if disk.get("type") == "vhostuser" and source is not None:
            yield Need(source.get("path", ""), f"the socket of its {name}", "any")
        elif disk.get("type") in ("file", "block"):
            yield Need(_source(source), f"its {name}", "same")
        # The files below it, each within the one above; an element without a source ends the chain.
        for below in [*disk.iter("backingStore"), *disk.iter("dataStore")]:
            if below.get("type") in ("file", "block"):
                yield Need(_source(below.find("source")), f"a file below its {name}", "same")


def _firmware(xml: ET.Element) -> t.Iterator[Need]:
    for element, what in ((xml.find("os/loader"), "its firmware"), (xml.find("os/nvram"), "the variables of its firmware")):
        if element is not None and element.get("type") != "network":
            path = (element.text or "").strip() or _source(element.find("source"))
            # QEMU reads other firmware once, and does not keep it open; in other formats the size of the file is not that of the flash.
            flash = (element.tag == "nvram" or element.get("type") == "pflash") and element.get("format") in (None, "raw")
            yield Need(path, what, "size" if flash else "any")
    for path, what in (
        ("os/kernel", "its kernel"), ("os/initrd", "its initrd"), ("os/dtb", "its device tree"), ("os/shim", "its shim"), ("os/acpi/table", "its ACPI table"),
    ):
        yield Need(_text(xml, path), what, "any")


def _devices(xml: ET.Element) -> t.Iterator[Need]:
    for device in xml.findall("devices/*"):
        alias = device.find("alias")
        name = f"its device {'' if alias is None else alias.get('name', '')}".strip()
        rom = device.find("rom")
        if rom is not None and rom.get("enabled") != "no":
            yield Need(rom.get("file", ""), f"the ROM of {name}", "any")
        source = device.find("source")
        if source is None:
            continue
        if device.tag == "interface" and device.find("virtualport") is None:
            link = source.get("bridge") or (source.get("dev") if device.get("type") == "direct" else "")
            yield Need(f"{_NET}/{link}" if link and "/" not in link else "", f"the network device of {name}", "any")
        if device.tag == "interface" and device.get("type") == "vhostuser" and source.get("mode") == "client":
            yield Need(source.get("path", ""), f"the socket of {name}", "any")
        if device.tag == "hostdev" and device.get("type") == "usb" and source.get("startupPolicy") not in ("optional", "requisite"):
            address = source.find("address")
            numbers = ("", "") if address is None else (address.get("bus", ""), address.get("device", ""))
            if all(number.isdigit() for number in numbers):
                yield Need(f"{_USB}/{int(numbers[0]):03d}/{int(numbers[1]):03d}", f"the USB device of {name}", "any")
        if device.tag == "input" and device.get("type") in ("passthrough", "evdev"):
            yield Need(source.get("evdev") or source.get("dev") or "", f"the input device of {name}", "any")


def needs(xml: ET.Element) -> list[Need]:
    """What the next QEMU of a guest will open, as far as its definition names it.

    :param xml: The live XML, which has the chains below the disks.
    """
    return [need for need in (*_disks(xml), *_firmware(xml), *_devices(xml)) if need.path]


def _other_size(now: Found, held: t.Sequence[Found], before: Found | None) -> str | None:
    """Why a file does not have the size of the one that the running QEMU has, `None` when it has."""
    if before is not None:
        return None if now.size == before.size else f"it has {before.size} bytes, and at its path is one of {now.size} bytes"
    # Its path led elsewhere then (a symbolic link): which of the open ones it was cannot be told, so any of that size will do.
    return None if any(one.size == now.size for one in held) else f"at its path is one of {now.size} bytes, and the running QEMU has none of that size open"


def firmware_by_name(xml: ET.Element) -> str | None:
    """The name of the firmware that QEMU looks for by itself, `None` when it does not, or which it is is not known.

    Source: hw/i386/pc_piix.c and pc_q35.c, `default_bios`.
    """
    machine = "" if xml.find("os/type") is None else xml.find("os/type").get("machine", "")
    return "bios-256k.bin" if machine.startswith(("pc-i440fx-", "pc-q35-")) and xml.find("os/loader") is None else None


def missing(wanted: t.Sequence[Need], there: t.Mapping[str, Found | None], held: t.Sequence[Found]) -> list[Blocker]:
    """What the next QEMU would not find as the running one has it.

    :param wanted: What it will open.
    :param there: What is at each of these paths, `None`: nothing. Paths of which that cannot be told are left out.
    :param held: The files that the running QEMU has open.
    """
    found = []
    for need in wanted:
        if need.path not in there:
            continue
        now = there[need.path]
        if now is None:
            advice = "; eject it, or put it back" if need.what.startswith(("its CD-ROM", "its floppy")) else "; put it back"
            found.append(Blocker("missing", f"{need.what}, {need.path}, is not there any more, and its next QEMU could not open it{advice}"))
            continue
        if need.wanted == "any" or any(one.key == now.key or (one.named and one.path == now.path) for one in held):
            continue
        before = next((one for one in held if one.path == now.path), None)
        if need.wanted == "size":
            why = _other_size(now, held, before)
            if why is not None:
                found.append(Blocker("other_size", f"{need.what}, {need.path}: {why}; its saved state would not fit"))
        else:
            sizes = f" ({before.size} bytes before, {now.size} now)" if before is not None and before.size != now.size else ""
            found.append(Blocker(
                "replaced", f"{need.what}, {need.path}, is not the file that it has open{sizes}, and its next QEMU would go on with another one",
            ))
    return found


def rom_blocker(alias: str, path: str, running: int, size: int | None) -> Blocker | None:
    """What is wrong with the file of a device's ROM, `None`: nothing.

    QEMU gives a ROM the next power of two of its file's size, and does not take the state of one of another size up
    (hw/pci/pci.c, pci_add_option_rom; migration/ram.c, "Size mismatch").

    :param alias: libvirt's name of the device.
    :param path: The file, as the running QEMU calls it.
    :param running: The size of the ROM in the running QEMU, bytes.
    :param size: The size of the file that the installed QEMU would load, bytes; `None`: there is none.
    """
    if size is None:
        return Blocker("missing", f"the ROM of its device {alias}, {path}, is not there any more, and its next QEMU could not open it; put it back")
    rounded = 1 << max(0, size - 1).bit_length()
    if rounded == running:
        return None
    return Blocker(
        "other_size", f"the ROM of its device {alias} has {running} bytes, and {path} ({size} bytes) would make one of {rounded} bytes; its saved state "
        "would not fit",
    )
