# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/process_memory: what /proc tells of the memory of a process."""
from __future__ import annotations

import mmap
import os

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import process_memory as adapter
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.large_pages import SIZE, Mapping
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.process_memory import (
    MemoryFile,
    host_memory,
    mapped_whole,
    memory_files,
    parse_sizes,
    process_memory,
)

PAGE = mmap.PAGESIZE
STATUS = """Name:\tqemu-system-x86
Umask:\t0022
VmRSS:\t 5242880 kB
RssAnon:\t 4194304 kB
RssShmem:\t       0 kB
VmSwap:\t 7340032 kB
HugetlbPages:\t    2048 kB
Threads:\t8
Cpus_allowed_list:\t0-1
"""


def test_the_sizes_of_a_process():
    assert parse_sizes(STATUS) == {
        "VmRSS": 5 << 30, "RssAnon": 4 << 30, "RssShmem": 0, "VmSwap": 7 << 30, "HugetlbPages": 2 << 20,
    }


@pytest.mark.parametrize("text", ["", "VmRSS", "VmRSS: kB", "VmRSS: -1 kB", "VmRSS: 1 MB", "\x00"])
def test_what_is_no_size(text):
    assert parse_sizes(text) == {}


def test_a_memfd_of_which_little_was_touched():
    handle = os.memfd_create("vm_preserving_test")
    try:
        os.ftruncate(handle, 100 * PAGE)
        before = process_memory(os.getpid())
        with mmap.mmap(handle, 100 * PAGE) as pages:
            pages[0] = pages[50 * PAGE] = 1
            found = process_memory(os.getpid())
            assert MemoryFile(100 * PAGE, 2 * PAGE, "ram") in found.files
            assert found.shared >= before.shared + 2 * PAGE
            # This is what makes a copy of such memory grow: to read a page is to make it.
            assert pages[60 * PAGE] == 0
            assert MemoryFile(100 * PAGE, 3 * PAGE, "ram") in memory_files(os.getpid())
    finally:
        os.close(handle)
    assert MemoryFile(100 * PAGE, 3 * PAGE, "ram") not in memory_files(os.getpid())


def test_private_memory():
    with mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as pages:
        before = process_memory(os.getpid()).anonymous
        pages[:] = b"x" * (64 << 20)
        assert process_memory(os.getpid()).anonymous >= before + (64 << 20)


def test_a_process_that_has_ended():
    with pytest.raises(OSError):
        process_memory(99999999)


# Recorded of a QEMU 7.2 with 4 GiB of shared memory, whose mapping does not begin at a multiple of 2 MiB, and of a process whose mapping does (Linux 6.18).
ROLLUP = """7f00d1bff000-7ffdd7bc4000 ---p 00000000 00:00 0                          [rollup]
Rss:             4229928 kB
Shared_Clean:      23196 kB
Private_Dirty:   4206732 kB
AnonHugePages:      2048 kB
ShmemPmdMapped:        0 kB
FilePmdMapped:         0 kB
Shared_Hugetlb:        0 kB
Swap:                  0 kB
"""


@pytest.mark.parametrize(("of_host", "of_process", "expected"), [
    (0, ROLLUP, 0), (4194304, ROLLUP, 0), (4194304, ROLLUP.replace("ShmemPmdMapped:        0", "ShmemPmdMapped:  2097152"), 2 << 30),
    # Memory on a DAX file system.
    (4194304, ROLLUP.replace("FilePmdMapped:         0", "FilePmdMapped:      4096"), 4 << 20),
    # Kernels before 5.4 do not have it.
    (4194304, ROLLUP.replace("FilePmdMapped:         0 kB\n", ""), 0),
])
def test_what_a_process_has_in_whole_pages(monkeypatch, of_host, of_process, expected):
    read = []

    def give(path):
        read.append(path)
        return f"MemTotal: 24684336 kB\nShmemHugePages: {of_host} kB\nShmemPmdMapped: {of_host} kB\n" if path == "/proc/meminfo" else of_process

    monkeypatch.setattr(adapter, "_read", give)
    assert mapped_whole(7) == expected
    # What costs is not asked without need.
    assert read == (["/proc/meminfo", "/proc/7/smaps_rollup"] if of_host else ["/proc/meminfo"])


def test_what_this_process_has_in_whole_pages():
    handle = os.memfd_create("vm_preserving_test")
    os.truncate(handle, 4 * SIZE)
    os.pwrite(handle, b"x" * 4 * SIZE, 0)
    mapping = Mapping(handle, 4 * SIZE)
    try:
        before = mapped_whole(os.getpid())
        if mapping.collapse(SIZE):
            pytest.skip("this kernel has none")
        assert mapped_whole(os.getpid()) == before + SIZE
    finally:
        mapping.close()
        os.close(handle)


def test_the_host():
    found = host_memory()
    assert 0 < found.available < found.total and found.swap_used >= 0
