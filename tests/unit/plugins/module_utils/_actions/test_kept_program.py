# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kept_program, and what guard_program and scheduled_events_program make of it: the file, its rights, and that what is kept runs."""
from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _launch
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import guard_program
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.kept_program import keep
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "program")


def content(path):
    if not os.path.exists(path):
        return None
    with open(path, "rb") as stream:
        return stream.read()


@pytest.mark.parametrize("check_mode", [False, True])
def test_it_is_kept_or_none_is(path, check_mode):
    for present, before in ((True, None), (True, b"old"), (False, b"old")):
        if before is not None:
            with open(path, "wb") as stream:
                stream.write(before)
        wanted = before if check_mode else b"new" if present else None
        assert keep(path, b"new", "it", present, check_mode, 0o600) == {"changed": True, "path": path}
        assert content(path) == wanted


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_one_that_is_as_it_should_be_is_left_alone(path, tmp_path, mode):
    assert keep(path, b"new", "it", False, False, mode)["changed"] is False
    before = os.umask(0o077)
    try:
        keep(path, b"new", "it", True, False, mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == mode
    inode = os.stat(path).st_ino
    assert keep(path, b"new", "it", True, False, mode)["changed"] is False
    assert os.stat(path).st_ino == inode and os.listdir(tmp_path) == ["program"]


def test_a_link_that_leads_nowhere_goes_too(path, tmp_path):
    os.symlink(tmp_path / "nowhere", path)
    assert keep(path, b"", "it", False, False, 0o600)["changed"] and os.listdir(tmp_path) == []


@pytest.mark.parametrize(("present", "done"), [(True, "written"), (False, "removed")])
def test_a_place_where_none_can_be(path, tmp_path, present, done):
    os.makedirs(os.path.join(path, "more"))
    with pytest.raises(MaintenanceError) as caught:
        keep(path, b"", "the program of the test", present, False, 0o600)
    assert caught.value.code == "file" and f"the program of the test at {path} cannot be {done} (" in str(caught.value)
    assert os.listdir(tmp_path) == ["program"] and os.listdir(path) == ["more"]


def test_the_guards_is_the_program_and_nobody_elses(path):
    assert guard_program.keep_program(path, True, False) == {"changed": True, "path": path}
    assert content(path) == _launch.program() and stat.S_IMODE(os.stat(path).st_mode) == 0o600
    found = subprocess.run([sys.executable, "-I", path, "--help"], capture_output=True, text=True, timeout=60, check=False, cwd="/", env={})
    assert (found.returncode, found.stderr) == (0, "") and "--recover" in found.stdout
    assert guard_program.keep_program(path, False, False)["changed"] and content(path) is None
