# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of 2 MiB (transparent huge pages) for the memory in a file on a tmpfs. It holds no decisions.

Whoever has such a file mapped goes on as before: the kernel copies 512 pages into one, puts that in their place, and removes the entries of the small ones
from the page tables of all processes; they come back as they are used. Nobody has to have asked for such pages, neither in the mount options of the tmpfs
(`huge=`) nor in the process that has it mapped.

Source: madvise(2), MADV_COLLAPSE, since Linux 6.1; Linux, mm/khugepaged.c (collapse_file).
"""
from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import time
import typing as t

#: Bytes of such a page. Kernels with larger ones (arm64 with pages of 64 KiB: 512 MiB) are told apart by `available`.
SIZE = 2 * 1024 * 1024
_COLLAPSE = 25
#: Constants that Python's mmap has not (asm-generic/mman-common.h).
_PROT_NONE, _FIXED = 0x0, 0x10
_FAILED = ctypes.c_void_p(-1).value
#: So many failures in a row, and the rest is left as it is: the kernel finds no free memory in one piece, and looking for it costs.
_HOPELESS = 16


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc


def available() -> bool:
    """Whether this kernel has pages of that size."""
    try:
        with open("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", encoding="ascii") as stream:
            return int(stream.read()) == SIZE
    except (OSError, ValueError):
        return False


class Mapping:
    """A file, mapped where we want it. Python's own mmap does not let one choose.

    :param handle: The file.
    :param size: How much of it, bytes.
    :param offset: How far after a multiple of `SIZE` its address is, bytes.
    :param writable: To write into it.
    :raises OSError: It cannot be mapped.
    """

    def __init__(self, handle: int, size: int, offset: int = 0, writable: bool = False) -> None:
        self._libc = _libc()
        self._reserved = size + 2 * SIZE
        self._base = self._map(None, self._reserved, _PROT_NONE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1)
        #: The address.
        self.address = -(-self._base // SIZE) * SIZE + offset
        try:
            self._map(self.address, size, mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0), mmap.MAP_SHARED | _FIXED, handle)
        except OSError:
            self.close()
            raise

    def _map(self, address: int | None, size: int, protection: int, flags: int, handle: int) -> int:
        found = self._libc.mmap(address, size, protection, flags, handle, 0)
        if found in (None, _FAILED):
            raise OSError(ctypes.get_errno(), "it cannot be mapped")
        return int(found)

    def collapse(self, start: int) -> int:
        """Put the pages from `start` on into one of `SIZE`.

        :param start: A multiple of `SIZE`; without offset only.
        :returns: 0, or the error (errno(3)).
        """
        error = 0
        # Linux 6.1 says EINVAL when it has done it and our own mapping has no page table there yet; asked again, it says 0. (Seen on Debian 12.)
        for _time in range(2):
            error = ctypes.get_errno() if self._libc.madvise(self.address + start, SIZE, _COLLAPSE) else 0
            if error != errno.EINVAL:
                break
        return error

    def close(self) -> None:
        """Unmap it."""
        self._libc.munmap(self._base, self._reserved)


def whole(handle: int) -> t.Iterator[int]:
    """Where a file has `SIZE` bytes without a hole: the multiples of `SIZE` at which these begin.

    :raises OSError: It cannot be told.
    """
    size = os.fstat(handle).st_size
    place = 0
    while place + SIZE <= size:
        try:
            data = os.lseek(handle, place, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here on
                return
            raise
        place = -(-data // SIZE) * SIZE
        if place >= size:
            return
        hole = os.lseek(handle, place, os.SEEK_HOLE)
        yield from range(place, hole - SIZE + 1, SIZE)
        place = max(place, hole // SIZE * SIZE) + SIZE


def whole_size(path: str) -> int:
    """How much of a file is in such pieces, bytes: what `gather` can put into pages of 2 MiB without making memory of what was never touched.

    :raises OSError: It cannot be told.
    """
    with _open(path) as handle:
        return SIZE * sum(1 for _place in whole(handle))


@contextlib.contextmanager
def _open(path: str) -> t.Iterator[int]:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield handle
    finally:
        os.close(handle)


def gather(path: str, give_up: float) -> int:
    """Put the memory in a file into pages of 2 MiB, as far as there are any to be had.

    It is mapped for reading only. What is in it does not change, and whoever uses it waits for one page at most.

    :param path: A file on a tmpfs.
    :param give_up: When to stop, by the monotonic clock, seconds.
    :returns: How much of it is in such pages now, bytes.
    :raises OSError: It cannot be opened or mapped.
    """
    with _open(path) as handle:
        return gather_open(handle, give_up)


def gather_open(handle: int, give_up: float) -> int:
    """The same of an open file.

    :param handle: The file.
    :param give_up: When to stop, by the monotonic clock, seconds.
    :returns: How much of it is in such pages now, bytes.
    :raises OSError: It cannot be mapped.
    """
    mapping = Mapping(handle, os.fstat(handle).st_size)
    done = failed = 0
    try:
        for place in whole(handle):
            error = mapping.collapse(place)
            done, failed = (done, failed + 1) if error else (done + SIZE, 0)
            # EINVAL: this kernel cannot, or its administrator does not want it to.
            if error == errno.EINVAL or failed == _HOPELESS or time.monotonic() > give_up:
                break
    finally:
        mapping.close()
    return done
