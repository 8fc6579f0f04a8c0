# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the observer saw, as pauses and as touches. Pure: events in, judgement out. All times are CLOCK_MONOTONIC, seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

#: What somebody does to a guest; whoever does it to a guest that is not his has touched it.
TOUCHES = ("STOP", "RESUME", "RESET", "SHUTDOWN", "GONE")


@dataclasses.dataclass(frozen=True)
class Event:
    """One thing that was seen. `run` counts the QEMU processes of a guest."""

    at: float
    source: str
    guest: str
    run: int
    what: str


@dataclasses.dataclass(frozen=True)
class Pause:
    """One stand-still of a guest, as QEMU said it. `ended` is `None` while it lasts."""

    guest: str
    began: float
    ended: float | None

    def seconds(self, now: float) -> float:
        """How long it lasted, or has lasted by now."""
        return (now if self.ended is None else self.ended) - self.began


def pauses(events: Iterable[Event], guest: str) -> list[Pause]:
    """Every stand-still of a guest."""
    found: list[Pause] = []
    began: float | None = None
    for event in events:
        if event.guest != guest or event.source != "qemu":
            continue
        if event.what == "STOP" and began is None:
            began = event.at
        elif event.what in ("RESUME", "GONE") and began is not None:
            found.append(Pause(guest, began, event.at))
            began = None
    if began is not None:
        found.append(Pause(guest, began, None))
    return found


def state(events: Iterable[Event], guest: str) -> str | None:
    """What QEMU said last: `running`, `paused`, `gone`, or `None` when it was never seen."""
    last = None
    for event in events:
        if event.guest != guest or event.source != "qemu":
            continue
        if event.what.startswith("FOUND "):
            last = "running" if event.what == "FOUND running" else "paused"
        else:
            last = {"STOP": "paused", "RESUME": "running", "GONE": "gone"}.get(event.what, last)
    return last


def libvirt_state(events: Iterable[Event], guest: str) -> str | None:
    """What libvirt said last of a guest, as the observer writes it: state and reason as numbers, and the id."""
    last = None
    for event in events:
        if event.guest == guest and event.source == "libvirt":
            last = event.what
    return last


def longest(events: list[Event], since: Mapping[str, float], now: float) -> float:
    """Seconds of the longest pause of these guests.

    :param since: Guest to the time until which it was ours (infinity: to the end).
    """
    return max((pause.seconds(now) for guest, end in since.items() for pause in pauses(events, guest) if pause.began < end), default=0.0)


def past_the_deadline(events: list[Event], ours: Mapping[str, float], limit: float, now: float) -> list[str]:
    """The guests that stood still for longer than the limit, each with its seconds.

    :param ours: Guest to the time until which it was ours (infinity: to the end). A pause that its owner began later is his.
    """
    found = []
    for guest, end in ours.items():
        for pause in pauses(events, guest):
            if pause.began < end and pause.seconds(now) > limit:
                found.append(f"{guest} ({pause.seconds(now):.2f} s)")
    return found


def touched(events: list[Event], not_ours: Mapping[str, float]) -> list[str]:
    """What was done to guests that were not ours.

    :param not_ours: Guest to the time from which it was not.
    """
    return [
        f"{event.guest} ({event.what})"
        for event in events
        if event.source == "qemu" and event.what in TOUCHES and event.at > not_ours.get(event.guest, float("inf"))
    ]


def changed_for_libvirt(events: list[Event], guests: Iterable[str], since: float) -> list[str]:
    """The changes of state that libvirt showed for guests that were not to be touched (they have no monitor of ours).

    A reason may change without the state: libvirt forgets it when it is restarted.
    """
    found = []
    for guest in guests:
        before = None
        for event in events:
            if event.guest != guest or event.source != "libvirt":
                continue
            now = (event.what.split("/")[0], event.what.rpartition(" id ")[2])
            if before is not None and now != before and event.at > since:
                found.append(f"{guest} ({event.what})")
            before = now
    return found
