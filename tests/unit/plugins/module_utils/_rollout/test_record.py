# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_rollout/record: who holds a host, and when it was updated."""
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._core.errors import LedgerError, MaintenanceError
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._rollout import record
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._rollout.record import Claim, Record, Update

ANNA, BEN = Claim("r-1", "anna@ctl1", "2026-11-27T02:00:00Z"), Claim("r-2", "ben@ctl2", "2026-11-27T03:00:00Z")


def test_a_host_is_held_by_one_rollout():
    held = record.claimed(Record(), ANNA, "")
    assert held.claim == ANNA
    assert record.claimed(held, Claim("r-1", "anna@ctl1", "later"), "") == held
    with pytest.raises(MaintenanceError, match=r"held by rollout r-1 of anna@ctl1, since 2026-11-27T02:00:00Z.*rollout_take_over=r-1") as error:
        record.claimed(held, BEN, "")
    assert error.value.code == "claimed"
    with pytest.raises(MaintenanceError, match="held by rollout r-1"):
        record.claimed(held, BEN, "r-0")  # another one than the operator has looked at
    assert record.claimed(held, BEN, "r-1").claim == BEN


def test_only_its_holder_lets_it_go():
    held = record.claimed(Record(), ANNA, "")
    assert record.released(held, "r-2") == held
    assert record.released(held, "r-1").claim is None


@pytest.mark.parametrize("held", [Record(), record.claimed(Record(), BEN, "")])
def test_who_does_not_hold_it_does_not_begin(held):
    with pytest.raises(MaintenanceError, match="does not hold this host") as error:
        record.begun(held, Update("r-1", "a", "x", 1.0))
    assert error.value.code == "claimed"


ACTS = st.lists(st.tuples(st.sampled_from(["begin", "done", "failed", "forgotten"]), st.sampled_from(["r-1", "r-2"])), max_size=70)


@given(ACTS)
def test_there_is_never_more_than_one_update_in_work(acts):
    """Whatever runs died: intervals do not overlap, and only the last can be open."""
    found = Record()
    for now, (act, rollout) in enumerate(acts):
        found = record.claimed(found, Claim(rollout, "x", "y"), found.claim.rollout if found.claim else "")
        if act == "begin":
            found = record.begun(found, Update(rollout, "a", "x", float(now)))
        elif act != "forgotten":
            found = record.ended(found, rollout, float(now), act)
    assert len(found.updates) <= record.KEPT
    assert all(one.outcome is not None for one in found.updates[:-1])
    assert all(one.ended_at is not None and one.ended_at <= other.began_at for one, other in zip(found.updates, found.updates[1:]))
    assert record.from_document(json.loads(json.dumps(record.to_document(found)))) == found


def test_what_was_interrupted_ends_when_the_next_begins():
    found = record.begun(record.claimed(Record(), ANNA, ""), Update("r-1", "a", "x", 1.0))
    found = record.begun(found, Update("r-1", "a", "x", 5.0))
    assert [(one.ended_at, one.outcome) for one in found.updates] == [(5.0, "interrupted"), (None, None)]
    found = record.ended(found, "r-1", 6.0, record.DONE)
    assert found.last("r-1") == Update("r-1", "a", "x", 5.0, 6.0, "done") and found.last("r-2") is None
    assert record.ended(found, "r-1", 7.0, record.FAILED) == found


@pytest.mark.parametrize("document", [
    [], {}, {"version": 1}, {"version": 2, "claim": None, "updates": []}, {"version": 1, "claim": {}, "updates": []},
    {"version": 1, "claim": None, "updates": [{"rollout": "r-1"}]}, {"version": 1, "claim": None, "updates": {}},
])
def test_a_damaged_record_is_none(document):
    with pytest.raises(LedgerError):
        record.from_document(document)
