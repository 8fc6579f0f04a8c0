# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/process_memory: what /proc tells of the memory of a process."""
from __future__ import annotations

import mmap
import os

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.process_memory import (
    MemoryFile,
    host_memory,
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


def test_the_host():
    found = host_memory()
    assert 0 < found.available < found.total and found.swap_used >= 0
