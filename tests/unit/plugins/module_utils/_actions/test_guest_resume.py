# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_actions/guest_resume: what an operator gets back from a window, open or closed, and from guests that have arrived."""
from __future__ import annotations

import os
import time

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import guest_resume
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._clock.due import DueClocks
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import identity
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError, WindowBusy
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause import window as pause_window
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.arrived import Left
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.ledger import Ledger

from ..stuck_libvirt import libvirtError

URI = "qemu:///session"
RUNNING, PAUSED = 1, 3
ELSEWHERE = "7b0f6f0e-4a37-4b8e-8a0c-9a4a0e0e8a55"
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import State


@pytest.fixture
def ledger(where, monkeypatch):
    """The ledger of this host, on which no guard watches."""
    monkeypatch.setattr(guest_resume, "places", lambda _uri: where)
    monkeypatch.setattr(pause_window, "disarm", lambda _window: None)
    return Ledger(where)


@pytest.fixture
def paused(make_entry):
    def make(number, **over):
        this = identity.own_identity()
        known = {"pid": this.pid, "start_time": this.start_time, "phase": "paused", "paused_at": time.monotonic() - 5.0, "agent": "/a"}
        return make_entry(name=f"g{number}", uuid=f"{number}1111111-1111-4111-8111-111111111111", **{**known, **over})
    return make


@pytest.fixture
def resumed(paused):
    """A guest that somebody resumed who did not get to its clock."""
    def make(number, **over):
        entry = paused(number, **over)
        entry.settle("resumed", "resumed through libvirt", "guard", time.monotonic())
        return entry
    return make


def as_libvirt_has_it(entry, token, **over):
    return {"name": entry.name, "uuid": entry.uuid, "state": PAUSED, "token": token, "ahead": -5.0, **over}


def go(window=None, arrived=None, check_mode=False, patience=0.0):
    return guest_resume.resume_left({"uri": URI, "window": window, "patience": patience, "second_look": 0.0, "arrived": arrived}, check_mode)


# ---- an open window ----

def test_guests_run_again_with_their_clocks(libvirt, ledger, make_window, paused):
    window = make_window(paused(0), paused(1, clock_target=3600.0))
    library = libvirt(*[as_libvirt_has_it(entry, window.id) for entry in window.guests])
    ledger.write(window)
    found = go()
    assert found["changed"] and "failed_because" not in found and found["warnings"] == []
    assert [(one["outcome"], one["clock"]["verdict"], one["clock"]["changed"]) for one in found["guests"]] == [("resumed", "in_sync", True)] * 2
    assert [round(one["ahead"] / 3600) for one in library.guests.values()] == [0, 1]
    after = ledger.read()
    assert not after.is_open and after.clocks_due == [] and [one["token"] for one in library.guests.values()] == [None, None]
    assert not go()["changed"]


def test_what_was_not_given_back_is_a_failure_of_guests_that_run(libvirt, ledger, make_window, paused, qemu, monkeypatch):
    monkeypatch.setattr(guest_resume, "SECOND_LOOK_PATIENCE", 0.0)
    monkeypatch.setattr(guest_resume, "DueClocks", lambda record: DueClocks(record, 0.1))  # libvirt does not come back
    window = make_window(paused(0, monitor=qemu().path, devices=["vmp-none0"]))
    libvirt().down = libvirtError(38, "connection refused", 7)
    ledger.write(window)
    found = guest_resume.resume_guests(URI, None, 0.0, 0.0, False)
    code, words = found["failed_because"]
    # Nobody can say whether it runs on, and that comes first.
    assert code == "libvirt_unreachable" and found["guests"][0]["outcome"] == "resumed"
    assert "vmp-none0 could not be set up" in found["guests"][0]["problem"] and words


