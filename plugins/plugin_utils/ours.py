# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a guest is: ours from the moment we pause or save it until it is given back, its owner's before and after. Pure; knows no Ansible.

Everything that judges guests or touches their clocks asks here. A record is what a module, or the host's own ledger, says became of a guest.
"""
from __future__ import annotations

import typing as t

Result = t.Mapping[str, t.Any]
#: `never`: it was not touched. `given_back`: it was ours, and runs again by our hand or its owner's. `lost`: what happened to it happened in our hands.
Stage = t.Literal["never", "given_back", "lost"]

#: States of a running guest whose clock is not the one that we stopped: it was started anew since, came from elsewhere, or was put back by its owner.
_ANOTHER_CLOCK = ("booted", "migrated", "from-snapshot")


def stage(record: Result | None) -> Stage:
    """Whose a guest is after a module that paused or saved guests has returned.

    :param record: The guest in the module's result; `None` when it is not there. Its `was_paused`, where there is one, says whether it had been paused by us
        before it ended or was taken over.
    """
    outcome = (record or {}).get("outcome")
    if outcome in ("resumed", "running", "restored", "returned"):
        return "given_back"
    if outcome in ("gone", "not_ours"):
        return "lost" if (record or {}).get("was_paused", True) else "never"
    return "never"


def _stopped(record: Result) -> bool:
    """Whether a guest in the ledger was stopped by us, and is not any more."""
    # Without somebody who resumed it, a guest that ran when it was looked at was never stopped.
    return record.get("outcome") in ("resumed", "restored", "returned") or (record.get("outcome") == "running" and record.get("resumed_by") is not None)


def _right(guest: Result, record: Result, history: t.Container[str]) -> bool:
    """Whether somebody has proved that the clock of a guest in the ledger is right, or has looked at it in an earlier run and could not know."""
    verdict = (guest["clock"] or {}).get("verdict")
    return verdict == "in_sync" or (verdict == "unverified" and record["id"] in history)


def clocks_due(found: Result, earlier: Result | None = None) -> list[str]:
    """The guests whose clocks are ours to be put right: they were stopped by us last, run again, and it has not been proved since that their clocks are right.

    :param found: What guest_info returned: the guests, and the ledger's last `window` and `saved`. In both `clock` is what whoever resumed a guest made of its
        clock, `None` when he did not get to it.
    :param earlier: The same before the caller touched anything. A clock of which nothing could be known by then is not looked at again.
    :returns: Their UUIDs.
    """
    history = {record["id"] for record in _records(earlier or {}) if not record["open"]}
    running = {guest["uuid"] for guest in found["guests"] if guest["state"] == "running" and guest["reason"] not in _ANOTHER_CLOCK}
    right: dict[str, bool] = {}
    for record in sorted(_records(found), key=lambda one: one["opened_at"]):
        right.update({guest["uuid"]: _right(guest, record, history) for guest in record["guests"] if _stopped(guest)})
    return [uuid for uuid, proved in right.items() if uuid in running and not proved]


def _records(found: Result) -> list[Result]:
    return [record for record in (found.get("window"), found.get("saved")) if record]


def left_while_paused(found: t.Iterable[Result]) -> list[dict[str, t.Any]]:
    """The guests that had gone from their hosts when they were to be resumed there: their owners may have migrated them while they were paused by us.

    :param found: What guest_info returned on each host; one that could not be asked may be empty.
    :returns: For each `window` and `uuid`, and `clock_target` if its clock was to be set, for guest_resume's `arrived`.
    """
    windows = [one["window"] for one in found if one.get("window")]
    gone = [(window["id"], guest) for window in windows for guest in window["guests"] if guest["outcome"] == "gone" and guest["was_paused"]]
    return [
        {"window": window, "uuid": guest["uuid"], **({} if guest["clock_target"] is None else {"clock_target": guest["clock_target"]})}
        for window, guest in gone
    ]
