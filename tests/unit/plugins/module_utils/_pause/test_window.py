# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_pause/window: what the ledger says of a guest, and what becomes of its clock when a window is given up."""
from __future__ import annotations

import time

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._clock.due import DueClocks
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import identity
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.device_state import DeviceState, DirectDevice, ForwardingEntry
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import Blocker, GuestFacts, State
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause import record
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause import window as pause_window
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.ledger import Ledger
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import hypervisor
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.guests import Candidate
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.status_file import GuestProcess

from ..stuck_libvirt import libvirtError

URI = "qemu:///session"
RUNNING, PAUSED = 1, 3
TAKEN = DeviceState(
    (DirectDevice("macvtap0", "eth1", "passthrough"), DirectDevice("macvtap1", "eth1", "bridge")), (ForwardingEntry("vnet0", "52:54:00:00:00:01", "br0"),), (),
)


def as_libvirt_has_it(number, **over):
    return {"name": f"g{number}", "uuid": f"{number}1111111-1111-4111-8111-111111111111", "state": RUNNING, "token": None, "ahead": -5.0, **over}


def candidates(taken=DeviceState((), (), ()), no_fallback=None, agent="/a"):
    process = GuestProcess(identity.own_identity(), "/monitor", False, agent, taken)
    return [Candidate(one, GuestFacts(State("running", "booted"), no_fallback=no_fallback), process, []) for one in hypervisor.Connection(URI).running()]


# ---- the entry ----

@pytest.mark.parametrize(("taken", "devices", "forwarding"), [
    (TAKEN, ["eth1", "macvtap0", "macvtap1"], [["vnet0", "52:54:00:00:00:01"]]), (DeviceState((), (), ()), [], []), (None, [], []),
])
def test_the_ledger_knows_what_has_to_be_given_back(libvirt, make_window, taken, devices, forwarding):
    libvirt(as_libvirt_has_it(0))
    found = pause_window._entry(candidates(taken)[0], {})
    assert (found.devices, found.forwarding, found.agent, found.had_agent, found.monitor) == (devices, forwarding, "/a", True, "/monitor")
    window = make_window(found)
    assert record.from_document(record.to_document(window)) == window


@pytest.mark.parametrize(("no_fallback", "words"), [(None, ""), (Blocker("leases", "lockd guards /a"), "lockd guards /a")])
def test_the_ledger_knows_who_only_libvirt_may_resume(libvirt, no_fallback, words):
    libvirt(as_libvirt_has_it(0))
    assert pause_window._entry(candidates(no_fallback=no_fallback)[0], {}).only_libvirt == words


@pytest.mark.parametrize(("targets", "seconds"), [
    ({}, 0.0), ({"g0": 5}, 5.0), ({"01111111-1111-4111-8111-111111111111": -5.0, "g0": 7.0}, -5.0), ({"g1": 9.0}, 0.0),
])
def test_the_ledger_knows_the_wished_clock(libvirt, targets, seconds):
    libvirt(as_libvirt_has_it(0))
    assert pause_window._entry(candidates(agent="")[0], targets).clock_target == seconds


# ---- opening, and giving up ----

@pytest.fixture
def opened(where, monkeypatch):
    monkeypatch.setattr(pause_window, "disarm", lambda _window: None)

    def go(**over):
        asked = {"uri": URI, "names": (), "exclude": (), "pause_limit": 30.0, "pause_budget": 5.0, **over}
        return pause_window.open_window(pause_window.PauseRequest(**asked), where, candidates(), Ledger(where), lambda *_arguments: None)
    return go


def test_an_open_window_has_no_clocks_to_look_at_yet(libvirt, opened, where):
    library = libvirt(as_libvirt_has_it(0))
    window = opened(target_offsets={"g0": 7.0}, correct_clocks=False, clock_tolerance=0.5)
    assert window == Ledger(where).read() and window.is_open and window.clocks_due == [] and 0 <= window.paused_within < 5.0
    assert (window.correct_clocks, window.clock_tolerance, window.guests[0].clock_target) == (False, 0.5, 7.0)
    assert "set" not in str(library.guests) and pause_window.summary(window)["guests"][0]["clock_target"] is None


