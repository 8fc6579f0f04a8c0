# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settling and opening a window while libvirt hangs or fails at one call: sequences that a review found, and that no lab makes on demand."""
from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import guest_pause
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import calls as calls_module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import identity
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import LedgerError, LibvirtHangs, MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import GuestFacts, State
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause import devices
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause import window as pause_window
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.ledger import Ledger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.settle import REFUSALS, Settler
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import hypervisor
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.status_file import GuestProcess

from ..stuck_libvirt import Libvirt, libvirtError

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


# ---- libvirt refuses, and QEMU's own cont ----

@pytest.fixture
def monitor_of_libvirt(monkeypatch):
    """libvirt_qemu: what was sent to which guest; `cont` lets it run."""
    sent = []

    class Module:
        @staticmethod
        def qemuMonitorCommand(domain, text, _flags):
            sent.append((domain.name(), json.loads(text)["execute"]))
            domain.stop_at("monitor")
            domain._guest["state"] = RUNNING
            return '{"return": {}}'
    monkeypatch.setitem(sys.modules, "libvirt_qemu", Module)
    return sent


NO_BRIDGE = libvirtError(38, "Cannot get interface MTU on 'br0': No such device")
LOST = libvirtError(38, "End of file while reading data", Libvirt.VIR_FROM_RPC)


@pytest.mark.parametrize(("has", "problem"), [
    ({}, "libvirt could not start what belongs to it (Cannot get interface MTU on 'br0': No such device)"),
    # What libvirt takes is all that it starts, and it was given back here.
    ({"devices": ["lo"]}, ""),
    ({"devices": ["vmp-none0"]}, "its network device vmp-none0 could not be set up"),
])
def test_what_libvirt_refuses_twice_qemu_does(libvirt, guest, entry, make_window, monitor_of_libvirt, has, problem):
    library = libvirt(guest(0, fail={"resume": NO_BRIDGE}), guest(1))
    window, told = make_window(entry(0, **has), entry(1)), []
    settler = Settler("guard", runs_again=lambda one, at: told.append((one.name, at)))
    for number in range(REFUSALS):
        settler.settle(window)
        assert [one.name for one in window.unsettled()] == ["g0"] and monitor_of_libvirt == [], number
        assert "No such device" in window.guests[0].message and "trying again" in window.guests[0].message
    settler.settle(window)
    found = window.guests[0]
    assert (found.outcome, found.resumed_by, library.guests["u0"]["state"]) == ("resumed", "guard", RUNNING)
    assert monitor_of_libvirt == [("g0", "cont")] and "resumed through QEMU, because libvirt could not" in found.message
    assert found.problem.startswith(problem) and bool(found.problem) == bool(problem)
    assert [name for name, _at in told] == ["g1", "g0"] and told[1][1] == found.resumed_at


def test_qemus_cont_that_fails_is_tried_again(libvirt, guest, entry, make_window, monitor_of_libvirt):
    library = libvirt(guest(0, fail={"resume": NO_BRIDGE, "monitor": libvirtError(1, "no job")}))
    window, settler = make_window(entry(0)), Settler("guard")
    for _number in range(REFUSALS + 2):
        settler.settle(window)
    assert monitor_of_libvirt == [("g0", "cont")] * 2 and not window.guests[0].settled
    del library.guests["u0"]["fail"]["monitor"]
    settler.settle(window)
    assert window.guests[0].outcome == "resumed"


def test_a_libvirt_that_is_lost_has_refused_nothing(libvirt, guest, entry, make_window, monitor_of_libvirt):
    libvirt(guest(0, fail={"resume": LOST}))
    window, settler = make_window(entry(0)), Settler("guard")
    for _number in range(REFUSALS + 2):
        settler.settle(window)
    assert monitor_of_libvirt == [] and not window.guests[0].settled


