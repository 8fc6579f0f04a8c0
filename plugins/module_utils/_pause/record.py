# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pause window as a document: what the ledger holds. Pure; knows no file and no libvirt."""
from __future__ import annotations

import dataclasses
import typing as t

from .._clock.result import TOLERANCE, checked_clock
from .._core.errors import LedgerError
from .._core.records import check_ids, checked, is_history

#: The version of the document. A reader refuses any other: a ledger is never guessed at.
VERSION = 2
#: Seconds. The promise of public clouds is 30 s; anything longer than this is no pause any more to the guests' peers.
MAX_PAUSE_LIMIT = 600.0
#: Seconds. Reaching "all paused" takes milliseconds; what takes longer than this is stuck.
MAX_PAUSE_BUDGET = 10.0
#: Seconds; about thirty years. No host's monotonic clock gets there.
MAX_MONOTONIC = 1e9

#: `pausing`: written before the suspend, and the suspend has not been seen to return. `paused`: it has returned.
#: `settled`: nothing is left to do; `outcome` says how it ended.
Phase = t.Literal["pausing", "paused", "settled"]
#: `resumed`: by us. `running`: it ran already. `gone`: it does not exist any more. `not_ours`: left as it was.
Outcome = t.Literal["resumed", "running", "gone", "not_ours"]


@dataclasses.dataclass
class Entry:
    """One guest of a pause window.

    :ivar name: libvirt's name of the guest.
    :ivar uuid: libvirt's UUID of the guest.
    :ivar id: libvirt's id of this run of the guest.
    :ivar pid: Process id of its QEMU.
    :ivar start_time: When that process started, in clock ticks since boot.
    :ivar monitor: Path of libvirt's monitor socket of the guest; empty when unknown.
    :ivar state_before: State before the pause.
    :ivar reason_before: Reason of that state.
    :ivar phase: How far we got with it.
    :ivar paused_at: `CLOCK_MONOTONIC` seconds just before the suspend was asked for.
    :ivar resumed_at: `CLOCK_MONOTONIC` seconds just after the guest was seen to run again.
    :ivar resumed_by: Who resumed it: `module`, `guard` or `owner`.
    :ivar outcome: How it ended, once settled.
    :ivar message: The reason in words.
    :ivar devices: Network devices of the host that have to be up when it runs, in the order in which they are set up. libvirt takes them down.
    :ivar forwarding: Entries of bridges that libvirt takes away: for each the port and the MAC address.
    :ivar only_libvirt: Why only libvirt may resume it; empty: QEMU's own monitor may be used.
    :ivar agent: Path of the socket of its guest agent; empty when none was connected.
    :ivar clock_target: Seconds that its clock should be ahead of the host's.
    :ivar problem: What could not be given back to it, in words; empty when it has everything.
    :ivar clock: What became of its clock, see `_clock.result`; `None` while it has not been looked at.
    """

    name: str
    uuid: str
    id: int
    pid: int
    start_time: int
    monitor: str
    state_before: str
    reason_before: str
    phase: str = "pausing"
    paused_at: float | None = None
    resumed_at: float | None = None
    resumed_by: str | None = None
    outcome: str | None = None
    message: str = ""
    devices: list[str] = dataclasses.field(default_factory=list)
    forwarding: list[list[str]] = dataclasses.field(default_factory=list)
    only_libvirt: str = ""
    agent: str = ""
    clock_target: float = 0.0
    problem: str = ""
    clock: dict[str, t.Any] | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do."""
        return self.phase == "settled"

    @property
    def paused_for(self) -> float | None:
        """Seconds from before the suspend until it ran again: the longest that the pause can have been."""
        if self.paused_at is None or self.resumed_at is None:
            return None
        return self.resumed_at - self.paused_at

    @property
    def had_agent(self) -> bool:
        """Whether its guest agent was connected before the pause."""
        return bool(self.agent)

    @property
    def stood_still(self) -> bool:
        """Whether it was paused by us and runs again, whoever resumed it: then its clock is our business.

        Without somebody who resumed it, a guest that ran when it was looked at was never seen to be paused.
        """
        return None not in (self.paused_at, self.resumed_at, self.resumed_by) and self.outcome in ("resumed", "running")

    def settle(self, outcome: Outcome, message: str, by: str | None = None, at: float | None = None) -> None:
        """Close this entry."""
        self.phase = "settled"
        self.outcome = outcome
        self.message = message
        self.resumed_by = by
        self.resumed_at = at


@dataclasses.dataclass
class Window:
    """One pause window of one host.

    :ivar id: A UUID; also the token in the guests' LIVE metadata.
    :ivar uri: The libvirt URI.
    :ivar boot_id: The boot of the host in which it was opened.
    :ivar opener: Who opened it, for the reader only: for example `ansible-playbook run by root from 10.0.0.1`.
    :ivar opener_pid: The process that opened it.
    :ivar opener_start_time: When that process started, in clock ticks since boot.
    :ivar opened_at: Wall clock, ISO 8601 in UTC, for the reader only.
    :ivar pause_limit: Seconds that a guest may be paused.
    :ivar deadline: `CLOCK_MONOTONIC` seconds at which every guest must run again.
    :ivar guests: The guests.
    :ivar correct_clocks: Whether clocks that are wrong after the resume are set.
    :ivar clock_tolerance: Seconds by which a clock may be off.
    :ivar closed_at: Wall clock of the end, ISO 8601 in UTC; `None` while the window is open.
    :ivar closed_by: Who closed it: `module`, `guard`.
    :ivar paused_within: Seconds from the first suspend to the last that had returned.
    :ivar resumed_within: Seconds from the first look at a guest to resume to the last guest that ran; `None` when libvirt resumed none.
    """

    id: str
    uri: str
    boot_id: str
    opener: str
    opener_pid: int
    opener_start_time: int
    opened_at: str
    pause_limit: float
    deadline: float
    guests: list[Entry]
    correct_clocks: bool = True
    clock_tolerance: float = TOLERANCE
    closed_at: str | None = None
    closed_by: str | None = None
    paused_within: float | None = None
    resumed_within: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether something may still be left to do."""
        return self.closed_at is None

    @property
    def clocks_due(self) -> list[Entry]:
        """The guests that ran again after a pause of ours, and whose clock has not been looked at since."""
        return [entry for entry in self.guests if entry.stood_still and entry.clock is None]

    def back_at(self, entry: Entry) -> float | None:
        """When a guest ran again, `CLOCK_MONOTONIC` seconds."""
        return entry.resumed_at

    def unsettled(self) -> list[Entry]:
        """The guests that may still be paused by us."""
        return [entry for entry in self.guests if not entry.settled]


