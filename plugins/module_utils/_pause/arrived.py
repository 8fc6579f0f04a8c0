# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that were migrated to this host while they were paused by us on another: they arrive paused, and the ledger here does not know them."""
from __future__ import annotations

import dataclasses
import time
import typing as t

from .._clock.keeper import Keeper, Task
from .._clock.result import TOLERANCE
from .._core.calls import Call, call_with_timeout, run_lanes
from .._core.errors import GuestGone
from .._core.states import State
from .._system.hypervisor import TOKEN_NAMESPACE, Connection, Guest, describe

#: Seconds for libvirt to answer about all guests.
LOOK_TIMEOUT = 15.0
#: Seconds for libvirt to resume one: a guest that is stuck must not keep the others paused.
RESUME_TIMEOUT = 10.0
#: Seconds for the clocks of those that are resumed.
CLOCKS = 20.0


class Left(t.NamedTuple):
    """A guest that left another host in the middle of a pause window, as that host's ledger says.

    :ivar window: The id of the window, which is the guest's mark.
    :ivar uuid: libvirt's UUID.
    :ivar clock_target: Seconds that its clock should be ahead of the host's; `None`: its clock is left alone.
    """

    window: str
    uuid: str
    clock_target: float | None = None


@dataclasses.dataclass
class Arrival:
    """A guest that is paused on this host with the mark of a window that this host does not know.

    :ivar guest: The guest.
    :ivar window: The id of that window.
    :ivar resumed: It was resumed (in check mode, would be).
    :ivar message: What became of it, in words.
    :ivar clock: What became of its clock; `None` when nobody looked at it.
    """

    guest: Guest
    window: str
    resumed: bool = False
    message: str = ""
    clock: dict[str, t.Any] | None = None


def _mark(guest: Guest) -> str | None:
    """The mark of a guest that is paused by a user's wish; `None` for all others."""
    try:
        return guest.token() if guest.state() == State("paused", "user") else None
    except GuestGone:
        return None


def find(connection: Connection, known: t.Container[str]) -> list[Arrival]:
    """The guests that are paused with a mark that was not set on this host.

    :param known: The ids of the windows, refreshes and reboots in the ledgers of this host.
    """
    guests = connection.running()
    calls = [Call(lambda guest=guest: _mark(guest)) for guest in guests]
    run_lanes([calls], 4, LOOK_TIMEOUT)
    # A guest that does not answer is no business of this look.
    return [Arrival(guest, call.value) for guest, call in zip(guests, calls) if call.state == "done" and call.value and call.value not in known]


def resume(uri: str, arrivals: t.Sequence[Arrival], left: t.Collection[Left], check_mode: bool) -> None:
    """Resume those of which the ledger of the host that they came from says that they left it in a window of ours. All others are left as they are.

    :param left: What the ledgers of the other hosts say.
    """
    keeper = Keeper(uri, TOLERANCE, True)
    known = {(one.window, one.uuid): one for one in left}
    for one in arrivals:
        origin = known.get((one.window, one.guest.uuid))
        if origin is None:
            one.message = (
                f"it is paused and carries the mark of pause window {one.window}, which no ledger that was asked knows; it was left as it is. If it was "
                "migrated here in a pause of ours, run recover.yml over the host that it came from, too, or resume it by hand (virsh resume)"
            )
            continue
        one.resumed = True
        one.message = "it was migrated here while it was paused by us, and resumed"
        if check_mode:
            continue
        try:
            call_with_timeout(one.guest.resume, RESUME_TIMEOUT)
        except Exception as error:  # the others come next
            one.resumed = False
            one.message = f"it was migrated here while it was paused by us, and could not be resumed ({describe(error)}); resume it by hand (virsh resume)"
            continue
        if origin.clock_target is not None:
            keeper.give(Task(one.guest.uuid, origin.clock_target, time.monotonic(), True))
        try:
            call_with_timeout(one.guest.clear_token, RESUME_TIMEOUT)
        except Exception as error:  # it runs, which is what matters
            one.message += (
                f", and our mark on it could not be removed ({describe(error)}): should its owner pause it, recover.yml would take that for ours. Remove it with "
                f"virsh metadata {one.guest.name} --uri {TOKEN_NAMESPACE} --live --remove"
            )
    clocks = keeper.results(CLOCKS)
    for one in arrivals:
        one.clock = clocks.get(one.guest.uuid)
