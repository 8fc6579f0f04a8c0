# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of libvirt's QEMU driver: `qemu.conf`, and the files of its lock managers beside it.

libvirt reads them when it starts: what is in a file that was changed since counts from its next start on.
"""
from __future__ import annotations

import os
import re
import typing as t

#: Where libvirt's system driver has its configuration.
FOLDER = "/etc/libvirt"
#: The name of its main file there.
QEMU_CONF = "qemu.conf"
#: Whether a lock manager takes a lease for each writable disk when its file does not say (`virLockManagerLockDaemonInit`, `virLockManagerSanlockInit`).
_DISK_LEASES = {"lockd": True, "sanlock": False}

#: The words of the language (src/util/virconf.c).
_WORD = re.compile(r'''
    \#[^\r\n]* | (?P<name>[A-Za-z]\w*) | (?P<sign>[=\[\],]) | (?P<number>[-+]?[0-9]+)
    | """(?P<text>.*?)""" | "(?P<double>[^"\r\n]*)" | '(?P<single>[^'\r\n]*)'
''', re.VERBOSE | re.DOTALL | re.ASCII)


class LockManager(t.NamedTuple):
    """What guards the guests' disks against a second start elsewhere.

    :ivar name: `lockd`, `sanlock`, or whatever else libvirt is configured to load; `None`: nothing.
    :ivar disk_leases: Whether it takes a lease for each writable disk, or only those that a guest's XML names.
    """

    name: str | None
    disk_leases: bool


def parse(text: str) -> dict[str, str | int]:
    """The settings that are a text or a number. Of two with the same name the first counts, as for libvirt (`virConfGetValue`); lists are left out.

    A file that libvirt would refuse is read as far as it can be understood.

    :param text: The file.
    """
    found: dict[str, str | int] = {}
    name, assigned, depth = "", False, 0
    for word in _WORD.finditer(text):
        kind = word.lastgroup
        if kind is None:  # a comment
            continue
        value = word.group(kind)
        if kind == "sign":
            assigned = value == "=" and not depth
            depth = max(0, depth + {"[": 1, "]": -1}.get(value, 0))
        elif kind == "name":
            name, assigned = value, False
        elif assigned and not depth:
            found.setdefault(name, int(value) if kind == "number" else value)
            assigned = False
    return found


def settings(file: str = QEMU_CONF, folder: str = FOLDER) -> dict[str, str | int]:
    """The settings of one file; none when there is no such file.

    :param file: Its name.
    :param folder: Where libvirt has its configuration.
    :raises OSError: It is there and cannot be read.
    """
    try:
        with open(os.path.join(folder, file), encoding="utf-8", errors="replace") as stream:
            return parse(stream.read())
    except FileNotFoundError:
        return {}


def lock_manager(folder: str = FOLDER) -> LockManager:
    """The lock manager of libvirt's QEMU driver.

    :param folder: Where libvirt has its configuration.
    :raises OSError: A file of it is there and cannot be read.
    """
    name = str(settings(QEMU_CONF, folder).get("lock_manager", "nop"))
    if name in ("", "nop"):
        return LockManager(None, False)
    if "/" in name:  # not the name of a file; what libvirt makes of it is unknown
        return LockManager(name, True)
    return LockManager(name, bool(settings(f"qemu-{name}.conf", folder).get("auto_disk_leases", _DISK_LEASES.get(name, True))))