def test_guests_of_a_window_that_is_given_up_have_their_clocks_put_right(libvirt, opened, where):
    library = libvirt(as_libvirt_has_it(0), as_libvirt_has_it(1), as_libvirt_has_it(2, fail={"suspend": libvirtError(1, "no such device")}, ahead=-3600.0))
    with pytest.raises(MaintenanceError, match="guest 'g2' could not be paused") as caught:
        opened()
    assert [one["state"] for one in library.guests.values()] == [RUNNING] * 3
    assert [one.get("set") for one in library.guests.values()] == [1, 1, None]  # g2 never stood still by us, and its clock is its owner's
    told = caught.value.result["window"]["guests"]
    assert [one["clock"] and one["clock"]["verdict"] for one in told] == ["in_sync", "in_sync", None]
    # The suspend may still come, so the window stays open for the guard, which looks at clocks itself.
    window = Ledger(where).read()
    assert window.is_open and [one.name for one in window.unsettled()] == ["g2"] and [one.name for one in window.clocks_due] == ["g0", "g1"]


def test_a_window_that_is_closed_at_once_says_what_became_of_the_clocks(libvirt, opened, where, monkeypatch):
    library = libvirt(as_libvirt_has_it(0))

    def full(*_arguments):
        raise RuntimeError("can't start new thread")
    original, calls = pause_window.elapsed, []
    monkeypatch.setattr(pause_window, "elapsed", lambda found: calls.append(1) or (full() if len(calls) == 1 else original(found)))
    with pytest.raises(MaintenanceError, match="no guest is left paused by this run"):
        opened()
    window = Ledger(where).read()
    assert not window.is_open and window.clocks_due == [] and window.guests[0].clock["verdict"] == "in_sync"
    assert library.guests[window.guests[0].uuid]["set"] == 1


def test_giving_up_does_not_wait_until_the_guard_would_end_us(libvirt, where, make_window, make_entry, monkeypatch):
    """It kills a process that is still pausing guests at the deadline."""
    monkeypatch.setattr(pause_window, "disarm", lambda _window: None)
    this = identity.own_identity()
    known = {"pid": this.pid, "start_time": this.start_time, "agent": "/a"}
    paused = make_entry(name="g0", uuid="01111111-1111-4111-8111-111111111111", phase="paused", paused_at=time.monotonic(), **known)
    pausing = make_entry(name="g1", uuid="11111111-1111-4111-8111-111111111111", phase="pausing", paused_at=time.monotonic(), **known)
    window = make_window(paused, pausing, opener_pid=this.pid, opener_start_time=this.start_time, deadline=time.monotonic() + 7.0)
    libvirt(as_libvirt_has_it(0, state=PAUSED, token=window.id), as_libvirt_has_it(1))
    waited = []
    monkeypatch.setattr(DueClocks, "settle", lambda _clocks, _window, timeout, _write: waited.append(timeout))
    pause_window._give_up(window, Ledger(where))
    assert window.guests[0].outcome == "resumed" and not window.guests[1].settled and waited == []
    window.guests[0].phase, window.deadline = "paused", time.monotonic() + 30.0
    pause_window._give_up(window, Ledger(where))
    assert len(waited) == 1 and 0 < waited[0] <= 23.0


def test_the_clocks_of_a_window_of_another_boot_are_not_due(make_window, make_entry):
    entry = make_entry(paused_at=1.0)
    entry.settle("resumed", "it runs", "guard", 2.0)
    closed = {"closed_at": "2026-11-23T08:00:30Z"}
    assert pause_window.summary(make_window(entry, **closed))["clocks_due"] is True
    assert pause_window.summary(make_window(entry))["clocks_due"] is False
    assert pause_window.summary(make_window(entry, boot_id="00000000-0000-4000-8000-000000000000", **closed))["clocks_due"] is False
    entry.clock = {}
    assert pause_window.summary(make_window(entry, **closed))["clocks_due"] is False
