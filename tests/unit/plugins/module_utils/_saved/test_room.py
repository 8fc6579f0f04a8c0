# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/room: what a copy takes of its host's memory, and for how many guests there is room."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.room import (
    MIB,
    RESERVE,
    CopyNeed,
    Room,
    affordable,
    copy_need,
    no_room,
    no_room_to_grow,
    outgrowing,
    room,
    usable,
)
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.process_memory import HostMemory, MemoryFile, ProcessMemory

GIB = 1024 * MIB


def memory(*files, **parts):
    return ProcessMemory(**{**dict.fromkeys(("anonymous", "cached", "shared", "swapped", "huge", "merged"), 0), **parts}, files=files)


@pytest.mark.parametrize(("found", "swap_used", "need"), [
    (memory(), 0, CopyNeed(0, 0, 0)),
    (memory(anonymous=GIB), 0, CopyNeed(GIB, 0, 0)),
    # 1 GiB was counted of this, and it was admitted.
    (memory(anonymous=GIB, swapped=7 * GIB), 9 * GIB, CopyNeed(8 * GIB, 0, 7 * GIB)),
    # A memfd of 64 GiB of which 4 were touched. Seen on the lab: all 64 are there after a save and a restore.
    (memory(MemoryFile(64 * GIB, 4 * GIB, "ram"), anonymous=GIB, shared=4 * GIB), 0, CopyNeed(5 * GIB, 60 * GIB, 0)),
    # ... 1 GiB of the 4 in swap, which no figure of the process tells.
    (memory(MemoryFile(64 * GIB, 4 * GIB, "ram"), shared=3 * GIB), 9 * GIB, CopyNeed(4 * GIB, 60 * GIB, GIB)),
    # ... not mapped, as after a move in place, and nothing is in swap.
    (memory(MemoryFile(4 * GIB, 4 * GIB, "ram"), shared=GIB), 0, CopyNeed(4 * GIB, 0, 0)),
    # Huge pages: those of the pool that were never touched are of no use to anybody else.
    (memory(MemoryFile(8 * GIB, 2 * GIB, "huge"), huge=2 * GIB), 0, CopyNeed(2 * GIB, 0, 0)),
    (memory(huge=2 * GIB), 0, CopyNeed(2 * GIB, 0, 0)),
    # Merged pages are whole ones in the image, and the guest's own afterwards.
    (memory(anonymous=4 * GIB, merged=3 * GIB), 0, CopyNeed(4 * GIB, 3 * GIB, 0)),
    # memory_backing_dir on a disk: its pages are a cache, which the kernel gives back.
    (memory(MemoryFile(8 * GIB, 2 * GIB, "disk"), cached=GIB), 0, CopyNeed(2 * GIB, 0, 0)),
])
def test_what_a_copy_takes(found, swap_used, need):
    assert copy_need(found, swap_used) == need


@pytest.mark.parametrize(("host", "left"), [
    (HostMemory(8 * GIB, 4 * GIB, 0), 4 * GIB - RESERVE), (HostMemory(1024 * GIB, 100 * GIB, 0), 100 * GIB - 1024 * GIB // 50),
    (HostMemory(8 * GIB, RESERVE // 2, 0), 0),
])
def test_a_host_keeps_some_for_itself(host, left):
    assert usable(host) == left
    assert room(host, GIB) == Room(left, min(left, GIB))
    assert room(host, 2000 * GIB) == Room(left, left)


def needs(*pairs):
    return [CopyNeed(*(part * MIB for part in (*one, 0, 0, 0)[:3])) for one in pairs]


@pytest.mark.parametrize(("wanted", "there", "width", "expected"), [
    ([], 0, 4, (4, [])),
    ([(100,)], 1000, 4, (4, [])),
    ([(100,), (100,), (100,)], 1000, 2, (2, [])),
    ([(600,), (600,)], 1000, 2, (1, [])),
    ([(300,), (300,), (300,)], 800, 3, (2, [])),
    ([(900,)], 800, 1, (0, [0])),
    ([(100,), (900,), (100,)], 800, 2, (2, [1])),
    ([(700,), (200,), (200,)], 800, 2, (1, [])),
    # 64 GiB of memfd with 4 GiB touched, on a host with 12 GiB
    ([(4096, 61440)], 12288, 1, (0, [0])),
    # What a guest has grown by is not there for the next one.
    ([(100, 500), (100, 500), (100, 100)], 1000, 1, (1, [1])),
    ([(100, 500), (100, 0, 500), (100, 100)], 1000, 1, (1, [1])),
    ([(200, 300), (200, 300)], 850, 2, (1, [])),
])
def test_how_many_fit(wanted, there, width, expected):
    found, without = affordable(needs(*wanted), Room(there * MIB, there * MIB), width)
    assert (found, sorted(without)) == expected


def test_the_folder_of_the_images_can_be_the_smaller_one():
    found, without = affordable(needs((100,), (300,), (150,)), Room(10000 * MIB, 200 * MIB), 4)
    assert (found, sorted(without)) == (1, [1])


@given(st.lists(st.tuples(*[st.integers(0, 1000)] * 3), max_size=8), st.integers(0, 4000), st.integers(0, 4000), st.integers(1, 8))
def test_the_host_is_never_overfilled(wanted, there, folder, width):
    """However long each takes: at any time at most `width` images are there, and what those guests grew by that were begun with."""
    folder = min(there, folder)
    found, without = affordable(needs(*wanted), Room(there * MIB, folder * MIB), width)
    fitting = [one for index, one in enumerate(wanted) if index not in without]
    assert found <= width and (found >= 1 or not fitting)
    for end in range(1, len(fitting) + 1):
        grown = sum(one[1] + one[2] for one in fitting[:end])
        images = [one[0] for one in fitting[:end]]
        at_once = [images[-1]] if found == 1 else sorted(images, reverse=True)[:found]
        assert sum(at_once) <= folder and sum(at_once) + grown <= there


def test_who_would_outgrow_the_host_after_a_reboot():
    assert outgrowing(needs((900, 100), (900, 500), (0, 300, 900)), 500 * MIB) == {1: 400 * MIB}


def test_an_operator_is_told_the_figures():
    words = no_room(CopyNeed(4 * GIB, 60 * GIB, GIB), Room(12 * GIB, 6 * GIB))
    assert all(word in words for word in ("4096 MiB", f"{61 * 1024} MiB more", "12288 MiB", "6144 MiB"))
    assert "more in RAM" not in no_room(CopyNeed(GIB, 0, 0), Room(0, 0))
    assert "61440 MiB more" in no_room_to_grow(CopyNeed(4 * GIB, 60 * GIB, GIB), GIB) and "1024 MiB" in no_room_to_grow(CopyNeed(0, GIB, 0), GIB)
