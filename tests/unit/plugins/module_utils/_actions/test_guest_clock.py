# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_actions/guest_clock: all guests of a host, in two rounds, and the host's own clock."""
from __future__ import annotations

import time

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions import guest_clock
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.host_clock import HostClock
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.hypervisor import AGENTS_AT_ONCE, CALLS_PER_CONNECTION

from ..stuck_libvirt import libvirtError

ASKED = {
    "uri": "qemu:///session", "name": [], "tolerance": 0.5, "samples": 3, "agent_timeout": 5, "correct": True, "target_offsets": {}, "host_clock_wait": 0.0,
}
RIGHT, WRONG = HostClock(True, 0.02), HostClock(False, 16.0)
UNRESPONSIVE = libvirtError(86, "Guest agent is not responding")


@pytest.fixture(autouse=True)
def _host(monkeypatch):
    monkeypatch.setattr(guest_clock, "host_clock", lambda: RIGHT)


def guest(number, **over):
    return {"name": f"g{number}", "uuid": f"u{number}", "state": 1, "ahead": -30.0, **over}


def check(check_mode=False, **over):
    return guest_clock.check_clocks({**ASKED, **over}, check_mode)


def test_clocks_are_put_right_and_told_with_what_they_are_held_against(libvirt):
    library = libvirt(guest(0), guest(1), guest(2, ahead=0.0))
    found = check(target_offsets={"g1": 3600})
    assert found["changed"] and "failed_because" not in found and "warnings" not in found
    assert [(one["name"], one["verdict"], one["changed"]) for one in found["guests"]] == [
        ("g0", "in_sync", True), ("g1", "in_sync", True), ("g2", "in_sync", False),
    ]
    assert [round(one["ahead"] / 3600) for one in library.guests.values()] == [0, 1, 0]
    assert found["host_clock"] == {"synchronized": True, "max_error": 0.02} and found["reference"] == "a host clock that is synchronized (within 0.02 s)"


def test_who_does_not_answer_at_once_is_asked_again_last(libvirt):
    library = libvirt(guest(0, fail={"clock": UNRESPONSIVE}), guest(1), guest(2, agent=False))
    found = check()
    assert [one["verdict"] for one in found["guests"]] == ["unverified", "in_sync", "unverified"]
    assert [one.get("timeouts") for one in library.guests.values()] == [[1, -2, 5, -2], [1, -2], None]
    assert [one.get("error", {}).get("code") for one in found["guests"]] == ["agent", None, "no_agent"]


def test_agents_are_asked_over_more_connections_than_one(libvirt):
    """libvirtd serves five calls at once on each. Found on the lab: agents that hung kept the others waiting."""
    library = libvirt(*(guest(number, ahead=0.0) for number in range(40)))
    assert {one["verdict"] for one in check()["guests"]} == {"in_sync"}
    assert library.opened == 1 + AGENTS_AT_ONCE // CALLS_PER_CONNECTION


def test_who_has_ended_meanwhile_is_told(libvirt, monkeypatch):
    library = libvirt(guest(0), guest(1))
    monkeypatch.setattr(guest_clock, "_host_clock", lambda wait: library.guests.pop("u0") and RIGHT)
    found = check()["guests"]
    assert [one["verdict"] for one in found] == ["unverified", "in_sync"] and found[0]["error"] == {"code": "no_answer", "message": "it has ended"}


def test_a_slow_agent_has_its_clock_set_in_the_second_round(libvirt):
    slow = guest(0, fail={"clock": UNRESPONSIVE})

    class Timeouts(list):
        def append(self, value):
            super().append(value)
            if value == 5:
                slow["fail"].clear()
    slow["timeouts"] = Timeouts()
    libvirt(slow)
    found = check()["guests"][0]
    assert (found["verdict"], found["changed"], slow["timeouts"]) == ("in_sync", True, [1, -2, 5, -2])


