# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/watch: when it steps in, and when it ends."""
from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
import types

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import identity as who
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import WindowBusy
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved import transfer
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved import watch as saved_watch
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.ledger import SavedLedger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.record import SavedGuest, SavedTogether
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.qemu_processes import QemuProcess


@pytest.fixture
def make_refresh(start):
    """A refresh by a program that sleeps."""
    def make(began_at=None, **over):
        program = start([sys.executable, "-c", "import time; time.sleep(1000)"])
        identity = who.process_identity(program.pid)
        move = SavedGuest("g1", "11111111-1111-4111-8111-111111111111", 7, 4242, 99, False, "copy", "/nowhere/1.save", [], "", False, "moving", began_at)
        refresh = SavedTogether(
            "r", "qemu:///system", "refresh", who.boot_id(), "root", identity.pid, identity.start_time, "2026-11-23T08:00:00Z", 30.0, [move],
        )
        for key, value in over.items():
            setattr(refresh, key, value)
        return program, refresh
    return make


@pytest.fixture
def guard(where, monkeypatch):
    monkeypatch.setattr(saved_watch, "FOLLOW", 0.01)
    monkeypatch.setattr(saved_watch, "places", lambda _uri: where)
    said = []
    found = saved_watch.SavedGuard("qemu:///system", "r", said.append)
    found.said, found.finished = said, []
    monkeypatch.setattr(found, "_finish", lambda: found.finished.append(time.monotonic()) or True)
    return found


@pytest.mark.parametrize(("phase", "ago", "stuck"), [
    ("moving", 0.0, False), ("moving", 119.0, False), ("moving", 121.0, True), ("settled", 1e6, False), ("planned", 1e6, False),
])
def test_stuck(make_refresh, phase, ago, stuck):
    _program, refresh = make_refresh(began_at=1e6 - ago)
    refresh.guests[0].phase = phase
    assert saved_watch.is_stuck(refresh, 1e6) is stuck


def test_it_does_nothing_when_the_refresh_is_over(where, guard, make_refresh):
    _program, refresh = make_refresh(closed_at="2026-11-23T08:00:30Z")
    SavedLedger(where).write(refresh)
    assert guard.follow(lambda: pytest.fail("it watches")) == 0
    assert guard.finished == []


def test_it_steps_in_when_the_program_has_died(where, guard, make_refresh):
    program, refresh = make_refresh()
    SavedLedger(where).write(refresh)

    def die():
        program.kill()
        program.wait()
    assert guard.follow(die) == 0
    assert len(guard.finished) == 1 and "has died" in guard.said[-1]


def test_it_ends_a_program_that_hangs(where, guard, make_refresh):
    program, refresh = make_refresh(began_at=time.monotonic() - 1000)
    SavedLedger(where).write(refresh)
    reaped = []
    # A killed program is only gone once it is reaped, which is its parent's part: here that is this test.
    assert guard.follow(lambda: reaped.append(1)) == 0
    assert program.wait(30) == -signal.SIGKILL
    assert len(guard.finished) == 1


@pytest.fixture
def saved(where, make_refresh):
    """A guest that is saved for a reboot, by a program that has ended, as it has to."""
    program, saving = make_refresh(technique="reboot", pause_limit=0.2)
    program.kill()
    program.wait()
    saving.guests[0].phase, saving.guests[0].memory, saving.guests[0].image = "saved", "managed", ""
    SavedLedger(where).write(saving)
    return saving


def test_it_waits_for_the_reboot_and_then_brings_the_guests_back(saved, guard, monkeypatch):
    monkeypatch.setattr(transfer.host_power, "goes_down", lambda: False)
    began = time.monotonic()
    assert guard.follow(lambda: None) == 0
    assert guard.finished[0] - began >= saved.pause_limit
    assert "the reboot for which guests were saved has not come" in guard.said[-1]


def test_it_brings_nobody_back_on_a_host_that_goes_down(saved, guard, monkeypatch):
    looks = []
    # The third look is of a host that stays up after all.
    monkeypatch.setattr(transfer.host_power, "goes_down", lambda: looks.append(guard.finished[:]) or len(looks) < 3)
    assert guard.follow(lambda: None) == 0
    assert looks == [[], [], []] and len(guard.finished) == 1


def test_it_does_not_wait_for_a_reboot_when_the_saving_was_cut_short(where, saved, guard):
    saved.guests[0].phase, saved.pause_limit = "moving", 900.0
    SavedLedger(where).write(saved)
    assert guard.follow(lambda: None) == 0
    assert "has died" in guard.said[-1]


