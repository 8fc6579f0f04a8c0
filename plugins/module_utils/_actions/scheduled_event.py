# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Announcing an update to guests, waiting for them, and telling them that it begins and is over: what scheduled_event does."""
from __future__ import annotations

import time
import typing as t

from .._core.errors import MaintenanceError
from .._events import changes
from .._events.approvals import Approval
from .._events.changes import Wanted
from .._events.places import EventPlaces
from .._events.record import Announcements, Event, Moment, is_event_id
from .._events.shown import is_due, is_gone, seconds_left
from .._events.spool import Spool, moment
from .._metadata.known import Known

#: Seconds to wait, at the most; and between two looks at the approvals.
MAX_WAIT = 3600.0
_LOOK = 0.5
#: A notice of more than a day is a typing error, seconds.
MAX_NOTICE = 86400


def _check(params: t.Mapping[str, t.Any]) -> None:
    if not 0 <= params["notice"] <= MAX_NOTICE:
        raise MaintenanceError(f"notice is {params['notice']}, it must be from 0 to {MAX_NOTICE} s; no guest was told anything", "limit")
    if not 0 <= params["wait"] <= MAX_WAIT:
        raise MaintenanceError(f"wait is {params['wait']:g}, it must be from 0 to {MAX_WAIT:g} s; no guest was told anything", "limit")
    for one in [*(params["id"] or []), *(event["id"] for event in params["events"] if event["id"]), *(one["id"] for one in params["approved"])]:
        if not is_event_id(one):
            raise MaintenanceError(f"{one!r} is no id of an event (a GUID in upper case); no guest was told anything", "event")


def _wanted(params: t.Mapping[str, t.Any], known: Known) -> list[Wanted]:
    """The events of the option `events`, with what this host knows of its guests."""
    running = {one.uuid: one for one in known.guests.guests}
    found = []
    for event in params["events"]:
        guest, given = running.get(event["guest"]), known.settings.guests.get(event["name"])
        resource = event["resource"] or (guest.resource if guest else given.resource if given else None) or event["name"]
        availability_set = event["availability_set"] or (guest.availability_set if guest else given.availability_set if given else None)
        found.append(Wanted(
            event["type"], event["guest"], event["name"], (resource,), availability_set or None, event["duration"], event["description"], event["id"],
            event["not_before"],
        ))
    return found


def _changed(params: t.Mapping[str, t.Any], before: Announcements, known: Known, now: Moment) -> Announcements:
    if params["state"] == "scheduled":
        return changes.schedule(before, params["host"], _wanted(params, known), params["source"], params["notice"], now)
    ids = {event.id for event in before.events if event.host == params["host"]} if params["id"] is None else set(params["id"])
    return changes.start(before, ids, now) if params["state"] == "started" else changes.end(before, ids, now)


def described(event: Event, approval: Approval | None, now: Moment) -> dict[str, t.Any]:
    """An event in a result."""
    return {
        "id": event.id, "guest": event.uuid, "name": event.name, "resources": event.resources, "availability_set": event.availability_set, "type": event.type,
        "status": event.status, "host": event.host, "not_before": event.not_before, "notice": event.notice, "duration": event.duration,
        "description": event.description, "approved": approval is not None, "approved_by": approval.name if approval else None,
        "approved_by_guest": approval.uuid if approval else None, "approved_at": approval.at if approval else None,
        "given": None if event.started is None else round(event.started.since(event.announced), 1),
        "seconds_left": round(seconds_left(event, now), 1), "due": is_due(event, approval, now),
    }


def _result(spool: Spool, events: t.Sequence[Event]) -> dict[str, t.Any]:
    now = moment()
    found = [described(event, spool.approval(event.id), now) for event in events]
    return {"events": found, "all_approved": all(one["approved"] for one in found), "due": all(one["due"] for one in found)}


def _lines(found: Announcements, host: str, now: Moment) -> str:
    return "".join(
        f"{event.name}: {event.type} {event.status}, {event.duration} s\n" for event in found.events if event.host == host and not is_gone(event, now)
    )


def _note_approvals(spool: Spool, given: t.Sequence[t.Mapping[str, t.Any]], events: t.Sequence[Event], check_mode: bool) -> bool:
    """Write down what was approved on other hosts. Returns whether there was anything."""
    changed = False
    for one in given:
        if any(event.id == one["id"] for event in events) and spool.approval(one["id"]) is None:
            changed = True
            if not check_mode:
                spool.approve(one["id"], Approval(one["guest"], one["name"], one["at"]))
    return changed


def announce(params: t.Mapping[str, t.Any], check_mode: bool, places: EventPlaces = EventPlaces(), gid: int | None = None) -> dict[str, t.Any]:
    """The body of the module.

    :param params: The module's parameters.
    :param places: Where the spool is.
    :param gid: The group that may read it, by default the service's.
    :returns: `changed`, `events`, `all_approved`, `due` and `diff`.
    :raises MaintenanceError: code `not_installed` or `spool`; or `event`, `limit`: an option makes no sense.
    """
    _check(params)
    try:
        spool = Spool(places, gid)
    except MaintenanceError as error:
        if error.code != "not_installed" or params["state"] not in ("completed", "cancelled"):
            raise
        return {"changed": False, "events": [], "all_approved": True, "due": True, "diff": {"before": "", "after": ""}}
    known = Known(places)
    known.look()
    if check_mode:
        before = spool.read()
        after = _changed(params, before, known, moment())
    else:
        with spool.locked():
            before = spool.read()
            after = _changed(params, before, known, moment())
            if after is not before:
                spool.write(after)
    now = moment()
    events = [event for event in after.events if event.host == params["host"] and (params["id"] is None or event.id in params["id"])]
    noted = _note_approvals(spool, params["approved"], events, check_mode)
    give_up = time.monotonic() + (0.0 if check_mode else params["wait"])
    result = _result(spool, events)
    while not result["due"] and time.monotonic() < give_up:
        time.sleep(min(_LOOK, max(0.0, give_up - time.monotonic())))
        result = _result(spool, events)
    return {
        "changed": after is not before or noted, **result,
        "diff": {"before": _lines(before, params["host"], now), "after": _lines(after, params["host"], now)},
    }
