# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which part of the host's RAM is set aside for the memory of guests, so that another kernel finds it as it was. Pure.

The kernel parameter `memmap=SIZE!START` makes persistent memory (`/dev/pmemN`) of a range of RAM. The kernel leaves it alone from its first instruction on,
and so does each later one that is given the same parameter.

Source: Linux, Documentation/admin-guide/kernel-parameters.txt (memmap), arch/x86/kernel/e820.c (parse_memmap_one), drivers/nvdimm/e820.c.
"""
from __future__ import annotations

import re
import struct
import typing as t

from ..._core.errors import MaintenanceError

_MIB = 1024 * 1024
_GIB = 1024 * _MIB
#: Start and size are multiples of this, bytes: a section of the kernel's memory model on x86_64 (SECTION_SIZE_BITS is 27). Drivers refuse what is not even
#: aligned to 16 MiB ("misaligned").
ALIGNMENT = 128 * _MIB
#: Below it are the kernel, its initramfs, what the boot loader needs, and the memory for devices that cannot reach farther.
LOWEST = 4 * _GIB
#: What is left to the host, whatever else runs on it, bytes.
LEAST_LEFT = _GIB
_UNITS = {"": 1, "K": 1024, "M": _MIB, "G": _GIB, "T": 1024 * _GIB}
#: SRAT, ACPI specification 5.2.16: a header of 48 bytes, then structures that begin with their type and length. Type 1 is memory.
_SRAT_HEADER = 48
_SRAT_MEMORY = 1
_SRAT_ENABLED = 1


class Range(t.NamedTuple):
    """A piece of the physical address space, bytes."""

    start: int
    size: int

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.start + self.size

    def __str__(self) -> str:
        return f"{in_words(self.size)} at {in_words(self.start)}"


class Reservation(t.NamedTuple):
    """What is to be set aside.

    :ivar where: The range.
    :ivar node: The NUMA node (proximity domain of ACPI) that it belongs to; `None`: the host tells of none.
    :ivar left: The RAM that is left to the host, bytes.
    """

    where: Range
    node: int | None
    left: int

    @property
    def argument(self) -> str:
        """The kernel parameter."""
        return f"memmap={in_words(self.where.size)}!{in_words(self.where.start)}"


def in_words(amount: int) -> str:
    """An amount of bytes as the kernel reads it, without loss: `8G`, `1536M`."""
    for unit, factor in (("G", _GIB), ("M", _MIB), ("K", 1024)):
        if amount and amount % factor == 0:
            return f"{amount // factor}{unit}"
    return str(amount)


def in_bytes(text: str, what: str) -> int:
    """The bytes of an amount such as `200G`.

    :param what: What it is called, for the message.
    :raises MaintenanceError: code `amount`: it is none.
    """
    found = re.fullmatch(r"([0-9]+)([KMGT]?)", text.strip().upper())
    if found is None:
        raise MaintenanceError(f"{what} is {text!r}; it has to be a number with K, M, G or T, for example 200G; nothing was changed", "amount")
    return int(found.group(1)) * _UNITS[found.group(2)]


def reserved(words: t.Iterable[str]) -> list[str]:
    """The kernel parameters among some that set persistent memory aside. One may name several ranges, separated by commas."""
    return [word for word in words if word.startswith("memmap=") and "!" in word]


def nodes(srat: bytes) -> list[tuple[int, Range]]:
    """The NUMA node of each range of memory, by the host's firmware.

    :param srat: The ACPI table SRAT; empty when there is none, as on a host with one node.
    """
    found = []
    place = _SRAT_HEADER
    while place + 2 <= len(srat):
        kind, length = srat[place], srat[place + 1]
        if length < 2:
            break
        if kind == _SRAT_MEMORY and place + 32 <= len(srat):
            node, start, size, flags = struct.unpack_from("<I2xQQ4xI", srat, place + 2)
            if flags & _SRAT_ENABLED and size:
                found.append((node, Range(start, size)))
        place += length
    return found


def _joined(ranges: t.Iterable[Range]) -> list[Range]:
    """The same with those in one that touch."""
    found: list[Range] = []
    for one in sorted(ranges):
        if found and found[-1].end >= one.start:
            found[-1] = Range(found[-1].start, max(found[-1].end, one.end) - found[-1].start)
        else:
            found.append(one)
    return found


def _common(one: Range, other: Range) -> Range:
    start = max(one.start, other.start)
    return Range(start, max(0, min(one.end, other.end) - start))


def available(ram: t.Iterable[Range], by_node: t.Iterable[tuple[int, Range]]) -> list[tuple[int | None, Range]]:
    """Where memory can be set aside: whole in RAM, in one NUMA node, and aligned; by address.

    :param ram: The host's RAM, by its firmware.
    :param by_node: What `nodes` says.
    """
    of_nodes: dict[int | None, list[Range]] = {}
    for node, one in by_node:
        of_nodes.setdefault(node, []).append(one)
    everything = Range(LOWEST, 1 << 63)
    found = []
    for node, ranges in (of_nodes or {None: [everything]}).items():
        for piece in (_common(_common(one, of_node), everything) for one in _joined(ram) for of_node in _joined(ranges)):
            start = -(-piece.start // ALIGNMENT) * ALIGNMENT
            size = (piece.end - start) // ALIGNMENT * ALIGNMENT
            if size > 0:
                found.append((node, Range(start, size)))
    return sorted(found, key=lambda one: one[1])


def choose(size: int, start: int | None, ram: t.Sequence[Range], by_node: t.Sequence[tuple[int, Range]]) -> Reservation:
    """The range to set aside, the same at each call.

    :param size: How much, bytes.
    :param start: Its address; `None`: the lowest at which it is possible.
    :param ram: The host's RAM, by its firmware, which does not know what a kernel was told to leave alone.
    :param by_node: What `nodes` says.
    :raises MaintenanceError: code `reservation`: it is not possible.
    """
    room = available(ram, by_node)
    there = ", ".join(f"{one}{'' if node is None else f' (NUMA node {node})'}" for node, one in room) or "none: it has no RAM above 4 GiB"
    if not size or size % ALIGNMENT or (start or 0) % ALIGNMENT:
        raise MaintenanceError(
            f"size ({in_words(size)}){'' if start is None else f' and start ({in_words(start)})'} have to be multiples of {in_words(ALIGNMENT)}, and not 0; "
            "nothing was changed", "reservation",
        )
    left = sum(one.size for one in ram) - size
    if left < LEAST_LEFT:
        raise MaintenanceError(
            f"of this host's RAM ({(left + size) // _MIB} MiB) {in_words(size)} cannot be set aside: at least {in_words(LEAST_LEFT)} has to be left for the "
            "host itself; nothing was changed. Set less aside", "reservation",
        )
    for node, one in room:
        wanted = Range(one.start if start is None else start, size)
        if _common(wanted, one) == wanted:
            return Reservation(wanted, node, left)
    raise MaintenanceError(
        f"{in_words(size)}{'' if start is None else f' at {in_words(start)}'} cannot be set aside: it has to be in one piece of RAM above 4 GiB and in one "
        f"NUMA node. This host has: {there}. Nothing was changed", "reservation",
    )
