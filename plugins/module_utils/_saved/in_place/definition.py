# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest's definition has to say so that its memory can stay in place after its next start, and the change that makes it say so. Pure.

Which memory libvirt gives to which definition was recorded from libvirt 9.0 and 11.3 (`virsh domxml-to-native`): shared memory is a file, unless the
source is memfd or the pages are huge.
"""
from __future__ import annotations

import copy
import typing as t
import xml.etree.ElementTree as ET
from xml.dom import minidom

from ..._core.errors import MaintenanceError

_MIB = 1024 * 1024


def _unsuited(xml: ET.Element) -> str | None:
    """What only the guest's owner can decide to give up."""
    for device in xml.findall("devices/memory"):
        if device.get("model") != "dimm":
            return f"it has a memory device of the model {device.get('model')}, and that its memory can stay in place is not proved"
    if xml.find("memoryBacking/hugepages") is not None:
        return (
            "its memory is in huge pages that have no name (memoryBacking/hugepages); take that element out, and put memory_backing_dir on a hugetlbfs if its "
            "pages are to be huge"
        )
    return None


def _parts(xml: ET.Element) -> list[tuple[str, str | None, ET.Element]]:
    """The parts of a guest's memory: a name, the access that is said of it (`None`: the general one holds), and where."""
    cells = xml.findall("cpu/numa/cell")
    parts = [(f"NUMA cell {cell.get('id', number)}", cell.get("memAccess"), cell) for number, cell in enumerate(cells)]
    return parts + [(f"memory device {number}", device.get("access"), device) for number, device in enumerate(xml.findall("devices/memory"))]


def _find(xml: ET.Element, path: str, attribute: str) -> str | None:
    element = xml.find(path)
    return None if element is None else element.get(attribute)


def next_start_obstacle(xml: ET.Element) -> str | None:
    """Why a guest's memory could not stay in place after its next start, or `None` when it could.

    :param xml: The inactive XML.
    """
    unsuited = _unsuited(xml)
    if unsuited is not None:
        return unsuited
    parts = _parts(xml)
    if xml.find("memoryBacking/discard") is not None or any(element.get("discard") == "yes" for _name, _access, element in parts):
        return "its memory is discarded when its QEMU ends (discard)"
    general = _find(xml, "memoryBacking/access", "mode") or "private"
    for name, access, _element in parts:
        if (access or general) != "shared":
            return f"its {name} is private memory (access)"
    if general != "shared" and not xml.findall("cpu/numa/cell"):
        return "its memory is private (it needs memoryBacking with source type='file' and access mode='shared')"
    if _find(xml, "memoryBacking/source", "type") == "memfd":
        return "its memory is no file but a memfd (memoryBacking/source)"
    return None


def _children(parent: minidom.Element, name: str) -> list[minidom.Element]:
    return [child for child in parent.childNodes if child.nodeType == child.ELEMENT_NODE and child.tagName == name]


def _set(parent: minidom.Element, name: str, attribute: str, value: str) -> None:
    found = _children(parent, name)
    element = found[0] if found else parent.appendChild(parent.ownerDocument.createElement(name))
    element.setAttribute(attribute, value)


def for_in_place(text: str) -> str:
    """A definition with what a guest needs so that its memory can stay in place; the same text when nothing is missing.

    Private access, a memfd and discard are changed: they say how the host keeps the memory, and the guest does not see the difference.

    :param text: The inactive XML.
    :raises MaintenanceError: code `memory`: it has something that only its owner can decide to give up.
    """
    seen = ET.fromstring(text)
    if next_start_obstacle(seen) is None:
        return text
    unsuited = _unsuited(seen)
    if unsuited is not None:
        raise MaintenanceError(unsuited, "memory")
    # Not ElementTree: it would give the namespaces of others' metadata other prefixes.
    root = minidom.parseString(text).documentElement
    backing = _children(root, "memoryBacking")
    if not backing:
        sizes = [child for child in root.childNodes if child.nodeType == child.ELEMENT_NODE and child.tagName in ("name", "memory", "currentMemory")]
        backing = [root.insertBefore(root.ownerDocument.createElement("memoryBacking"), sizes[-1].nextSibling)]
    for discard in _children(backing[0], "discard"):
        backing[0].removeChild(discard)
    _set(backing[0], "source", "type", "file")
    _set(backing[0], "access", "mode", "shared")
    for path, attribute in ((("cpu", "numa", "cell"), "memAccess"), (("devices", "memory"), "access")):
        elements = [root]
        for name in path:
            elements = [child for element in elements for child in _children(element, name)]
        for element in elements:
            if element.hasAttribute(attribute):
                element.setAttribute(attribute, "shared")
            if element.hasAttribute("discard"):
                element.removeAttribute("discard")
    return t.cast(str, root.toxml())


def memory_lines(xml: ET.Element) -> str:
    """What a definition says about the guest's memory, for a diff; nothing in it is secret."""
    elements = [*xml.findall("memoryBacking"), *xml.findall("cpu/numa"), *xml.findall("devices/memory")]
    found = []
    for element in elements:
        shown = copy.deepcopy(element)
        shown.tail = None
        ET.indent(shown)
        found.append(ET.tostring(shown, encoding="unicode"))
    return "".join(f"{one}\n" for one in found) or "<memoryBacking/>\n"


def memory_size(xml: ET.Element) -> int:
    """The guest's memory, memory devices included, bytes. libvirt writes it in KiB.

    :param xml: XML as libvirt writes it.
    """
    return int(xml.findtext("memory", "0")) * 1024


def room_problem(definitions: t.Iterable[ET.Element], path: str, file_system: str, in_ram: bool, size: int) -> str | None:
    """Why memory files cannot go where libvirt puts them, and what to do; `None`: they can.

    :param definitions: The definitions of all guests of the host.
    :param path: `memory_backing_dir`.
    :param file_system: The type of its file system.
    :param in_ram: Its files are memory of the host.
    :param size: How much it can hold, bytes.
    """
    if not in_ram:
        return (
            f"memory_backing_dir is {path}, which is on {file_system} and not in RAM; let the role guest_memory make a folder for memory "
            "(guest_memory_folder), or set memory_backing_dir = \"/dev/shm\" (or a hugetlbfs) in /etc/libvirt/qemu.conf and restart libvirtd, while no guest "
            "with memory there runs"
        )
    needed = sum(memory_size(xml) for xml in definitions if next_start_obstacle(xml) is None)
    if needed > size:
        return (
            f"the guests whose memory is to be files have {needed // _MIB} MiB, but memory_backing_dir {path} holds only {size // _MIB} MiB, and a guest that "
            "finds no room there is killed by the host; make that file system larger (guest_memory_folder_size of the role guest_memory, "
            "persistent_memory_size of the role persistent_memory, or mount -o remount,size=...)"
        )
    return None
