# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guests that were shut down last, for results and for whoever is to go on."""
from __future__ import annotations

import typing as t

from .._core.errors import WindowBusy
from .._core.places import Places
from .ledger import StoppedLedger
from .record import StoppedGuest


def described(one: StoppedGuest) -> dict[str, t.Any]:
    """A guest for a module's result."""
    return {
        "name": one.name, "uuid": one.uuid, "outcome": one.outcome, "message": one.message, "forced": one.forced,
        "away_for": None if one.away_for is None else round(one.away_for, 3),
    }


def stopped_summary(where: Places) -> dict[str, t.Any] | None:
    """The guests that were shut down last on this host, for a module's result, or `None` when there never were any."""
    found = StoppedLedger(where).read()
    if found is None:
        return None
    return {
        "id": found.id, "open": found.is_open, "opened_at": found.opened_at, "opened_by": found.opener, "closed_at": found.closed_at,
        "closed_by": found.closed_by, "guests": [described(one) for one in found.guests],
    }


def refuse_stopped(where: Places, taken_over: t.Container[str]) -> None:
    """Refuse while guests that an earlier run shut down may be off.

    :param taken_over: UUIDs of guests that are to be shut down now: one that was asked before and still runs is asked once more.
    :raises WindowBusy: With who began it, when, and what to do.
    """
    found = StoppedLedger(where).read()
    if found is None or not found.is_open:
        return
    left = [one for one in found.unsettled() if one.phase == "stopped" or one.uuid not in taken_over]
    if left:
        raise WindowBusy(
            f"guests of this host were shut down for an update at {found.opened_at} (by {found.opener}), and may be off, or may still shut down: "
            f"{', '.join(one.name for one in left)}. No guest was touched by this run. Run recover.yml, or guest_start, on this host first"
        )
