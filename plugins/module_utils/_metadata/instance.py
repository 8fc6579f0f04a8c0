# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azure's instance metadata, as far as the clients of scheduled events ask for it. Pure.

Every primitive is a string, as there: `compute.name` is byte for byte one of an event's `Resources`.
"""
from __future__ import annotations

import re
import typing as t

from .answers import NOT_FOUND, Answer, Request, as_json, error, text
from .view import View

ROOT = "/metadata/instance"
#: Beside the versions of events: dates that clients ask for.
MORE_VERSIONS = ("2020-09-01", "2021-02-01", "2021-05-01", "2021-11-15", "2021-12-13")


def document(view: View) -> dict[str, t.Any]:
    """What is told of a guest."""
    tags = [one.partition(":") for one in view.guest.tags.split(";") if one]
    return {"compute": {
        "location": view.settings.location,
        "name": view.guest.resource,
        "osType": view.guest.os_type,
        "platformFaultDomain": view.settings.fault_domain,
        "platformUpdateDomain": view.settings.update_domain,
        "tags": view.guest.tags,
        "tagsList": [{"name": name, "value": value} for name, _colon, value in tags],
        "vmId": view.guest.uuid,
    }}


def answer(request: Request, path: str, view: View) -> Answer:
    """What a guest gets.

    :param path: The request's, in lower case, without a slash at its end.
    """
    found: t.Any = document(view)
    for word in path[len(ROOT):].split("/")[1:]:
        if isinstance(found, list):
            found = found[int(word)] if re.fullmatch("[0-9]{1,4}", word) and int(word) < len(found) else None
        else:
            found = next((value for name, value in found.items() if name.lower() == word), None) if isinstance(found, dict) else None
        if found is None:
            return NOT_FOUND
    formats = request.parameters("format")
    wanted = formats[0].lower() if formats else ""
    if isinstance(found, str):
        # A leaf comes as text also where nobody has asked for it.
        return as_json(found) if wanted == "json" else text(found)
    if wanted == "text":
        return error(400, "Bad request. Only a leaf can be had as text")
    return as_json(found)