@pytest.mark.parametrize("problems", [[], ["its network device a could not be set up (No such device)"], ["one", "two"]])
def test_guests_that_run_without_something(make_window, make_entry, problems):
    window = make_window(*[make_entry(name=f"g{number}", problem=problem) for number, problem in enumerate([*problems, ""])])
    found = guest_resume._not_given_back(window)
    if not problems:
        assert found is None
    else:
        assert found[0] == "not_given_back" and all(f"guest 'g{number}': {problem}" in found[1] for number, problem in enumerate(problems))
        assert f"g{len(problems)}'" not in found[1]


# ---- a closed window whose clocks nobody came to ----

def closed(make_window, *entries, **over):
    return make_window(*entries, closed_at="2026-11-23T08:00:30Z", closed_by="guard", **over)


def test_clocks_that_nobody_came_to_are_put_right_once(libvirt, ledger, make_window, resumed):
    window = closed(make_window, resumed(0), resumed(1))
    library = libvirt(*[as_libvirt_has_it(entry, None, state=RUNNING, ahead=-30.0 if not number else 0.0) for number, entry in enumerate(window.guests)])
    ledger.write(window)
    wished = go(check_mode=True)
    assert wished["changed"] and wished["window"]["clocks_due"] and "set" not in str(library.guests)
    found = go()
    assert found["changed"] and [one["clock"]["changed"] for one in found["guests"]] == [True, False]
    assert [one["changed"] for one in found["guests"]] == [False, False]  # nobody was resumed by this
    assert ledger.read().clocks_due == []
    again = go()
    assert (again["changed"], again["guests"], again["window"]) == (False, [], None)


@pytest.mark.parametrize("over", [{"boot_id": "00000000-0000-4000-8000-000000000000"}, {"clock": True}])
def test_clocks_of_another_boot_and_clocks_that_are_done_are_left_alone(libvirt, ledger, make_window, resumed, over):
    entry = resumed(0)
    if over.pop("clock", False):
        entry.clock = {"verdict": "unverified", "before": None, "after": None, "changed": False, "set_after": 1.0, "reference": "", "error": None}
    window = closed(make_window, entry, **over)
    library = libvirt(as_libvirt_has_it(entry, None, state=RUNNING))
    ledger.write(window)
    assert go()["changed"] is False and "set" not in library.guests[entry.uuid]


def test_a_lock_that_is_held_does_not_fail_guests_that_run(libvirt, ledger, make_window, resumed, monkeypatch):
    monkeypatch.setattr(guest_resume, "LOCK", 0.05)
    window = closed(make_window, resumed(0))
    libvirt(as_libvirt_has_it(window.guests[0], None, state=RUNNING))
    ledger.write(window)
    with ledger.locked(0.0):
        found = go()
    assert found["changed"] and "what became of the clocks is not in the ledger" in found["warnings"][0]


def test_another_window_is_not_replaced_by_the_clocks_of_the_last(ledger, make_window, resumed):
    other = make_window(resumed(0), id=ELSEWHERE)
    ledger.write(other)
    log = []
    guest_resume._write(ledger, closed(make_window, resumed(0)), log)
    assert ledger.read() == other and log == []


def test_a_window_that_nobody_knows(ledger, make_window, resumed):
    with pytest.raises(MaintenanceError) as caught:
        go(ELSEWHERE)
    assert caught.value.code == "window_unknown"
    assert go() == {"changed": False, "window": None, "guests": [], "warnings": []}


# ---- arrivals ----

@pytest.mark.parametrize("arrived", [
    ["x"], [{}], [{"window": "w"}], [{"window": "w", "uuid": 5}], [{"window": "w", "uuid": "u", "more": 1}], [{"uuid": "u", "clock_target": 0}], [None],
])
def test_a_list_of_arrivals_that_is_none(ledger, arrived):
    with pytest.raises(MaintenanceError, match="^entry 1 of arrived is .*it must have window and uuid; no guest was touched$"):
        go(arrived=arrived)


def test_an_arrival_with_a_clock_that_is_none(ledger):
    with pytest.raises(MaintenanceError, match="must be a number of seconds"):
        go(arrived=[{"window": "w", "uuid": "u", "clock_target": "soon"}])


