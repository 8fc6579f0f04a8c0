# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_saved/opening: a beginning that fails leaves nothing open and no guest marked."""
from __future__ import annotations

import types

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import Blocker, State
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved import opening
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._saved.ledger import SavedLedger

PARAMS = {"uri": "qemu:///system", "pause_limit": 30.0, "correct_clocks": False, "clock_tolerance": 0.2}


class Guest:
    """A running guest; it carries what mark it was given, or refuses one."""

    def __init__(self, number, refuses=False):
        self.name, self.uuid, self.id = f"g{number}", f"{number}1111111-1111-4111-8111-111111111111", number
        self.mark, self.refuses = None, refuses

    def set_token(self, mark):
        if self.refuses:
            raise OSError("no metadata today")
        self.mark = mark

    def token(self):
        return self.mark

    def clear_token(self):
        self.mark = None


@pytest.fixture
def plan_of():
    def make(guest, state=State("running", "booted"), **over):
        process = types.SimpleNamespace(process=types.SimpleNamespace(pid=4242, start_time=99), agent="/run/agent.sock")
        plan = types.SimpleNamespace(
            candidate=types.SimpleNamespace(guest=guest, process=process, facts=types.SimpleNamespace(state=state)),
            memory="copy", ram=[], kept="", way_back="", quiesce=False, blockers=[],
        )
        for key, value in over.items():
            setattr(plan, key, value)
        return plan
    return make


@pytest.fixture
def begin(where, plan_of, monkeypatch):
    def run(guests, arm):
        known = {guest.uuid: guest for guest in guests}
        monkeypatch.setattr(opening, "Connection", lambda _uri: types.SimpleNamespace(guest=known.__getitem__))
        monkeypatch.setattr(opening, "describe", str)
        plans = [plan_of(guest) for guest in guests]
        return opening.begin(where, PARAMS, "refresh", [(plan, opening.entry(plan, f"/images/{plan.candidate.guest.name}", {})) for plan in plans], arm)
    return run


def test_the_ledger_is_there_before_anything_is_armed_and_the_marks_after(where, begin):
    guests = [Guest(1), Guest(2)]
    seen = []

    def arm(_where, uri, number):
        seen.append((uri, SavedLedger(where).read().id == number, [guest.mark for guest in guests]))
        return "armed"
    saving, armed = begin(guests, arm)
    assert (saving.correct_clocks, saving.clock_tolerance) == (False, 0.2)
    assert seen == [("qemu:///system", True, [None, None])] and armed == "armed"
    assert saving.is_open and [guest.mark for guest in guests] == [saving.id] * 2
    assert [(one.name, one.phase, one.image) for one in saving.guests] == [("g1", "planned", "/images/g1"), ("g2", "planned", "/images/g2")]


@pytest.mark.parametrize(("refuses", "error", "message"), [
    (False, MaintenanceError("no guard could be started; no guest was touched", "guard"), "no guard could be started"),
    (True, None, "the refresh could not be started .no metadata today.; no guest was touched"),
    (False, OSError("no such program"), "no such program.; no guest was touched"),
])
def test_what_fails_at_the_beginning_leaves_nothing_behind(where, begin, refuses, error, message):
    guests = [Guest(1), Guest(2, refuses)]

    def arm(*_arguments):
        if error is not None:
            raise error
    with pytest.raises(MaintenanceError, match=message):
        begin(guests, arm)
    found = SavedLedger(where).read()
    assert (found.is_open, found.closed_by, [one.outcome for one in found.guests]) == (False, "module", ["untouched", "untouched"])
    assert [guest.mark for guest in guests] == [None, None]


def test_how_long_the_last_reboot_took_is_not_forgotten(where, begin):
    saving, _armed = begin([Guest(1)], lambda *_arguments: None)
    saving.reboot_took, saving.closed_at = 40.0, "2026-11-23T08:05:00Z"
    SavedLedger(where).write(saving)
    assert begin([Guest(1)], lambda *_arguments: None)[0].reboot_took == 40.0


@pytest.mark.parametrize(("state", "memory", "paused", "ram"), [
    (State("running", "booted"), "copy", False, []), (State("paused", "user"), "copy", True, []), (State("running", "booted"), "in_place", False, ["pc.ram"]),
])
def test_an_entry_says_what_is_needed_to_bring_the_guest_back(plan_of, state, memory, paused, ram):
    one = opening.entry(plan_of(Guest(1), state, memory=memory, ram=["pc.ram"], kept="/kept"), "/images/g1", {"g1": 3600.0})
    assert (one.pid, one.start_time, one.paused, one.ram, one.kept) == (4242, 99, paused, ram, "/kept" if ram else "")
    assert (one.had_agent, one.clock_target, one.clock) == (True, 3600.0, None)


def test_every_reason_is_told(plan_of):
    blocked = plan_of(Guest(1), blockers=[Blocker("hostdev", "it has a device of the host"), Blocker("job", "a job runs")])
    with pytest.raises(MaintenanceError, match="^refused, no guest was touched: guest 'g1': it has a device of the host, a job runs. Move it$") as caught:
        opening.refuse_blocked([blocked], [{"name": "g1"}], ". Move it")
    assert caught.value.code == "refused" and caught.value.result == {"guests": [{"name": "g1"}]}
    opening.refuse_blocked([], [])
