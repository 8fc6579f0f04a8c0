# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The maintenance window of a rollout: when an update domain may begin. Pure."""
from __future__ import annotations

import re
from datetime import datetime, timedelta

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


class WindowError(ValueError):
    """The window cannot be used; the text is for the operator."""


def why_not_now(now: datetime, start: str, end: str, expected: float = 0.0) -> str | None:
    """Why an update domain must not begin now, or None if it may.

    now: with a time zone, which is that of times without one. start, end: ISO 8601, each may be empty; or both `HH:MM`, for a window of every day, which may go
    over midnight. expected: seconds that the update domain is expected to last. Raises WindowError.
    """
    opens, closes = _bounds(now, start.strip(), end.strip())
    said = f"the maintenance window ({start or 'open'} to {end or 'open'})"
    if opens is not None and now < opens:
        return f"{said} begins in {_minutes(opens - now)}"
    if closes is not None and now >= closes:
        return f"{said} is over"
    if closes is not None and now + timedelta(seconds=expected) > closes:
        return f"{said} ends in {_minutes(closes - now)}, and it is expected to last {_minutes(timedelta(seconds=expected))}"
    return None


def _bounds(now: datetime, start: str, end: str) -> tuple[datetime | None, datetime | None]:
    clocks = [_CLOCK.fullmatch(text) for text in (start, end)]
    if all(clocks):
        return _of_today(now, *(int(found[1]) * 60 + int(found[2]) for found in clocks if found))
    if any(clocks):
        raise WindowError("the maintenance window has one time of day (HH:MM): give both, or both as dates with times (ISO 8601)")
    opens, closes = _moment(now, start), _moment(now, end)
    if opens is not None and closes is not None and opens >= closes:
        raise WindowError(f"the maintenance window begins at {start}, and that is not before its end at {end}")
    return opens, closes


def _of_today(now: datetime, start: int, end: int) -> tuple[datetime, datetime]:
    """The window of every day that is open now, or the next one. start, end: minutes after midnight."""
    if start == end:
        raise WindowError("the maintenance window begins when it ends: give two times of day")
    lasts = timedelta(minutes=(end - start) % (24 * 60))
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for day in (-1, 0, 1):
        opens = midnight + timedelta(days=day, minutes=start)
        if now < opens + lasts:
            return opens, opens + lasts
    raise AssertionError("a day has a window")


def _moment(now: datetime, text: str) -> datetime | None:
    if not text:
        return None
    try:
        # Python 3.10 does not know Z.
        found = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
    except ValueError:
        raise WindowError(f"{text!r} in the maintenance window is neither a time of day (HH:MM) nor a date with a time (ISO 8601)") from None
    return found if found.tzinfo else found.replace(tzinfo=now.tzinfo)


def _minutes(length: timedelta) -> str:
    minutes = round(length.total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(minutes, 1)} min"
