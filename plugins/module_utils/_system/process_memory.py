# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of a process and of its host, as /proc tells it. It holds no decisions."""
from __future__ import annotations

import ctypes
import mmap
import os
import platform
import stat
import typing as t

#: File systems by statfs(2)'s f_type (linux/magic.h).
_TMPFS = 0x01021994
_HUGETLBFS = 0x958458F6


class MemoryFile(t.NamedTuple):
    """A file that a process has mapped to write into it: memory that it may share. With memfd it has no name.

    :ivar size: How large it is, bytes.
    :ivar allocated: What of it was ever touched, in RAM or in swap, bytes.
    :ivar kind: `ram` (ordinary pages), `huge` (huge pages of the host's pool), or `disk` (its pages are a cache).
    """

    size: int
    allocated: int
    kind: str


class ProcessMemory(t.NamedTuple):
    """The memory of a process, bytes.

    :ivar anonymous: Private memory in RAM.
    :ivar cached: Pages of files on disks that it has mapped, in RAM.
    :ivar shared: Pages of `ram` files that it has mapped, in RAM.
    :ivar swapped: Private memory in swap.
    :ivar huge: Huge pages of the host's pool, private ones and those of files.
    :ivar merged: What of the private memory is merged with others' equal pages (KSM).
    :ivar files: The files that it has mapped to write into them.
    """

    anonymous: int
    cached: int
    shared: int
    swapped: int
    huge: int
    merged: int
    files: tuple[MemoryFile, ...]


class HostMemory(t.NamedTuple):
    """The memory of the host, bytes.

    :ivar total: All of it.
    :ivar available: What can be had without swapping.
    :ivar swap_used: What is in swap.
    """

    total: int
    available: int
    swap_used: int


def parse_sizes(text: str) -> dict[str, int]:
    """The sizes in `/proc/PID/status`, `/proc/PID/smaps_rollup` and `/proc/meminfo` (proc(5)), bytes: lines of the form `VmRSS:   1024 kB`."""
    found = {}
    for line in text.splitlines():
        name, _colon, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB" and words[0].isdigit():
            found[name] = int(words[0]) * 1024
    return found


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def _number(path: str) -> int | None:
    try:
        return int(_read(path))
    except (OSError, ValueError):
        return None


def _merged(pid: int, private: int) -> int:
    """Bytes of a process that KSM has merged. Kernels before 5.19 tell it of the whole host only, which is the most that it can be."""
    pages = _number(f"/proc/{pid:d}/ksm_merging_pages")
    if pages is None:
        pages = _number("/sys/kernel/mm/ksm/pages_sharing") or 0
    return min(private, pages * mmap.PAGESIZE)


def _file_system(path: str) -> int:
    """The file system that a file is on, by statfs(2)'s f_type. Also of files without a name, through /proc.

    :raises OSError: It cannot be told.
    """
    buffer = ctypes.create_string_buffer(256)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(os.fsencode(path), buffer):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), path)
    # Its first field is a word, on s390 an int (asm/statfs.h).
    kind = ctypes.c_uint32 if platform.machine().startswith("s390") else ctypes.c_ulong
    return int(kind.from_buffer(buffer).value) & 0xFFFFFFFF


def memory_files(pid: int) -> tuple[MemoryFile, ...]:
    """The regular files that a process has mapped to write into them, each once.

    :raises OSError: It may not be looked at, or has ended.
    """
    found: dict[tuple[int, int], MemoryFile] = {}
    for line in _read(f"/proc/{pid:d}/maps").split("\n"):
        fields = line.split(None, 5)
        if len(fields) < 6 or fields[1][1] != "w" or not fields[5].startswith("/"):
            continue
        # maps pads the addresses with zeros, the names under map_files have none.
        area = f"/proc/{pid:d}/map_files/" + "-".join(address.lstrip("0") or "0" for address in fields[0].split("-"))
        try:
            seen = os.stat(area)
            if not stat.S_ISREG(seen.st_mode) or (seen.st_dev, seen.st_ino) in found:
                continue
            kind = {_TMPFS: "ram", _HUGETLBFS: "huge"}.get(_file_system(area), "disk")
        except FileNotFoundError:  # unmapped since
            continue
        if kind == "disk" and fields[1][3] != "s":  # the data of a program or a library
            continue
        found[(seen.st_dev, seen.st_ino)] = MemoryFile(seen.st_size, seen.st_blocks * 512, kind)
    return tuple(found.values())


def process_memory(pid: int) -> ProcessMemory:
    """The memory of a process.

    :raises OSError: It may not be looked at, or has ended.
    """
    sizes = parse_sizes(_read(f"/proc/{pid:d}/status"))
    anonymous = sizes.get("RssAnon", 0)
    return ProcessMemory(
        anonymous, sizes.get("RssFile", 0), sizes.get("RssShmem", 0), sizes.get("VmSwap", 0), sizes.get("HugetlbPages", 0), _merged(pid, anonymous),
        memory_files(pid),
    )


def mapped_whole(pid: int) -> int:
    """What a process has of files in memory in pages of 2 MiB that are one entry of its page table each, bytes. To let go of them costs next to nothing.

    The kernel walks the whole page table of the process for that (7 s for 256 GiB in pages of 4 KiB), and other threads of it run meanwhile. So it is not
    asked where nobody on the host has any.

    :raises OSError: It may not be looked at, or has ended.
    """
    if not _in_huge_pages(parse_sizes(_read("/proc/meminfo"))):
        return 0
    return _in_huge_pages(parse_sizes(_read(f"/proc/{pid:d}/smaps_rollup")))


def _in_huge_pages(sizes: t.Mapping[str, int]) -> int:
    return sizes.get("ShmemPmdMapped", 0) + sizes.get("FilePmdMapped", 0)


def host_memory() -> HostMemory:
    """The memory of this host."""
    sizes = parse_sizes(_read("/proc/meminfo"))
    return HostMemory(sizes["MemTotal"], sizes["MemAvailable"], sizes.get("SwapTotal", 0) - sizes.get("SwapFree", 0))
