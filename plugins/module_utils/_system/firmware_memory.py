# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the firmware says of the host's memory, and what the running kernel made of it. It holds no decisions."""
from __future__ import annotations

import contextlib
import glob
import os

#: What the firmware told the kernel, before any kernel parameter (Documentation/ABI/testing/sysfs-firmware-memmap).
MAP = "/sys/firmware/memmap"
#: Which memory belongs to which NUMA node.
SRAT = "/sys/firmware/acpi/tables/SRAT"
#: Where the kernel has its persistent memory (drivers/nvdimm/namespace_devs.c).
BLOCK = "/sys/block"
COMMAND_LINE = "/proc/cmdline"


def _text(*path: str) -> str:
    with open(os.path.join(*path), encoding="ascii", errors="replace") as stream:
        return stream.read().strip()


def ram(folder: str = MAP) -> list[tuple[int, int]]:
    """The ranges of RAM as start and size, bytes, by address; none where the kernel does not tell (other processors than x86).

    :raises OSError: It cannot be read.
    """
    found = []
    for one in glob.glob(os.path.join(glob.escape(folder), "*")):
        if _text(one, "type") == "System RAM":
            start = int(_text(one, "start"), 16)
            found.append((start, int(_text(one, "end"), 16) + 1 - start))
    return sorted(found)


def srat(path: str = SRAT) -> bytes:
    """The table; empty where there is none.

    :raises OSError: It is there and cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return b""


def persistent(folder: str = BLOCK) -> dict[str, tuple[int, int]]:
    """The host's persistent memory by the path of its device, as start and size, bytes."""
    found = {}
    for one in sorted(glob.glob(os.path.join(glob.escape(folder), "pmem*"))):
        with contextlib.suppress(OSError, ValueError):  # a namespace without an address of its own
            found[f"/dev/{os.path.basename(one)}"] = (int(_text(one, "device", "resource"), 16), int(_text(one, "size")) * 512)
    return found


def command_line(path: str = COMMAND_LINE) -> list[str]:
    """What the running kernel was told.

    :raises OSError: It cannot be read.
    """
    return _text(path).split()
