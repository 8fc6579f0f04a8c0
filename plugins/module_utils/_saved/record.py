# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Saved guests as a document: which guests of a host are saved to be restored, why, and where their memory is meanwhile. Pure."""
from __future__ import annotations

import dataclasses
import time
import typing as t

from .._clock.result import TOLERANCE, checked_clock
from .._core.errors import LedgerError
from .._core.kept_qemu import build_of
from .._core.records import check_ids, checked, is_history
from .._pause.record import MAX_PAUSE_LIMIT

#: The version of the document. A reader refuses any other.
VERSION = 4
#: Seconds. The longest limit of a reboot: longer than that no host is waited for.
MAX_REBOOT_PAUSE_LIMIT = 7200.0

#: `restored`: it is back, on the installed QEMU. `returned`: it is back, on the QEMU that it had, for the installed one did not take it up.
#: `untouched`: it runs on, and was not saved. `gone`: it does not exist any more.
#: `not_ours`: somebody else started it anew meanwhile; where we kept its memory is reported.
Outcome = t.Literal["restored", "returned", "untouched", "gone", "not_ours"]
#: How it ended for those that run again, and are what they were.
BACK = ("restored", "returned", "untouched")
#: Why guests are saved.
REFRESH, REBOOT = "refresh", "reboot"


@dataclasses.dataclass
class SavedGuest:
    """One guest that is to be saved and restored.

    :ivar name: libvirt's name of the guest.
    :ivar uuid: libvirt's UUID of the guest.
    :ivar id: libvirt's id of its run before.
    :ivar pid: Process id of its QEMU before.
    :ivar start_time: When that process started, in clock ticks since boot.
    :ivar paused: It was paused before, by its owner, and is to be so again.
    :ivar memory: `copy`, its memory goes through the image; `in_place`, it stays where it is, in files; `managed`, it goes through libvirt's own
        image of it (managed save).
    :ivar image: Where libvirt saves it to. While libvirt is asked to restore it, the file has the suffix `.restoring`. Empty for `managed`.
    :ivar ram: For `in_place`: names of the files in the folder of the kept links, one for each memory backend; the name is the backend's id.
    :ivar kept: For `in_place`: the folder of the kept links.
    :ivar autostart: libvirt started it at boot; that is switched off meanwhile, and on again when it is restored.
    :ivar phase: `planned`: not touched yet. `moving`: it may be saved. `saved`: it is, and waits for the reboot. `settled`: nothing is left to do.
    :ivar began_at: Seconds just before the save was asked for: `CLOCK_MONOTONIC` in a refresh, `CLOCK_REALTIME` in a reboot, which ends the other one.
    :ivar ended_at: Seconds of the same clock just after it was seen to be back.
    :ivar outcome: How it ended, once settled.
    :ivar message: The reason in words.
    :ivar had_agent: Its guest agent was connected before.
    :ivar clock_target: Seconds that its clock should be ahead of the host's.
    :ivar clock: What became of its clock, see `_clock.result`; `None` while it has not been looked at.
    :ivar way_back: What starts the kept QEMU that it had, should the installed one not take it up; empty: there is none.
    :ivar refused: Why the installed QEMU did not take it up; empty: it has not refused yet.
    :ivar quiesced: Its file systems are frozen by its agent for the save, or may be: whoever gives it back thaws them.
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
    autostart: bool = False
    phase: str = "planned"
    began_at: float | None = None
    ended_at: float | None = None
    outcome: str | None = None
    message: str = ""
    had_agent: bool = False
    clock_target: float = 0.0
    clock: dict[str, t.Any] | None = None
    way_back: str = ""
    refused: str = ""
    quiesced: bool = False

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
class SavedTogether:
    """Guests of a host that are saved together.

    :ivar id: A UUID; also the token in the guests' LIVE metadata, which goes through the image with them.
    :ivar uri: The libvirt URI.
    :ivar technique: `refresh`: each is restored at once, on the installed QEMU. `reboot`: all are restored when the host was booted anew.
    :ivar boot_id: The boot of the host in which it began: images in RAM do not outlive it.
    :ivar opener: Who started it, for the reader only.
    :ivar opener_pid: The process that began it.
    :ivar opener_start_time: When that process started, in clock ticks since boot.
    :ivar opened_at: Wall clock, ISO 8601 in UTC, for the reader only.
    :ivar pause_limit: Seconds that a guest may be away.
    :ivar guests: The guests, in the order in which they are restored.
    :ivar correct_clocks: Whether clocks that are wrong afterwards are set.
    :ivar clock_tolerance: Seconds by which a clock may be off.
    :ivar rebooting_at: For `reboot`: seconds (`CLOCK_REALTIME`) when the host was ordered to reboot.
    :ivar reboot_took: Seconds from the last such moment on this host until the first guest was being restored; `None` when not known.
    :ivar closed_at: Wall clock of the end; `None` while something may be left to do.
    :ivar closed_by: Who ended it: `module`, `guard`.
    """

    id: str
    uri: str
    technique: str
    boot_id: str
    opener: str
    opener_pid: int
    opener_start_time: int
    opened_at: str
    pause_limit: float
    guests: list[SavedGuest]
    correct_clocks: bool = True
    clock_tolerance: float = TOLERANCE
    rebooting_at: float | None = None
    reboot_took: float | None = None
    closed_at: str | None = None
    closed_by: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether something may still be left to do."""
        return self.closed_at is None

    @property
    def awaits_reboot(self) -> bool:
        """Whether every guest is saved and the host is still to be rebooted; without any guest, too."""
        return self.technique == REBOOT and self.is_open and all(one.phase == "saved" for one in self.guests)

    @property
    def clocks_due(self) -> list[SavedGuest]:
        """The guests that run again after they were saved, or nearly so, and whose clock has not been looked at since."""
        return [
            one for one in self.guests
            if one.outcome in BACK and one.began_at is not None and not one.paused and one.clock is None
        ]

    def now(self) -> float:
        """Seconds of the clock that this record uses: the monotonic one ends with the boot of the host."""
        return time.time() if self.technique == REBOOT else time.monotonic()

    def back_at(self, one: SavedGuest) -> float | None:
        """When a guest was back, `CLOCK_MONOTONIC` seconds; `None` when that is not known."""
        return None if one.ended_at is None else time.monotonic() - (self.now() - one.ended_at)

    def unsettled(self) -> list[SavedGuest]:
        """The guests that may be saved and not restored."""
        return [one for one in self.guests if not one.settled]


