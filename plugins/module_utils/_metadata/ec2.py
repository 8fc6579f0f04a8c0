# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2's dialect: scheduled events in the instance metadata, behind a session token (IMDSv2). Pure, but for the key of the tokens.

Sources: Amazon's pages "View scheduled events that affect your Amazon EC2 instances" and "Use IMDSv2"; the client is aws-node-termination-handler in its IMDS
mode (`pkg/ec2metadata`, `pkg/monitor/scheduledevent`). It has no words for an approval.

There is no `/latest/dynamic/instance-identity/document` and no credential: nothing is to take the host for Amazon's cloud.
"""
from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import struct
import time
import typing as t

from .._events.record import EXPIRES, Event
from .answers import Answer, Request, as_json, error, text
from .view import View

_TOKEN = "/latest/api/token"  # noqa: S105
_DATA = "/latest/meta-data"
_TTL = "X-aws-ec2-metadata-token-ttl-seconds"
#: The longest life of a token, seconds.
_LONGEST = 21600
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: What EC2 calls our types.
_CODES = {
    "Freeze": "system-maintenance", "Reboot": "system-reboot", "Redeploy": "instance-stop", "Preempt": "instance-retirement",
    "Terminate": "instance-retirement",
}
#: Nobody outside of this process can make a token, and after its end all are void: clients that are told 401 ask for another.
_KEY = secrets.token_bytes(32)
_UNTIL = struct.Struct(">Q")


def handles(path: str) -> bool:
    """Whether a path is one of this dialect's."""
    return path.startswith((_TOKEN, _DATA))


def answer(request: Request, view: View) -> Answer:
    """What a guest gets."""
    if request.header("x-forwarded-for") is not None:
        return error(403, "The request was forwarded")
    if request.path == _TOKEN:
        return _new_token(request, view)
    # A client that was told 401 may send its new token beside the old one.
    left = max((_seconds_left(value, view) for name, value in request.headers if name == "x-aws-ec2-metadata-token"), default=0)
    if left == 0:
        return error(401, f"A token of PUT {_TOKEN} is needed")
    leaf = _LEAVES.get(request.path)
    if leaf is None:
        return error(404, "Not found")
    return _living(leaf(view), left) if request.method in ("GET", "HEAD") else _method_not_allowed("GET, HEAD")


def _method_not_allowed(allowed: str) -> Answer:
    return Answer(405, error(405, "Method not allowed").body, headers=(("Allow", allowed),))


def _living(found: Answer, seconds: int) -> Answer:
    """An answer that says for how long the token is still good, as clients want to know."""
    return Answer(found.status, found.body, found.content_type, ((_TTL, str(seconds)),))


def _new_token(request: Request, view: View) -> Answer:
    if request.method != "PUT":
        return _method_not_allowed("PUT")
    wanted = request.header(_TTL.lower()) or ""
    seconds = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 6 else 0
    if not 1 <= seconds <= _LONGEST:
        return error(400, f"{_TTL} is a number from 1 to {_LONGEST}")
    until = _UNTIL.pack(int(view.now.boottime) + seconds)
    return _living(text(base64.b64encode(until + _seal(until, view)).decode("ascii")), seconds)


def _seal(until: bytes, view: View) -> bytes:
    """What only this process can make, and for this guest alone."""
    return hmac.digest(_KEY, until + view.guest.uuid.encode("utf-8"), "sha256")


def _seconds_left(token: str, view: View) -> int:
    """For how long a token is still good for a guest; 0: it is not."""
    try:
        raw = base64.b64decode(token.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return 0
    until, seal = raw[:_UNTIL.size], raw[_UNTIL.size:]
    if len(until) != _UNTIL.size or not hmac.compare_digest(seal, _seal(until, view)):
        return 0
    return max(0, _UNTIL.unpack(until)[0] - int(view.now.boottime))


def moment(seconds: float) -> str:
    """A moment as these events have it, whatever the locale is: `21 Jan 2019 09:00:43 GMT`."""
    at = time.gmtime(seconds)
    return f"{at.tm_mday} {_MONTHS[at.tm_mon - 1]} {at.tm_year} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"


def _item(event: Event) -> dict[str, str]:
    over = event.completed is not None
    return {
        "NotBefore": moment(event.not_before),
        "Code": _CODES[event.type],
        "Description": f"{'[Completed] ' if over else ''}{event.description}",
        "EventId": f"instance-event-{event.id.replace('-', '').lower()[:17]}",
        # What has not begun an hour after NotBefore never will.
        "NotAfter": moment(event.not_before + EXPIRES + max(0, event.duration)),
        "State": "completed" if over else "active",
    }


def _scheduled(view: View) -> Answer:
    """What is announced of the guest itself, and has begun, and for some seconds what is over: then the handler makes its node schedulable again."""
    return as_json([_item(event) for event in view.own_events()])


def _history(view: View) -> Answer:
    """What is over, as far as the host still knows it."""
    return as_json([_item(event) for event in view.announcements.events if event.uuid == view.guest.uuid and event.completed is not None])


_LEAVES: dict[str, t.Callable[[View], Answer]] = {
    f"{_DATA}/instance-id": lambda view: text(f"i-{view.guest.uuid.replace('-', '').lower()[:17]}"),
    f"{_DATA}/events/maintenance/scheduled": _scheduled,
    f"{_DATA}/events/maintenance/history": _history,
}
