# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A refresh as a document: which guests are being moved to the installed QEMU, and where their memory is meanwhile. Pure."""
from __future__ import annotations

import dataclasses
import typing as t

from ._errors import LedgerError
from ._window_document import MAX_PAUSE_LIMIT, check_ids, checked

#: The version of the document. A reader refuses any other.
VERSION = 1

#: C(refreshed): it runs on the installed QEMU. C(untouched): it runs on, and was not moved. C(gone): it does not exist any more.
#: C(not_ours): somebody else started it anew meanwhile; what we kept of it is told.
Outcome = t.Literal["refreshed", "untouched", "gone", "not_ours"]


@dataclasses.dataclass
class Move:
    """One guest of a refresh.

    :ivar name: libvirt's name of the guest.
    :ivar uuid: libvirt's UUID of the guest.
    :ivar id: libvirt's id of its run before.
    :ivar pid: Process id of its QEMU before.
    :ivar start_time: When that process started, in clock ticks since boot.
    :ivar paused: It was paused before, by its owner, and is to be so again.
    :ivar memory: C(copy), its memory goes through the image; C(in_place), it stays where it is, in files.
    :ivar image: Where libvirt saves it to. While libvirt is asked to restore it, the file has the suffix C(.restoring).
    :ivar ram: For C(in_place): names of the files in the folder of the kept links, one for each memory backend; the name is the backend's id.
    :ivar kept: For C(in_place): the folder of the kept links.
    :ivar phase: C(planned): not touched yet. C(moving): it may be saved. C(settled): nothing is left to do.
    :ivar began_at: C(CLOCK_MONOTONIC) seconds just before the save was asked for.
    :ivar ended_at: C(CLOCK_MONOTONIC) seconds just after it was seen to be back.
    :ivar outcome: How it ended, once settled.
    :ivar message: The reason in words.
    """

    name: str
    uuid: str
    id: int
    pid: int
    start_time: int
    paused: bool
    memory: str
    image: str
    ram: list[str]
    kept: str
    phase: str = "planned"
    began_at: float | None = None
    ended_at: float | None = None
    outcome: str | None = None
    message: str = ""

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do."""
        return self.phase == "settled"

    @property
    def paused_for(self) -> float | None:
        """Seconds from before the save until it was back: the longest that the pause can have been."""
        if self.began_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.began_at

    def settle(self, outcome: Outcome, message: str, at: float | None = None) -> None:
        """Close this entry."""
        self.phase, self.outcome, self.message, self.ended_at = "settled", outcome, message, at


@dataclasses.dataclass
class Refresh:
    """One refresh of the guests of a host.

    :ivar id: A UUID; also the token in the guests' LIVE metadata, which goes through the image with them.
    :ivar uri: The libvirt URI.
    :ivar boot_id: The boot of the host in which it began: images in RAM do not outlive it.
    :ivar opener: Who began it, for people.
    :ivar opener_pid: The process that began it.
    :ivar opener_start_time: When that process started, in clock ticks since boot.
    :ivar opened_at: Wall clock, ISO 8601 in UTC, for people only.
    :ivar pause_limit: Seconds that a guest may be away.
    :ivar guests: The guests, in their order.
    :ivar closed_at: Wall clock of the end; C(None) while something may be left to do.
    :ivar closed_by: Who ended it: C(module), C(guard).
    """

    id: str
    uri: str
    boot_id: str
    opener: str
    opener_pid: int
    opener_start_time: int
    opened_at: str
    pause_limit: float
    guests: list[Move]
    closed_at: str | None = None
    closed_by: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether something may still be left to do."""
        return self.closed_at is None

    def unsettled(self) -> list[Move]:
        """The guests that may be saved and not restored."""
        return [move for move in self.guests if not move.settled]


def to_document(refresh: Refresh) -> dict[str, t.Any]:
    """The JSON document of a refresh."""
    return {"version": VERSION, "refresh": dataclasses.asdict(refresh)}


_OPTIONAL = {"began_at", "ended_at", "outcome", "closed_at", "closed_by"}
_MOVE_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,), "uuid": (str,), "id": (int,), "pid": (int,), "start_time": (int,), "paused": (bool,), "memory": (str,), "image": (str,), "ram": (list,),
    "kept": (str,), "phase": (str,), "began_at": (int, float), "ended_at": (int, float), "outcome": (str,), "message": (str,),
}
_REFRESH_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,), "uri": (str,), "boot_id": (str,), "opener": (str,), "opener_pid": (int,), "opener_start_time": (int,), "opened_at": (str,),
    "pause_limit": (int, float), "guests": (list,), "closed_at": (str,), "closed_by": (str,),
}


def from_document(document: t.Any) -> Refresh:
    """A refresh from its JSON document, every key and type checked.

    :raises LedgerError: The document is not one that L(to_document) wrote.
    """
    if not isinstance(document, dict) or set(document) != {"version", "refresh"}:
        raise LedgerError("the document is not a record of a refresh")
    if document["version"] != VERSION or isinstance(document["version"], bool):
        raise LedgerError(f"its version is {document['version']!r}, this release reads only {VERSION}")
    raw = dict(checked(document["refresh"], _REFRESH_TYPES, _OPTIONAL, "the refresh"))
    raw["guests"] = [Move(**checked(move, _MOVE_TYPES, _OPTIONAL, f"guest {number}")) for number, move in enumerate(raw["guests"], 1)]
    check_ids(raw["uri"], [raw["id"], raw["boot_id"], *(move.uuid for move in raw["guests"])])
    for move in raw["guests"]:
        odd_ram = any(not isinstance(name, str) or not name or "/" in name or name.startswith(".") for name in move.ram)
        if move.phase not in ("planned", "moving", "settled") or move.memory not in ("copy", "in_place") or move.pid <= 1 or odd_ram:
            raise LedgerError(f"the entry of guest {move.name!r} makes no sense")
        if not move.image.startswith("/") or (move.memory == "in_place" and not move.kept.startswith("/")):
            raise LedgerError(f"the entry of guest {move.name!r} has no absolute path")
    if not 0 < raw["pause_limit"] <= MAX_PAUSE_LIMIT:
        raise LedgerError("the limit of the refresh makes no sense")
    return Refresh(**raw)
