# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/large_pages: memory of files in pages of 2 MiB. On the kernel that the tests run on, which may have none."""
from __future__ import annotations

import mmap
import os
import time
import types

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import large_pages
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.large_pages import SIZE, Mapping, gather, gather_open, whole, whole_size

PIECE = b"0123456789abcdef" * (SIZE // 16)


@pytest.fixture
def memory():
    """A file of ten such pages in which nothing was touched."""
    handle = os.memfd_create("vm_preserving_test")
    os.ftruncate(handle, 10 * SIZE)
    yield handle
    os.close(handle)


def can_gather():
    handle = os.memfd_create("vm_preserving_test")
    try:
        os.write(handle, PIECE)
        return gather_open(handle, time.monotonic() + 10) == SIZE
    finally:
        os.close(handle)


@pytest.mark.parametrize(("written", "expected"), [
    ([], []),
    ([(0, SIZE)], [0]),
    ([(0, SIZE - mmap.PAGESIZE)], []),
    ([(mmap.PAGESIZE, 2 * SIZE)], [1]),
    ([(SIZE, SIZE), (5 * SIZE, 2 * SIZE), (9 * SIZE, SIZE)], [1, 5, 6, 9]),
    ([(0, 10 * SIZE)], list(range(10))),
    # A hole of one page in it.
    ([(0, SIZE // 2), (SIZE // 2 + mmap.PAGESIZE, 3 * SIZE)], [1, 2]),
])
def test_what_has_no_holes(memory, written, expected):
    for start, size in written:
        os.pwrite(memory, (PIECE * 11)[:size], start)
    assert list(whole(memory)) == [number * SIZE for number in expected]


def test_the_end_of_a_file_that_is_no_multiple(memory):
    os.ftruncate(memory, 2 * SIZE + 5)
    os.pwrite(memory, PIECE * 2 + b"12345", 0)
    assert list(whole(memory)) == [0, SIZE]


def test_a_mapping_is_where_it_is_wanted(memory):
    for offset in (0, mmap.PAGESIZE):
        mapping = Mapping(memory, 10 * SIZE, offset)
        try:
            assert mapping.address % SIZE == offset
            assert any(line.startswith(f"{mapping.address:x}-") for line in open("/proc/self/maps", encoding="ascii"))
        finally:
            mapping.close()


def test_what_cannot_be_mapped():
    with pytest.raises(OSError):
        Mapping(-1, SIZE)


@pytest.mark.skipif(not can_gather(), reason="this kernel does not gather pages")
def test_memory_that_is_gathered_is_the_same_for_whoever_has_it_mapped(memory):
    os.pwrite(memory, PIECE * 4, 2 * SIZE)
    with mmap.mmap(memory, 10 * SIZE) as other:
        other[2 * SIZE] = ord("x")
        assert gather_open(memory, time.monotonic() + 10) == 4 * SIZE
        assert other[2 * SIZE:6 * SIZE] == b"x" + (PIECE * 4)[1:]
        other[2 * SIZE] = ord("y")
        assert os.pread(memory, 1, 2 * SIZE) == b"y"
    # What was never touched was not made.
    assert os.fstat(memory).st_blocks * 512 == 4 * SIZE
    # It is so already.
    assert gather_open(memory, time.monotonic() + 10) == 4 * SIZE


def test_a_name_of_a_file(tmp_path):
    path = tmp_path / "pc.ram"
    path.write_bytes(PIECE)
    assert whole_size(str(path)) == SIZE
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError):
        gather(str(tmp_path / "link"), 0.0)


@pytest.mark.parametrize(("errors", "tried", "done"), [
    ([0] * 10, 10, 10), ([22], 1, 0), ([11, 0] * 5, 10, 5), ([12] * 10, 3, 0),
])
def test_it_gives_up_where_there_are_none_to_be_had(monkeypatch, memory, errors, tried, done):
    os.pwrite(memory, PIECE * 10, 0)
    left = list(errors)
    monkeypatch.setattr(large_pages, "_HOPELESS", 3)
    monkeypatch.setattr(Mapping, "collapse", lambda _self, _start: left.pop(0))
    assert gather_open(memory, time.monotonic() + 10) == done * SIZE and len(errors) - len(left) == tried


def test_it_ends_in_time(monkeypatch, memory):
    os.pwrite(memory, PIECE * 10, 0)
    monkeypatch.setattr(Mapping, "collapse", lambda _self, _start: 0)
    assert gather_open(memory, time.monotonic() - 1) == SIZE


@pytest.mark.parametrize(("errors", "expected", "asked"), [([0], 0, 1), ([22, 0], 0, 2), ([22, 22], 22, 2), ([11, 0], 11, 1)])
def test_a_kernel_that_says_no_although_it_has_done_it(monkeypatch, memory, errors, expected, asked):
    mapping = Mapping(memory, SIZE)
    calls = []

    def madvise(*words):
        calls.append(words)
        return -1 if errors[len(calls) - 1] else 0

    monkeypatch.setattr(mapping, "_libc", types.SimpleNamespace(madvise=madvise, munmap=mapping._libc.munmap))
    monkeypatch.setattr(large_pages.ctypes, "get_errno", lambda: errors[len(calls) - 1])
    try:
        assert mapping.collapse(0) == expected and len(calls) == asked
    finally:
        mapping.close()
