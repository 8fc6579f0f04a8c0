# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents that the service reads, anew when they change. One that cannot be read leaves what was known, and is told."""
from __future__ import annotations

import os
import typing as t

from .._core.errors import LedgerError
from .._events import changes, record, shown
from .._events.places import EventPlaces
from .._events.spool import moment, read_document

Content = t.TypeVar("Content")


class _Document(t.Generic[Content]):
    """One of them."""

    def __init__(self, path: str, parse: t.Callable[[t.Any], Content], default: Content) -> None:
        self._path = path
        self._parse = parse
        self._default = default
        self._seen: tuple[int, ...] | None = None
        self.content = default
        self.trouble = ""

    def look(self) -> None:
        """Read it if it has changed."""
        try:
            seen = os.stat(self._path)
            key: tuple[int, ...] | None = (seen.st_ino, seen.st_mtime_ns, seen.st_size)
        except FileNotFoundError:
            key = ()
        except OSError as error:
            self.trouble = f"{self._path} cannot be read ({error.strerror})"
            return
        if key == self._seen:
            return
        try:
            document = read_document(self._path)
            self.content = self._default if document is None else self._parse(document)
            self.trouble = ""
        except LedgerError as error:
            self.trouble = f"{error.problem}; what was known before holds"
            if isinstance(error.__cause__, OSError):  # that may pass without a change of the file
                key = None
        self._seen = key


class Known:
    """What the service knows of its host.

    :param places: Where the documents are.
    """

    def __init__(self, places: EventPlaces) -> None:
        self._settings = _Document(places.settings, record.settings, record.Settings())
        self._guests = _Document(places.guests, record.guests, record.Guests((), {}))
        self._announcements = _Document(places.events, record.announcements, changes.NONE)
        self._groups: dict[str, list[record.Event]] = {}
        self._grouped = changes.NONE
        self._incarnation = 0

    def look(self) -> None:
        """Read what has changed."""
        for one in (self._settings, self._guests, self._announcements):
            one.look()
        found = self.announcements
        if found is not self._grouped:
            self._grouped, self._groups = found, {}
            for event in found.events:
                self._groups.setdefault(event.group, []).append(event)
        self._incarnation = shown.incarnation(found, 0, moment())

    def of_group(self, group: str) -> record.Announcements:
        """What is announced to one group: no guest's request costs as much as all events of the host.

        Its incarnation counts what has gone of the others up to the last look, so that it does not go back for a guest that is given to another set.
        """
        return record.Announcements(self._incarnation, self.announcements.counter, self._groups.get(group, []))

    @property
    def settings(self) -> record.Settings:
        """How the service is set."""
        return self._settings.content

    @property
    def guests(self) -> record.Guests:
        """The running guests."""
        return self._guests.content

    @property
    def announcements(self) -> record.Announcements:
        """What is announced."""
        return self._announcements.content

    @property
    def trouble(self) -> list[str]:
        """What could not be read, in sentences."""
        return [one.trouble for one in (self._settings, self._guests, self._announcements) if one.trouble]
