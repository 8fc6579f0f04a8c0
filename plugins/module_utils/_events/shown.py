# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of all that is announced a guest sees, and when an event may begin. Pure."""
from __future__ import annotations

import dataclasses
import math

from .approvals import Approval
from .record import EXPIRES, LINGER, Announcements, Event, Moment


def stays(event: Event, now: Moment) -> float:
    """Seconds until an event goes without another change; not positive: it has gone; infinite for one that has begun.

    One that was never started has died with whoever announced it.
    """
    if event.completed is not None:
        return LINGER - now.since(event.completed) if now.boot_id == event.completed.boot_id else 0.0
    return math.inf if event.status == "Started" else event.notice + EXPIRES - now.since(event.announced)


def is_gone(event: Event, now: Moment) -> bool:
    """Whether guests do not see an event any more."""
    return stays(event, now) <= 0


def shown(announcements: Announcements, group: str, now: Moment) -> list[Event]:
    """The events that a guest sees.

    :param group: The guest's group, see `group_of`.
    """
    return [
        event if event.completed is None else dataclasses.replace(event, status="Started")
        for event in announcements.events if event.group == group and not is_gone(event, now)
    ]


def incarnation(announcements: Announcements, since: int, now: Moment) -> int:
    """The incarnation that a guest sees. It grows with every change of what is shown, and never goes back.

    :param since: It begins here for the guest: what it may have seen on another host before it came to this one was less.
    """
    gone = (event.gone_incarnation for event in announcements.events if is_gone(event, now))
    return max(1, since, announcements.incarnation, *gone)


def seconds_left(event: Event, now: Moment) -> float:
    """Seconds of the promised notice that are left, by a clock that no one sets; over a reboot of the host by the wall clock."""
    return max(0.0, event.notice - now.since(event.announced))


def is_due(event: Event, approval: Approval | None, now: Moment) -> bool:
    """Whether an event may begin: a guest has approved it, its notice is over, or it has begun."""
    return event.status != "Scheduled" or approval is not None or seconds_left(event, now) == 0.0
