# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a guest is, and whose clock may be set."""
from __future__ import annotations

import pytest

from ansible_collections.vm_preserving.maintenance.plugins.plugin_utils.ours import clocks_due, stage


@pytest.mark.parametrize(("record", "expected"), [
    (None, "never"),
    ({"outcome": None}, "never"),
    ({"changed": False, "message": "left as it is"}, "never"),
    ({"outcome": "untouched"}, "never"),
    ({"outcome": "resumed"}, "given_back"),
    ({"outcome": "running"}, "given_back"),
    ({"outcome": "restored"}, "given_back"),
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
    return {"name": f"g{number}", "uuid": f"u{number}", "outcome": outcome, "resumed_by": "module", **over}


def found(*guests, window=None, saving=None):
    return {"guests": list(guests), "window": window, "saving": saving}


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
    (found(guest(reason="restored"), saving=left({"name": "g1", "uuid": "u1", "outcome": "restored"})), ["u1"]),
    (found(guest(), saving=left({"name": "g1", "uuid": "u1", "outcome": "untouched"})), []),
    # What came last counts, in whichever record it is.
    (found(guest(), window=left(record(clock=None)), saving=left(record(outcome="restored", clock=IN_SYNC), opened_at="2026-01-02T00:00:00Z")), []),
    (found(guest(), window=left(record(clock=IN_SYNC)), saving=left(record(outcome="restored"), opened_at="2026-01-02T00:00:00Z")), ["u1"]),
    (found(guest(), window=left(record(), opened_at="2026-01-02T00:00:00Z"), saving=left(record(outcome="restored", clock=IN_SYNC))), ["u1"]),
])
def test_clocks_due(seen, expected):
    assert clocks_due(seen) == expected


@pytest.mark.parametrize(("before", "now", "expected"), [
    (found(window=left(record())), found(guest(), window=left(record())), []),  # another run's, which has ended well
    (found(window=left(record(), closed_by="guard")), found(guest(), window=left(record(), closed_by="guard")), ["u1"]),  # and one that has not
    (found(window=left(record(outcome=None), open=True, closed_by=None)), found(guest(), window=left(record())), ["u1"]),  # healed by this run
    (found(window=left(record(), opened_at="2025-01-01T00:00:00Z")), found(guest(), window=left(record())), ["u1"]),  # this run's own
    (found(), found(guest(), saving=left(record(outcome="restored"))), ["u1"]),
    # Where the ledger tells of the clock, that is what counts.
    (found(window=left(record(clock=None))), found(guest(), window=left(record(clock=None))), ["u1"]),
    (found(window=left(record(clock=IN_SYNC), closed_by="guard")), found(guest(), window=left(record(clock=IN_SYNC), closed_by="guard")), []),
])
def test_whose_run_it_was(before, now, expected):
    assert clocks_due(now, before) == expected
