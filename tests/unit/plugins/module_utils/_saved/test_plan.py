# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/plan: what is known of a guest before it is saved."""
from __future__ import annotations

import mmap
import os
import types
import xml.etree.ElementTree as ET

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import GuestFacts, State
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved import plan as saved_plan
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.rules import Letting
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.process_memory import host_memory

RUNNING = State("running", "booted")
FILE = {"qom-type": "memory-backend-file", "id": "pc.ram", "mem-path": "/dev/shm/libvirt/qemu/1-g/pc.ram", "share": True}


def domain(inner=""):
    return ET.fromstring(f"<domain type='kvm'>{inner}</domain>")


def candidate(state=RUNNING, job=None, process=True, **facts):
    return types.SimpleNamespace(
        facts=GuestFacts(state, **facts), guest=types.SimpleNamespace(job=lambda: job),
        process=types.SimpleNamespace(process=types.SimpleNamespace(pid=os.getpid())) if process else None,
    )


def codes(one, xml=None, backends=()):
    return [blocker.code for blocker in saved_plan.move_blockers(one, domain() if xml is None else xml, backends)]


@pytest.mark.parametrize(("one", "expected"), [
    (candidate(), []),
    (candidate(opted_out=True), []),  # who asks for a reboot says so himself; a refresh leaves it alone
    (candidate(block_jobs=("vda",)), ["block_job"]),
    (candidate(job="backup"), []),  # preflight has a running guest's job in its facts
    (candidate(State("paused", "user")), []),
    (candidate(State("paused", "user"), job="save"), ["job"]),
    (candidate(State("paused", "ioerror")), ["not_running"]),
    (candidate(process=False), ["status_unknown"]),
    (candidate(process=False, status_known=False), ["status_unknown"]),  # once
])
def test_what_keeps_a_guest_from_being_saved(one, expected):
    assert codes(one) == expected


def test_a_device_of_the_host_keeps_it_from_being_saved():
    assert codes(candidate(), domain("<devices><hostdev/></devices>")) == ["passthrough"]


@pytest.mark.parametrize(("configured", "expected"), [("/dev/shm", []), ("/dev/shm/", []), ("/var/lib/libvirt/qemu/ram", ["memory_backing_dir"])])
def test_memory_files_in_a_folder_that_is_not_configured_any_more(monkeypatch, configured, expected):
    monkeypatch.setattr(saved_plan, "memory_backing_dir", lambda: configured)
    assert codes(candidate(), backends=[FILE]) == expected


@pytest.mark.parametrize(("label", "confined"), [
    ("", False), ("<seclabel type='none' model='apparmor'/>", False), ("<seclabel type='dynamic' model='dac'/>", False),
    ("<seclabel type='dynamic' model='apparmor'/>", True), ("<seclabel type='dynamic' model='dac'/><seclabel type='static' model='selinux'/>", True),
])
def test_a_confined_qemu_that_cannot_be_let_at_its_files_is_copied(label, confined):
    """Under AppArmor it can, if the profile is libvirt's own: the tests of _system/apparmor. These have none."""
    reason = saved_plan.why_copy(domain(label), [FILE], (7, 2, 22))
    assert (reason is not None and "confined" in reason) is confined


@pytest.mark.parametrize(("qemu", "reason"), [
    ((5, 2, 0), "its QEMU 5.2.0 does not tell which of its memory is shared (QEMU does from 6.1 on)"), ((6, 0, 1), "its QEMU 6.0.1 does not tell"),
    ((6, 1, 0), None), ((10, 0), None), (None, None),
])
def test_a_qemu_that_does_not_tell_what_is_shared_is_copied(qemu, reason):
    found = saved_plan.why_copy(domain(), [FILE], qemu)
    assert found is None if reason is None else reason in found


def test_a_file_that_is_gone_is_seen_before_the_save(tmp_path):
    """The seed image of a first boot is removed afterwards, often."""
    (found,) = saved_plan.move_blockers(candidate(), domain(
        f"<devices><disk type='file' device='cdrom'><source file='{tmp_path}/seed.iso'/><target dev='sda'/></disk></devices>"), [])
    assert found.code == "missing" and f"{tmp_path}/seed.iso" in found.message


def test_shared_memory_that_others_have_too_would_be_set_back():
    path = f"/dev/shm/vm-preserving-test-{os.getpid()}"
    inner = f"<devices><shmem name='{os.path.basename(path)}' role='master'/></devices>"
    with open(path, "w+b") as stream:
        try:
            stream.truncate(mmap.PAGESIZE)
            with mmap.mmap(stream.fileno(), 0):
                assert codes(candidate(), domain(inner)) == []
                assert [one.code for one in saved_plan._shmem_blockers(1, domain(inner))] == ["shmem"]
        finally:
            os.unlink(path)


def test_the_speed_of_a_folder_is_measured_and_leaves_nothing(tmp_path):
    assert saved_plan.copy_speed(str(tmp_path)) > 0
    assert saved_plan.copy_speed(str(tmp_path), durable=True) > 0
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("gathered", "longer"), [(64 << 30, 0.0), (128 << 30, 0.0), (0, 2 * 64.0), (32 << 30, 64.0)])
def test_a_pause_is_predicted_anew_when_memory_was_gathered(monkeypatch, gathered, longer):
    monkeypatch.setattr(saved_plan.gathering, "gather", lambda paths: gathered if paths == ["/dev/shm/x"] else None)
    letting = Letting(1 << 30, 1 << 60)
    one = saved_plan.Plan(candidate(), ordinary=64 << 30, whole=64 << 30, memory_files=["/dev/shm/x"], letting=letting, predicted=2.0, back=1.0)
    one.gather()
    assert one.gathered == min(gathered, 64 << 30)
    assert one.predicted == pytest.approx(2.0 + longer, abs=1e-3) and one.back == pytest.approx(1.0 + longer, abs=1e-3)


def test_the_room_is_what_host_and_folder_both_have(tmp_path):
    free = os.statvfs(tmp_path)
    found = saved_plan.room_in(str(tmp_path))
    assert 0 < found.folder <= max(free.f_bavail, free.f_bfree) * free.f_frsize
    assert found.folder <= found.memory < host_memory().total


def test_the_folder_of_the_images_is_ours_alone(tmp_path):
    folder = tmp_path / "images"
    saved_plan.prepare(str(folder))
    saved_plan.prepare(str(folder))
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    with pytest.raises(MaintenanceError, match="is not a private folder .* no guest was touched"):
        saved_plan.prepare(str(folder))
    (tmp_path / "file").write_text("")
    for path in ("file", "file/images"):
        with pytest.raises(MaintenanceError, match="no guest was touched"):
            saved_plan.prepare(str(tmp_path / path))
