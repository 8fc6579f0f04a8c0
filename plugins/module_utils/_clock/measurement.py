# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest's clock says against its host's. Pure; knows no agent.

The host's clock is read before and after the question (t0, t1); the guest read its own (g) somewhere between. So the offset
g - (t0 + t1) / 2 is wrong by at most (t1 - t0) / 2, plus the resolution of the guest's clock. The best of several samples
is the one with the smallest bound (Cristian's algorithm, Distributed Computing 3, 1989).
"""
from __future__ import annotations

import dataclasses
import typing as t

#: Agents on Linux and other POSIX systems read the clock to the microsecond (gettimeofday). Seconds.
POSIX_RESOLUTION = 1e-6
#: The clock that an agent on Windows reads (GetSystemTime, since 2022 GetSystemTimeAsFileTime) moves with the timer interrupt, that is at
#: least every 15.625 ms, and agents before 2022 cut what they read to milliseconds (qga/commands-win32.c, SYSTEMTIME). Seconds.
WINDOWS_RESOLUTION = 15.625e-3 + 1e-3

#: What every agent on Windows calls its system in guest-get-osinfo (qga/commands-win32.c).
WINDOWS = "mswindows"

#: `in_sync`: proved within the tolerance. `out_of_sync`: proved outside. `unverified`: neither can be proved.
Verdict = t.Literal["in_sync", "out_of_sync", "unverified"]
VERDICTS: tuple[str, ...] = t.get_args(Verdict)


@dataclasses.dataclass(frozen=True)
class Sample:
    """One question to a guest.

    :ivar asked: The host's wall clock just before, seconds since the epoch.
    :ivar took: Seconds of the monotonic clock until the answer was there.
    :ivar guest: The guest's wall clock, seconds since the epoch.
    """

    asked: float
    took: float
    guest: float


@dataclasses.dataclass(frozen=True)
class Offset:
    """How far a guest's clock is ahead of its host's.

    :ivar seconds: Guest minus host; negative: the guest is behind.
    :ivar bound: The true offset is at most this many seconds away from it.
    """

    seconds: float
    bound: float

    def as_dict(self) -> dict[str, float]:
        """For a module's result; seconds, to the microsecond."""
        return {"offset": round(self.seconds, 6), "bound": round(self.bound, 6)}


def resolution_of(system: t.Mapping[str, t.Any]) -> float:
    """Seconds between two readings of a guest's clock that differ.

    :param system: What the agent said of the guest's system, with the names of guest-get-osinfo; empty when it said nothing, and then the clock is
        taken for the coarsest that there is. A POSIX agent says at least its kernel, and no `id` where the guest has no os-release.
    """
    return POSIX_RESOLUTION if system and system.get("id") != WINDOWS else WINDOWS_RESOLUTION


def offset(samples: t.Sequence[Sample], resolution: float) -> Offset:
    """The offset by the best of some samples.

    :param samples: At least one.
    :param resolution: Seconds between two readings of the guest's clock that differ.
    :raises ValueError: No samples.
    """
    best = min(samples, key=lambda sample: sample.took)
    return Offset(best.guest - (best.asked + best.took / 2), best.took / 2 + resolution)


def is_nearer(now: Offset, before: Offset, target: float) -> bool:
    """Whether a correction is proved to have got a clock nearer to its target; one that has not is not made again.

    :param target: The offset that the clock should have, in seconds.
    """
    return abs(before.seconds - target) - abs(now.seconds - target) > before.bound + now.bound


def verdict(found: Offset, target: float, tolerance: float) -> Verdict:
    """What can be proved of a clock.

    :param found: The measured offset.
    :param target: The offset that the clock should have, in seconds; 0 for a clock that should be right.
    :param tolerance: Seconds by which it may differ from the target.
    """
    distance = abs(found.seconds - target)
    if distance + found.bound <= tolerance:
        return "in_sync"
    if distance - found.bound > tolerance:
        return "out_of_sync"
    return "unverified"


def is_to_be_set(found: Offset, target: float, tolerance: float) -> bool:
    """Whether a clock is to be set: it is proved to be wrong, or it is at the edge of the tolerance and setting it is proved to bring it nearer.

    An order to set it arrives about as precisely as the clock was read, so it ends within the bound of its target. Behind a slow agent that could be
    further off than it is.

    :param target: The offset that the clock should have, in seconds.
    :param tolerance: Seconds by which it may differ from the target.
    """
    said = verdict(found, target, tolerance)
    return said == "out_of_sync" or (said == "unverified" and abs(found.seconds - target) > 2 * found.bound)
