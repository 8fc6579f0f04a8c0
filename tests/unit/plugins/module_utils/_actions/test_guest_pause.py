# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_actions/guest_pause: which guests are paused, which are left alone, and what a refusal says of each."""
from __future__ import annotations

import types

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.guest_pause import _judge
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.states import GuestFacts, State, pause_blockers
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._pause.limits import check_limits, check_patience
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._system.guests import Candidate

RUNNING, PAUSED = State("running", "booted"), State("paused", "user")
FACTS = {
    "runs": GuestFacts(RUNNING), "paused": GuestFacts(PAUSED), "opted-out": GuestFacts(RUNNING, opted_out=True),
    "copied": GuestFacts(RUNNING, block_jobs=("vda",)), "moving": GuestFacts(RUNNING, job="migration"),
}


def candidates(*names):
    return [Candidate(types.SimpleNamespace(name=name, uuid=f"uuid-{name}"), FACTS[name], None, pause_blockers(FACTS[name])) for name in names]


def names(found):
    return [candidate.guest.name for candidate in found]


@pytest.mark.parametrize(("there", "named", "pause", "alone"), [
    ([], False, [], []),
    (["runs"], False, ["runs"], []),
    (["runs"], True, ["runs"], []),
    (["runs", "paused", "opted-out"], False, ["runs"], ["paused", "opted-out"]),
    (["paused"], False, [], ["paused"]),
])
def test_who_is_paused(there, named, pause, alone):
    to_pause, left_alone = _judge(candidates(*there), named)
    assert (names(to_pause), names(left_alone)) == (pause, alone)


@pytest.mark.parametrize(("there", "named", "blamed"), [
    (["runs", "copied"], False, ["copied"]),
    (["copied", "runs", "paused"], False, ["copied"]),
    (["runs", "copied", "moving"], False, ["copied", "moving"]),
    (["runs", "paused"], True, ["paused"]),
    (["runs", "opted-out"], True, ["opted-out"]),
])
def test_a_refusal_names_those_to_blame_and_tells_of_all(there, named, blamed):
    """Found on the lab: a guest without any blocker beside one with a block job made the module end in a traceback."""
    with pytest.raises(MaintenanceError) as caught:
        _judge(candidates(*there), named)
    assert caught.value.code == "refused" and "no guest was paused" in str(caught.value)
    records = caught.value.result["guests"]
    assert [guest["name"] for guest in records] == there
    assert [guest["name"] for guest in records if "error" in guest] == blamed
    for guest in records:
        assert guest["before"] == guest["after"] and guest["changed"] is False
        assert guest.get("message") or guest["blockers"]
        assert (f"guest {guest['name']!r}: " in str(caught.value)) is (guest["name"] in blamed)


@pytest.mark.parametrize(("limit", "budget", "fine"), [
    (30, 5, True), (30, 10, True), (30, 10.1, False), (30, 0, False), (30, -1, False), (0, 5, False), (0.5, 0.1, False), (1, 0.9, True),
    (1, 1, False), (5, 4.5, True), (5, 5, False), (float("nan"), 5, False), (30, float("nan"), False), (float("inf"), 5, False), (1e9, 5, False),
])
def test_limits(limit, budget, fine):
    if fine:
        check_limits(limit, budget)
    else:
        with pytest.raises(MaintenanceError) as caught:
            check_limits(limit, budget)
        assert caught.value.code == "limit" and "no guest was touched" in str(caught.value)


@pytest.mark.parametrize(("second_look", "patience", "fine"), [
    (2, 20, True), (0, 0, True), (3600, 3600, True), (-1, 0, False), (0, -0.1, False), (float("nan"), 0, False), (0, float("nan"), False),
    (float("inf"), 0, False), (3601, 0, False),
])
def test_patience(second_look, patience, fine):
    """Before anything is done: Python cannot sleep for less than nothing, and guests would be paused by then."""
    if fine:
        check_patience(second_look, patience)
    else:
        with pytest.raises(MaintenanceError) as caught:
            check_patience(second_look, patience)
        assert caught.value.code == "limit" and "no guest was touched" in str(caught.value)
