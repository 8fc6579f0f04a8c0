# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/in_place/gathering: a guest's memory in pages of 2 MiB, and how fast a host lets go of it."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.in_place import gathering

MIB = 1 << 20


@pytest.fixture
def files(monkeypatch):
    """Memory files by their paths: how much of each can be gathered, and is."""
    there = {"/m/pc.ram": 10 * MIB, "/m/dimm0": 4 * MIB}

    def of(path, *_rest):
        if path not in there:
            raise FileNotFoundError(path)
        return there[path]

    monkeypatch.setattr(gathering.large_pages, "available", lambda: True)
    monkeypatch.setattr(gathering.large_pages, "whole_size", of)
    monkeypatch.setattr(gathering.large_pages, "gather", of)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("paths", "expected"), [([], 0), (["/m/pc.ram"], 10), (["/m/pc.ram", "/m/dimm0"], 14), (["/m/gone", "/m/dimm0"], 4)])
def test_all_files_of_a_guest_count(paths, expected):
    assert gathering.whole(paths) == gathering.gather(paths) == expected * MIB


@pytest.mark.usefixtures("files")
def test_a_kernel_without_such_pages(monkeypatch):
    monkeypatch.setattr(gathering.large_pages, "available", lambda: False)
    assert gathering.whole(["/m/pc.ram"]) == 0
    assert gathering.letting().gathered is None


def test_a_kernel_that_does_not_want_to(monkeypatch):
    monkeypatch.setattr(gathering.large_pages, "gather_open", lambda _handle, _give_up: gathering.PROBE // 2)
    assert gathering.letting().gathered is None


def test_how_fast_memory_is_let_go_of_is_measured():
    # No host takes a millisecond for a page, and none a nanosecond.
    found = gathering.letting()
    assert 4096 / 1e-3 < found.ordinary < 4096 / 1e-9
    assert found.gathered is None or found.gathered > 4096 / 1e-3
