# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azure's Scheduled Events: the document, and approvals. Pure, but for the approval itself.

Source: Microsoft's "Scheduled Events for Linux VMs" and "Azure Instance Metadata Service", and what the clients' own code needs.
"""
from __future__ import annotations

import json
import typing as t

from . import instance
from .answers import NOT_FOUND, Answer, Request, as_json, error, matches
from .http import moment
from .view import View

#: The versions of the document. A client asks for one, and gets exactly its keys: strict decoders die of one more.
VERSIONS = ("2017-03-01", "2017-08-01", "2017-11-01", "2019-01-01", "2019-04-01", "2019-08-01", "2020-07-01")
_FIRST = VERSIONS[0]
_DESCRIPTION_FROM, _SOURCE_FROM, _DURATION_FROM = "2019-04-01", "2019-08-01", "2020-07-01"
_ROOT = "/metadata"
_EVENTS = f"{_ROOT}/scheduledevents"
_VERSIONS = f"{_ROOT}/versions"

BAD_VERSION = "Bad request. api-version is invalid or was not specified in the request. For more information refer to aka.ms/azureimds"
NO_HEADER = "Bad request. Required metadata header not specified"
FORWARDED = "Bad request. The request was forwarded"


def handles(path: str) -> bool:
    """Whether a path is one of this dialect's."""
    return f"{path.lower()}/".startswith(f"{_ROOT}/")


def answer(request: Request, view: View) -> Answer:
    """What a guest gets."""
    path = request.path.lower().rstrip("/")
    known: tuple[str, ...]
    methods: tuple[str, ...]
    if path == _VERSIONS:
        known, methods = (), ("GET", "HEAD")
    elif path == _EVENTS:
        known, methods = VERSIONS, ("GET", "HEAD", "POST")
    elif f"{path}/".startswith(f"{instance.ROOT}/"):
        known, methods = (*VERSIONS, *instance.MORE_VERSIONS), ("GET", "HEAD")
    else:
        return NOT_FOUND
    if request.header("x-forwarded-for") is not None:
        return error(400, FORWARDED)
    if request.method not in methods:
        return Answer(405, error(405, "Method not allowed").body, headers=(("Allow", ", ".join(methods)),))
    versions = request.parameters("api-version")
    version = versions[0] if len(versions) == 1 else ""
    # Only the first version did not demand it; nobody's browser can be made to send it.
    if (request.header("metadata") or "").lower() != "true" and not (path == _EVENTS and version == _FIRST):
        return error(400, NO_HEADER)
    if known and (version not in known or len({name.lower() for name, _value in request.query}) != len(request.query)):
        return as_json({"error": BAD_VERSION, "newest-versions": sorted(known, reverse=True)[:3]}, 400)
    if path == _VERSIONS:
        return as_json({"apiVersions": list(VERSIONS)})
    if path != _EVENTS:
        return instance.answer(request, path, view)
    return _approve(request, view) if request.method == "POST" else _document(request, version, view)


def _document(request: Request, version: str, view: View) -> Answer:
    number = view.incarnation()
    headers = (("ETag", f'"{number}"'),)
    if matches(str(number), request.header("if-none-match")):
        return Answer(304, headers=headers)
    events = []
    for event in view.events():
        one: dict[str, t.Any] = {
            "EventId": event.id, "EventStatus": event.status, "EventType": event.type, "ResourceType": "VirtualMachine",
            "Resources": [f"_{name}" if version == _FIRST else name for name in event.resources],
            "NotBefore": moment(event.not_before) if event.status == "Scheduled" else "",
        }
        if version >= _DESCRIPTION_FROM:
            one["Description"] = event.description
        if version >= _SOURCE_FROM:
            one["EventSource"] = event.source
        if version >= _DURATION_FROM:
            one["DurationInSeconds"] = event.duration
        events.append(one)
    return as_json({"DocumentIncarnation": number, "Events": events}, headers=headers)


def _ids(body: bytes) -> list[str] | None:
    """The ids in the body of an approval; `None`: it is malformed."""
    try:
        document = json.loads(body.decode("utf-8-sig"))
        requests = document["StartRequests"]
        found = [one["EventId"] for one in requests]
    except (UnicodeDecodeError, ValueError, RecursionError, LookupError, TypeError):
        return None
    return found if isinstance(requests, list) and found and all(isinstance(one, str) for one in found) else None


def _approve(request: Request, view: View) -> Answer:
    ids = _ids(request.body)
    if ids is None:
        return error(400, 'Bad request. The body is not {"StartRequests": [{"EventId": "..."}]}')
    known = {event.id for event in view.events()}
    unknown = [one for one in ids if one.upper() not in known]
    if unknown:
        return error(400, "Bad request. There is no event of that id")
    for one in dict.fromkeys(one.upper() for one in ids):
        view.approve(one)
    return Answer(200)
