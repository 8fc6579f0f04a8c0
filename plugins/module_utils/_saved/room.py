# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a copy of a guest takes of its host's memory, and for how many guests there is room. Pure."""
from __future__ import annotations

import typing as t

from .._system.process_memory import HostMemory, ProcessMemory

MIB = 1024 * 1024
#: Memory of the host that is never used for copies: at least this, bytes, and this part of all, so that its kernel and daemons go on.
RESERVE = 256 * MIB
RESERVE_PART = 50


class CopyNeed(t.NamedTuple):
    """What the copy of one guest takes, bytes.

    :ivar image: What its image holds; gone with the guest's return.
    :ivar growth: Memory that nobody has now and the guest has after its return: pages that were never touched, and those that were merged with others.
    :ivar swapped: What is in swap now, and in RAM after its return.
    """

    image: int
    growth: int
    swapped: int

    @property
    def stays(self) -> int:
        """How much more of the RAM the guest has after its return than now."""
        return self.growth + self.swapped


class Room(t.NamedTuple):
    """What there is for copies, bytes.

    :ivar memory: Memory of the host.
    :ivar folder: What the folder of the images can take.
    """

    memory: int
    folder: int


def copy_need(memory: ProcessMemory, swap_used: int) -> CopyNeed:
    """What the copy of a guest takes.

    QEMU reads every page of the guest when it saves, and looks at every page when it restores. What that does was seen on the lab:

    * a page that was never touched is left out of the image. In private memory it costs nothing to read one; in a file (memfd too) the kernel makes
      the page, so that a guest with such memory has all of it in RAM afterwards. Huge pages come from their own pool;
    * a page in swap is in the image, and in RAM afterwards;
    * a page that was merged with others is in the image in full, and is not merged afterwards.

    The old QEMU has ended, and its memory is free, before the new one is started: so its memory counts once, and the image beside it.

    :param memory: The memory of its QEMU.
    :param swap_used: What the host has in swap, bytes: how much of a file is in swap is not told.
    """
    allocated = {kind: sum(one.allocated for one in memory.files if one.kind == kind) for kind in ("ram", "huge", "disk")}
    untouched = sum(max(0, one.size - one.allocated) for one in memory.files if one.kind == "ram")
    image = (
        memory.anonymous + memory.swapped + max(memory.cached, allocated["disk"]) + max(memory.shared, allocated["ram"]) + max(memory.huge, allocated["huge"])
    )
    swapped_files = min(max(0, allocated["ram"] - memory.shared), max(0, swap_used - memory.swapped))
    return CopyNeed(image, untouched + memory.merged, memory.swapped + swapped_files)


def usable(host: HostMemory) -> int:
    """Memory that the host can give without coming near its end, bytes."""
    return max(0, host.available - max(RESERVE, host.total // RESERVE_PART))


def room(host: HostMemory, free: int) -> Room:
    """What there is for copies.

    :param host: The host's memory.
    :param free: What is free in the file system of the images, bytes. It is in RAM, too.
    """
    return Room(usable(host), min(free, usable(host)))


def affordable(needs: t.Sequence[CopyNeed], there: Room, width: int) -> tuple[int, dict[int, Room]]:
    """How many guests can be copied at once, and for which there is no room.

    An image is gone with the guest's return. What a guest has grown by is not, so it counts for all that come after.

    :param needs: What the guests take, in the order in which they are copied.
    :param there: What there is.
    :param width: How many the operator wants at once.
    :returns: The width, at most `width`, at which the largest ones fit together (0 when not even one does), and by their index those that do not fit at
        all, with what there would be for them.
    """
    grown = 0
    without: dict[int, Room] = {}
    images: list[int] = []
    for index, need in enumerate(needs):
        if need.image > there.folder or grown + need.stays + need.image > there.memory:
            without[index] = Room(there.memory - grown, min(there.folder, there.memory - grown))
        else:
            grown += need.stays
            images.append(need.image)
    if not images:
        return (0 if without else width), without
    images.sort(reverse=True)
    fits = 1
    while fits < min(width, len(images)) and sum(images[:fits + 1]) <= min(there.folder, there.memory - grown):
        fits += 1
    return fits if fits < len(images) else width, without


def outgrowing(needs: t.Sequence[CopyNeed], memory: int) -> dict[int, int]:
    """By their index, the guests for which the host has no memory when all come back from images on disk, with what there would be for them, bytes.

    What is in swap now can go there again.

    :param needs: What the guests take, in the order in which they come back.
    :param memory: What the host can give, bytes.
    """
    found = {}
    for index, need in enumerate(needs):
        if need.growth > memory:
            found[index] = memory
        else:
            memory -= need.growth
    return found


_GROWTH = "memory that was never touched, or is merged with others'"


def no_room_to_grow(need: CopyNeed, memory: int) -> str:
    """Why a guest cannot come back from an image on disk, for an operator.

    :param memory: What there is for it, bytes.
    """
    return f"it would have {need.growth // MIB} MiB more than now when it is back ({_GROWTH}), and the host can give {memory // MIB} MiB"


def no_room(need: CopyNeed, there: Room) -> str:
    """Why a guest cannot be copied, for an operator.

    :param there: What there is for it.
    """
    more = f", and when it is back it would have {need.stays // MIB} MiB more in RAM than now ({_GROWTH}, or in swap)" if need.stays else ""
    return (
        f"the copy of its memory takes {need.image // MIB} MiB{more}; the host can give {there.memory // MIB} MiB, and the folder of the images "
        f"{there.folder // MIB} MiB"
    )
