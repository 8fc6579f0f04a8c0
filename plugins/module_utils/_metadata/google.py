# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Google's maintenance event of an instance, for handlers that wait for it. Pure.

Source: Google's "Monitor and plan for a host maintenance event" and "About VM metadata". Google announces 60 seconds before; here it is from the announcement
on, so that a handler has the whole notice. It has no words for an approval.
"""
from __future__ import annotations

import hashlib
import json
import uuid

from .answers import NOT_FOUND, Answer, Later, Request, matches
from .view import View

_ROOT = "/computemetadata/v1/instance"
_EVENT = f"{_ROOT}/maintenance-event"
#: Seconds that a client is kept waiting at the most; it asks again.
_LONGEST = 300.0
_FLAVOR = ("Metadata-Flavor", "Google")

NONE, MIGRATE, TERMINATE = "NONE", "MIGRATE_ON_HOST_MAINTENANCE", "TERMINATE_ON_HOST_MAINTENANCE"


def handles(path: str) -> bool:
    """Whether a path is one of this dialect's."""
    return f"{path.lower()}/".startswith("/computemetadata/")


def _text(words: str, status: int = 200, *headers: tuple[str, str]) -> Answer:
    return Answer(status, words.encode("utf-8", "replace"), "application/text", (_FLAVOR, *headers))


def value(view: View) -> str:
    """What the guest reads: the worst that is to come for it itself."""
    types = {event.type for event in view.own_events()}
    return NONE if not types else MIGRATE if types == {"Freeze"} else TERMINATE


def etag(words: str) -> str:
    """The etag of a value."""
    return hashlib.sha256(words.encode("ascii")).hexdigest()[:16]


def answer(request: Request, view: View) -> Answer | Later:
    """What a guest gets."""
    if request.header("x-forwarded-for") is not None or request.header("metadata-flavor") != "Google":
        return _text("Missing Metadata-Flavor:Google header.", 403)
    if request.method not in ("GET", "HEAD"):
        return _text("Method not allowed", 405, ("Allow", "GET, HEAD"))
    path = request.path.lower().rstrip("/")
    leaves = {
        f"{_ROOT}/name": view.guest.resource, f"{_ROOT}/id": str(uuid.UUID(view.guest.uuid).int >> 65),
        f"{_ROOT}/zone": f"projects/0/zones/{view.settings.location or 'none'}",
    }
    if path in leaves:
        return _text(leaves[path])
    return _event(request, view) if path == _EVENT else NOT_FOUND


def _seconds(request: Request) -> float:
    given = request.parameters("timeout_sec")
    return min(_LONGEST, float(given[0])) if given and given[0].isascii() and given[0].isdigit() and len(given[0]) < 10 else _LONGEST


def _event(request: Request, view: View) -> Answer | Later:
    as_json = request.parameters("alt") == ["json"]

    def found(words: str) -> Answer:
        shown = json.dumps(words) if as_json else words
        return Answer(200, shown.encode("ascii"), "application/json" if as_json else "application/text", (_FLAVOR, ("ETag", etag(words))))

    now = value(view)
    if request.parameters("wait_for_change") != ["true"]:
        return found(now)
    last = request.parameters("last_etag")
    if last and not matches(etag(now), last[0]):
        return found(now)

    def again(view_now: View, is_over: bool) -> Answer | None:
        words = value(view_now)
        return found(words) if is_over or words != now else None

    return Later(_seconds(request), again)
