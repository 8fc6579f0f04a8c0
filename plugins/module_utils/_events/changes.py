# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How events are announced, begun and ended. Pure: each change gives a new document, or the same one when there is nothing to change."""
from __future__ import annotations

import dataclasses
import math
import typing as t
import uuid

from .record import EPOCH, Announcements, Event, Moment
from .shown import is_gone, stays

#: Nothing was ever announced.
NONE = Announcements(0, 0, [])


class Wanted(t.NamedTuple):
    """An event that is to be announced.

    :ivar type: `Freeze`, `Reboot` or another of Azure's types.
    :ivar uuid: The guest's UUID.
    :ivar name: libvirt's name of it.
    :ivar resources: The names that guests know it by.
    :ivar availability_set: Its availability set, or `None`.
    :ivar duration: Seconds that the guest is expected to be away; -1 when not known.
    :ivar description: A sentence for its users.
    :ivar id: The id that the event has on another host already, or `None`.
    :ivar not_before: What it was announced with there, seconds since the epoch, or `None`.
    """

    type: str
    uuid: str
    name: str
    resources: tuple[str, ...]
    availability_set: str | None
    duration: int
    description: str
    id: str | None = None
    not_before: int | None = None


def _changed(before: Announcements, events: t.Iterable[Event], now: Moment) -> Announcements:
    """The document with other events: a new incarnation for now, and one for each moment at which an event goes by itself."""
    kept = [event for event in events if not is_gone(event, now)]
    if kept == [event for event in before.events if not is_gone(event, now)]:
        return before
    # Seconds since a day of 2024, so that it does not go back either when the spool is lost, or for a guest that comes from another host.
    incarnation = max(before.counter + 1, int(now.wall) - EPOCH, 1)
    going = sorted((event for event in kept if math.isfinite(stays(event, now))), key=lambda event: stays(event, now))
    numbers = {event.id: incarnation + number for number, event in enumerate(going, 1)}
    return Announcements(
        incarnation, incarnation + len(going), [dataclasses.replace(event, gone_incarnation=numbers.get(event.id, 0)) for event in kept],
    )


def _ended(event: Event, now: Moment) -> Event | None:
    """An event that is over: one that had begun still shows for a while, any other goes at once."""
    if event.status == "Scheduled":
        return None
    return event if event.completed is not None else dataclasses.replace(event, status="Completed", completed=now)


def _is_kept(event: Event, wanted: Wanted) -> bool:
    """Whether an event that is announced is the one that is wanted."""
    return event.status == "Scheduled" and event.type == wanted.type and wanted.id in (None, event.id)


def schedule(before: Announcements, host: str, wanted: t.Sequence[Wanted], source: str, notice: int, now: Moment) -> Announcements:
    """Announce the events of a host's update. One of the same guest and type that waits already is kept, with its id and its time.

    Any other of that host was left by a run that has died, or is not wanted any more: it is over.

    :param host: The inventory name of the host that is updated.
    :param source: `Platform` or `User`.
    :param notice: Seconds that are promised.
    """
    missing = {one.uuid: one for one in wanted}
    events: list[Event] = []
    for event in (one for one in before.events if not is_gone(one, now)):
        one = missing.get(event.uuid) if event.host == host else None
        if one is not None and _is_kept(event, one):
            del missing[event.uuid]
            events.append(dataclasses.replace(
                event, name=one.name, resources=list(one.resources), availability_set=one.availability_set, duration=one.duration, description=one.description,
            ))
            continue
        left = event if event.host != host else _ended(event, now)
        events += [] if left is None else [left]
    for one in missing.values():
        not_before = math.ceil(now.wall + notice) if one.not_before is None else one.not_before
        events.append(Event(
            id=one.id or str(uuid.uuid4()).upper(), type=one.type, status="Scheduled", uuid=one.uuid, name=one.name, resources=list(one.resources),
            availability_set=one.availability_set, host=host, not_before=not_before,
            notice=notice if one.not_before is None else max(0, math.ceil(one.not_before - now.wall)), duration=one.duration, description=one.description,
            source=source, announced=now, started=None, completed=None, gone_incarnation=0,
        ))
    return _changed(before, events, now)


def start(before: Announcements, ids: t.Container[str], now: Moment) -> Announcements:
    """Say that events begin."""
    return _changed(before, [
        dataclasses.replace(event, status="Started", started=now) if event.id in ids and event.status == "Scheduled" and not is_gone(event, now) else event
        for event in before.events
    ], now)


def end(before: Announcements, ids: t.Container[str], now: Moment) -> Announcements:
    """Say that events are over, or will not come: one that has not begun goes at once, one that has begun shows for a while."""
    ended = [_ended(event, now) if event.id in ids else event for event in before.events]
    return _changed(before, [event for event in ended if event is not None], now)