def to_document(saving: SavedTogether) -> dict[str, t.Any]:
    """The JSON document."""
    return {"version": VERSION, "saved": dataclasses.asdict(saving)}


_OPTIONAL = {"began_at", "ended_at", "outcome", "rebooting_at", "reboot_took", "closed_at", "closed_by", "clock"}
_GUEST_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,), "uuid": (str,), "id": (int,), "pid": (int,), "start_time": (int,), "paused": (bool,), "memory": (str,), "image": (str,), "ram": (list,),
    "kept": (str,), "autostart": (bool,), "phase": (str,), "began_at": (int, float), "ended_at": (int, float), "outcome": (str,), "message": (str,),
    "had_agent": (bool,), "clock_target": (int, float), "clock": (dict,), "way_back": (str,), "refused": (str,),
    "quiesced": (bool,),
}
_SAVING_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,), "uri": (str,), "technique": (str,), "boot_id": (str,), "opener": (str,), "opener_pid": (int,), "opener_start_time": (int,),
    "opened_at": (str,), "pause_limit": (int, float), "guests": (list,), "correct_clocks": (bool,), "clock_tolerance": (int, float),
    "rebooting_at": (int, float), "reboot_took": (int, float), "closed_at": (str,), "closed_by": (str,),
}
_PHASES = {REFRESH: ("planned", "moving", "settled"), REBOOT: ("planned", "moving", "saved", "settled")}
_MEMORY = {REFRESH: ("copy", "in_place"), REBOOT: ("copy", "managed")}
_LONGEST = {REFRESH: MAX_PAUSE_LIMIT, REBOOT: MAX_REBOOT_PAUSE_LIMIT}


def from_document(document: t.Any) -> SavedTogether | None:
    """Saved guests from their JSON document, every key and type checked.

    :returns: `None` when an earlier release has written, and closed, it.

    :raises LedgerError: The document is not one that `to_document` wrote.
    """
    if not isinstance(document, dict) or set(document) != {"version", "saved"}:
        raise LedgerError("the document is not a record of saved guests")
    if is_history(document, "saved", VERSION):
        return None
    raw = dict(checked(document["saved"], _SAVING_TYPES, _OPTIONAL, "the record"))
    raw["guests"] = [SavedGuest(**checked(one, _GUEST_TYPES, _OPTIONAL, f"guest {number}")) for number, one in enumerate(raw["guests"], 1)]
    check_ids(raw["uri"], [raw["id"], raw["boot_id"], *(one.uuid for one in raw["guests"])])
    technique = raw["technique"]
    if technique not in _PHASES:
        raise LedgerError(f"its technique {technique!r} is none")
    for one in raw["guests"]:
        odd_ram = any(not isinstance(name, str) or not name or "/" in name or name.startswith(".") for name in one.ram)
        if one.phase not in _PHASES[technique] or one.memory not in _MEMORY[technique] or one.pid <= 1 or odd_ram:
            raise LedgerError(f"the entry of guest {one.name!r} makes no sense")
        if one.image.startswith("/") == (one.memory == "managed") or (one.memory == "in_place" and not one.kept.startswith("/")):
            raise LedgerError(f"the entry of guest {one.name!r} has no absolute path")
        if one.way_back and build_of(one.way_back) is None:
            raise LedgerError(f"the entry of guest {one.name!r} has a way back that is no kept QEMU")
        checked_clock(one.clock, f"guest {one.name!r}")
    if not 0 < raw["pause_limit"] <= _LONGEST[technique]:
        raise LedgerError("the limit makes no sense")
    return SavedTogether(**raw)
