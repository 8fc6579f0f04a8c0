# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_clock/check: measure, correct, measure again, with a guest whose clock and agent are in memory."""
from __future__ import annotations

import time

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._clock import check as clock_check
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import State

ASKED = {"target": 0.0, "tolerance": 0.5, "samples": 3, "correct": True, "agent_timeout": 5, "check_mode": False}


class Guest:
    """A guest whose clock is `behind` seconds behind."""

    name = "g1"
    uuid = "11111111-1111-4111-8111-111111111111"

    def __init__(self, behind=30.0, agent=True, answers=True, obeys=True, state=State("running", "booted")):
        self.offset = -behind
        self.agent, self.answers, self.obeys, self._state = agent, answers, obeys, state
        self.orders = 0
        self.timeouts = []

    def state(self):
        return self._state

    def set_agent_timeout(self, seconds):
        if not self.agent:
            raise RuntimeError("QEMU guest agent is not connected")
        self.timeouts.append(seconds)

    def reset_agent_timeout(self):
        self.timeouts.append(None)

    def clock(self):
        if not self.answers:
            raise RuntimeError("Guest agent is not responding")
        return time.time() + self.offset

    def system(self):
        return {"id": "debian"}

    def set_clock(self, seconds):
        self.orders += 1
        if not self.obeys:
            raise RuntimeError("hwclock failed")
        self.offset = seconds - time.time()


def check(guest, **over):
    return clock_check.check_clock(guest, **{**ASKED, **over})


def test_a_clock_that_is_behind_is_corrected_and_measured_again():
    guest = Guest()
    found = check(guest)
    assert (found["verdict"], found["changed"], guest.orders) == ("in_sync", True, 1)
    assert found["before"]["offset"] == pytest.approx(-30, abs=0.5)
    assert found["after"]["offset"] == pytest.approx(0, abs=0.5)
    assert "error" not in found
    assert guest.timeouts == [5, None]


def test_a_clock_that_is_right_is_left_alone():
    guest = Guest(behind=0.0)
    found = check(guest)
    assert (found["verdict"], found["changed"], guest.orders) == ("in_sync", False, 0)
    assert found["before"] == found["after"]


def test_a_clock_that_is_off_on_purpose_gets_its_offset_back():
    guest = Guest(behind=30.0)
    found = check(guest, target=3600.0)
    assert (found["verdict"], found["changed"]) == ("in_sync", True)
    assert guest.offset == pytest.approx(3600, abs=0.5)


@pytest.mark.parametrize(("over", "changed"), [({"correct": False}, False), ({"check_mode": True}, True)])
def test_nothing_is_set_when_only_looking(over, changed):
    guest = Guest()
    found = check(guest, **over)
    assert (found["verdict"], found["changed"], guest.orders) == ("out_of_sync", changed, 0)


def test_a_guest_that_does_not_obey_is_out_of_sync():
    guest = Guest(obeys=False)
    found = check(guest)
    assert (found["verdict"], guest.orders) == ("out_of_sync", 1)
    assert found["error"] == {"code": "refused", "message": "its agent answered the order to set the clock with: hwclock failed"}


def test_a_correction_that_gets_nearer_is_made_again():
    """A busy host delays the order: each time it comes nearer."""
    guest = Guest()
    late = iter([10.0, 3.0, 0.0])
    obeyed = guest.set_clock
    guest.set_clock = lambda seconds: obeyed(seconds - next(late))
    assert (check(guest)["verdict"], guest.orders) == ("in_sync", 3)


