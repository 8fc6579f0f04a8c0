# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where libvirt puts guests' memory files: `memory_backing_dir` in qemu.conf, and the file system that it is on."""
from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from .qemu_conf import FOLDER, QEMU_CONF, settings

#: libvirt's default (src/qemu/qemu_conf.c, virQEMUDriverConfigNew).
DEFAULT = "/var/lib/libvirt/qemu/ram"
#: File systems whose files are memory. ramfs is left out: it has no limit.
IN_RAM = ("tmpfs", "hugetlbfs")


@dataclasses.dataclass(frozen=True)
class Backing:
    """Where memory files go.

    :ivar path: `memory_backing_dir`.
    :ivar file_system: The type of the file system that it is on, for example `tmpfs`.
    :ivar size: How much that file system can hold, bytes.
    :ivar dax: It is mounted with the option `dax`, so files are used where they are, which is persistent memory.
    """

    path: str
    file_system: str
    size: int
    dax: bool = False

    @property
    def in_ram(self) -> bool:
        """Whether its files are memory of the host."""
        return self.file_system in IN_RAM or self.dax


def memory_backing_dir(folder: str = FOLDER) -> str:
    """Where libvirt puts the memory files of the guests that it starts from now on, once it has read its configuration.

    :param folder: Where libvirt has its configuration.
    :raises OSError: The file is there and cannot be read.
    """
    return str(settings(QEMU_CONF, folder).get("memory_backing_dir", DEFAULT))


def file_system_of(path: str, mounts: str) -> tuple[str, bool]:
    """The type of the file system that a path is on, and whether it is mounted with the option `dax` (ext4 shows `dax=always` since Linux 5.8).

    :param path: An absolute path without symbolic links.
    :param mounts: `/proc/self/mounts`, see proc(5): blanks in a mount point are `\\040`. The later of two at one place hides the other.
    """
    best, found = -1, ("unknown", False)
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code.group(1), 8)), words[1]).rstrip("/")
        if (path + "/").startswith(point + "/") and len(point) >= best:
            best, found = len(point), (words[2], not {"dax", "dax=always"}.isdisjoint(words[3].split(",")))
    return found


def backing() -> Backing:
    """Where memory files go on this host. A folder that libvirt has not made yet counts as what it will be made in.

    :raises OSError: It cannot be found out.
    """
    path = memory_backing_dir()
    there = os.path.realpath(path)
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as stream:
        kind, dax = file_system_of(there, stream.read())
    found = os.statvfs(there)
    return Backing(path, kind, found.f_blocks * found.f_frsize, dax)


def as_dict(found: Backing) -> dict[str, t.Any]:
    """For a module's result."""
    return {"path": found.path, "file_system": found.file_system, "in_ram": found.in_ram, "dax": found.dax, "size": found.size}
