# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Google's dialect: the key `maintenance-event` of Compute Engine's metadata server, and what handlers that drain a node ask beside it. Pure.

Sources: Google's pages "Query the metadata server for maintenance event notices" and "View and query VM metadata"; the handlers k8s-node-termination-handler
(GoogleCloudPlatform) and python-docs-samples `compute/metadata`. Google shows an event 60 seconds before; here it is shown from the announcement on, so that a
handler has the whole notice. There are no words for an approval.

The root `/` is not answered: its header is how Google's libraries find out that they are in Google's cloud, and then they ask for credentials.
"""
from __future__ import annotations

import hashlib
import json
import math
import typing as t
import uuid

from .._events.record import EPOCH, Event, Guest
from .answers import Answer, Later, Request, matches
from .view import View

_ROOT = "/computeMetadata/v1/"
_FLAVOR = ("Metadata-Flavor", "Google")
NONE, MIGRATE, TERMINATE = "NONE", "MIGRATE_ON_HOST_MAINTENANCE", "TERMINATE_ON_HOST_MAINTENANCE"


def handles(path: str) -> bool:
    """Whether a path is one of this dialect's."""
    return f"{path}/".startswith("/computeMetadata/")


def answer(request: Request, view: View) -> Answer | Later:
    """What a guest gets, or waits for."""
    if request.header("x-forwarded-for") is not None or (request.header("metadata-flavor") or "").lower() != "google":
        return _refusal(403, "The header Metadata-Flavor: Google is needed, and no request that was forwarded is answered")
    key = _KEYS.get(request.path[len(_ROOT):]) if request.path.startswith(_ROOT) else None
    if key is None:
        return _refusal(404, "There is no such key here")
    if request.method not in ("GET", "HEAD"):
        return _refusal(405, "Keys can only be read", ("Allow", "GET, HEAD"))
    read_as = json.dumps if request.parameters("alt") == ["json"] else str
    if [one.lower() for one in request.parameters("wait_for_change")] != ["true"]:
        return _value(key(view), read_as)
    # There are scripts that take any answer for the event, so without a time-out there is none before.
    seconds = [*request.parameters("timeout_sec"), None][0]
    if seconds is not None and not (seconds.isascii() and seconds.isdigit() and len(seconds) < 10):
        return _refusal(400, "timeout_sec is a number of seconds")
    known = [*request.parameters("last_etag"), etag(key(view))][0]

    def again(now: View, is_over: bool) -> Answer | None:
        words = key(now)
        return _value(words, read_as) if is_over or not matches(etag(words), known) else None

    return again(view, False) or Later(math.inf if seconds is None else float(seconds), again)


def _refusal(status: int, why: str, *headers: tuple[str, str]) -> Answer:
    return Answer(status, f"{why}\n".encode(), "text/plain; charset=utf-8", (_FLAVOR, *headers))


def _value(words: str, read_as: t.Callable[[str], str]) -> Answer:
    kind = "text/plain" if read_as is str else "application/json"
    return Answer(200, read_as(words).encode("utf-8", "replace"), f"{kind}; charset=utf-8", (_FLAVOR, ("ETag", etag(words))))


def etag(words: str) -> str:
    """16 hexadecimal digits, as Google's; by the value alone, so that nobody is woken by what is about another guest of the set."""
    return hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()[:16]


def _maintenance_event(view: View) -> str:
    """What is about to happen to the guest itself, or happens: the worse one of several. What is about others of its set does not count."""
    shown = {_kind(event) for event in view.own_events() if not _is_behind(event, view.guest)}
    return TERMINATE if TERMINATE in shown else MIGRATE if shown else NONE


def _kind(event: Event) -> str:
    return MIGRATE if event.type == "Freeze" else TERMINATE


def _is_behind(event: Event, guest: Guest) -> bool:
    """Whether the guest was started anew since its loss began: a handler that still saw the event would drain the guest again, and reboot it."""
    return _kind(event) == TERMINATE and event.started is not None and event.started.wall < guest.since + EPOCH


def _number(view: View) -> str:
    """Google's ids are numbers of at most 63 bits."""
    return str(uuid.UUID(view.guest.uuid).int >> 65)


_KEYS: dict[str, t.Callable[[View], str]] = {
    "instance/id": _number,
    "instance/name": lambda view: view.guest.resource,
    "instance/zone": lambda view: f"projects/0/zones/{view.settings.location or 'none'}",
    "instance/maintenance-event": _maintenance_event,
    "instance/preempted": lambda view: "FALSE",
    # With any other word Google's handler for Kubernetes does nothing.
    "instance/scheduling/on-host-maintenance": lambda view: "TERMINATE",
    "instance/scheduling/preemptible": lambda view: "FALSE",
}
