# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2's scheduled maintenance events of an instance, with its session token (IMDSv2). Pure, but for the key of the tokens.

Source: AWS's "Scheduled events for your Amazon EC2 instances" and "Use the Instance Metadata Service". It has no words for an approval.
"""
from __future__ import annotations

import base64
import email.utils
import hashlib
import hmac
import os
import struct

from .._events.record import EXPIRES, Event
from .answers import NOT_FOUND, Answer, Request, as_json, text
from .view import View

#: Nobody outside of this process can make a token, and after its end all are void: clients then ask for another.
_KEY = os.urandom(32)
_LONGEST = 21600
_DATA = "/latest/meta-data"
_TTL = "x-aws-ec2-metadata-token-ttl-seconds"
#: What AWS calls a pause of the host, and one that costs the memory.
_CODES = {
    "Freeze": "system-maintenance", "Reboot": "system-reboot", "Redeploy": "instance-stop", "Preempt": "instance-stop", "Terminate": "instance-retirement",
}


def handles(path: str) -> bool:
    """Whether a path is one of this dialect's."""
    return path.startswith(("/latest/api/", "/latest/meta-data"))


def _sign(guest: str, until: int) -> str:
    until_bytes = struct.pack(">Q", until)
    proof = hmac.new(_KEY, guest.encode("utf-8") + until_bytes, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(until_bytes + proof).decode("ascii")


def _holds(token: str | None, view: View) -> bool:
    """Whether a token is one that this guest was given, and is still good."""
    try:
        (until,) = struct.unpack_from(">Q", base64.urlsafe_b64decode((token or "").encode("ascii")))
    except (ValueError, struct.error):  # UnicodeEncodeError and binascii.Error among them
        return False
    return view.now.boottime < until and hmac.compare_digest(_sign(view.guest.uuid, until), token or "")


def _token(request: Request, view: View) -> Answer:
    if request.method != "PUT":
        return Answer(405, headers=(("Allow", "PUT"),))
    given = request.header(_TTL) or ""
    seconds = int(given) if given.isascii() and given.isdigit() and len(given) < 6 else 0
    if request.header("x-forwarded-for") is not None:
        return Answer(403)
    if not 1 <= seconds <= _LONGEST:
        return Answer(400)
    found = text(_sign(view.guest.uuid, int(view.now.boottime) + seconds))
    return Answer(200, found.body, found.content_type, (("X-aws-ec2-metadata-token-ttl-seconds", str(seconds)),))


def moment(seconds: float) -> str:
    """A moment as these events have it: `21 Jan 2019 09:00:43 GMT`."""
    return email.utils.formatdate(seconds, usegmt=True).partition(", ")[2]


def _described(event: Event) -> dict[str, str]:
    return {
        "NotBefore": moment(event.not_before), "Code": _CODES[event.type],
        "Description": f"{'[In Progress] ' if event.status == 'Started' else ''}{event.description}",
        "EventId": f"instance-event-{event.id.replace('-', '').lower()[:17]}", "NotAfter": moment(event.not_before + EXPIRES), "State": "active",
    }


def answer(request: Request, view: View) -> Answer:
    """What a guest gets."""
    path = request.path.rstrip("/")
    if path == "/latest/api/token":
        return _token(request, view)
    if not _holds(request.header("x-aws-ec2-metadata-token"), view):
        return Answer(401)
    if request.method not in ("GET", "HEAD"):
        return Answer(405, headers=(("Allow", "GET, HEAD"),))
    if path == f"{_DATA}/events/maintenance/scheduled":
        return as_json([_described(event) for event in view.own_events()])
    if path == f"{_DATA}/events/maintenance/history":
        return as_json([])
    if path == f"{_DATA}/instance-id":
        return text(f"i-{view.guest.uuid.replace('-', '')[:17]}")
    return NOT_FOUND
