# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_clock/keeper: each clock is put right as soon as its guest runs, whatever libvirt, the agents and the other guests do meanwhile."""
from __future__ import annotations

import threading
import time

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._clock import keeper as keepers
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._clock.keeper import Keeper, Task
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._clock.result import AGENT_TIMEOUT, checked_clock
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system import hypervisor

from ..stuck_libvirt import libvirtError

URI = "qemu:///session"
RUNNING, PAUSED, SHUTOFF = 1, 3, 5
#: Longer than any test; only catches a hang. Seconds.
PATIENT = 60.0
UNRESPONSIVE = libvirtError(86, "Guest agent is not responding")
AWAY = libvirtError(38, "connection refused", 7)


@pytest.fixture(autouse=True)
def _hurried(monkeypatch):
    monkeypatch.setattr(keepers, "AGAIN", 0.01)


def guest(number, **over):
    return {"name": f"g{number}", "uuid": f"u{number}", "state": RUNNING, "ahead": -30.0, **over}


def task(number, **over):
    return Task(**{"uuid": f"u{number}", "target": 0.0, "since": time.monotonic(), "had_agent": True, "name": f"g{number}", **over})


def results(keeper, timeout=PATIENT):
    found = keeper.results(timeout)
    for one in found.values():
        checked_clock(one, "a guest")
    return found


def code(result):
    return None if result["error"] is None else result["error"]["code"]


# ---- with libvirt ----

def test_clocks_are_put_right(libvirt):
    library = libvirt(*[guest(number) for number in range(10)])
    keeper = Keeper(URI, 0.5, True)
    for number in range(10):
        keeper.give(task(number, target=3600.0 if number == 3 else 0.0))
    found = results(keeper)
    assert {uuid: (one["verdict"], one["changed"], code(one)) for uuid, one in found.items()} == {f"u{n}": ("in_sync", True, None) for n in range(10)}
    assert all(0 <= one["set_after"] < PATIENT and one["reference"].startswith("a host clock") for one in found.values())
    assert [round(library.guests[f"u{n}"]["ahead"] / 3600) for n in range(10)] == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    # libvirt's own time-out of the agent is as it was.
    assert all(one["timeouts"] == [keepers.QUICK, -2] for one in library.guests.values())


def test_a_clock_that_is_only_to_be_measured_is_not_set(libvirt):
    library = libvirt(guest(0))
    keeper = Keeper(URI, 0.5, False)
    keeper.give(task(0))
    found = results(keeper)["u0"]
    assert (found["verdict"], found["changed"]) == ("out_of_sync", False) and "set" not in library.guests["u0"]


def test_a_guest_is_taken_once(libvirt):
    library = libvirt(guest(0))
    keeper = Keeper(URI, 0.5, True)
    for _number in range(5):
        keeper.give(task(0))
    first = results(keeper)
    keeper.give(task(0))
    assert results(keeper) == first and library.guests["u0"]["timeouts"] == [keepers.QUICK, -2]


def test_nothing_given_is_nothing_to_wait_for():
    assert Keeper(URI, 0.5, True).results(PATIENT) == {}


def test_an_agent_that_is_slow_is_asked_once_more_with_patience(libvirt):
    library = libvirt(guest(0, fail={"clock": UNRESPONSIVE}), guest(1))
    keeper = Keeper(URI, 0.5, True)
    keeper.give(task(0))
    keeper.give(task(1))
    found = results(keeper)
    assert (found["u0"]["verdict"], code(found["u0"]), found["u1"]["verdict"]) == ("unverified", "agent", "in_sync")
    assert library.guests["u0"]["timeouts"] == [keepers.QUICK, -2, AGENT_TIMEOUT, -2]


def test_what_was_set_is_told_though_the_agent_fell_silent(libvirt):
    """Found in review: the second look found the clock right, and told that nobody had set it."""
    one = guest(0)
    one["fail"] = {"set done": UNRESPONSIVE}
    libvirt(one)
    original, asked = hypervisor.Guest.clock, []

    def clock(self):
        asked.append(1)
        if len(asked) == keepers.SAMPLES + 1:  # the first question after it was set
            raise UNRESPONSIVE
        return original(self)
    keeper = Keeper(URI, 0.5, True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hypervisor.Guest, "clock", clock)
        keeper.give(task(0))
        found = results(keeper)["u0"]
    assert (found["verdict"], found["changed"], one["set"]) == ("in_sync", True, 1)
    assert found["before"]["offset"] == pytest.approx(-30, abs=1) and found["after"]["offset"] == pytest.approx(0, abs=1)