def test_what_the_first_round_has_set_is_told(libvirt):
    """Found in review: the second round found the clock right, and told that nothing had been changed."""
    one = guest(0)
    libvirt(one)
    original = guest_clock.check_clock

    def silent_after_the_order(asked, **options):
        if options["agent_timeout"] == 1:
            obeyed = asked.set_clock

            def set_clock(seconds):
                obeyed(seconds)
                one["fail"] = {"clock": UNRESPONSIVE}
            asked.set_clock = set_clock
        else:
            one["fail"] = {}
            del asked.set_clock
        return original(asked, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guest_clock, "check_clock", silent_after_the_order)
        found = check()
    assert one["set"] == 1
    assert found["changed"] and (found["guests"][0]["verdict"], found["guests"][0]["changed"]) == ("in_sync", True)
    assert found["guests"][0]["before"]["offset"] == pytest.approx(-30, abs=1)


def test_one_round_for_little_patience(libvirt):
    library = libvirt(guest(0, fail={"clock": UNRESPONSIVE}))
    check(agent_timeout=1)
    assert library.guests["u0"]["timeouts"] == [1, -2]


def test_a_clock_that_stays_wrong_fails(libvirt):
    libvirt(guest(0, fail={"set": libvirtError(1, "not allowed")}), guest(1))
    found = check()
    code, words = found["failed_because"]
    assert code == "out_of_sync" and words.startswith("guest 'g0' is off by -30.0") and "not allowed" in words and "g1" not in words


@pytest.mark.parametrize("over", [{"check_mode": True}, {"correct": False}])
def test_nothing_is_set_when_only_looking(libvirt, over):
    library = libvirt(guest(0))
    found = check(**over)
    assert "failed_because" not in found and "set" not in library.guests["u0"] and found["changed"] is bool(over.get("check_mode"))


@pytest.mark.parametrize("over", [
    {"tolerance": 0.0}, {"samples": 0}, {"samples": 101}, {"agent_timeout": 0}, {"agent_timeout": 301}, {"host_clock_wait": -1.0}, {"host_clock_wait": 3601.0},
    {"host_clock_wait": float("nan")}, {"target_offsets": {"g": "x"}},
])
def test_bad_input(libvirt, over):
    library = libvirt(guest(0))
    with pytest.raises(MaintenanceError) as caught:
        check(**over)
    assert caught.value.code == "limit" and library.opened == 0


# ---- the host's own clock ----

def test_it_is_waited_for_until_it_is_synchronized(monkeypatch):
    looks = iter([WRONG, WRONG, RIGHT])
    monkeypatch.setattr(guest_clock, "LOOK", 0.001)
    monkeypatch.setattr(guest_clock, "host_clock", lambda: next(looks))
    assert guest_clock._host_clock(3600.0) == RIGHT


@pytest.mark.parametrize("wait", [0.0, 0.05])
def test_it_is_not_waited_for_longer_than_was_asked(monkeypatch, wait):
    looks = []
    monkeypatch.setattr(guest_clock, "LOOK", 3600.0)  # cut to what is left
    monkeypatch.setattr(guest_clock, "host_clock", lambda: looks.append(1) or WRONG)
    began = time.monotonic()
    assert guest_clock._host_clock(wait) == WRONG
    assert wait <= time.monotonic() - began < 60.0 and len(looks) == (2 if wait else 1)


def test_a_host_clock_that_may_not_be_asked_is_not_waited_for(libvirt, monkeypatch):
    def refuse():
        raise PermissionError(1, "Operation not permitted")
    monkeypatch.setattr(guest_clock, "host_clock", refuse)
    assert guest_clock._host_clock(3600.0) is None
    libvirt(guest(0))
    found = check(host_clock_wait=3600.0)
    assert found["host_clock"] is None and found["reference"] == "a host clock of which is not known whether it is synchronized" and "warnings" not in found


def test_a_host_clock_that_is_not_synchronized_is_told(libvirt, monkeypatch):
    monkeypatch.setattr(guest_clock, "host_clock", lambda: WRONG)
    libvirt(guest(0))
    found = check()
    assert found["guests"][0]["verdict"] == "in_sync" and found["reference"] == "a host clock that is not synchronized"
    assert "the host's own clock is not synchronized" in found["warnings"][0]
