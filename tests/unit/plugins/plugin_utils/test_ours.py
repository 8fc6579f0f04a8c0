# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a guest is, and whose clock may be set."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.ours import clocks_due, left_while_paused, stage


@pytest.mark.parametrize(("record", "expected"), [
    (None, "never"),
    ({"outcome": None}, "never"),
    ({"changed": False, "message": "left as it is"}, "never"),
    ({"outcome": "untouched"}, "never"),
    ({"outcome": "resumed"}, "given_back"),
    ({"outcome": "running"}, "given_back"),
    ({"outcome": "restored"}, "given_back"),
    ({"outcome": "returned"}, "given_back"),
    ({"outcome": "gone"}, "lost"),
    ({"outcome": "not_ours"}, "lost"),
    ({"outcome": "gone", "was_paused": False}, "never"),
    ({"outcome": "not_ours", "was_paused": False}, "never"),
    ({"outcome": "not_ours", "was_paused": True}, "lost"),
])
def test_stage(record, expected):
    assert stage(record) == expected


def guest(number=1, state="running", reason="unpaused"):
    return {"name": f"g{number}", "uuid": f"u{number}", "state": state, "reason": reason}


def record(number=1, outcome="resumed", **over):
    known = {"resumed_by": "module", "clock": None, "was_paused": True, "clock_target": None}
    return {"name": f"g{number}", "uuid": f"u{number}", "outcome": outcome, **known, **over}


def found(*guests, window=None, saved=None):
    return {"guests": list(guests), "window": window, "saved": saved}


def left(*records, opened_at="2026-01-01T00:00:00Z", **over):
    return {"id": opened_at, "open": False, "closed_by": "module", "opened_at": opened_at, "guests": list(records), **over}


IN_SYNC, OUT = {"verdict": "in_sync"}, {"verdict": "out_of_sync"}


@pytest.mark.parametrize(("seen", "expected"), [
    (found(guest()), []),  # never ours
    (found(guest(), guest(2), window=left(record())), ["u1"]),
    (found(guest(), window=left(record(resumed_by="guard"))), ["u1"]),
    (found(guest(), window=left(record(clock=None))), ["u1"]),
    (found(guest(), window=left(record(clock=OUT))), ["u1"]),
    (found(guest(), window=left(record(clock=IN_SYNC))), []),  # its owner's again
    (found(guest(), window=left(record(outcome="running", resumed_by="owner"))), ["u1"]),
    (found(guest(), window=left(record(outcome="running", resumed_by=None))), []),  # it was never stopped
    (found(guest(), window=left(record(outcome="gone"))), []),
    (found(guest(), window=left(record(outcome="not_ours"))), []),
    (found(guest(state="paused", reason="user"), window=left(record(outcome=None))), []),
    (found(window=left(record())), []),  # it has ended since: guest_clock would not know it
    (found(guest(state="paused", reason="user"), window=left(record())), []),
    (found(guest(reason="booted"), window=left(record())), []),  # started anew since
    (found(guest(reason="restored"), saved=left(record(outcome="restored"))), ["u1"]),
    (found(guest(reason="restored"), saved=left(record(outcome="returned"))), ["u1"]),
    (found(guest(), saved=left(record(outcome="untouched"))), []),
    # What came last counts, in whichever record it is.
    (found(guest(), window=left(record(clock=None)), saved=left(record(outcome="restored", clock=IN_SYNC), opened_at="2026-01-02T00:00:00Z")), []),
    (found(guest(), window=left(record(clock=IN_SYNC)), saved=left(record(outcome="restored"), opened_at="2026-01-02T00:00:00Z")), ["u1"]),
    (found(guest(), window=left(record(), opened_at="2026-01-02T00:00:00Z"), saved=left(record(outcome="restored", clock=IN_SYNC))), ["u1"]),
])
def test_clocks_due(seen, expected):
    assert clocks_due(seen) == expected


UNKNOWN = {"verdict": "unverified"}


@pytest.mark.parametrize(("before", "now", "expected"), [
    (found(window=left(record())), found(guest(), window=left(record())), ["u1"]),  # whoever resumed it has died before its clock was right
    (found(window=left(record(clock=UNKNOWN))), found(guest(), window=left(record(clock=UNKNOWN))), []),  # no agent: it is not asked at every run
    (found(window=left(record(clock=OUT))), found(guest(), window=left(record(clock=OUT))), ["u1"]),
    (found(window=left(record(clock=IN_SYNC))), found(guest(), window=left(record(clock=IN_SYNC))), []),
    (found(window=left(record(outcome=None), open=True)), found(guest(), window=left(record(clock=UNKNOWN))), ["u1"]),  # healed by this run
    (found(window=left(record(), opened_at="2025-01-01T00:00:00Z")), found(guest(), window=left(record(clock=UNKNOWN))), ["u1"]),  # this run's own
    (found(), found(guest(), saved=left(record(outcome="restored"))), ["u1"]),
])
def test_whose_run_it_was(before, now, expected):
    assert clocks_due(now, before) == expected


def test_who_may_have_been_migrated_while_paused():
    records = [record(1, "gone"), record(2, "gone", was_paused=False), record(3, "resumed"), record(4, "not_ours")]
    records.append(record(5, "gone", clock_target=-3600.0))
    assert left_while_paused([{}, found(window=None), found(window=left(*records, opened_at="w"))]) == [
        {"window": "w", "uuid": "u1"}, {"window": "w", "uuid": "u5", "clock_target": -3600.0},
    ]
