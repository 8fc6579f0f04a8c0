# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_core/calls: many calls at once, none of them able to hold up the rest or to be forgotten."""
from __future__ import annotations

import sys
import threading
import time

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core import calls as calls_module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.calls import Call, call_with_timeout, run_lanes

#: Never waited for in full. Seconds.
LONG = 30.0


class Gate:
    """A function that waits at a gate and counts who is there."""

    def __init__(self):
        self.open = threading.Event()
        self._lock = threading.Lock()
        self.inside = self.most = self.came = 0

    def __call__(self):
        with self._lock:
            self.came += 1
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.open.wait(LONG)
        with self._lock:
            self.inside -= 1
        return "back"


# ---- one call ----

def test_a_call_that_returns():
    call = Call(lambda: 5)
    assert (call.state, call.started_at, call.ended_at) == ("waiting", None, None)
    with pytest.raises(TimeoutError):
        call.result()
    before = time.monotonic()
    call.run()
    assert (call.state, call.result()) == ("done", 5)
    assert before <= call.started_at <= call.ended_at <= time.monotonic()


def test_a_call_that_returns_nothing_is_done():
    call = Call(lambda: None)
    call.run()
    assert (call.state, call.result()) == ("done", None)


def test_a_call_that_raises_keeps_its_error():
    call = Call(lambda: 1 / 0)
    call.run()
    assert call.state == "failed" and call.started_at <= call.ended_at
    for _number in range(2):
        with pytest.raises(ZeroDivisionError):
            call.result()


# ---- lanes ----

@pytest.mark.parametrize("lanes", [[], [[]], [[], [], []]])
def test_nothing_to_do(lanes):
    run_lanes(lanes, 4, LONG)


def test_all_are_back_when_it_returns_and_errors_stay_with_their_call():
    lanes = [[Call(lambda n=n, lane=lane: (lane, n) if n % 3 else 1 / 0) for n in range(20)] for lane in range(4)]
    run_lanes(lanes, 4, LONG)
    for lane, calls in enumerate(lanes):
        for number, call in enumerate(calls):
            if number % 3:
                assert call.result() == (lane, number)
            else:
                assert call.state == "failed"


def test_one_lane_of_width_one_keeps_the_order():
    order = []
    run_lanes([[Call(lambda n=n: order.append(n)) for n in range(50)]], 1, LONG)
    assert order == list(range(50))


@pytest.mark.parametrize(("lanes", "width"), [(1, 1), (1, 4), (3, 2), (4, 4)])
def test_no_more_than_the_width_of_each_lane_at_once_and_no_less(until, lanes, width):
    gates = [Gate() for _number in range(lanes)]
    calls = [[Call(gate) for _number in range(width + 3)] for gate in gates]
    runner = threading.Thread(target=run_lanes, args=(calls, width, LONG), daemon=True)
    runner.start()
    until(lambda: all(gate.inside == width for gate in gates), "all lanes full")
    for gate in gates:
        gate.open.set()
    runner.join(LONG)
    assert [gate.most for gate in gates] == [width] * lanes
    assert [gate.came for gate in gates] == [width + 3] * lanes
    assert all(call.result() == "back" for lane in calls for call in lane)


def test_a_lane_that_hangs_does_not_hold_up_another():
    gate = Gate()
    stuck, free = [Call(gate) for _number in range(3)], [Call(lambda: 1) for _number in range(5)]
    run_lanes([stuck, free], 2, 0.3)
    assert [call.state for call in free] == ["done"] * 5
    assert [call.state for call in stuck] == ["running", "running", "waiting"]
    gate.open.set()


def test_what_hangs_is_left_behind_and_what_waits_is_never_started(until):
    gate = Gate()
    calls = [Call(gate) for _number in range(6)]
    run_lanes([calls], 2, 0.1)
    assert [call.state for call in calls] == ["running"] * 2 + ["waiting"] * 4
    for call in calls:
        with pytest.raises(TimeoutError):
            call.result()
    gate.open.set()
    until(lambda: [call.state for call in calls[:2]] == ["done"] * 2, "the end of those in flight")
    assert calls[0].result() == "back"
    assert gate.came == 2


def test_no_time_at_all_starts_nothing_that_is_not_seen():
    gate = Gate()
    calls = [Call(gate) for _number in range(3)]
    run_lanes([calls], 1, 0.0)
    assert [call.state for call in calls[1:]] == ["waiting"] * 2
    gate.open.set()


def test_a_call_that_a_worker_has_taken_is_not_called_waiting():
    """Promise 1: a suspend said to be `waiting` is not looked after any more. It must never be started after that."""
    go = threading.Event()

    class Delayed(Call):
        """Its worker is put to sleep by the machine just before it starts."""

        def run(self):
            go.wait(LONG)
            super().run()

    call = Delayed(lambda: "late")
    run_lanes([[call]], 1, 0.1)
    state = call.state
    go.set()
    assert state == "running"


def test_a_running_call_has_a_start():
    """Promise 1: a suspend in flight and one never asked for are told apart by its start."""
    class Clock:
        """time, which notes the state of the call whenever the clock is read."""

        seen = []

        def monotonic(self):
            self.seen.append((call.state, call.started_at))
            return time.monotonic()

    call = Call(lambda: None)
    real, calls_module.time = calls_module.time, Clock()
    try:
        call.run()
    finally:
        calls_module.time = real
    assert Clock.seen
    assert all(started is not None for state, started in Clock.seen if state == "running")


def test_under_a_restless_scheduler_every_call_is_made_once_and_told():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _number in range(50):
            made = []
            lanes = [[Call(lambda n=n, lane=lane: made.append((lane, n))) for n in range(6)] for lane in range(3)]  # noqa: B023
            run_lanes(lanes, 4, LONG)
            assert sorted(made) == [(lane, n) for lane in range(3) for n in range(6)]
            assert all(call.state == "done" for lane in lanes for call in lane)
    finally:
        sys.setswitchinterval(before)


# ---- one call that can be given up ----

def test_call_with_timeout():
    assert call_with_timeout(lambda: 7, LONG) == 7
    with pytest.raises(ZeroDivisionError):
        call_with_timeout(lambda: 1 / 0, LONG)
    gate = Gate()
    with pytest.raises(TimeoutError):
        call_with_timeout(gate, 0.05)
    gate.open.set()


# ---- how long they took ----

def test_elapsed_is_from_the_first_start_to_the_last_end_of_those_that_succeeded():
    def made(state, started_at, ended_at):
        call = Call(lambda: None)
        call.state, call.started_at, call.ended_at = state, started_at, ended_at
        return call

    assert calls_module.elapsed([]) is None
    assert calls_module.elapsed([made("waiting", None, None), made("running", 1.0, None), made("failed", 0.0, 99.0)]) is None
    assert calls_module.elapsed([made("done", 10.0, 11.0), made("done", 10.5, 14.0), made("running", 1.0, None), made("failed", 0.0, 99.0)]) == 4.0
