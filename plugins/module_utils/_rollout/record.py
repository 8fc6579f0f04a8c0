# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's own record of rollouts: which one holds the host, and when the host was updated in which. Pure.

The host keeps it, so that two rollouts find each other wherever they were started, and a controller that has forgotten everything reads what was done.
"""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import LedgerError, MaintenanceError
from .._core.records import checked

VERSION = 1
#: The latest so many updates are kept.
KEPT = 50
#: How an update of a host ended. `interrupted`: nobody said how, and a later run began again.
DONE, FAILED, INTERRUPTED = "done", "failed", "interrupted"


@dataclasses.dataclass(frozen=True)
class Claim:
    """A rollout that holds the host: no other one may update it.

    :ivar rollout: Its id.
    :ivar by: Who started it, and where, for people.
    :ivar since: ISO 8601 in UTC, for people.
    """

    rollout: str
    by: str
    since: str


@dataclasses.dataclass(frozen=True)
class Update:
    """One update of the host in a rollout.

    :ivar rollout: The id of the rollout.
    :ivar domain: The update domain in which the host was.
    :ivar update: What the update is: equal for equal updates, and else of no meaning.
    :ivar began_at: Seconds since the epoch, by the host's clock.
    :ivar ended_at: The same; `None`: it has not ended, or nobody said so.
    :ivar outcome: `done`, `failed`, `interrupted`, or `None` as for `ended_at`.
    """

    rollout: str
    domain: str
    update: str
    began_at: float
    ended_at: float | None = None
    outcome: str | None = None


@dataclasses.dataclass(frozen=True)
class Record:
    """All that a host keeps of rollouts.

    :ivar claim: Who holds it; `None`: nobody.
    :ivar updates: The oldest first.
    """

    claim: Claim | None = None
    updates: tuple[Update, ...] = ()

    def last(self, rollout: str) -> Update | None:
        """The latest update of this host in a rollout."""
        return next((one for one in reversed(self.updates) if one.rollout == rollout), None)

    def longest(self) -> float | None:
        """How many seconds the longest update took that ended well; `None`: there was none."""
        return max((one.ended_at - one.began_at for one in self.updates if one.outcome == DONE and one.ended_at is not None), default=None)


_CLAIM: dict[str, tuple[type, ...]] = {"rollout": (str,), "by": (str,), "since": (str,)}
_UPDATE: dict[str, tuple[type, ...]] = {
    "rollout": (str,), "domain": (str,), "update": (str,), "began_at": (int, float), "ended_at": (int, float), "outcome": (str,),
}


def from_document(raw: t.Any) -> Record:
    """The record of a document.

    :param raw: What the JSON reader gave.
    :raises LedgerError: It is not as this release writes it.
    """
    document = checked(raw, {"version": (int,), "claim": (dict,), "updates": (list,)}, ("claim",), "the record of rollouts")
    if document["version"] != VERSION:
        raise LedgerError(f"its version is {document['version']!r}, this release reads only {VERSION}")
    claim = document["claim"]
    return Record(
        None if claim is None else Claim(**checked(claim, _CLAIM, (), "the claim")),
        tuple(Update(**checked(one, _UPDATE, ("ended_at", "outcome"), "an update")) for one in document["updates"]),
    )


def to_document(record: Record) -> dict[str, t.Any]:
    """The document of a record."""
    return {"version": VERSION, **dataclasses.asdict(record)}


def claimed(record: Record, claim: Claim, take_over: str) -> Record:
    """The host is held by a rollout. One that holds it already is left as it is.

    :param take_over: The id of another rollout that its operator has given up; empty: none.
    :raises MaintenanceError: code `claimed`: another one holds it.
    """
    held = record.claim
    if held is not None and held.rollout == claim.rollout:
        return record
    if held is not None and held.rollout != take_over:
        raise MaintenanceError(
            f"this host is held by rollout {held.rollout} of {held.by}, since {held.since}; nothing was touched. Wait for it to end. If it has died and will "
            f"not be carried on, take its place with -e rollout_take_over={held.rollout}", "claimed",
        )
    return dataclasses.replace(record, claim=claim)


def released(record: Record, rollout: str) -> Record:
    """A rollout does not hold the host any more. Another one's claim is left alone."""
    return dataclasses.replace(record, claim=None) if record.claim is not None and record.claim.rollout == rollout else record


def begun(record: Record, update: Update) -> Record:
    """The host is in work. What an earlier run began and did not end was interrupted, by now at the latest.

    :raises MaintenanceError: code `claimed`: the rollout does not hold the host (any more).
    """
    if record.claim is None or record.claim.rollout != update.rollout:
        held = "nobody" if record.claim is None else f"rollout {record.claim.rollout} of {record.claim.by}"
        raise MaintenanceError(
            f"rollout {update.rollout} does not hold this host (any more), {held} does; nothing was touched. Somebody has taken its place: do not go on",
            "claimed",
        )
    earlier = [
        dataclasses.replace(one, ended_at=update.began_at, outcome=INTERRUPTED) if one.outcome is None else one for one in record.updates
    ]
    return dataclasses.replace(record, updates=(*earlier, update)[-KEPT:])


def ended(record: Record, rollout: str, at: float, outcome: str) -> Record:
    """The host is not in work any more. Nothing happens where it was not.

    :param at: Seconds since the epoch.
    :param outcome: `done` or `failed`.
    """
    return dataclasses.replace(record, updates=tuple(
        dataclasses.replace(one, ended_at=at, outcome=outcome) if one.rollout == rollout and one.outcome is None else one for one in record.updates
    ))
