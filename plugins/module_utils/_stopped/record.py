# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stopped guests as a document: which guests of a host are shut down to be started again, and how far that has got. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from .._core.errors import LedgerError
from .._core.records import check_ids, checked, is_history, now_utc

#: The version of the document. A reader refuses any other.
VERSION = 1

#: `started`: it was shut down, and was started again by us. `running`: somebody else has started it meanwhile. `untouched`: it was not shut down by us.
#: `gone`: libvirt has no definition of it any more. `not_ours`: its owner has done something with it that a start would undo.
Outcome = t.Literal["started", "running", "untouched", "gone", "not_ours"]
#: `planned`: it was not asked yet. `stopping`: it was asked to shut down. `stopped`: it is off. `settled`: nothing is left to do.
PHASES = ("planned", "stopping", "stopped", "settled")


@dataclasses.dataclass
class StoppedGuest:
    """One guest that is to be shut down and started again.

    :ivar name: libvirt's name of the guest.
    :ivar uuid: libvirt's UUID of the guest.
    :ivar id: libvirt's id of its run before.
    :ivar pid: Process id of its QEMU before.
    :ivar start_time: When that process started, in clock ticks since boot.
    :ivar had_agent: Its guest agent was connected before.
    :ivar autostart: libvirt started it at boot; that is switched off meanwhile, and on again when it is started.
    :ivar phase: One of `PHASES`.
    :ivar asked_at: Seconds (`CLOCK_REALTIME`) just before it was asked to shut down.
    :ivar back_at: The same just after it was seen to run again.
    :ivar forced: It did not shut down, and its QEMU was ended, as the operator had asked for.
    :ivar outcome: How it ended, once settled.
    :ivar message: The reason in words.
    """

    name: str
    uuid: str
    id: int
    pid: int
    start_time: int
    had_agent: bool
    autostart: bool
    phase: str = "planned"
    asked_at: float | None = None
    back_at: float | None = None
    forced: bool = False
    outcome: str | None = None
    message: str = ""

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do."""
        return self.phase == "settled"

    @property
    def away_for(self) -> float | None:
        """Seconds from before it was asked to shut down until it was seen to run again."""
        return None if self.asked_at is None or self.back_at is None else self.back_at - self.asked_at

    def settle(self, outcome: Outcome, message: str, at: float | None = None) -> None:
        """Close this entry."""
        self.phase, self.outcome, self.message, self.back_at = "settled", outcome, message, at


@dataclasses.dataclass
class StoppedTogether:
    """Guests of a host that are shut down together.

    :ivar id: A UUID.
    :ivar uri: The libvirt URI.
    :ivar boot_id: The boot of the host in which it began.
    :ivar opener: Who started it, for the reader only.
    :ivar opened_at: Wall clock, ISO 8601 in UTC, for the reader only.
    :ivar guests: The guests, in the order in which they are started.
    :ivar closed_at: Wall clock of the end; `None` while something may be left to do.
    :ivar closed_by: Who ended it: `module`, `host`.
    """

    id: str
    uri: str
    boot_id: str
    opener: str
    opened_at: str
    guests: list[StoppedGuest]
    closed_at: str | None = None
    closed_by: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether something may still be left to do."""
        return self.closed_at is None

    def unsettled(self) -> list[StoppedGuest]:
        """The guests that may be off."""
        return [one for one in self.guests if not one.settled]

    def close(self, by: str) -> None:
        """Note that nothing is left to do.

        :param by: `module` or `host`.
        """
        self.closed_at, self.closed_by = now_utc(), by


def to_document(record: StoppedTogether) -> dict[str, t.Any]:
    """The JSON document."""
    return {"version": VERSION, "stopped": dataclasses.asdict(record)}


_OPTIONAL = {"asked_at", "back_at", "outcome", "closed_at", "closed_by"}
_GUEST_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,), "uuid": (str,), "id": (int,), "pid": (int,), "start_time": (int,), "had_agent": (bool,), "autostart": (bool,), "phase": (str,),
    "asked_at": (int, float), "back_at": (int, float), "forced": (bool,), "outcome": (str,), "message": (str,),
}
_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,), "uri": (str,), "boot_id": (str,), "opener": (str,), "opened_at": (str,), "guests": (list,), "closed_at": (str,), "closed_by": (str,),
}


def from_document(document: t.Any) -> StoppedTogether | None:
    """Stopped guests from their JSON document, every key and type checked.

    :returns: `None` when an earlier release has written, and closed, it.

    :raises LedgerError: The document is not one that `to_document` wrote.
    """
    if not isinstance(document, dict) or set(document) != {"version", "stopped"}:
        raise LedgerError("the document is not a record of stopped guests")
    if is_history(document, "stopped", VERSION):
        return None
    raw = dict(checked(document["stopped"], _TYPES, _OPTIONAL, "the record"))
    raw["guests"] = [StoppedGuest(**checked(one, _GUEST_TYPES, _OPTIONAL, f"guest {number}")) for number, one in enumerate(raw["guests"], 1)]
    check_ids(raw["uri"], [raw["id"], raw["boot_id"], *(one.uuid for one in raw["guests"])])
    for one in raw["guests"]:
        if one.phase not in PHASES or one.pid <= 1:
            raise LedgerError(f"the entry of guest {one.name!r} makes no sense")
    return StoppedTogether(**raw)