@pytest.mark.parametrize("how", ["removed", "damaged"])
def test_it_goes_on_with_what_a_lost_ledger_said(where, saved, guard, how):
    """Its second look finds nothing any more; a reboot is refused from then on, so there is nothing to wait for."""
    saved.pause_limit = 900.0
    saved.guests.append(dataclasses.replace(saved.guests[0], uuid="22222222-2222-4222-8222-222222222222", phase="planned"))
    saved.guests[0].phase = "moving"
    path = SavedLedger(where).path
    SavedLedger(where).write(saved)

    def lose():
        if how == "removed":
            os.unlink(path)
        else:
            os.truncate(path, 100)
    assert guard.follow(lose) == 0
    assert len(guard.finished) == 1 and any("bringing back the guests of which it said" in line for line in guard.said)
    # What it did not know to be started may have been since.
    assert [one.phase for one in guard._saving().guests] == ["moving", "moving"]


def test_it_does_not_take_the_place_of_a_program_that_lives(where, guard, make_refresh, monkeypatch):
    """Which writes the ledger anew with its next guest."""
    program, refresh = make_refresh()
    SavedLedger(where).write(refresh)
    looks = []

    def sleep(_seconds):
        looks.append(guard.finished[:])
        if len(looks) == 3:
            program.kill()
            program.wait()
    monkeypatch.setattr(saved_watch.time, "sleep", sleep)
    assert guard.follow(lambda: os.unlink(SavedLedger(where).path)) == 0
    assert looks == [[], [], []] and len(guard.finished) == 1


def test_a_ledger_that_ends_well_is_not_a_lost_one(where, saved, guard):
    def close():
        saved.closed_at, saved.closed_by = "2026-11-23T08:10:00Z", "module"
        SavedLedger(where).write(saved)
    assert guard.follow(close) == 0
    assert guard.finished == []


def test_started_anew_it_waits_for_a_ledger_that_can_be_read(where, saved, guard, monkeypatch):
    """And does not end, only to be started anew by systemd ten times a second."""
    good = open(SavedLedger(where).path, encoding="ascii").read()
    os.truncate(SavedLedger(where).path, 100)
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            with open(SavedLedger(where).path, "w", encoding="ascii") as stream:
                stream.write(good)
    monkeypatch.setattr(saved_watch.time, "sleep", sleep)
    monkeypatch.setattr(saved_watch, "goes_down", lambda _saving: False)
    guard.saving_id = None
    assert guard.follow(lambda: None) == 0
    assert slept[:3] == [saved_watch.AGAIN] * 3 and len(guard.finished) == 1


@pytest.mark.parametrize(("ago", "same_boot", "down"), [(1.0, True, True), (119.0, True, True), (121.0, True, False), (-1e6, True, False), (1.0, False, False)])
def test_a_host_that_was_told_to_reboot_may_still_have_to_begin(saved, monkeypatch, ago, same_boot, down):
    monkeypatch.setattr(transfer.host_power, "goes_down", lambda: False)
    saved.rebooting_at = time.time() - ago
    if not same_boot:
        saved.boot_id = "another"
    assert transfer.goes_down(saved) is down


def test_nothing_saved_leaves_no_unit(where, saved, guard, tmp_path, monkeypatch):
    monkeypatch.setattr(saved_watch.boot_unit.RESTORE, "unit", str(tmp_path / "unit"))
    monkeypatch.setattr(saved_watch.boot_unit.RESTORE, "wanted", str(tmp_path / "wanted"))
    monkeypatch.setattr(saved_watch.boot_unit.host_power, "read_units_anew", lambda: None)
    saved_watch.boot_unit.RESTORE.install(where.state, ["/bin/true"])
    guard.forget()
    assert saved_watch.boot_unit.RESTORE.is_there()
    os.unlink(SavedLedger(where).path)
    guard._known = None
    guard.forget()
    assert not saved_watch.boot_unit.RESTORE.is_there()


class Libvirt:
    """What the guard asks of libvirt before a reboot."""

    def __init__(self, *names):
        self.names = names

    def running(self):
        return [types.SimpleNamespace(name=name) for name in self.names]


@pytest.fixture
def host(monkeypatch):
    """A host that takes note of being told to reboot."""
    found = types.SimpleNamespace(told=[], answer="", runs=(), foreign=[])

    def told():
        found.told.append(1)
        return found.answer
    monkeypatch.setattr(saved_watch.host_power, "reboot", told)
    monkeypatch.setattr(saved_watch, "qemu_processes", lambda: found.foreign)
    monkeypatch.setattr(saved_watch, "Connection", lambda _uri: Libvirt(*found.runs))
    return found


def test_it_reboots_the_host_of_saved_guests(where, saved, guard, host):
    assert guard.reboot() == 0
    assert host.told == [1]
    assert SavedLedger(where).read().rebooting_at == pytest.approx(time.time(), abs=60)