@pytest.mark.parametrize("had_agent", [True, False])
def test_an_agent_that_is_away_is_waited_for_if_there_was_one(libvirt, until, had_agent):
    library = libvirt(guest(0, agent=False))
    keeper = Keeper(URI, 0.5, True, PATIENT)
    keeper.give(task(0, had_agent=had_agent))
    if had_agent:
        until(lambda: keeper._waiting, "it is asked again")
        library.guests["u0"]["agent"] = True
        assert results(keeper)["u0"]["verdict"] == "in_sync"
    else:
        assert code(results(keeper)["u0"]) == "no_agent"


def test_an_agent_that_stays_away_is_not_waited_for_for_ever(libvirt):
    libvirt(guest(0, agent=False))
    keeper = Keeper(URI, 0.5, True, 0.05)
    keeper.give(task(0))
    assert code(results(keeper)["u0"]) == "no_agent"


def test_a_guest_that_libvirt_still_takes_for_paused_is_asked_again(libvirt, until):
    """Found in review: resumed through its monitor, and libvirt back before it was told of that: its clock stayed behind."""
    library = libvirt(guest(0, state=PAUSED))
    keeper = Keeper(URI, 0.5, True)
    keeper.give(task(0))
    until(lambda: keeper._waiting, "it is asked again")
    library.guests["u0"]["state"] = RUNNING
    assert results(keeper)["u0"]["verdict"] == "in_sync"


@pytest.mark.parametrize("over", [{"state": SHUTOFF}, {"state": PAUSED, "reason": 5}])
def test_a_guest_that_does_not_run_any_more_is_not_waited_for(libvirt, over):
    library = libvirt(guest(0, **over))
    keeper = Keeper(URI, 0.5, True, PATIENT)
    keeper.give(task(0))
    keeper.give(task(7))  # libvirt does not know it
    found = results(keeper)
    assert [code(one) for one in found.values()] == ["not_running", "not_running"]
    assert "set" not in library.guests["u0"]


def test_errors_of_libvirt_are_no_end(libvirt, until):
    library = libvirt(guest(0, fail={"lookup": libvirtError(1)}), guest(1))
    keeper = Keeper(URI, 0.5, True, PATIENT)
    keeper.give(task(0))
    keeper.give(task(1))
    until(lambda: "u1" in keeper._done and keeper._waiting, "the other guest")
    del library.guests["u0"]["fail"]
    assert results(keeper)["u0"]["verdict"] == "in_sync"
    assert library.opened >= 2  # it may have been the connection that broke


# ---- without libvirt ----

def test_with_libvirt_down_the_agents_own_socket_is_asked(libvirt, agent):
    library, one = libvirt(guest(0)), agent(ahead=-30.0)
    library.down = AWAY
    keeper = Keeper(URI, 0.5, True)
    keeper.give(task(0, agent=one.path, target=3600.0))
    found = results(keeper)["u0"]
    assert (found["verdict"], found["changed"], code(found)) == ("in_sync", True, None)
    assert one.ahead == pytest.approx(3600.0, abs=1.0)


def test_guests_that_are_asked_again_do_not_hold_up_those_that_just_ran(libvirt, agent, monkeypatch):
    """Found in review: each try that failed put a thread to sleep, and with 200 guests without an agent the first that had one waited for 10 s."""
    monkeypatch.setattr(keepers, "AGAIN", 3600.0)
    library, one = libvirt(), agent(ahead=-30.0)
    library.down = AWAY
    keeper = Keeper(URI, 0.5, True, 3600.0)
    for number in range(40):
        keeper.give(task(number, had_agent=False))
    keeper.give(task(99, agent=one.path))
    with keeper._changed:
        assert keeper._changed.wait_for(lambda: "u99" in keeper._done, PATIENT)
    assert keeper._done["u99"]["verdict"] == "in_sync" and len(keeper._done) == 1


