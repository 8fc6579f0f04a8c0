# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settling and opening a window while libvirt hangs or fails at one call: sequences that a review found, and that no lab makes on demand."""
from __future__ import annotations

import threading
import time

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import guest_pause
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import calls as calls_module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import identity
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import LedgerError, LibvirtHangs, MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import GuestFacts, State
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause import window as pause_window
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.ledger import Ledger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.settle import Settler
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import hypervisor
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.status_file import GuestProcess

from ..stuck_libvirt import libvirtError

PAUSED, RUNNING = 3, 1


@pytest.fixture
def entry(make_entry):
    def make(number, **over):
        this = identity.own_identity()
        known = {"pid": this.pid, "start_time": this.start_time, "phase": "paused", "paused_at": time.monotonic()}
        return make_entry(name=f"g{number}", uuid=f"u{number}", **{**known, **over})
    return make


@pytest.fixture
def guest(make_window):
    """A guest that we paused, as libvirt has it."""
    token = make_window().id

    def make(number, **over):
        return {"name": f"g{number}", "uuid": f"u{number}", "state": PAUSED, "token": token, **over}
    return make


# ---- settling ----

def test_a_guest_that_libvirt_cannot_look_up_does_not_keep_the_others_paused(libvirt, guest, entry, make_window):
    libvirt(*[guest(number, hang=("lookup",) if number == 0 else ()) for number in range(8)])
    window = make_window(*[entry(number) for number in range(8)])
    settler = Settler("guard", 0.3, 0.3)
    settler.settle(window)
    assert [one.name for one in window.unsettled()] == ["g0"]
    assert not settler.libvirt_hangs


def test_a_guest_at_which_libvirt_fails_is_not_taken_for_gone(libvirt, guest, entry, make_window):
    library = libvirt(guest(0), guest(1, fail={"lookup": libvirtError(1)}))
    window = make_window(entry(0), entry(1))
    Settler("guard", 0.3, 0.3).settle(window)
    assert [one.name for one in window.unsettled()] == ["g1"]
    del library.guests["u1"]["fail"]
    Settler("guard", 0.3, 0.3).settle(window)
    assert window.guests[1].outcome == "resumed"


@pytest.mark.parametrize("known", [False, True])
def test_a_guest_that_a_new_libvirtd_has_lost_is_resumed_through_its_monitor(libvirt, guest, entry, make_window, qemu, known):
    monitor = qemu()
    libvirt(*([guest(0, state=5, id=-1)] if known else []))
    window = make_window(entry(0, monitor=monitor.path))
    Settler("guard").settle(window)
    assert (window.guests[0].outcome, monitor.status) == ("resumed", "running")


def test_a_guest_that_has_ended_is_gone(libvirt, entry, make_window, qemu):
    monitor = qemu()
    libvirt()
    window = make_window(entry(0, monitor=monitor.path, start_time=1))
    Settler("guard").settle(window)
    assert (window.guests[0].outcome, monitor.commands) == ("gone", [])


def test_a_libvirtd_whose_workers_are_used_up_counts_as_hanging(libvirt, guest, entry, make_window, qemu, monkeypatch):
    """It opens connections and finds guests with workers of their own."""
    monkeypatch.setattr("ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.settle.ALL_OUT", 0.3)
    libvirt(*[guest(number, hang=("metadata",)) for number in range(3)])
    window = make_window(*[entry(number, monitor=qemu(talk=lambda connection: connection.recv(1)).path) for number in range(3)])
    settler = Settler("guard", 0.2, 0.2)
    settler.settle(window)
    assert not settler.libvirt_hangs
    time.sleep(0.2)
    settler.settle(window)
    assert settler.libvirt_hangs


def test_one_guest_that_does_not_answer_is_no_hanging_libvirtd(libvirt, guest, entry, make_window, monkeypatch):
    monkeypatch.setattr("ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.settle.ALL_OUT", 0.0)
    libvirt(guest(0, hang=("metadata",)))
    window = make_window(entry(0))
    settler = Settler("guard", 0.2, 0.1)
    for _number in range(3):
        settler.settle(window)
    assert not settler.libvirt_hangs and not window.guests[0].settled


def test_guests_that_hang_do_not_hold_up_those_behind_them(libvirt, guest, entry, make_window):
    """Four of one connection's calls are stuck: the fifth guest of that connection comes in the next pass."""
    stuck = (0, 4, 8, 12)
    library = libvirt(*[guest(number, hang=("resume",) if number in stuck else ()) for number in range(20)])
    window = make_window(*[entry(number) for number in range(20)])
    settler = Settler("guard", 1.0, 0.3)
    began = time.monotonic()
    for _number in range(2):
        settler.settle(window)
    assert [one.name for one in window.unsettled()] == [f"g{number}" for number in stuck]
    assert library.guests["u16"]["resumed_at"] - began < 1.0


