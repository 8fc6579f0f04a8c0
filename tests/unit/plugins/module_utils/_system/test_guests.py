# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_system/guests: the look before anything is touched, and the wait for jobs, with a libvirt that answers, fails or hangs for each guest."""
from __future__ import annotations

import os
import socket

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import identity
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.device_state import DeviceState
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import guests, hypervisor
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.status_file import GuestProcess

from ..stuck_libvirt import Domain, libvirtError

URI = "qemu:///session"
NOTHING = DeviceState((), (), ())


@pytest.fixture
def monitor(tmp_path):
    path = str(tmp_path / "monitor.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        yield path


def process(monitor, taken=NOTHING):
    return GuestProcess(identity.own_identity(), monitor, False, "", taken)


def test_a_guest_that_qemus_monitor_can_resume(monitor):
    assert guests._no_fallback(process(monitor), "lockd") is None


@pytest.mark.parametrize("path", ["", "/nowhere/monitor.sock", "a\0b", "file"])
def test_a_monitor_that_cannot_be_reached(path, tmp_path):
    (tmp_path / "file").touch()
    found = guests._no_fallback(process(str(tmp_path / "file") if path == "file" else path), None)
    assert found.code == "monitor" and "only libvirt could resume it" in found.message
    assert ("libvirt names none" in found.message) is (path == "") and ("it is no socket" in found.message) is (path == "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_monitor_that_this_user_may_not_write_to(monitor):
    os.chmod(monitor, 0o400)
    assert guests._no_fallback(process(monitor), None).code == "monitor"


def test_devices_that_are_not_known(monitor):
    assert guests._no_fallback(process(monitor, None), None).code == "devices_unknown"


@pytest.mark.parametrize(("leases", "words"), [(("/a",), "lockd guards /a for it"), (("/a", "/b", "/c", "/d"), "lockd guards /a, /b, /c, ... for it")])
def test_a_guest_with_leases_is_libvirts_alone_whatever_its_monitor(monitor, leases, words):
    found = guests._no_fallback(process(monitor, DeviceState((), (), leases)), "lockd")
    assert found.code == "leases" and words in found.message


# ---- jobs ----

@pytest.fixture
def jobs(libvirt, monkeypatch):
    """Guests with jobs: each look at a guest takes the next of its answers, the last of them for ever. `block` is a block job, an error is raised."""
    monkeypatch.setattr(guests, "JOB_LOOK", 0.001)
    looks = []

    def job_stats(domain):
        name, answers = domain.name(), domain._guest["jobs"]
        looks.append(name)
        domain.stop_at("job")
        now = domain._guest["now"] = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(now, Exception):
            raise now
        return {"type": 1, "operation": 9} if now == "backup" else {}

    def block_job(domain, _target, _flags):
        return {"cur": 1} if domain._guest["now"] == "block" else {}
    monkeypatch.setattr(Domain, "jobStats", job_stats, raising=False)
    monkeypatch.setattr(Domain, "blockJobInfo", block_job, raising=False)
    monkeypatch.setattr(Domain, "XMLDesc", lambda _domain, _flags: "<domain><devices><disk><target dev='vda'/></disk></devices></domain>", raising=False)

    def make(*answers, **over):
        libvirt(*[{"name": f"g{number}", "uuid": f"u{number}", "state": 1, "jobs": list(one), **over} for number, one in enumerate(answers)])
        return looks
    return make


def wait(timeout=60.0, names=(), exclude=()):
    guests.wait_for_jobs(URI, names, exclude, timeout)


def test_jobs_are_waited_for_until_the_last_has_ended(jobs):
    looks = jobs(["backup", "backup", None], [None], ["block", "backup", "block", None])
    wait()
    assert {name: looks.count(name) for name in set(looks)} == {"g0": 3, "g1": 1, "g2": 4}


def test_a_job_that_goes_on_is_waited_for_as_long_as_asked_and_no_longer(jobs, monkeypatch):
    looks = jobs(["backup"])
    wait(0.05)
    assert looks
    monkeypatch.setattr(guests, "JOB_LOOK", 3600.0)  # cut to what is left
    wait(0.05)


def test_nobody_waits_unless_asked_to(libvirt):
    library = libvirt()
    wait(0.0)
    assert library.opened == 0


@pytest.mark.parametrize(("names", "exclude", "looked_at"), [
    (["g0"], [], {"g0"}), (["u1"], [], {"g1"}), ([], ["g0"], {"g1"}), ([], ["u1"], {"g0"}), (["g0", "g1"], ["g0"], {"g1"}), ([], ["g0", "g1"], set()),
])
def test_only_those_that_matter(jobs, names, exclude, looked_at):
    looks = jobs([None], [None])
    wait(60.0, names, exclude)
    assert set(looks) == looked_at


def test_a_guest_that_is_not_there_is_told_before_anybody_waits(jobs):
    looks = jobs(["backup"])
    with pytest.raises(MaintenanceError, match="guest 'g9' does not exist on this host"):
        wait(60.0, ["g9"])
    assert looks == []


@pytest.mark.parametrize("trouble", [libvirtError(42), libvirtError(1)])
def test_a_guest_that_has_ended_or_cannot_be_asked_is_not_waited_for(jobs, trouble):
    looks = jobs(["backup", trouble], [None])
    wait()
    assert looks.count("g0") == 2


def test_a_guest_that_does_not_answer_is_left_to_the_preflight(jobs, monkeypatch):
    monkeypatch.setattr(guests, "PREFLIGHT_TIMEOUT", 0.1)
    looks = jobs(["backup"], hang=("job",))
    wait()
    assert looks == ["g0"]


# ---- the preflight ----

def test_a_guest_that_hangs_or_has_ended_keeps_nobody(libvirt, where, monkeypatch):
    monkeypatch.setattr(guests, "PREFLIGHT_TIMEOUT", 0.2)
    monkeypatch.setattr(guests, "lock_manager", lambda: guests.LockManager(None, False))
    libvirt(
        {"name": "g0", "uuid": "u0", "state": 3}, {"name": "g1", "uuid": "u1", "state": 3, "hang": ("state",)},
        {"name": "g2", "uuid": "u2", "state": 3, "fail": {"state": libvirtError(42)}},
        {"name": "g3", "uuid": "u3", "state": 3, "fail": {"state": libvirtError(1, "odd")}},
    )
    found = guests.preflight(hypervisor.Connection(URI).running(), where)
    assert {one.guest.name: [blocker.code for blocker in one.blockers] for one in found} == {"g0": ["not_running"], "g1": ["no_answer"], "g3": ["no_answer"]}


def test_a_configuration_of_libvirt_that_cannot_be_read_refuses(libvirt, where, monkeypatch):
    def refuse():
        raise PermissionError(13, "Permission denied", "/etc/libvirt/qemu.conf")
    monkeypatch.setattr(guests, "lock_manager", refuse)
    libvirt({"name": "g0", "uuid": "u0", "state": 1})
    with pytest.raises(MaintenanceError, match="it is not known whether a lock manager guards the guests' disks; no guest was touched") as caught:
        guests.preflight(hypervisor.Connection(URI).running(), where)
    assert caught.value.code == "qemu_conf"
