# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_actions/guest_save: what is refused before libvirt is even asked, and how room on the disks is counted."""
from __future__ import annotations

import os
import types

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import guest_restore, guest_save
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.identity import ProcessIdentity
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import Blocker, GuestFacts, State
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.ledger import SavedLedger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.plan import Plan
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.record import SavedGuest, SavedTogether
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import qemu_processes
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.guests import Candidate
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.qemu_processes import QemuProcess
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.status_file import GuestProcess

GOOD = {
    "uri": "qemu:///system", "first": [], "pause_limit": 900.0, "reboot_time": None, "correct_clocks": True, "clock_tolerance": 0.1, "target_offsets": {},
    "wait_for_jobs": 0.0,
}


@pytest.mark.parametrize(("change", "code"), [
    ({"uri": "qemu:///session"}, "uri"), ({"pause_limit": 0.5}, "limit"), ({"pause_limit": 7201.0}, "limit"), ({"pause_limit": float("nan")}, "limit"),
    ({"reboot_time": -1.0}, "limit"), ({"reboot_time": 7201.0}, "limit"), ({"reboot_time": float("inf")}, "limit"),
    ({"clock_tolerance": 0.0}, "limit"), ({"target_offsets": {"g": "soon"}}, "limit"), ({"wait_for_jobs": -1.0}, "limit"),
])
def test_bad_input_touches_nothing(change, code):
    with pytest.raises(MaintenanceError, match="no guest was touched") as caught:
        guest_save.save_guests({**GOOD, **change}, False)
    assert caught.value.code == code


def test_folders_of_one_file_system_need_their_room_together(tmp_path):
    one, other = str(tmp_path / "one" / "not" / "there"), str(tmp_path / "other")
    os.mkdir(other)
    free = os.statvfs(tmp_path)
    found = guest_save._free({one: 100, other: 28})
    assert {folder: needed for folder, (_has, needed) in found.items()} == {one: 128, other: 128}
    assert found[one][0] == pytest.approx(free.f_bavail * free.f_frsize, rel=0.2)


@pytest.fixture
def ledger(where, monkeypatch):
    monkeypatch.setattr(guest_restore, "places", lambda _uri: where)
    return SavedLedger(where)


def saving(**over):
    guest = SavedGuest("g1", "11111111-1111-4111-8111-111111111111", 7, 4242, 99, False, "managed", "", [], "", False, "saved", 100.0)
    found = SavedTogether("s", "qemu:///system", "reboot", "an-earlier-boot", "root", 4000, 98, "2026-11-23T08:00:00Z", 900.0, [guest])
    for key, value in over.items():
        setattr(found, key, value)
    return found


def restore(saving_id, check_mode=True):
    return guest_restore.restore_guests({"uri": "qemu:///system", "save_id": saving_id, "patience": 1.0}, check_mode)


def test_nothing_saved_is_nothing_to_restore(ledger):
    assert restore(None)["changed"] is False
    with pytest.raises(MaintenanceError, match="knows no guests saved as s;"):
        restore("s")


def test_another_saving_is_not_taken_for_the_one_that_was_asked_for(ledger):
    ledger.write(saving())
    with pytest.raises(MaintenanceError, match="knows no guests saved as other;"):
        restore("other")


def test_what_is_saved_is_told_in_check_mode(ledger):
    ledger.write(saving())
    found = restore("s")
    assert (found["changed"], found["rebooted"], found["guests"][0]["outcome"]) == (True, True, None)


def test_guests_that_the_host_restored_are_told_with_their_absence(ledger):
    over = saving(closed_at="2026-11-23T08:05:00Z", closed_by="guard", reboot_took=40.0)
    over.guests[0].settle("restored", "restored from where it was saved", 145.25)
    ledger.write(over)
    found = restore("s", False)
    assert (found["changed"], found["reboot_took"], found["guests"][0]["paused_for"], found["guests"][0]["changed"]) == (False, 40.0, 45.25, False)
    assert restore(None, False)["guests"] == []


@pytest.mark.parametrize("outcome", ["gone", "not_ours"])
def test_a_guest_that_is_not_what_it_was_is_a_failure(ledger, outcome):
    over = saving(closed_at="2026-11-23T08:05:00Z", closed_by="guard")
    over.guests[0].settle(outcome, "somebody started it anew")
    ledger.write(over)
    assert restore("s", False)["failed_because"] == ("restore", "not every guest is what it was: guest 'g1': somebody started it anew")


# ---- QEMUs that libvirt does not know ----

FOREIGN = QemuProcess(4711, 1, "mine", "", "alice")


@pytest.fixture
def admit(where, monkeypatch):
    """What is said of a host with these plans and QEMUs."""
    def go(plans, *processes):
        monkeypatch.setattr(guest_save, "_plans", lambda _params, _where, _without: (plans, 300.0))
        monkeypatch.setattr(qemu_processes, "qemu_processes", lambda: list(processes))
        return guest_save._admitted(GOOD, where)
    return go


def plan(number, known=True, *blockers):
    guest = types.SimpleNamespace(name=f"g{number}", uuid=f"u{number}", id=number)
    process = GuestProcess(ProcessIdentity(100 + number, 1), "", False) if known else None
    return Plan(Candidate(guest, GuestFacts(State("running", "booted")), process, []), blockers=list(blockers))


def test_guests_that_libvirt_knows_are_no_strangers(admit):
    plans = [plan(1), plan(2)]
    assert admit(plans, QemuProcess(101, 1, "g1", "", "libvirt-qemu"), QemuProcess(102, 1, "g2", "", "libvirt-qemu")) == (plans, 300.0)
    assert admit([]) == ([], 300.0)


def test_a_guest_that_will_be_shut_down_before_is_no_stranger(admit, where, monkeypatch):
    monkeypatch.setattr(guest_save, "_pids", lambda _uri, _where, uuids: {102} if uuids == ["u2"] else set())
    processes = [QemuProcess(101, 1, "g1", "", "libvirt-qemu"), QemuProcess(102, 1, "g2", "", "libvirt-qemu")]
    with pytest.raises(MaintenanceError, match="g2"):
        admit([plan(1)], *processes)
    assert guest_save._admitted(GOOD, where, ["u2"])[1] == 300.0


@pytest.mark.parametrize("plans", [[], [plan(1)]])
def test_a_qemu_that_libvirt_does_not_know_refuses_the_reboot_by_name(admit, plans):
    with pytest.raises(MaintenanceError, match=r"refused, no guest was touched:.*mine \(QEMU process 4711 of user alice\)") as caught:
        admit(plans, FOREIGN, *[QemuProcess(101, 1, "g1", "", "libvirt-qemu") for _plan in plans])
    assert caught.value.code == "foreign_guests" and "g1" not in str(caught.value)


def test_a_guest_that_could_not_be_judged_is_not_taken_for_somebody_elses(admit):
    """Found in review: its process was not known, so its own QEMU was told to be one that libvirt does not know."""
    with pytest.raises(MaintenanceError, match="libvirt's status file of it cannot be read") as caught:
        admit([plan(1, False, Blocker("status_unknown", "libvirt's status file of it cannot be read"))], QemuProcess(101, 1, "g1", "", "libvirt-qemu"))
    assert caught.value.code == "refused"