def test_somebody_elses_pause_is_not_ended_by_cont_either(libvirt, guest, entry, make_window, monitor_of_libvirt):
    library = libvirt(guest(0, fail={"resume": NO_BRIDGE}))
    window, settler = make_window(entry(0)), Settler("guard")
    for _number in range(REFUSALS):
        settler.settle(window)
    library.guests["u0"]["token"] = "another"
    settler.settle(window)
    assert window.guests[0].outcome == "not_ours" and monitor_of_libvirt == []


def test_who_only_libvirt_may_resume_is_never_resumed_in_another_way(libvirt, guest, entry, make_window, monitor_of_libvirt, qemu):
    """A guest that runs without its lease can be started a second time elsewhere."""
    monitor = qemu()
    library = libvirt(guest(0, fail={"resume": NO_BRIDGE}))
    window, settler = make_window(entry(0, monitor=monitor.path, only_libvirt="lockd guards /a")), Settler("guard")
    for _number in range(REFUSALS + 2):
        settler.settle(window)
    library.down = LOST
    settler.settle(window)
    assert "only libvirt may resume it (lockd guards /a)" in window.guests[0].message and not settler.libvirt_hangs
    settler.settle(window, through_libvirt=False)
    assert not window.guests[0].settled and monitor_of_libvirt == [] and monitor.commands == []
    library.down = None
    del library.guests["u0"]["fail"]
    settler.settle(window)
    assert (window.guests[0].outcome, window.guests[0].message) == ("resumed", "resumed through libvirt")


def test_a_libvirtd_that_hangs_is_recognised_though_only_it_may_resume_what_is_left(libvirt, guest, entry, make_window):
    """Found in review: the monitor of such a guest is not asked, so nobody saw that libvirtd hung, and nothing ended it."""
    libvirt(guest(0)).hang = ("open",)
    window, settler = make_window(entry(0, only_libvirt="lockd guards /a")), Settler("guard", 0.05, 0.05)
    settler.settle(window)
    assert settler.libvirt_hangs and not window.guests[0].settled


# ---- one guest left ----

@pytest.mark.parametrize("daemon", ["hangs", "serves others"])
def test_with_one_guest_left_a_libvirtd_that_hangs_is_told_from_a_guest_that_does(libvirt, guest, entry, make_window, qemu, monkeypatch, daemon):
    monkeypatch.setattr("ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.settle.ALL_OUT", 0.0)
    library = libvirt(guest(0, hang=("metadata",)))
    if daemon == "hangs":
        library.hang = ("answer",)
    window = make_window(entry(0, monitor=qemu(talk=lambda connection: connection.recv(1)).path))
    settler = Settler("guard", 0.2, 0.1)
    for _number in range(3):
        settler.settle(window)
        assert settler.libvirt_hangs is (daemon == "hangs") and not window.guests[0].settled


def test_a_guest_whose_qemu_is_stopped_is_no_hanging_libvirtd(libvirt, guest, entry, make_window, start, until, monkeypatch):
    monkeypatch.setattr("ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.settle.ALL_OUT", 0.0)
    libvirt(guest(0, hang=("metadata",))).hang = ("answer",)
    stopped = start(["sleep", "1000"])
    os.kill(stopped.pid, signal.SIGSTOP)
    until(lambda: identity.is_stopped(stopped.pid), "it is stopped")
    process = identity.process_identity(stopped.pid)
    window, settler = make_window(entry(0, pid=process.pid, start_time=process.start_time)), Settler("guard", 0.2, 0.1)
    settler.settle(window)
    assert not settler.libvirt_hangs


# ---- who is told, and when ----