def test_an_old_look_at_a_guest_settles_nothing(libvirt, guest, entry, make_window, monkeypatch):
    """It ran when it was looked at; the suspend that was given up came after."""
    library = libvirt(guest(0, state=RUNNING))
    window = make_window(entry(0, phase="pausing"))
    settler = Settler("guard", 0.3, 0.3)
    call = calls_module.Call(lambda: ("running", "it ran already", time.monotonic()))
    call.run()
    settler._waiting = {"u0": call}
    library.guests["u0"]["state"] = PAUSED
    settler.settle(window)
    assert not window.guests[0].settled
    settler.settle(window)
    assert window.guests[0].outcome == "resumed"


def test_no_second_connection_is_tried_while_one_is_stuck(libvirt):
    library = libvirt()
    library.hang = ("open",)
    before = threading.active_count()
    for _number in range(5):
        with pytest.raises(LibvirtHangs):
            hypervisor.Connection("qemu:///session", 0.05)
    assert threading.active_count() == before + 1


def test_a_list_of_guests_that_does_not_come_is_an_error(libvirt, where, monkeypatch):
    libvirt().hang = ("list",)
    monkeypatch.setattr(hypervisor, "CONNECT_TIMEOUT", 0.1)
    with pytest.raises(LibvirtHangs, match="did not list its guests"):
        guest_pause.plan_pause(pause_window.PauseRequest("qemu:///session", (), (), 30.0, 5.0), where, None)


# ---- opening a window ----

@pytest.fixture
def opened(where, monkeypatch):
    """Open a window over all guests; `while_arming` happens while the guard starts."""
    def go(while_arming=lambda: None, budget=1.0):
        monkeypatch.setattr(pause_window, "disarm", lambda _window: None)
        process = GuestProcess(identity.own_identity(), "", False)
        candidates = [
            pause_window.Candidate(one, GuestFacts(State("running", "booted")), process, []) for one in hypervisor.Connection("qemu:///session").running()
        ]
        request = pause_window.PauseRequest("qemu:///session", (), (), 30.0, budget)
        return pause_window.open_window(request, where, candidates, Ledger(where), lambda *_arguments: while_arming())
    return go


@pytest.mark.parametrize("clear", ["works", "fails", "hangs"])
def test_a_guest_that_its_owner_pauses_while_the_guard_starts_stays_paused(libvirt, guest, opened, clear):
    library = libvirt(guest(0, state=RUNNING, token=None), guest(1, state=RUNNING, token=None))
    owners = library.guests["u0"]

    def pause():
        owners["state"] = PAUSED
        if clear == "fails":
            owners["fail"] = {"clear": libvirtError(68)}
        elif clear == "hangs":
            owners["hang"] = ("clear",)
    window = opened(pause, budget=0.5)
    assert [one.outcome for one in window.guests] == ["not_ours", None]
    assert [one["state"] for one in library.guests.values()] == [PAUSED, PAUSED]


def test_nobody_is_taken_for_ours_when_we_die_while_the_guard_starts(libvirt, guest, opened, where):
    class Killed(BaseException):
        pass
    library = libvirt(guest(0, state=RUNNING, token=None))

    def die():
        library.guests["u0"]["state"] = PAUSED
        raise Killed
    with pytest.raises(Killed):
        opened(die)
    window = Ledger(where).read()
    Settler("guard").settle(window)
    assert (window.guests[0].outcome, library.guests["u0"]["state"]) == ("not_ours", PAUSED)


def test_a_disk_that_fills_up_between_is_told_with_the_state_of_the_guests(libvirt, guest, opened, monkeypatch):
    library, write, writes = libvirt(guest(0, state=RUNNING, token=None)), Ledger.write, []

    def full(ledger, window):
        writes.append(1)
        if len(writes) == 3:
            raise LedgerError("the ledger cannot be written (No space left on device)")
        write(ledger, window)
    monkeypatch.setattr(Ledger, "write", full)
    with pytest.raises(MaintenanceError, match="No space left.*no guest is left paused by this run") as caught:
        opened()
    assert caught.value.code == "ledger"
    assert library.guests["u0"]["state"] == RUNNING


def test_a_host_that_gives_no_more_threads_leaves_nobody_paused(libvirt, guest, opened, monkeypatch):
    library = libvirt(*[guest(number, state=RUNNING, token=None) for number in range(4)])
    start, refusing = threading.Thread.start, []

    def refuse(thread):
        if refusing and len(refusing) < 3:
            refusing.append(1)
            raise RuntimeError("can't start new thread")
        start(thread)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(MaintenanceError, match="can't start new thread"):
        opened(lambda: refusing.append(1))
    assert {one["state"] for one in library.guests.values()} == {RUNNING}


def test_calls_go_on_with_the_threads_that_there_are(monkeypatch):
    start, started = threading.Thread.start, []

    def refuse(thread):
        started.append(1)
        if len(started) > 1:
            raise RuntimeError("can't start new thread")
        start(thread)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    calls = [calls_module.Call(lambda number=number: number) for number in range(6)]
    calls_module.run_lanes([calls], 4, 30.0)
    assert [call.result() for call in calls] == list(range(6))
