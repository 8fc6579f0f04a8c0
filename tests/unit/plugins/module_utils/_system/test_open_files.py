# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/open_files: what a process has open, and what is at a path."""
from __future__ import annotations

import mmap
import os

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.open_files import Found, at_path, open_files, users_of


def held(path):
    return [one for one in open_files(os.getpid()) if one.path == str(path)]


def test_a_file_that_is_replaced_while_it_is_open(tmp_path):
    path, new = tmp_path / "fw (x) ä", tmp_path / "new"
    path.write_bytes(b"x" * 10)
    new.write_bytes(b"x" * 20)
    with open(path, "rb"):
        now = at_path(str(path))
        assert held(path) == [now] and now == Found(str(path), now.key, 10)
        new.rename(path)
        (before,) = held(path)
        assert not before.named and before.size == 10
        assert at_path(str(path)).size == 20 and at_path(str(path)).key != before.key
        path.unlink()
        assert at_path(str(path)) is None
    assert held(path) == []


def test_a_link_is_what_it_leads_to(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert at_path(str(tmp_path / "link")) == at_path(str(tmp_path / "file"))


def test_a_device_is_the_same_by_any_node():
    with open("/dev/null", "rb"):
        assert at_path("/dev/null") in held("/dev/null")
    assert at_path("/dev/null").size == 0 and at_path("/dev/null").key != at_path("/dev/zero").key


def test_what_is_no_path(tmp_path):
    (tmp_path / "file").touch()
    assert at_path(f"{tmp_path}/file/x") is None and at_path("/a\0b") is None


def test_who_has_a_file_mapped(tmp_path):
    path = tmp_path / "shared"
    path.write_bytes(b"x" * mmap.PAGESIZE)
    with open(path, "r+b") as stream, mmap.mmap(stream.fileno(), 0):
        assert users_of(str(path)) == [os.getpid()]
    assert users_of(str(path)) == []
