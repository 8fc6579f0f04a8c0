# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's memory is gathered into pages of 2 MiB before its QEMU is replaced, so that the end of the old one does not take longer for a large guest.

When a QEMU ends the kernel takes page after page from it, and libvirt waits for that, inside the guest's pause. A tmpfs that is mounted with `huge=` does not
help: QEMU maps its memory files at multiples of 4 KiB plus a guard page, and the kernel gives pages of 2 MiB only to mappings at multiples of 2 MiB (seen with
QEMU 7.2 on Linux 6.18; QEMU, util/mmap-alloc.c). Gathering does, for two reasons. It takes the pages from the QEMU while the guest runs: what the guest uses
comes back, the rest does not. And what is 512 pages in one piece is let go of about ten times faster (since Linux 6.9, mm/memory.c, zap_present_ptes).
"""
from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import time
import typing as t

from ..._system import large_pages
from ..rules import Letting

#: Bytes that are let go of to learn how fast this host does that.
PROBE = 64 * 1024 * 1024
#: Seconds for gathering the memory of one guest. What is not done by then stays as it is.
LIMIT = 900.0


def whole(paths: t.Iterable[str]) -> int:
    """How much of memory files can be gathered, bytes: nothing on disks, in huge pages of the host's pool, or where the kernel has no pages of that size.

    :param paths: The files.
    """
    if not large_pages.available():
        return 0
    found = 0
    for path in paths:
        with contextlib.suppress(OSError):  # then that file stays as it is
            found += large_pages.whole_size(path)
    return found


def gather(paths: t.Iterable[str]) -> int:
    """Gather the memory in memory files, while the guest runs.

    :param paths: The files.
    :returns: How much of it is gathered now, bytes.
    """
    give_up = time.monotonic() + LIMIT
    done = 0
    for path in paths:
        with contextlib.suppress(OSError):
            done += large_pages.gather(path, give_up)
    return done


def letting() -> Letting:
    """How fast this host lets go of the memory of a QEMU that ends."""
    handle = os.memfd_create("vm_preserving")
    try:
        os.ftruncate(handle, PROBE)
        ordinary = _let_go(handle)
        can = large_pages.available() and large_pages.gather_open(handle, time.monotonic() + LIMIT) == PROBE
        return Letting(ordinary, _let_go(handle) if can else None)
    finally:
        os.close(handle)


def _let_go(handle: int) -> float:
    """How fast a mapping is let go of that begins where QEMU's do, bytes per second."""
    mapping = large_pages.Mapping(handle, PROBE, mmap.PAGESIZE, writable=True)
    try:
        for place in range(0, PROBE, mmap.PAGESIZE):
            ctypes.memset(mapping.address + place, 1, 1)
        began = time.monotonic()
    finally:
        mapping.close()
    return PROBE / max(1e-6, time.monotonic() - began)
