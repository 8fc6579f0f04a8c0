# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The events of a report on the controller's disk: a line of JSON for each, on disk before anything goes on. Knows no Ansible."""
from __future__ import annotations

import hashlib
import json
import os
import typing as t
from pathlib import Path

from .report_events import FORMAT

SUFFIX = ".jsonl"


class ReportError(ValueError):
    """A report cannot be read; the text is for the operator."""


class EventsFile:
    """The file that a run writes its events into. Only its owner can read it: it names hosts, guests and what is wrong with them.

    :ivar path: The file.
    """

    def __init__(self, folder: str, run: str) -> None:
        """Make the file; raises OSError. One that is there is not touched."""
        where = Path(folder).expanduser()
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = where / f"{run}{SUFFIX}"
        self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        handle = os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def write(self, events: t.Iterable[t.Mapping[str, t.Any]]) -> None:
        """Add events; they are on disk when this returns. Raises OSError."""
        data = b"".join(json.dumps(one, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n" for one in events)
        while data:
            data = data[os.write(self._handle, data):]
        os.fsync(self._handle)

    def digest(self) -> str:
        """SHA-256 of what is in the file, in hexadecimal digits."""
        return digest(self.path.read_bytes())

    def close(self) -> None:
        """Nothing is written any more."""
        os.close(self._handle)


def write_page(path: Path, text: str) -> None:
    """Write a page: whole or not at all. Only its owner can read it. Raises OSError."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(new, path)


def digest(data: bytes) -> str:
    """SHA-256 of events as they are on disk, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def read_events(data: bytes, name: str) -> list[dict[str, t.Any]]:
    """The events of a file. Half a line at its end, as a killed run leaves it, is left out.

    :param name: What to call the file.
    :raises ReportError: These are not events that this release can read.
    """
    events = []
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ReportError(f"{name}: line {number} is no JSON ({error})") from None
        if not isinstance(event, dict) or not isinstance(event.get("event"), str) or not isinstance(event.get("t"), (int, float)):
            raise ReportError(f"{name}: line {number} is no event of a report")
        events.append(event)
    if not events or events[0]["event"] != "run":
        raise ReportError(f"{name} does not begin with the event 'run', so it is no report")
    if events[0].get("format") != FORMAT:
        raise ReportError(f"{name} is of format {events[0].get('format')!r}, and this release reads {FORMAT}")
    return events