@pytest.mark.parametrize(("offset", "orders"), [(0.0, 0), (0.05, 0), (-0.3, 0), (0.2, 1), (-0.4, 1), (-7.0, 1)])
def test_a_slow_agent_has_its_clock_set_only_when_it_is_proved_wrong(monkeypatch, offset, orders):
    """Found on the lab: an agent that took 0.25 s for an answer had its right clock set three times, and it ended wrong."""
    class Slow(Guest):
        """Reads its clock at the end of the answer; setting it takes as long."""

        def clock(self):
            clocks.now += 0.25
            return clocks.now + self.offset

        def set_clock(self, seconds):
            clocks.now += 0.25
            self.orders += 1
            self.offset = seconds - clocks.now

    class Clocks:
        """time, which passes only while the agent is asked."""

        now = 1.7e9

        def time(self):
            return self.now

        monotonic = time

    clocks = Clocks()
    monkeypatch.setattr(clock_check, "time", clocks)
    guest = Slow(behind=-offset)
    found = check(guest, tolerance=0.1)
    assert guest.orders == orders and found["changed"] is bool(orders)
    # What is set ends no further off than the bound that the agent's answers allow.
    assert abs(guest.offset) <= max(abs(offset) if not orders else 0.0, found["after"]["bound"])


def test_a_clock_at_the_edge_of_the_tolerance_is_set():
    """Found in CI: a guest was behind by its pause, which was the tolerance to a third of a millisecond, and it stayed so, proved neither right nor wrong."""
    class Edge(Guest):
        """Answers within half a millisecond."""

        def clock(self):
            time.sleep(0.0005)
            return super().clock()

    guest = Edge(behind=0.1)
    found = check(guest, tolerance=0.1)
    assert (found["verdict"], found["changed"]) == ("in_sync", True)
    assert abs(found["after"]["offset"]) < 0.05


@pytest.mark.parametrize(("guest", "code", "timeouts"), [
    (Guest(agent=False), "no_agent", []),
    (Guest(answers=False), "agent", [5, None]),
    (Guest(state=State("paused", "user")), "not_running", []),
])
def test_without_a_measurement_it_is_unverified(guest, code, timeouts):
    found = check(guest)
    assert (found["verdict"], found["changed"], found["error"]["code"]) == ("unverified", False, code)
    assert found["before"] is None and found["after"] is None
    assert guest.timeouts == timeouts


def test_after_an_order_what_was_measured_before_does_not_hold():
    """Found in review: an agent that fell silent after it had set the clock was told to be as far off as before."""
    guest = Guest()
    obeyed = guest.set_clock

    def set_clock(seconds):
        obeyed(seconds)
        guest.answers = False
    guest.set_clock = set_clock
    found = check(guest)
    assert (found["verdict"], found["changed"], found["error"]["code"], found["after"]) == ("unverified", True, "agent", None)
    assert found["before"]["offset"] == pytest.approx(-30, abs=0.5)
    guest.answers, guest.set_clock = True, obeyed
    again = clock_check.continued(check(guest), found)
    assert (again["verdict"], again["changed"], again["before"]) == ("in_sync", True, found["before"])
    assert clock_check.continued(again, None) is again
    assert clock_check.continued(again, {"changed": False, "before": None}) is again


@pytest.mark.parametrize("over", [{}, {"correct": False}, {"check_mode": True}])
def test_a_clock_too_coarse_for_a_proof_is_unverified(over):
    guest = Guest(behind=0.0)
    guest.system = lambda: {"id": "mswindows"}
    found = check(guest, tolerance=1e-9, **over)
    assert (found["verdict"], found["error"]["code"]) == ("unverified", "bound")


def test_a_delay_between_the_readings_of_the_hosts_clocks_is_within_the_bound(monkeypatch):
    """Promise 4: whatever delays us, also between our own two clocks, the bound covers it."""
    class Delayed:
        """time, with a process that is put to sleep after each reading."""

        elapsed = 0.0

        def _read(self, zero):
            now = zero + self.elapsed
            self.elapsed += 1.0
            return now

        def time(self):
            return self._read(1.7e9)

        def monotonic(self):
            return self._read(500.0)

    clocks = Delayed()
    monkeypatch.setattr(clock_check, "time", clocks)
    guest = Guest()
    guest.clock = lambda: 1.7e9 + clocks.elapsed - 30.0
    found = clock_check.measurement.offset([clock_check._sample(guest)], 0.0)
    assert abs(found.seconds + 30.0) <= found.bound