def test_libvirt_is_waited_for(libvirt, until):
    library = libvirt(guest(0))
    library.down = AWAY
    keeper = Keeper(URI, 0.5, True, PATIENT)
    keeper.give(task(0))
    until(lambda: library.opened > 3, "some tries")
    library.down = None
    found = results(keeper)["u0"]
    assert (found["verdict"], found["changed"]) == ("in_sync", True)


@pytest.mark.parametrize("path", ["", "/nowhere/agent.sock"])
def test_libvirt_is_not_waited_for_for_ever(libvirt, path):
    library = libvirt(guest(0))
    library.down = AWAY
    keeper = Keeper(URI, 0.5, True, 0.05)
    keeper.give(task(0, agent=path))
    found = results(keeper)["u0"]
    assert (found["verdict"], found["changed"], code(found)) == ("unverified", False, "libvirt_unreachable")
    assert "connection refused" in found["error"]["message"]


def test_a_libvirt_that_hangs_holds_the_agents_too(libvirt, agent, monkeypatch):
    library, one = libvirt(guest(0)), agent()
    library.hang = ("open",)
    open_connection = hypervisor.Connection
    monkeypatch.setattr(keepers, "Connection", lambda uri, _timeout: open_connection(uri, 0.05))
    keeper = Keeper(URI, 0.5, True, 0.1)
    keeper.give(task(0, agent=one.path))
    assert code(results(keeper)["u0"]) == "libvirt_unreachable" and one.connections == 0


def test_an_old_resume_is_looked_at_once(libvirt):
    """A window that is healed later: nothing is on its way back any more."""
    library = libvirt(guest(0, agent=False), guest(1))
    keeper = Keeper(URI, 0.5, True)
    for number in range(2):
        keeper.give(task(number, since=time.monotonic() - 3600))
    found = results(keeper)
    assert (code(found["u0"]), found["u1"]["verdict"], library.opened <= 2) == ("no_agent", "in_sync", True)
    assert found["u1"]["set_after"] >= 3600


# ---- its own threads ----

def test_clocks_that_are_not_done_in_time_are_told(libvirt):
    libvirt(guest(0, hang=("clock",)), guest(1))
    keeper = Keeper(URI, 0.5, True)
    keeper.give(task(0))
    keeper.give(task(1))
    with keeper._changed:
        assert keeper._changed.wait_for(lambda: "u1" in keeper._done, PATIENT)
    found = results(keeper, 0.05)
    assert (found["u0"]["verdict"], found["u0"]["changed"], code(found["u0"])) == ("unverified", False, "no_answer")
    assert found["u0"]["set_after"] is None and found["u1"]["verdict"] == "in_sync"


def test_threads_end_and_begin_anew(libvirt, until, monkeypatch):
    monkeypatch.setattr(keepers, "IDLE", 0.01)
    libvirt(guest(0), guest(1))
    keeper = Keeper(URI, 0.5, True)
    for number in range(2):
        keeper.give(task(number))
        assert results(keeper)[f"u{number}"]["verdict"] == "in_sync"
        until(lambda: keeper._threads == 0, "the end of the threads")


def test_no_more_threads_than_libvirt_can_serve_beside_others(libvirt):
    libvirt(*[guest(number) for number in range(50)])
    keeper, before = Keeper(URI, 0.5, True), threading.active_count()
    for number in range(50):
        keeper.give(task(number))
    assert keeper._threads <= keepers.WIDTH and threading.active_count() <= before + 3 * keepers.WIDTH
    assert len(results(keeper)) == 50


def test_a_host_that_gives_no_threads_is_told(libvirt, monkeypatch):
    libvirt(guest(0))

    def refuse(_thread):
        raise RuntimeError("can't start new thread")
    keeper = Keeper(URI, 0.5, True)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        keeper.give(task(0))
        assert code(results(keeper, 0.01)["u0"]) == "no_answer"
    keeper.give(task(0))  # taken already: nothing is done twice
    assert keeper._threads == 0
