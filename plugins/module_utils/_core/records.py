# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents that we keep on a host have in common: every key and type is checked when one is read, for a file may be damaged or hostile. Pure."""
from __future__ import annotations

import math
import re
import time
import typing as t

from .errors import LedgerError
from .places import SESSION_URI, SYSTEM_URI

#: No number of a document is larger: process ids, clock ticks since boot, seconds.
MAX_NUMBER = 1 << 62
#: Ids and UUIDs become names of units and arguments.
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


def is_id(text: str) -> bool:
    """Whether a text can be an id."""
    return _ID.fullmatch(text) is not None


def _too_large(value: t.Any) -> bool:
    return isinstance(value, (int, float)) and not (math.isfinite(value) if isinstance(value, float) else abs(value) < MAX_NUMBER)


def is_history(document: t.Any, key: str, version: int) -> bool:
    """Whether a document is one that an earlier release wrote and closed: then nothing is left to do, and whoever asks may take it for none.

    :param document: What the JSON reader gave, an object of `version` and `key`.
    :param key: Where the record is in it.
    :param version: The version that this release writes.
    :raises LedgerError: It is of another version, and not closed, or of a later release.
    """
    found = document["version"]
    if found == version and not isinstance(found, bool):
        return False
    if isinstance(found, int) and not isinstance(found, bool) and 0 < found < version:
        if isinstance(document[key], dict) and isinstance(document[key].get("closed_at"), str):
            return True
        raise LedgerError(f"its version is {found!r}, it was written by an earlier release and is not closed: run recover.yml of that release first")
    raise LedgerError(f"its version is {found!r}, this release reads only {version}")


def check_ids(uri: str, ids: t.Iterable[str]) -> None:
    """See that a document is of a URI that we serve, and that its ids can be ids.

    :raises LedgerError: They are not.
    """
    if uri not in (SYSTEM_URI, SESSION_URI):
        raise LedgerError("it is of another URI")
    if not all(map(is_id, ids)):
        raise LedgerError("it has an id that is none")


def checked(raw: t.Any, types: t.Mapping[str, tuple[type, ...]], optional: t.Container[str], what: str) -> dict[str, t.Any]:
    """An object of a document whose every key and type is as it has to be.

    :param raw: What the JSON reader gave.
    :param types: The keys, all of which have to be there, and the types of their values.
    :param optional: Keys whose value may be null.
    :param what: The object in words.
    :raises LedgerError: It is not as it has to be.
    """
    if not isinstance(raw, dict):
        raise LedgerError(f"{what} is not an object")
    if set(raw) != set(types):
        odd = sorted(set(raw) ^ set(types))
        raise LedgerError(f"{what} has missing or unknown keys: {', '.join(map(repr, odd[:5]))}")
    for key, allowed in types.items():
        value = raw[key]
        if value is None and key in optional:
            continue
        # bool is an int to Python, but never a number in this document.
        # NaN and infinities pass Python's JSON reader, and the guard would wait for them for ever.
        if isinstance(value, bool) is not (allowed == (bool,)) or not isinstance(value, allowed) or _too_large(value):
            raise LedgerError(f"{what} has a {key} of the wrong type")
    return raw


def now_utc() -> str:
    """The wall clock, ISO 8601 in UTC, for the reader only."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
