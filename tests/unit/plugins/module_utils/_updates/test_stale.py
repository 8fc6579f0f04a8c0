# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_updates/stale: what counts as old code; with real processes whose program is replaced under them."""
from __future__ import annotations

import os
import shutil

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import kept_qemu
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import running_code
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.guest_helpers import GuestHelper
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.running_code import GuestCode
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates import stale
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._updates.stale import is_old


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A program of the test's own, which counts as code though it is in /tmp."""
    monkeypatch.setattr(running_code, "_NO_PROGRAM", ("/memfd:", "/dev/"))
    path = tmp_path / "virtlogd"
    shutil.copy(os.path.realpath(shutil.which("sleep")), path)
    if running_code.build_id_of(str(path)) is None:
        pytest.skip("the programs of this machine were linked without build ids")
    return path


@pytest.fixture
def child(program, start, until):
    found = start([str(program), "1000"])
    until(lambda: str(program) in [file.path for file in running_code.code_files(found.pid)], "the program is mapped")
    return found


def replace(path, data):
    """As a package manager does it: a new file under the old name."""
    new = path.with_name("new")
    new.write_bytes(data)
    new.chmod(0o755)
    os.replace(new, path)


def other_code(path):
    """The same program with another build id."""
    data = path.read_bytes()
    found = bytes.fromhex(running_code.build_id_of(str(path)))
    return data.replace(found, bytes(reversed(found)))


# ---- decisions ----

@pytest.mark.parametrize(("running", "installed", "expected"), [
    ("aa", "aa", False), ("aa", "bb", True), ("aa", None, True), (None, "bb", True), (None, None, True),
])
def test_is_old(running, installed, expected):
    assert is_old(running, installed) is expected


# ---- processes ----

def files(child):
    return running_code.code_files(child.pid)


def test_a_process_on_what_is_installed(child):
    assert stale.old_files(child.pid, files(child)) == []
    assert stale.stale_guest(GuestCode("g1", "u", child.pid), {child.pid: files(child)}) is None


def test_a_program_that_was_replaced(program, child):
    replace(program, other_code(program))
    assert stale.old_files(child.pid, files(child)) == [str(program)]
    assert {"name": "virtlogd", "pid": child.pid, "files": [str(program)]} in stale.stale_daemons()
    found = stale.stale_guest(GuestCode("g1", "u", child.pid), {child.pid: files(child)})
    before = found["build_id"].pop("running")
    assert found == {"name": "g1", "uuid": "u", "pid": child.pid, "files": [str(program)], "build_id": {"installed": bytes.fromhex(before)[::-1].hex()}}


def test_a_qemu_that_is_kept_for_the_way_back_is_old(program, child, monkeypatch):
    """It is still where it was when it was started, and is not what is installed."""
    monkeypatch.setattr(kept_qemu, "KEPT", str(program.parent))
    assert stale.old_files(child.pid, files(child)) == [str(program)]


def test_any_process_on_what_was_replaced(program, child, start, until):
    """As needrestart would say it; what is told of elsewhere is not told of twice."""
    other = program.with_name("other")
    shutil.copy(program, other)
    process = start([str(other), "1000"])
    until(lambda: str(other) in [file.path for file in running_code.code_files(process.pid)], "the program is mapped")
    for path in (program, other):
        replace(path, other_code(path))
    found = {one["pid"]: one for one in stale.stale_processes(set(), {})}
    assert found[process.pid] == {"name": "other", "pid": process.pid, "unit": running_code.unit(os.getpid()), "guest": None, "files": [str(other)]}
    assert child.pid not in found  # a daemon of libvirt, by its name
    assert process.pid not in [one["pid"] for one in stale.stale_processes({process.pid}, {})]


@pytest.mark.parametrize("renewed", [True, False])
def test_a_helper_of_a_guest(program, child, start, until, renewed):
    """Its QEMU is what is installed. One that is renewed with it counts as the guest's code, another is told of as its helper."""
    other = program.with_name("helper")
    shutil.copy(program, other)
    process = start([str(other), "1000"])
    until(lambda: str(other) in [file.path for file in running_code.code_files(process.pid)], "the program is mapped")
    replace(other, other_code(other))
    code = stale.code_of(child.pid, [GuestHelper("helper", process.pid, renewed)])
    found = stale.stale_guest(GuestCode("g1", "u", child.pid), code)
    assert (None if found is None else found["files"]) == ([str(other)] if renewed else None)
    assert stale.old_code(code) == ([str(other)] if renewed else [])
    [told] = [one for one in stale.stale_processes(set(), {process.pid: "g1"}) if one["pid"] == process.pid]
    assert (told["name"], told["guest"]) == ("helper", "g1")
    assert (process.pid in code) is renewed


def test_a_guest_that_has_ended(start):
    process = start(["true"])
    process.wait()
    assert stale.code_of(process.pid, []) == {}


def test_a_program_that_was_removed(program, child):
    program.unlink()
    found = stale.stale_guest(GuestCode("g1", "u", child.pid), {child.pid: files(child)})
    assert found["files"] == [str(program)] and found["build_id"]["installed"] is None and found["build_id"]["running"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may open what a process has mapped")
def test_a_program_that_was_installed_again_is_not_old(program, child):
    replace(program, program.read_bytes())
    assert [file.path for file in files(child) if file.deleted] == [str(program)]
    assert stale.old_files(child.pid, files(child)) == []
    assert child.pid not in [daemon["pid"] for daemon in stale.stale_daemons()]


def test_the_kernel_of_this_machine():
    found = stale.kernel()
    assert found["running"] == os.uname().release
    assert found["differs"] == (found["newest"] not in (None, found["running"]))
    assert found["pinned"] in (False, found["differs"])
