# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest, what is announced of it and of its neighbour, and its request: for the tests of the dialects of other clouds."""
from __future__ import annotations

import dataclasses

from ansible_collections.vm_preserving.maintenance.plugins.module_utils._events import record
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata.answers import Request
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._metadata.view import View

WEB1 = record.Guest("6f1c2b7a-0d3e-4a5f-8b9c-0123456789ab", "web1", "web_0", "web", "", "Linux", 1000, ())
WEB2 = dataclasses.replace(WEB1, uuid="7f1c2b7a-0d3e-4a5f-8b9c-0123456789ab", name="web2", resource="web_1")
#: 21 January 2027, 08:45:43 UTC; all is announced then.
ANNOUNCED = record.Moment("boot", 5000.0, 1_800_521_143.0)


def later(seconds):
    return record.Moment("boot", ANNOUNCED.boottime + seconds, ANNOUNCED.wall + seconds)


def event(kind="Freeze", guest=WEB1, began=None, ended=None, **changes):
    """An event announced 900 s ahead; `began` and `ended` in seconds after the announcement."""
    return record.Event(**{
        "id": "C7061BAC-AFDC-4513-B24B-AA5F13A16123", "type": kind, "status": "Scheduled" if began is None else "Started" if ended is None else "Completed",
        "uuid": guest.uuid, "name": guest.name, "resources": [guest.resource], "availability_set": guest.availability_set, "host": "kvm1",
        "not_before": int(ANNOUNCED.wall) + 900, "notice": 900, "duration": 5, "description": "The host is updated", "source": "Platform",
        "announced": ANNOUNCED, "started": None if began is None else later(began), "completed": None if ended is None else later(ended),
        "gone_incarnation": 3, **changes,
    })


def view(*events, seconds=0.0, guest=WEB1):
    """What is served to a guest so many seconds after the announcement."""
    return View(guest, record.Settings(location="westus"), record.Announcements(2, 2, list(events)), later(seconds), lambda _event_id: None)


def request(path, *headers, method="GET", **query):
    """A request; headers as `name: value`."""
    pairs = tuple((name.lower(), value) for name, _colon, value in (header.partition(": ") for header in headers))
    return Request(method, path, tuple(query.items()), pairs)