def test_each_guest_is_told_of_at_once_and_once(libvirt, guest, entry, make_window):
    """Not when the slowest has answered: the clock of a guest that runs again is behind."""
    told = []
    library = libvirt(*[guest(number) for number in range(3)], guest(3, state=RUNNING), guest(4, state=RUNNING), guest(5, token="another"))
    released = threading.Event()

    def runs_again(one, at):
        told.append((one.name, at))
        if len(told) == 3:
            released.set()
    original = hypervisor.Guest.resume

    def resume(self):
        if self.name == "g0":
            assert released.wait(30.0)
        return original(self)
    window = make_window(*[entry(number) for number in range(4)], entry(4, phase="pausing"), entry(5))
    settler = Settler("guard", calls=60.0, runs_again=runs_again)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hypervisor.Guest, "resume", resume)
        settler.settle(window)
    settler.settle(window)
    # g3 was resumed by its owner; g4 was never seen to be paused; g5 is somebody else's.
    assert sorted(name for name, _at in told) == ["g0", "g1", "g2", "g3"] and told[-1][0] == "g0"
    assert {name: at for name, at in told} == {one.name: one.resumed_at for one in window.guests[:4]}
    assert library.guests["u5"]["state"] == PAUSED


def test_without_libvirt_each_guest_is_told_of_at_once_too(libvirt, entry, make_window, qemu):
    libvirt().down = LOST
    told = threading.Event()

    def late(connection):
        assert told.wait(30.0)
        other.qmp(connection)
    other = qemu(talk=late)
    window = make_window(entry(0, monitor=qemu().path), entry(1, monitor=other.path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.settle.MONITOR_TIMEOUT", 20.0)
        Settler("guard", runs_again=lambda one, _at: told.set() if one.name == "g0" else None).settle(window)
    assert [one.outcome for one in window.guests] == ["resumed", "resumed"]


def test_a_kernel_that_does_not_answer_for_a_guests_devices_is_no_libvirtd_that_hangs(libvirt, entry, make_window, qemu, monkeypatch, until):
    """Found in review: the guest ran, and counted as one whose monitor libvirtd holds: libvirtd was ended for it, and its clock stayed behind."""
    libvirt().down = LOST
    answers, told = threading.Event(), []
    monkeypatch.setattr(devices.netdev, "set_up", lambda _device: answers.wait())
    monkeypatch.setattr(devices, "KERNEL", 60.0)
    monkeypatch.setattr("ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.settle.MONITOR_TIMEOUT", 0.2)
    window = make_window(entry(0, monitor=qemu().path, devices=["macvtap0"]))
    settler = Settler("guard", runs_again=lambda one, _at: told.append(one.name))
    try:
        settler.settle(window)
        found = window.guests[0]
        assert (found.outcome, found.problem, told, settler.libvirt_hangs) == ("resumed", devices.UNANSWERED, ["g0"], False)
        assert settler.by_monitor == {"u0"}
    finally:
        answers.set()
    until(lambda: found.problem == "", "the devices are up")


def test_what_a_look_without_libvirt_could_not_give_back_libvirt_gives(libvirt, guest, entry, make_window):
    libvirt(guest(0))
    window = make_window(entry(0, problem="its network device macvtap0 could not be set up (No such device)"))
    Settler("guard").settle(window)
    assert (window.guests[0].outcome, window.guests[0].problem) == ("resumed", "")


@pytest.mark.parametrize("state", [RUNNING, PAUSED])
def test_libvirt_is_told_of_what_was_resumed_without_it(libvirt, guest, entry, make_window, state):
    library = libvirt(guest(0, state=state), guest(1))
    window = make_window(entry(0, devices=["vmp-none0"]), entry(1))
    settler = Settler("guard")
    settler.by_monitor = {"u0"}
    assert settler.tell_libvirt(window) is True and settler.by_monitor == set()
    assert [one["state"] for one in library.guests.values()] == [RUNNING, PAUSED]
    assert "vmp-none0 could not be set up" in window.guests[0].problem


def test_a_guest_that_libvirt_does_not_answer_about_is_told_again(libvirt, guest, entry, make_window):
    libvirt(guest(0, hang=("metadata",)))
    settler = Settler("guard", 0.2, 0.1)
    settler.by_monitor = {"u0"}
    assert settler.tell_libvirt(make_window(entry(0))) is False and settler.by_monitor == {"u0"}


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
