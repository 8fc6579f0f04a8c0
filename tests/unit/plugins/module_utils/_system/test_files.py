# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/files: what a file is like that was replaced, on disk before it is there, and what is left when that fails."""
from __future__ import annotations

import os
import resource
import signal
import stat

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import files


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o660])
@pytest.mark.parametrize("umask", [0, 0o077])
def test_its_rights_are_those_given(tmp_path, mode, umask):
    path = str(tmp_path / "x")
    before = os.umask(umask)
    try:
        for data in (b"old", b"new"):
            files.replace(path, data, mode)
    finally:
        os.umask(before)
    assert files.holds(path, b"new") and not files.holds(path, b"old")
    assert stat.S_IMODE(os.stat(path).st_mode) == mode and os.listdir(tmp_path) == ["x"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to any group")
def test_its_group_is_the_one_given(tmp_path):
    files.replace(str(tmp_path / "x"), b"", 0o640, 65534)
    files.replace(str(tmp_path / "y"), b"")
    assert [os.stat(tmp_path / name).st_gid for name in "xy"] == [65534, os.getegid()]
    assert os.stat(tmp_path / "x").st_uid == os.geteuid()


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "x").symlink_to(tmp_path / "theirs")
    (tmp_path / f"x.{os.getpid()}.tmp").symlink_to(tmp_path / "theirs")
    files.replace(str(tmp_path / "x"), b"ours")
    assert (tmp_path / "theirs").read_text() == "theirs" and (tmp_path / "x").read_text() == "ours"
    assert not (tmp_path / "x").is_symlink() and sorted(os.listdir(tmp_path)) == ["theirs", "x"]


def test_a_path_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.replace("x", b"1")
    assert (tmp_path / "x").read_bytes() == b"1"


def test_it_is_on_disk_before_it_is_there_and_its_name_is_before_it_is_said(tmp_path, monkeypatch):
    path, order, fsync = str(tmp_path / "x"), [], os.fsync

    def seen(handle):
        found = os.fstat(handle)
        order.append((os.readlink(f"/proc/self/fd/{handle}"), found.st_size if stat.S_ISREG(found.st_mode) else None, os.listdir(tmp_path)))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", seen)
    files.put(path, b"12345")
    temporary = os.path.basename(f"{path}.{os.getpid()}.tmp")
    assert order == [(str(tmp_path / temporary), 5, [temporary])]
    order.clear()
    os.unlink(path)
    files.replace(path, b"12345")
    assert order == [(str(tmp_path / temporary), 5, [temporary]), (str(tmp_path), None, ["x"])]


def test_a_write_that_was_given_up_does_not_come_after_a_later_one(tmp_path, monkeypatch):
    """The first one hangs in its fsync while the second one is made."""
    path, fsync = str(tmp_path / "x"), os.fsync

    def hangs(_handle):
        monkeypatch.setattr(os, "fsync", fsync)
        files.replace(path, b"later")

    monkeypatch.setattr(os, "fsync", hangs)
    with pytest.raises(FileNotFoundError):
        files.replace(path, b"given up")
    assert files.holds(path, b"later") and os.listdir(tmp_path) == ["x"]


def test_on_a_full_disk_the_old_one_stays_and_nothing_else(tmp_path):
    """A limit on the size of files fails as a full disk does: in the middle of a write."""
    path = str(tmp_path / "x")
    files.replace(path, b"old")
    handled, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, limits[1]))
        with pytest.raises(OSError):
            files.replace(path, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handled)
    assert files.holds(path, b"old") and os.listdir(tmp_path) == ["x"]


def test_what_cannot_be_replaced_stays_and_nothing_else(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError):
        files.replace(str(tmp_path / "x"), b"")
    assert os.listdir(tmp_path) == ["x"] and (tmp_path / "x").is_dir()
    with pytest.raises(FileNotFoundError):
        files.replace(str(tmp_path / "nowhere" / "x"), b"")


def test_a_file_that_is_not_there_holds_nothing(tmp_path):
    assert not files.holds(str(tmp_path / "x"), b"")
