# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is announced to the guests of a host, and whether they can learn of it: what scheduled_event_info returns."""
from __future__ import annotations

import dataclasses
import time
import typing as t

from .._core.errors import MaintenanceError
from .._events import health
from .._events.health import Health
from .._events.places import EventPlaces
from .._events.record import Guest, Guests
from .._events.spool import Spool, moment
from .._events.shown import is_gone
from .._metadata.known import Known
from .scheduled_event import described

#: Seconds for the service to say how it is; between two questions while it is waited for; and to wait for it at the most.
TIMEOUT = 5.0
_AGAIN = 0.2
MAX_WAIT = 86400.0


def why_not_reached(guest: Guest, found: Guests, service: Health | None) -> str | None:
    """Why a guest cannot ask the service, `None`: it can. Whether it does is another matter.

    :param found: The guests, and the bridges that are served.
    :param service: What the service says of itself; `None`: it does not answer.
    """
    if service is None:
        return "the service does not answer (systemctl status vm-preserving-events)"
    if not guest.interfaces:
        return "it has no interface at a bridge of the host"
    bridges = sorted({one.bridge for one in guest.interfaces})
    if not any(one in found.bridges for one in bridges):
        return f"{', '.join(bridges)} is not served (journalctl -u vm-preserving-events-host)"
    if not any(one in service.listening for one in bridges):
        return "; ".join(f"{one}: {service.deaf.get(one, 'the service does not listen there yet')}" for one in bridges if one in found.bridges)
    return None


def _ask(path: str, wait: float) -> Health | None:
    """How the service is, asked again until it answers or the seconds to wait are over."""
    give_up = time.monotonic() + wait
    found = health.ask(path, TIMEOUT)
    while found is None and time.monotonic() < give_up:
        time.sleep(min(_AGAIN, max(0.0, give_up - time.monotonic())))
        found = health.ask(path, TIMEOUT)
    return found


def info(wait: float = 0.0, places: EventPlaces = EventPlaces(), gid: int | None = None) -> dict[str, t.Any]:
    """The body of the module.

    :param wait: Seconds to wait until the service answers.
    :param places: Where the spool is.
    :param gid: The group that may read it, by default the service's.
    :returns: `changed`, `installed`, `service`, `events`, `guests` and `warnings`.
    :raises MaintenanceError: code `spool`: what is announced cannot be read; or `limit`: `wait` makes no sense.
    """
    if not 0 <= wait <= MAX_WAIT:
        raise MaintenanceError(f"wait is {wait:g}, it must be from 0 to {MAX_WAIT:g} s", "limit")
    try:
        spool = Spool(places, gid)
    except MaintenanceError as error:
        if error.code != "not_installed":
            raise
        return {"changed": False, "installed": False, "service": None, "events": [], "guests": []}
    spool.read()  # one that is broken is said at once, and not when the wait is over
    service = _ask(places.health, wait)
    known = Known(places)
    known.look()
    now = moment()
    return {
        "changed": False, "installed": True, "service": None if service is None else dataclasses.asdict(service),
        "events": [described(event, spool.approval(event.id), now) for event in spool.read().events if not is_gone(event, now)],
        "guests": [_guest(one, known.guests, service) for one in known.guests.guests], "warnings": known.trouble,
    }


def _guest(guest: Guest, found: Guests, service: Health | None) -> dict[str, t.Any]:
    why_not = why_not_reached(guest, found, service)
    return {
        "name": guest.name, "uuid": guest.uuid, "resource": guest.resource, "availability_set": guest.availability_set, "reachable": why_not is None,
        "why_not": why_not, "asked_at": None if service is None else service.asked.get(guest.uuid),
    }