def test_it_does_not_reboot_under_a_qemu_that_libvirt_does_not_know(where, saved, guard, host):
    host.foreign = [QemuProcess(4711, 1, "mine", "", "alice")]
    assert guard.reboot() == 1
    assert host.told == [] and "mine (QEMU process 4711 of user alice)" in guard.said[-1]


def test_it_does_not_reboot_under_a_guest(where, saved, guard, host):
    host.runs = ("web", "db")
    assert guard.reboot() == 1
    assert host.told == [] and guard.said[-1].endswith("lose their memory: web, db")


@pytest.mark.parametrize("change", [{"closed_at": "2026-11-23T08:10:00Z"}, {"boot_id": "another"}, {"id": "another"}])
def test_it_does_not_reboot_when_the_guests_are_not_saved_any_more(where, saved, guard, host, change):
    for key, value in change.items():
        setattr(saved, key, value)
    SavedLedger(where).write(saved)
    assert guard.reboot() == 1
    assert host.told == [] and "not saved for a reboot" in guard.said[-1]


def test_a_host_that_cannot_be_rebooted_is_not_taken_for_one_that_goes_down(where, saved, guard, host):
    host.answer = "systemctl ended with 1: Access denied"
    assert guard.reboot() == 1
    assert SavedLedger(where).read().rebooting_at is None and "Access denied" in guard.said[-1]


def test_a_recovery_by_hand_gives_up_in_time(guard, monkeypatch):
    monkeypatch.setattr(saved_watch, "AGAIN", 0.01)
    monkeypatch.setattr(guard, "_finish", lambda: False)
    assert guard.recover(0.05) == 1
    assert "not every guest is back" in guard.said[-1]


# ---- clocks ----

@pytest.fixture
def restored(where, saved, monkeypatch):
    """A guest that this guard has brought back."""
    monkeypatch.setattr(saved_watch, "places", lambda _uri: where)
    said = []
    found = saved_watch.SavedGuard("qemu:///session", "r", said.append)
    found.said = said

    def bring_back_all(_uri, ledger, saving, by, say, runs_again):
        for one in saving.unsettled():
            one.began_at = time.time() - 60.0
            one.settle("restored", "it is back", time.time())
            runs_again(one, saving.back_at(one))
        saving.closed_at, saving.closed_by = "2026-11-23T08:10:00Z", by
        ledger.write(saving)
        return True
    monkeypatch.setattr(saved_watch, "bring_back_all", bring_back_all)
    return found


def as_libvirt_has_it(one, **over):
    return {"name": one.name, "uuid": one.uuid, "state": 1, "ahead": -60.0, **over}


def test_who_brings_guests_back_puts_their_clocks_right(where, saved, restored, libvirt):
    library = libvirt(as_libvirt_has_it(saved.guests[0]))
    assert restored.recover(0.0) == 0
    found = SavedLedger(where).read().guests[0].clock
    assert (found["verdict"], found["changed"], library.guests[saved.guests[0].uuid]["set"]) == ("in_sync", True, 1)
    assert any("guest g1: its clock was set, in_sync, " in line for line in restored.said)


@pytest.mark.parametrize("what", ["another", "removed", "damaged"])
def test_the_clocks_of_the_next_refresh_are_not_its_affair(where, saved, restored, libvirt, what):
    """Found in review: the guard of the last one set them by the wishes that it knew."""
    library = libvirt(as_libvirt_has_it(saved.guests[0], hang=("clock",)), as_libvirt_has_it(saved.guests[0], uuid="22222222-2222-4222-8222-222222222222"))
    assert restored._finish()
    path = SavedLedger(where).path
    if what == "another":
        theirs = dataclasses.replace(saved.guests[0], uuid="22222222-2222-4222-8222-222222222222", began_at=time.time() - 60.0)
        theirs.settle("restored", "it is back", time.time())
        SavedLedger(where).write(dataclasses.replace(saved, id="another", guests=[theirs], correct_clocks=False))
    elif what == "removed":
        os.unlink(path)
    else:
        os.truncate(path, 10)
    restored._settle_clocks()
    if what == "another":
        assert SavedLedger(where).read().guests[0].clock is None
    assert "set" not in library.guests["22222222-2222-4222-8222-222222222222"]
    assert any("is not in the ledger" in line for line in restored.said) is (what == "damaged")


def test_a_lock_that_is_held_is_told(where, saved, restored, libvirt, monkeypatch):
    libvirt(as_libvirt_has_it(saved.guests[0]))
    assert restored._finish()

    def busy(_timeout):
        raise WindowBusy("another process holds it")
    monkeypatch.setattr(restored.ledger, "locked", busy)
    restored._settle_clocks()
    assert "what became of the clocks is not in the ledger: another process holds it" in restored.said[-1]