def to_document(window: Window) -> dict[str, t.Any]:
    """The JSON document of a window."""
    return {"version": VERSION, "window": dataclasses.asdict(window)}


_OPTIONAL = {"paused_at", "resumed_at", "resumed_by", "outcome", "closed_at", "closed_by", "paused_within", "resumed_within", "clock"}
_ENTRY_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,), "uuid": (str,), "id": (int,), "pid": (int,), "start_time": (int,), "monitor": (str,),
    "state_before": (str,), "reason_before": (str,), "phase": (str,), "paused_at": (int, float),
    "resumed_at": (int, float), "resumed_by": (str,), "outcome": (str,), "message": (str,), "devices": (list,), "forwarding": (list,),
    "only_libvirt": (str,), "agent": (str,), "clock_target": (int, float), "problem": (str,), "clock": (dict,),
}
_WINDOW_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,), "uri": (str,), "boot_id": (str,), "opener": (str,), "opener_pid": (int,), "opener_start_time": (int,),
    "opened_at": (str,), "pause_limit": (int, float), "deadline": (int, float), "guests": (list,), "correct_clocks": (bool,),
    "clock_tolerance": (int, float), "closed_at": (str,), "closed_by": (str,), "paused_within": (int, float), "resumed_within": (int, float),
}


def from_document(document: t.Any) -> Window | None:
    """A window from its JSON document, every key and type checked: the file may be damaged or hostile.

    :returns: `None` when an earlier release has written, and closed, it.

    :raises LedgerError: The document is not one that `to_document` wrote.
    """
    if not isinstance(document, dict) or set(document) != {"version", "window"}:
        raise LedgerError("the document is not a ledger")
    if is_history(document, "window", VERSION):
        return None
    raw = dict(checked(document["window"], _WINDOW_TYPES, _OPTIONAL, "the window"))
    raw["guests"] = [
        Entry(**checked(entry, _ENTRY_TYPES, _OPTIONAL, f"guest {number}")) for number, entry in enumerate(raw["guests"], 1)
    ]
    check_ids(raw["uri"], [raw["id"], raw["boot_id"], *(entry.uuid for entry in raw["guests"])])
    for entry in raw["guests"]:
        if entry.phase not in ("pausing", "paused", "settled") or entry.pid <= 1:
            raise LedgerError(f"the entry of guest {entry.name!r} makes no sense")
        if not all(isinstance(name, str) for name in entry.devices) or not all(
            isinstance(one, list) and len(one) == 2 and all(isinstance(word, str) for word in one) for one in entry.forwarding
        ):
            raise LedgerError(f"the devices of guest {entry.name!r} make no sense")
        checked_clock(entry.clock, f"guest {entry.name!r}")
    if not 0 < raw["pause_limit"] <= MAX_PAUSE_LIMIT or not 0 <= raw["deadline"] < MAX_MONOTONIC:
        raise LedgerError("the limit or the deadline of the window makes no sense")
    return Window(**raw)
