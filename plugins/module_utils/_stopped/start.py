# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting the guests that were shut down. The modules and the host's own program share it."""
from __future__ import annotations

import time
import typing as t

from .._core import identity
from .._core.errors import GuestGone, LedgerError, LibvirtUnreachable, WindowBusy
from .._core.places import places
from .._system import boot_unit, host_power
from .._system.hypervisor import Connection, Guest, describe
from .ledger import StoppedLedger
from .record import StoppedGuest, StoppedTogether
from .rules import Found, StartVerdict, start_verdict

#: Seconds between two tries.
BETWEEN = 2.0
#: The same, where nobody waits.
AGAIN = 10.0
#: Seconds to wait for whoever changes the ledger.
LOCK = 60.0


def look(connection: Connection, record: StoppedTogether, one: StoppedGuest) -> tuple[Found, Guest | None]:
    """A guest of the record as it is now, and its handle."""
    try:
        guest = connection.guest(one.uuid)
        state = guest.state()
    except GuestGone:
        return Found(None), None
    active = guest.id >= 0
    same = (
        active and record.boot_id == identity.boot_id() and guest.id == one.id
        and identity.is_alive(identity.ProcessIdentity(one.pid, one.start_time))
    )
    return Found(state, active, same, guest.has_managed_save()), guest


def _judge(connection: Connection, record: StoppedTogether, one: StoppedGuest) -> tuple[StartVerdict, str, Guest | None]:
    """What a guest calls for, why, and its handle."""
    found, guest = look(connection, record, one)
    return (*start_verdict(one.phase, None if one.asked_at is None else time.time() - one.asked_at, found), guest)


def would_start(record: StoppedTogether) -> set[str]:
    """UUIDs of the guests that a pass would start. Touches none.

    :raises LibvirtUnreachable: libvirt does not answer.
    """
    connection = Connection(record.uri)
    return {one.uuid for one in record.unsettled() if _judge(connection, record, one)[0] == "start"}


#: What a pass has left: nothing; only guests that run and may still shut down; guests that could not be started.
Left = t.Literal["nothing", "late", "off"]


def _start(connection: Connection, record: StoppedTogether, one: StoppedGuest) -> StartVerdict:
    """One look at a guest that may be off, and what it calls for. The entry is changed in place.

    :raises Exception: libvirt's error; the entry is as it was.
    """
    verdict, one.message, guest = _judge(connection, record, one)
    if verdict == "late":
        return verdict
    if verdict == "start" and guest is not None:
        guest.start()
    if one.autostart and guest is not None and verdict != "untouched":
        guest.set_autostart(True)
    if verdict == "start":
        one.settle("started", one.message, time.time())
    else:
        one.settle(verdict, one.message)
    return verdict


def start_all(record: StoppedTogether, by: str, say: t.Callable[[str], None]) -> Left:
    """One pass over the guests that may be off, in their order. The lock is held by the caller.

    :param by: Who does it: `module` or `host`.
    :param say: Takes what is worth reporting, one line at a time.
    :returns: What is left to do. With nothing the ledger is closed.
    :raises LibvirtUnreachable: libvirt does not answer.
    :raises LedgerError: The ledger cannot be written.
    """
    ledger = StoppedLedger(places(record.uri))
    if host_power.goes_down():
        say("the host is on its way down; the guests that were shut down are started when it has booted")
        return "off"
    connection = Connection(record.uri)
    left: Left = "nothing"
    for one in record.unsettled():
        try:
            if _start(connection, record, one) == "late" and left == "nothing":
                left = "late"
        except Exception as error:  # one guest's trouble must not keep the others off
            one.message = f"it could not be started ({describe(error)}); trying again"
            left = "off"
        ledger.write(record)
        say(f"guest {one.name}: {one.outcome or one.phase}: {one.message}")
    if left == "nothing":
        record.close(by)
        ledger.write(record)
        boot_unit.START.remove()
    return left


def leave_to_host(say: t.Callable[[str], None]) -> None:
    """Have the host itself look after guests that may still shut down, for as long as they may: it starts them then."""
    problem = boot_unit.START.begin()
    if problem:
        say(f"the host does not wait for guests that may still shut down ({problem})")


def follow(uri: str, say: t.Callable[[str], None], patience: float | None) -> int:
    """Start what may be off, again and again until nothing is left to do.

    :param patience: Seconds; guests that may still shut down are then left to the host's own unit. `None`: for ever, which is what that unit does; of this boot
        it takes only such guests. What is off belongs to the run that has shut it down, or to the next one.
    :returns: The exit code of the program: 1 when a guest could not be started.
    """
    told: set[str] = set()

    def tell(text: str) -> None:
        if text not in told:
            told.add(text)
            say(text)

    ledger = StoppedLedger(places(uri))
    give_up = None if patience is None else time.monotonic() + patience
    while True:
        try:
            with ledger.locked(LOCK):
                record = ledger.read()
                if record is None or not record.is_open:
                    boot_unit.START.remove()
                    return 0
                if give_up is None and record.boot_id == identity.boot_id() and any(one.phase == "stopped" for one in record.guests):
                    tell("guests of this host are shut down for an update that goes on, or is carried on by its next run (or by recover.yml)")
                    return 0
                left = start_all(record, "host", tell)
            if left == "nothing":
                return 0
            if left == "late" and give_up is not None:
                leave_to_host(tell)
                return 0
        except (WindowBusy, LedgerError, LibvirtUnreachable) as error:
            tell(f"{error}; trying again")
        if give_up is not None and time.monotonic() > give_up:
            return 1
        time.sleep(AGAIN if give_up is None else BETWEEN)