def test_the_list_of_arrivals():
    assert guest_resume._arrived([{"window": "w", "uuid": "u"}, {"window": "w", "uuid": "v", "clock_target": 5}]) == [Left("w", "u"), Left("w", "v", 5.0)]


def test_who_arrived_is_resumed_and_told(libvirt, ledger, paused):
    entry = paused(0)
    library = libvirt(as_libvirt_has_it(entry, ELSEWHERE), as_libvirt_has_it(paused(1), "another"))
    told = go(arrived=[{"window": ELSEWHERE, "uuid": entry.uuid, "clock_target": 0.0}])
    assert told["changed"] and [(one["outcome"], one["changed"]) for one in told["guests"]] == [("resumed", True), ("not_ours", False)]
    assert told["failed_because"][0] == "arrived" and "guest 'g1': it is paused and carries the mark of pause window another" in told["failed_because"][1]
    assert "g0" not in told["failed_because"][1] and [one["state"] for one in library.guests.values()] == [RUNNING, PAUSED]
    assert told["guests"][0]["clock"]["verdict"] == "in_sync" and told["guests"][1]["clock"] is None


def test_the_ledgers_own_window_has_not_arrived(libvirt, ledger, make_window, resumed):
    """Its owner has paused it since, and our mark could not be removed."""
    window = closed(make_window, resumed(0))
    window.guests[0].clock = {"verdict": "in_sync", "before": None, "after": None, "changed": False, "set_after": 1.0, "reference": "", "error": None}
    library = libvirt(as_libvirt_has_it(window.guests[0], window.id))
    ledger.write(window)
    found = go(arrived=[])
    assert (found["changed"], found["guests"]) == (False, []) and library.guests[window.guests[0].uuid]["state"] == PAUSED


def test_nobody_looks_for_arrivals_unless_asked_to(libvirt, ledger):
    library = libvirt()
    go()
    assert library.opened == 0


@pytest.mark.parametrize(("state", "fails"), [
    (State("running", "unpaused"), None),
    (State("paused", "user"), False), (State("shutoff", "destroyed"), False), (State("shutoff", "shutdown"), False), (State("shutoff", "migrated"), False),
    (State("paused", "ioerror"), True), (State("paused", "unknown"), True), (State("crashed", "panicked"), True), (State("shutoff", "crashed"), True),
    (State("shutoff", "unknown"), True), (State("shutoff", "daemon"), True),
])
def test_a_second_look_tells_an_owners_act_from_a_fault(monkeypatch, make_window, make_entry, state, fails):
    entry = make_entry(name="g1")
    entry.settle("resumed", "resumed through libvirt", "module", 100.0)
    monkeypatch.setattr(guest_resume, "_states_now", lambda _window, uuids: dict.fromkeys(uuids, state))
    told = []
    found = guest_resume.look_again(make_window(entry), 0.0, told)
    assert (found is not None) is bool(fails)
    assert bool(told) is (fails is False)
    if fails:
        assert found[0] == "stopped_again" and "'g1'" in found[1]


def test_what_an_interrupted_proof_has_left_goes(ledger, where, monkeypatch):
    asked = []

    def forget(uri, there):
        with pytest.raises(WindowBusy), ledger.locked(0.0):
            pass
        asked.append((uri, there))
        os.rmdir(guest_resume.leftovers.proof_folder(there))

    monkeypatch.setattr(guest_resume.leftovers, "forget", forget)
    assert guest_resume.resume_guests(URI, None, 0.0, 0.0, False)["changed"] is False
    os.mkdir(guest_resume.leftovers.proof_folder(where))
    # A window by its id, and check mode, are about guests only.
    assert guest_resume.resume_guests(URI, None, 0.0, 0.0, True)["changed"] is False and asked == []
    found = guest_resume.resume_guests(URI, None, 0.0, 0.0, False)
    assert found["changed"] and found["warnings"] == [guest_resume.leftovers.REMOVED] and asked == [(URI, where)]
