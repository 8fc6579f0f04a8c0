# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service knows at the moment of a request, as one guest may see it."""
from __future__ import annotations

import dataclasses
import typing as t

from .._events.record import Announcements, Event, Guest, Moment, Settings
from .._events.shown import incarnation, shown


@dataclasses.dataclass(frozen=True)
class View:
    """What one guest may see, and do.

    :ivar guest: The guest that asks.
    :ivar settings: How the service is set.
    :ivar announcements: What is announced to its group.
    :ivar now: Now.
    :ivar approve: Notes that the guest approves an event, by the event's id.
    """

    guest: Guest
    settings: Settings
    announcements: Announcements
    now: Moment
    approve: t.Callable[[str], None]

    def events(self) -> list[Event]:
        """The events that it sees."""
        return shown(self.announcements, self.guest.group, self.now)

    def own_events(self) -> list[Event]:
        """Those that are about itself."""
        return [event for event in self.events() if event.uuid == self.guest.uuid]

    def incarnation(self) -> int:
        """The incarnation of what it sees."""
        return incarnation(self.announcements, self.guest.since, self.now)
