# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where QEMUs are kept that guests may have to go back to, and definitions that name them. Pure.

The folder of a build is named by its build id. In it is the program below `program`, and below `start` what libvirt is given in its place, both under the path
that they stand for: so a definition, and a process, say by themselves which emulator is meant.
"""
from __future__ import annotations

import os
import re
import typing as t
from xml.dom import minidom

#: On the disk, because a way back may be needed on the other side of a boot.
KEPT = "/var/lib/vm_preserving/qemu"
#: The folders of a build.
PROGRAM, START, MODULES, DATA, LIBRARIES = "program", "start", "modules", "data", "libraries"


def _parts(path: str) -> tuple[str, str] | None:
    """The build of a kept QEMU, and the path for which its program, or what starts it, stands."""
    found = re.fullmatch(rf"{re.escape(KEPT)}/([0-9a-f]+)/(?:{PROGRAM}|{START})(/.+)", path)
    return (found.group(1), found.group(2)) if found and os.path.normpath(path) == path else None


def build_of(path: str) -> str | None:
    """The build id of a kept QEMU, by the path of its program or of what starts it; `None` for every other path."""
    found = _parts(path)
    return None if found is None else found[0]


def folder_of(build: str) -> str:
    """Where all of a kept QEMU is."""
    return f"{KEPT}/{build}"


def is_kept(path: str) -> bool:
    """Whether a file is a part of a kept QEMU."""
    return path.startswith(f"{KEPT}/")


def installed(path: str) -> str:
    """The path for which a kept program, or what starts it, stands; every other path as it is."""
    found = _parts(path)
    return path if found is None else found[1]


def start_of(build: str, emulator: str) -> str:
    """What libvirt is given to start a kept QEMU.

    :param build: Its build id.
    :param emulator: The path that a definition has for the installed one.
    """
    return f"{folder_of(build)}/{START}{emulator}"


def with_emulator(xml: str, emulator: str) -> str:
    """A definition with another emulator.

    :param xml: The definition.
    :param emulator: What starts a kept QEMU; empty: the installed one. Then a definition that names no kept one stays as it is.
    """
    if not emulator and KEPT not in xml:
        return xml
    # Not ElementTree: it would give the namespaces of others' metadata other prefixes.
    document = minidom.parseString(xml)
    root = t.cast(minidom.Element, document.documentElement)  # what was parsed has one
    for devices in _children(root, "devices"):
        for element in _children(devices, "emulator"):
            now = "".join(child.data for child in element.childNodes if child.nodeType == child.TEXT_NODE)
            wanted = emulator or installed(now)
            if wanted == now:
                return xml
            while element.firstChild is not None:
                element.removeChild(element.firstChild)
            element.appendChild(document.createTextNode(wanted))
            return root.toxml()
    return xml


def _children(parent: minidom.Element, name: str) -> list[minidom.Element]:
    return [child for child in parent.childNodes if child.nodeType == child.ELEMENT_NODE and child.tagName == name]
